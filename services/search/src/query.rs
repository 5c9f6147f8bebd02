//! From what a shopper types to a query. Any text is one: what is no syntax is words.
//!
//! ```text
//! steel botle     each word: as it is, or with one letter wrong; the last one may go on. Most words must be there; the title weighs most
//! MUG-0001        a SKU is found by itself
//! "blue mug" -big read by tantivy's parser: phrases, + - AND OR NOT, title: category: sku:
//! ```

use tantivy::{
    Index, Score, Term,
    query::{BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, EnableScoring, FuzzyTermQuery, Occur, Query, QueryParser, TermQuery},
    schema::{Field, IndexRecordOption, Schema},
    tokenizer::{TextAnalyzer, TokenStream as _},
};

use crate::index::Fields;

const SKU_SCORE: Score = 50.0;
/// Shorter beginnings fit too much.
const MIN_PREFIX: usize = 2;
/// In shorter words one letter makes another word.
const MIN_FUZZY: usize = 4;
/// Each fuzzy word costs an automaton per field.
const MAX_FUZZY_WORDS: usize = 8;

/// What a match in a field counts: the word itself multiplies its BM25 score, the alternatives have fixed scores below that.
#[derive(Debug, Clone, Copy)]
struct Weight {
    field: Field,
    exact: Score,
    prefix: Score,
    fuzzy: Score,
}

/// Reads queries.
pub(crate) struct Words {
    parser: QueryParser,
    schema: Schema,
    analyzer: TextAnalyzer,
    weights: [Weight; 3],
    sku: Field,
}

impl Words {
    pub(crate) fn new(index: &Index, fields: Fields, analyzer: TextAnalyzer) -> Self {
        let weights = [
            Weight { field: fields.title, exact: 3.0, prefix: 0.3, fuzzy: 0.2 },
            Weight { field: fields.category, exact: 1.5, prefix: 0.15, fuzzy: 0.1 },
            Weight { field: fields.description, exact: 1.0, prefix: 0.1, fuzzy: 0.05 },
        ];
        let mut parser = QueryParser::for_index(index, weights.iter().map(|weight| weight.field).collect());
        parser.set_conjunction_by_default();
        for weight in weights {
            parser.set_field_boost(weight.field, weight.exact);
        }
        Self { parser, schema: index.schema(), analyzer, weights, sku: fields.sku }
    }

    /// The query that `text` means.
    pub(crate) fn query(&self, text: &str) -> Box<dyn Query> {
        if has_syntax(text)
            && let (query, errors) = self.parser.parse_query_lenient(text)
            && errors.is_empty()
            // Some of the syntax is for other kinds of fields than these; then the text is taken for words.
            && query.weight(EnableScoring::disabled_from_schema(&self.schema)).is_ok()
        {
            return query;
        }
        let sku = TermQuery::new(Term::from_field_text(self.sku, &text.trim().to_uppercase()), IndexRecordOption::Basic);
        let sku = ConstScoreQuery::new(Box::new(sku), SKU_SCORE);
        Box::new(BooleanQuery::union(vec![Box::new(sku), self.words(text)]))
    }

    fn words(&self, text: &str) -> Box<dyn Query> {
        let mut analyzer = self.analyzer.clone();
        let mut words: Vec<String> = Vec::new();
        analyzer.token_stream(text).process(&mut |token| words.push(token.text.clone()));
        words.dedup();
        let Some(last) = words.len().checked_sub(1) else { return Box::new(EmptyQuery) };
        let may_be_fuzzy = words.len() <= MAX_FUZZY_WORDS;
        let clauses = words.iter().enumerate().map(|(index, word)| self.word(word, index == last, may_be_fuzzy)).collect();
        // One word in three may be missing.
        Box::new(BooleanQuery::union_with_minimum_required_clauses(clauses, words.len() - words.len() / 3))
    }

    fn word(&self, word: &str, is_last: bool, may_be_fuzzy: bool) -> Box<dyn Query> {
        let letters = word.chars().count();
        let is_prefix = is_last && letters >= MIN_PREFIX;
        let is_fuzzy = may_be_fuzzy && letters >= MIN_FUZZY && word.chars().all(char::is_alphabetic);
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let mut add = |query: Box<dyn Query>| clauses.push((Occur::Should, query));
        for Weight { field, exact, prefix, fuzzy } in self.weights {
            let term = Term::from_field_text(field, word);
            add(Box::new(BoostQuery::new(Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)), exact)));
            if is_prefix {
                add(Box::new(ConstScoreQuery::new(Box::new(FuzzyTermQuery::new_prefix(term.clone(), 0, true)), prefix)));
            }
            if is_fuzzy {
                add(Box::new(ConstScoreQuery::new(Box::new(FuzzyTermQuery::new(term, 1, true)), fuzzy)));
            }
        }
        Box::new(BooleanQuery::new(clauses))
    }
}

/// Whether someone seems to mean the query language: `"a phrase"`, `+word`, `-word`, `title:word`, `AND`, `OR`, `NOT`.
fn has_syntax(text: &str) -> bool {
    let is_marked =
        |word: &str| word.strip_prefix(['+', '-']).is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '"'));
    text.matches('"').count() >= 2
        || text.split_whitespace().any(|word| is_marked(word) || word.contains(':') || matches!(word, "AND" | "OR" | "NOT"))
}

#[cfg(test)]
mod tests;
