//! The item index: a tantivy index on disk and how it is opened.

mod reader;
mod writer;

use std::{
    fs::{File, TryLockError},
    panic::catch_unwind,
    path::Path,
};

use serde::{Deserialize, Serialize};
use tantivy::{
    Index,
    schema::{FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer},
};

pub(crate) use self::{
    reader::Reader,
    writer::{Document, Writer},
};
use crate::{error::Error, metrics};

/// Changes when documents are to be made in another way; an index of another format is built again.
const FORMAT: u32 = 1;
const ANALYZER: &str = "words";
/// Longer words are noise.
const LONGEST_WORD: usize = 40;

/// The index's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) sku: Field,
    pub(crate) title: Field,
    pub(crate) description: Field,
    pub(crate) category: Field,
}

/// What a commit keeps beside its documents: where the tail goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    format: u32,
    /// Next offset by partition.
    next: std::collections::BTreeMap<i32, i64>,
}

fn schema() -> (Schema, Fields) {
    let words = TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let words = TextOptions::default().set_indexing_options(words);
    let mut schema = Schema::builder();
    let fields = Fields {
        sku: schema.add_text_field("sku", STRING | STORED | FAST),
        title: schema.add_text_field("title", words.clone()),
        description: schema.add_text_field("description", words.clone()),
        category: schema.add_text_field("category", words),
    };
    (schema.build(), fields)
}

/// Words in lower case without accents.
fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// Opens the index below `data_dir`, or makes it. One that cannot be used is given up: the topic has everything.
///
/// # Errors
/// [`Error::InUse`]; [`Error::Folder`] and [`Error::Index`] when not even a new index can be made.
pub(crate) fn open(data_dir: &Path) -> Result<(Writer, Reader), Error> {
    let folder_error = |source| Error::Folder { folder: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(folder_error)?;
    // Ours, not tantivy's: it must be held before anything is deleted.
    let lock = File::create(data_dir.join("lock")).map_err(folder_error)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::InUse(data_dir.to_owned()),
        TryLockError::Error(source) => folder_error(source),
    })?;
    let folder = data_dir.join("items");
    if folder.exists() {
        // tantivy panics at some damages, e.g. at a file that was cut short.
        let opened = catch_unwind(|| open_existing(&folder)).unwrap_or_else(|_| Err("one of its files makes no sense".to_owned()));
        match opened {
            Ok((index, position)) => return assemble(index, position, Some(lock)),
            Err(why) => {
                tracing::warn!(why, folder = %folder.display(), "the index cannot be used, so it is built again from the topic");
                metrics::count_rebuild();
                remove(&folder).map_err(folder_error)?;
            }
        }
    }
    std::fs::create_dir_all(&folder).map_err(folder_error)?;
    let index = Index::create_in_dir(&folder, schema().0)?;
    assemble(index, Position::default(), Some(lock))
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

/// The index in `folder`, or why it cannot be used.
fn open_existing(folder: &Path) -> Result<(Index, Position), String> {
    let index = Index::open_in_dir(folder).map_err(|error| error.to_string())?;
    if index.schema() != schema().0 {
        return Err("it has other fields".to_owned());
    }
    let damaged = index.validate_checksum().map_err(|error| error.to_string())?;
    if let Some(file) = damaged.iter().next() {
        return Err(format!("{} of its files are damaged, one is {}", damaged.len(), file.display()));
    }
    let metas = index.load_metas().map_err(|error| error.to_string())?;
    let position = match &metas.payload {
        // Made, and never committed to.
        None if metas.segments.is_empty() => return Ok((index, Position::default())),
        payload => payload.as_deref().and_then(|payload| serde_json::from_str::<Position>(payload).ok()),
    };
    match position {
        Some(position) if position.format == FORMAT => Ok((index, position)),
        Some(position) => Err(format!("it has format {}, not {FORMAT}", position.format)),
        None => Err("it does not say how far it has read the topic".to_owned()),
    }
}

fn assemble(index: Index, position: Position, lock: Option<File>) -> Result<(Writer, Reader), Error> {
    let (_, fields) = schema();
    index.tokenizers().register(ANALYZER, analyzer());
    let reader = Reader::new(&index, fields)?;
    let writer = Writer::new(&index, fields, position.next, reader.clone(), lock)?;
    Ok((writer, reader))
}

#[cfg(test)]
pub(crate) fn in_memory() -> (Writer, Reader) {
    assemble(Index::create_in_ram(schema().0), Position::default(), None).unwrap()
}

#[cfg(test)]
mod tests;
