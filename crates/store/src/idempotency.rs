//! Idempotency keys: a repeated request gets the first one's answer.

use sqlx::PgConnection;

/// What a key says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Never seen: do it, then [`answer_in`] the same transaction.
    New,
    /// Done before with the same body; this was the answer.
    Replay(Vec<u8>),
    /// Used before with another body.
    Reused,
}

/// Claims `key` within `scope` for a request with this hash. Waits while another transaction holds the same key, at most 2 s: less than callers
/// wait for their answer. That limit then holds for all locks of the transaction.
///
/// # Errors
/// Of the database; SQLSTATE 55P03 when the other transaction takes too long.
pub async fn claim_in(tx: &mut PgConnection, scope: &str, key: &str, request_hash: &[u8]) -> sqlx::Result<Claim> {
    let insert = "WITH patience AS (SELECT set_config('lock_timeout', '2s', true))
         INSERT INTO idempotency_keys (scope, key, request_hash) SELECT $1, $2, $3 FROM patience ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(insert).bind(scope).bind(key).bind(request_hash).execute(&mut *tx).await?;
    if inserted.rows_affected() == 1 { Ok(Claim::New) } else { find_in(tx, scope, key, request_hash).await }
}

/// What is known of `key`, as [`claim_in`] has it, without claiming it.
///
/// # Errors
/// Of the database.
pub async fn find_in(tx: &mut PgConnection, scope: &str, key: &str, request_hash: &[u8]) -> sqlx::Result<Claim> {
    let found: Option<(Vec<u8>, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT request_hash, response FROM idempotency_keys WHERE scope = $1 AND key = $2")
            .bind(scope)
            .bind(key)
            .fetch_optional(tx)
            .await?;
    Ok(match found {
        None => Claim::New,
        Some((hash, response)) if hash == request_hash => Claim::Replay(response.unwrap_or_default()),
        Some(_) => Claim::Reused,
    })
}

/// Keeps the answer for later repeats.
///
/// # Errors
/// Of the database.
pub async fn answer_in(tx: &mut PgConnection, scope: &str, key: &str, response: &[u8]) -> sqlx::Result<()> {
    sqlx::query("UPDATE idempotency_keys SET response = $3 WHERE scope = $1 AND key = $2")
        .bind(scope)
        .bind(key)
        .bind(response)
        .execute(tx)
        .await
        .map(drop)
}

/// What was answered to a key somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// As in [`claim_in`].
    pub scope: String,
    /// The key.
    pub key: String,
    /// As in [`claim_in`].
    pub request_hash: Vec<u8>,
    /// The answer.
    pub response: Vec<u8>,
}

/// Takes over keys that were used elsewhere; those known here stay as they are. Waits while another transaction holds one of them, so it comes
/// where that one has all the locks that both want.
///
/// # Errors
/// Of the database.
pub async fn take_over_in(tx: &mut PgConnection, mut answered: Vec<Answered>) -> sqlx::Result<()> {
    if answered.is_empty() {
        return Ok(());
    }
    // In one order everywhere, so that no two transactions wait for each other's.
    answered.sort_unstable_by(|a, b| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));
    let column = |of: fn(&Answered) -> &String| answered.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, request_hash, response)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING",
    )
    .bind(column(|answered| &answered.scope))
    .bind(column(|answered| &answered.key))
    .bind(answered.iter().map(|answered| &answered.request_hash).collect::<Vec<_>>())
    .bind(answered.iter().map(|answered| &answered.response).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}
