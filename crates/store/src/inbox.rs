//! Events already applied.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Notes that `consumer` applies these events in this transaction, and gives those that it has not applied before. Waits while another
/// transaction holds one of them.
///
/// # Errors
/// Of the database.
pub async fn note_in(tx: &mut PgConnection, consumer: &str, events: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let mut events = events.to_vec();
    // In one order everywhere, so that two consumers of one name never wait for each other crosswise.
    events.sort_unstable();
    events.dedup();
    let moments: Vec<OffsetDateTime> = events.iter().map(moment).collect();
    let new: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO inbox (consumer, event_id, event_at) SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[])
         ON CONFLICT DO NOTHING RETURNING event_id",
    )
    .bind(consumer)
    .bind(events)
    .bind(moments)
    .fetch_all(tx)
    .await?;
    Ok(new.into_iter().collect())
}

/// Takes a note back: the event was not applied after all.
///
/// # Errors
/// Of the database.
pub async fn unnote_in(tx: &mut PgConnection, consumer: &str, event: Uuid) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM inbox WHERE consumer = $1 AND event_id = $2 AND event_at = $3")
        .bind(consumer)
        .bind(event)
        .bind(moment(&event))
        .execute(tx)
        .await
        .map(drop)
}

/// When an event was made, as its id says: always the same for one event, so that it is looked for where it was noted.
fn moment(event: &Uuid) -> OffsetDateTime {
    let moment = event.get_timestamp().map(|moment| {
        let (seconds, nanos) = moment.to_unix();
        i128::from(seconds) * 1_000_000_000 + i128::from(nanos / 1_000_000 * 1_000_000)
    });
    moment.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_that_of_the_id() {
        let event: Uuid = "0197a3c0-5c00-7abc-8def-0123456789ab".parse().unwrap();
        assert_eq!(moment(&event).unix_timestamp_nanos(), i128::from(0x0197_a3c0_5c00_u64) * 1_000_000);
        assert_eq!(moment(&Uuid::nil()), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(moment(&"5f2b6f1e-9d5c-4b1f-8a43-5b0d7b6f2c11".parse().unwrap()), OffsetDateTime::UNIX_EPOCH);
    }
}
