//! All carts at a glance, to be compared with the other region's.

use std::{collections::HashMap, time::Duration};

use sqlx::PgPool;

use crate::error::Error;

/// Carts of one page.
const PAGE: i64 = 200;

/// A digest of each bucket of carts that have rested for so long. Equal carts have equal digests; empty buckets have none.
pub(crate) async fn digests(pool: &PgPool, rested: Duration) -> Result<HashMap<u32, i64>, Error> {
    let digests: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT hashtext(cart_id) & 255, bit_xor(hashtextextended(cart_id || encode(state, 'hex'), 0))
         FROM carts WHERE state IS NOT NULL AND changed_at < now() - $1 * interval '1 s' GROUP BY 1",
    )
    .bind(rested.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(digests.into_iter().map(|(bucket, digest)| (bucket.cast_unsigned(), digest)).collect())
}

/// Carts of a bucket behind `after`, by id, with their states.
pub(crate) async fn list(pool: &PgPool, bucket: u32, after: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let page = sqlx::query_as(
        "SELECT cart_id, state FROM carts WHERE hashtext(cart_id) & 255 = $1 AND cart_id > $2 AND state IS NOT NULL ORDER BY cart_id LIMIT $3",
    );
    Ok(page.bind(bucket.cast_signed()).bind(after).bind(PAGE).fetch_all(pool).await?)
}
