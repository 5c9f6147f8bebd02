//! Settings of the links.

use std::{path::PathBuf, time::Duration};

use config::Reader;
use link::Table;

/// Settings of the links.
#[derive(Debug)]
pub struct Config {
    /// Which links there are.
    pub links: Table,
    /// From one site to another, one way.
    pub latency: Duration,
    /// Where is kept what was set; this process alone uses it.
    pub data_dir: PathBuf,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            links: reader.parsed("LINKS", ""),
            // A round trip between two near regions; half of it each way.
            latency: reader.duration("LINK_LATENCY", "40ms").min(2 * link::MAX_LATENCY) / 2,
            data_dir: reader.parsed("DATA_DIR", ".backbone/data/global/links"),
        }
    }
}
