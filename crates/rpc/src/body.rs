//! Bodies of bounded size.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;

/// Most bytes that are read of a body that is too large. A connection closed before all is read is reset, and the answer lost with it.
const PATIENCE: usize = 4 * 1024 * 1024;

/// Longest time that a body may take.
const SLOWEST: Duration = Duration::from_secs(20);

/// Why a body cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than the limit.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The connection ended before it did.
    #[error("the body did not arrive whole: {0}")]
    Broken(String),
}

/// The bytes of a body of at most `limit` bytes.
///
/// # Errors
/// [`BodyError`].
pub async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, BodyError> {
    tokio::time::timeout(SLOWEST, read(body, limit)).await.unwrap_or_else(|_| Err(BodyError::Broken("it took too long".to_owned())))
}

async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, BodyError> {
    let (mut bytes, mut size) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let data = frame.into_data().unwrap_or_default();
        size += data.len();
        if size <= limit {
            bytes.extend_from_slice(&data);
        } else if size > limit.max(PATIENCE) {
            break;
        }
    }
    if size > limit { Err(BodyError::TooLarge(limit)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_beyond() {
        assert_eq!(read_body(Body::from("abc"), 3).await, Ok(b"abc".to_vec()));
        assert_eq!(read_body(Body::from("abcd"), 3).await, Err(BodyError::TooLarge(3)));
        assert_eq!(read_body(Body::from(vec![0; PATIENCE + 1]), 3).await, Err(BodyError::TooLarge(3)));
    }
}
