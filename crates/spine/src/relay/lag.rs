//! How much WAL the server keeps for the slot, so that a relay that falls behind is seen long before the slot is lost.

use cdc::Slot;
use sqlx::PgPool;

use crate::Error;

/// WAL behind the slot from which on it is told in the log, in bytes.
const MUCH: i64 = 256 * 1024 * 1024;

/// Looks at the slot.
#[derive(Debug, Default)]
pub(super) struct Lag {
    is_told: bool,
}

impl Lag {
    #[expect(clippy::cast_precision_loss, reason = "a gauge has no more precision to lose than this")]
    pub(super) async fn look(&mut self, pool: &PgPool, slot: &Slot) -> Result<(), Error> {
        let Some(standing) = slot.standing(pool).await? else { return Ok(()) };
        metrics::gauge!("market_outbox_slot_lag_bytes").set(standing.lag_bytes as f64);
        if let Some(safe) = standing.safe_bytes {
            metrics::gauge!("market_outbox_slot_safe_bytes").set(safe as f64);
        }
        let is_much = standing.lag_bytes > MUCH;
        if is_much && !self.is_told {
            tracing::warn!(bytes = standing.lag_bytes, left = standing.safe_bytes, "the database keeps much for the outbox");
        }
        self.is_told = is_much;
        Ok(())
    }
}
