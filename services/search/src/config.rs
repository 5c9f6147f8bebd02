//! Settings of the search service.

use std::path::PathBuf;

use config::Reader;
use ids::Region;

/// Settings of the search service.
#[derive(Debug)]
pub struct Config {
    /// The region whose catalog is indexed.
    pub region: Region,
    /// Kafka of the region.
    pub kafka: String,
    /// Where the index is kept; this process alone uses it.
    pub data_dir: PathBuf,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            region: reader.parsed("REGION", "eu"),
            kafka: reader.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:21092"),
            data_dir: reader.parsed("DATA_DIR", ".backbone/data/eu/search"),
        }
    }
}
