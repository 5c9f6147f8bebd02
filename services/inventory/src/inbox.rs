//! What the inventory service hears: how orders end.

use ::config::Checkout;
use async_trait::async_trait;
use ids::{OrderId, Region};
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;
use store::outbox;

use crate::{
    domain::{self, Command, Event},
    error::Error,
    events, metrics,
    store::reservations,
};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "inventory";

/// Ends the reservation of an order that ended.
pub(crate) struct Orders {
    pub(crate) region: Region,
    pub(crate) checkout: Checkout,
}

#[async_trait]
impl Handler for Orders {
    fn wants(&self, kind: &str) -> bool {
        command(kind).is_some()
    }

    fn most(&self) -> usize {
        1
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let Some(command) = command(&delivery.kind) else { return Ok(Applied::default()) };
        let id: OrderId = delivery.key.parse().map_err(|error: ids::InvalidId| Refusal::Poison(error.to_string()))?;
        let is_shipped = command == Command::Commit;
        let is_prepared = self.checkout == Checkout::TwoPhase;
        let events = match follow_in(tx, id, self.region, command, is_prepared, &delivery.kind).await {
            Err(Error::Fenced) if self.is_of_the_other_home(tx, id).await => {
                // This region held the order's home when the order ended, and has given it back since.
                outbox::append_in(tx, &events::order_ended(id, is_shipped), None).await?;
                Vec::new()
            }
            followed => followed.map_err(refusal)?,
        };
        Ok(Applied::then(move || metrics::count(&events)))
    }
}

impl Orders {
    /// Whether the reservation is the other region's. There is none when its tombstone was refused, which has also ended the transaction.
    async fn is_of_the_other_home(&self, tx: &mut PgConnection, id: OrderId) -> bool {
        reservations::home_in(tx, id).await.is_ok_and(|home| home == Some(self.region.peer()))
    }
}

/// Ends the reservation as the order ended. A refusal leaves nothing behind, so the inbox row can still commit: an order that ended cannot be argued
/// with.
pub(crate) async fn follow_in(
    tx: &mut PgConnection,
    id: OrderId,
    home: Region,
    command: Command,
    is_prepared: bool,
    event: &str,
) -> Result<Vec<Event>, Error> {
    match reservations::apply_in(tx, id, home, command).await {
        Ok(applied) => Ok(applied.events),
        // The sale is prepared, and its decision on the way.
        Err(Error::Refused(domain::Refusal::Missing)) if is_prepared => Ok(Vec::new()),
        Err(Error::Refused(refusal)) => {
            tracing::error!(%refusal, order.id = %id, event, "the reservation cannot follow its order");
            metrics::count_unexpected(event);
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// What an order's end means for its reservation.
fn command(kind: &str) -> Option<Command> {
    match kind {
        "order.shipped" => Some(Command::Commit),
        "order.cancelled" => Some(Command::Release),
        _ => None,
    }
}

/// What becomes of a message that is not applied for this. A home that this region may not write now will be its own again, and until then it waits.
pub(crate) fn refusal(error: Error) -> Refusal {
    match error {
        Error::Database(error) => error.into(),
        Error::Fenced => Refusal::Later(error.to_string()),
        error => {
            let source = std::error::Error::source(&error);
            Refusal::Failed(source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
        }
    }
}
