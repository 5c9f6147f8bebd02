//! What this region's sagas leave in PostgreSQL: which workflows were started, and which wait for the shopper's bank.

use ids::OrderId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Error;

/// Notes that the orders' workflows were started, under which epoch of their homes. Each order stands there once.
pub(crate) async fn mark_started(pool: &PgPool, ids: &[OrderId]) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO sagas (order_id, epoch)
         SELECT o.order_id, h.epoch FROM orders o JOIN region.homes h ON h.home = o.home_region WHERE o.order_id = ANY($1)
         ON CONFLICT (order_id) DO UPDATE SET started_at = now(), epoch = excluded.epoch",
    )
    .bind(ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that the order's return workflow was started.
pub(crate) async fn mark_return_started(pool: &PgPool, id: OrderId) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO returns (order_id, epoch)
         SELECT o.order_id, h.epoch FROM orders o JOIN region.homes h ON h.home = o.home_region WHERE o.order_id = $1
         ON CONFLICT (order_id) DO UPDATE SET started_at = now(), epoch = excluded.epoch",
    )
    .bind(id.as_uuid())
    .execute(pool)
    .await?;
    Ok(())
}

/// An order whose workflow may be missing.
pub(crate) struct Unstarted {
    pub(crate) id: OrderId,
    /// It was noted as started, but that is long ago, or the home was elsewhere since then.
    pub(crate) was_started: bool,
}

impl Unstarted {
    fn of((id, was_started): (Uuid, bool)) -> Self {
        Self { id: OrderId::from_uuid(id), was_started }
    }
}

/// Open orders of the homes that this region holds, oldest first, whose workflow may be missing: for 2 s not noted as started, or noted more than a
/// minute ago or under an earlier epoch.
pub(crate) async fn list_unstarted_orders(pool: &PgPool) -> Result<Vec<Unstarted>, Error> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "SELECT o.order_id, s.order_id IS NOT NULL
         FROM orders o JOIN region.homes h ON h.home = o.home_region LEFT JOIN sagas s USING (order_id)
         WHERE o.state IN ('placed', 'confirmed') AND h.holder = region.self()
           AND (s.order_id IS NULL AND o.placed_at < now() - interval '2 seconds' OR s.started_at < now() - interval '1 minute' OR s.epoch < h.epoch)
         ORDER BY s.order_id IS NOT NULL, o.placed_at LIMIT 500",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Unstarted::of).collect())
}

/// Orders of these homes that are being returned and whose return workflow may be missing: not noted as started, or noted more than a minute ago or under an earlier epoch.
pub(crate) async fn list_unstarted_returns(pool: &PgPool) -> Result<Vec<Unstarted>, Error> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "SELECT o.order_id, r.order_id IS NOT NULL
         FROM orders o JOIN region.homes h ON h.home = o.home_region LEFT JOIN returns r USING (order_id)
         WHERE o.state = 'shipped' AND o.course = 'returning' AND h.holder = region.self()
           AND (r.order_id IS NULL OR r.started_at < now() - interval '1 minute' OR r.epoch < h.epoch)
         ORDER BY r.order_id IS NOT NULL, o.order_id LIMIT 500",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Unstarted::of).collect())
}

/// Whether nothing can be done for the order here any more: its home is the other region's by now, or it was undone.
pub(crate) async fn is_lost(pool: &PgPool, id: OrderId) -> Result<bool, Error> {
    let is_lost = sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT 1 FROM orders o JOIN region.homes h ON h.home = o.home_region WHERE o.order_id = $1 AND h.holder = region.self()
         )",
    );
    Ok(is_lost.bind(id.as_uuid()).fetch_one(pool).await?)
}

/// Notes that the order waits for the shopper's bank.
pub(crate) async fn note_step_up_in(tx: &mut PgConnection, id: OrderId) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO step_ups (order_id) VALUES ($1) ON CONFLICT DO NOTHING").bind(id.as_uuid()).execute(tx).await.map(drop)
}

/// Forgets that the order waits. True when it did.
pub(crate) async fn end_step_up_in(tx: &mut PgConnection, id: OrderId) -> sqlx::Result<bool> {
    let deleted = sqlx::query("DELETE FROM step_ups WHERE order_id = $1").bind(id.as_uuid()).execute(tx).await?;
    Ok(deleted.rows_affected() > 0)
}
