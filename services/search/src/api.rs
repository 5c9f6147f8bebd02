//! `search.v1.SearchService`: decode, call, encode.

use proto::search::v1::{Hit, SearchRequest, SearchResponse, search_service_server::SearchService};
use tonic::{Request, Response, Status};

use crate::{error::Error, index::Reader};

/// Hits of one page when the caller does not say.
const PAGE: u32 = 24;
const MAX_PAGE: u32 = 200;
/// Nobody reads further, and each page costs what all before it cost.
const MAX_OFFSET: usize = 1000;
const MAX_QUERY: usize = 200;

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) reader: Reader,
}

#[tonic::async_trait]
impl SearchService for Api {
    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let SearchRequest { query, page_size, page_token } = request.into_inner();
        if query.chars().count() > MAX_QUERY {
            return Err(Error::Query(format!("query must be at most {MAX_QUERY} characters")).into());
        }
        let limit = match page_size {
            0 => PAGE,
            1..=MAX_PAGE => page_size,
            _ => return Err(Error::Query(format!("page_size must be 1 to {MAX_PAGE}")).into()),
        } as usize;
        let offset = decode_offset(&page_token)?;
        let reader = self.reader.clone();
        let found = tokio::task::spawn_blocking(move || reader.search(&query, offset, limit + 1)).await.map_err(Error::Aborted)?;
        let mut found = found?;
        let has_more = found.len() > limit && offset + limit <= MAX_OFFSET;
        found.truncate(limit);
        let next_page_token = if has_more { (offset + limit).to_string() } else { String::new() };
        let hits = found.into_iter().map(|(sku, score)| Hit { sku, score }).collect();
        Ok(Response::new(SearchResponse { hits, next_page_token }))
    }
}

/// The token is the number of hits on the pages before.
fn decode_offset(page_token: &str) -> Result<usize, Error> {
    if page_token.is_empty() {
        return Ok(0);
    }
    let is_number = page_token.bytes().all(|byte| byte.is_ascii_digit());
    let offset = page_token.parse().ok().filter(|offset| is_number && (1..=MAX_OFFSET).contains(offset));
    offset.ok_or(Error::PageToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offsets_within_bounds_are_tokens() {
        assert_eq!(decode_offset("").unwrap(), 0);
        assert_eq!(decode_offset("1000").unwrap(), 1000);
        for bad in ["0", "1001", "-1", "+24", " 24", "x", "24 ", "99999999999999999999999"] {
            assert!(matches!(decode_offset(bad), Err(Error::PageToken)), "{bad:?}");
        }
    }
}
