//! Searches the index as it was at its last commit.

use std::sync::Arc;

use tantivy::{
    DocAddress, Index, IndexReader, Order, ReloadPolicy, Searcher, TantivyDocument, collector::TopDocs, query::AllQuery, schema::Value as _,
};

use super::{ANALYZER, Fields};
use crate::{error::Error, query::Words};

/// Blocks of stored SKUs kept in memory; each holds hundreds.
const CACHED_BLOCKS: usize = 16;

/// Searches the index. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    reader: IndexReader,
    words: Arc<Words>,
    sku: tantivy::schema::Field,
}

impl Reader {
    pub(super) fn new(index: &Index, fields: Fields) -> Result<Self, Error> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(CACHED_BLOCKS).try_into()?;
        let words = Words::new(index, fields, index.tokenizer_for_field(fields.title)?);
        debug_assert!(index.tokenizers().get(ANALYZER).is_some());
        Ok(Self { reader, words: Arc::new(words), sku: fields.sku })
    }

    pub(super) fn reload(&self) -> Result<(), Error> {
        Ok(self.reader.reload()?)
    }

    /// How many items there are.
    pub(crate) fn count(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// SKUs with their scores, best first, behind the first `offset`. Without words all items are found, by SKU. Uses the processor.
    pub(crate) fn search(&self, text: &str, offset: usize, limit: usize) -> Result<Vec<(String, f32)>, Error> {
        let searcher = self.reader.searcher();
        let top = TopDocs::with_limit(limit).and_offset(offset);
        if text.trim().is_empty() {
            let found = searcher.search(&AllQuery, &top.order_by_string_fast_field("sku", Order::Asc))?;
            return found.into_iter().map(|(_, address)| Ok((self.sku_of(&searcher, address)?, 1.0))).collect();
        }
        let found = searcher.search(&self.words.query(text), &top.order_by_score())?;
        found.into_iter().map(|(score, address)| Ok((self.sku_of(&searcher, address)?, score))).collect()
    }

    fn sku_of(&self, searcher: &Searcher, address: DocAddress) -> Result<String, Error> {
        let document: TantivyDocument = searcher.doc(address)?;
        Ok(document.get_first(self.sku).and_then(|value| value.as_str()).unwrap_or_default().to_owned())
    }
}
