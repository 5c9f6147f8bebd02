//! The one writer of the index.

use std::{collections::BTreeMap, fs::File};

use tantivy::{Index, IndexWriter, TantivyDocument, Term, indexer::IndexWriterOptions};

use super::{FORMAT, Fields, Position, Reader};
use crate::{error::Error, metrics};

/// The least that tantivy takes; a catalog is small.
const HEAP: usize = 15_000_000;

/// An item as it is indexed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) sku: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) category: &'a str,
}

/// Changes the index; nothing is found before [`Writer::commit`].
pub(crate) struct Writer {
    writer: IndexWriter,
    fields: Fields,
    reader: Reader,
    next: BTreeMap<i32, i64>,
    pending: usize,
    /// Keeps others out of the folder for as long as this writer lives.
    _lock: Option<File>,
}

impl Writer {
    pub(super) fn new(index: &Index, fields: Fields, next: BTreeMap<i32, i64>, reader: Reader, lock: Option<File>) -> Result<Self, Error> {
        let options = IndexWriterOptions::builder().num_worker_threads(1).memory_budget_per_thread(HEAP).num_merge_threads(1).build();
        let writer = index.writer_with_options(options)?;
        Ok(Self { writer, fields, reader, next, pending: 0, _lock: lock })
    }

    /// The next offset wanted of each partition.
    pub(crate) fn next_offsets(&self) -> &BTreeMap<i32, i64> {
        &self.next
    }

    /// Messages applied since the last commit.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Adds an item, in place of the one with its SKU.
    pub(crate) fn put(&mut self, document: &Document<'_>) -> Result<(), Error> {
        self.remove(document.sku);
        let mut indexed = TantivyDocument::default();
        indexed.add_text(self.fields.sku, document.sku);
        indexed.add_text(self.fields.title, document.title);
        indexed.add_text(self.fields.description, document.description);
        indexed.add_text(self.fields.category, document.category);
        self.writer.add_document(indexed)?;
        Ok(())
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, sku: &str) {
        self.writer.delete_term(Term::from_field_text(self.fields.sku, sku));
    }

    /// Notes that the message at `offset` is applied.
    pub(crate) fn pass(&mut self, partition: i32, offset: i64) {
        self.next.insert(partition, offset + 1);
        self.pending += 1;
    }

    /// Keeps everything applied so far with its offsets, and shows it to readers. Blocks on the disk.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        if self.pending > 0 {
            self.commit_anyway()?;
        }
        Ok(())
    }

    /// Forgets all items and offsets. Blocks on the disk.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.writer.delete_all_documents()?;
        self.next.clear();
        self.commit_anyway()
    }

    fn commit_anyway(&mut self) -> Result<(), Error> {
        let position = Position { format: FORMAT, next: self.next.clone() };
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&serde_json::to_string(&position).expect("a map of numbers is JSON"));
        commit.commit()?;
        self.pending = 0;
        self.reader.reload()?;
        metrics::count_commit();
        metrics::show_documents(self.reader.count());
        Ok(())
    }
}
