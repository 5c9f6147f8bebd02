//! What is open in the database: asked for, and not settled.

use std::time::Duration;

use ids::OrderId;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::{
    domain::{Intent, State, Wish},
    error::Error,
};

/// Most that are listed. More are open only while the provider is away for long, and the oldest are settled first.
const MAX_LISTED: i64 = 10_000;

/// An open intent.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) order_id: OrderId,
    pub(crate) intent: Intent,
    /// Since it was asked for, or since the provider last said something of it.
    pub(crate) age: Duration,
    /// The bank has asked the shopper, and the provider will tell of the answer.
    pub(crate) waits_for_shopper: bool,
}

#[derive(FromRow)]
struct Row {
    order_id: Uuid,
    state: Option<String>,
    wanted: Option<String>,
    key: Option<String>,
    age: f64,
}

impl Row {
    fn open(self) -> Open {
        let intent = match (self.key, self.wanted.as_deref().and_then(Wish::of), self.state.as_deref().and_then(State::of)) {
            (Some(key), ..) => Intent::Refund(key),
            (None, Some(Wish::Void), _) => Intent::Void,
            (None, Some(Wish::Capture), Some(State::Authorized)) => Intent::Capture,
            (None, ..) => Intent::Authorization,
        };
        Open {
            order_id: OrderId::from_uuid(self.order_id),
            waits_for_shopper: intent == Intent::Authorization && self.state.as_deref() == Some(State::RequiresAction.as_str()),
            intent,
            age: Duration::try_from_secs_f64(self.age).unwrap_or_default(),
        }
    }
}

/// Every open intent of the homes that this region holds, oldest first. The first condition is word for word that of the index `payments_open`.
pub(crate) async fn list_open(pool: &PgPool) -> Result<Vec<Open>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT order_id, state, wanted, NULL AS key, extract(epoch FROM now() - greatest(updated_at, wanted_at))::float8 AS age FROM payments
         WHERE (state IN ('pending', 'requires_action') OR state = 'authorized' AND wanted IS NOT NULL)
           AND home IN (SELECT home FROM region.homes WHERE holder = region.self())
         UNION ALL
         SELECT order_id, NULL, NULL, key, extract(epoch FROM now() - asked_at)::float8 FROM refunds
         WHERE refund_id IS NULL AND home IN (SELECT home FROM region.homes WHERE holder = region.self())
         ORDER BY age DESC LIMIT $1",
    )
    .bind(MAX_LISTED)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::open).collect())
}
