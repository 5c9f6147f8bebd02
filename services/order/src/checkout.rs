//! Who brings accepted orders to their end: sagas, or, to compare them with, a two-phase commit or events alone (docs/checkout.md).

pub(crate) mod choreography;
pub(crate) mod two_phase;

use ids::OrderId;

use self::two_phase::Coordinator;
use crate::saga::Starter;

/// Who brings accepted orders to their end.
#[derive(Clone)]
pub(crate) enum Driver {
    /// A saga for each order.
    Saga(Starter),
    /// This process, by two-phase commit.
    TwoPhase(Box<Coordinator>),
    /// Whoever hears of them.
    Choreography,
}

impl Driver {
    /// Sees to the order in the background. One that cannot be seen to now is left to the sweeper.
    pub(crate) fn start_soon(&self, id: OrderId) {
        match self {
            Self::Saga(starter) => starter.start_soon(id),
            Self::TwoPhase(coordinator) => coordinator.start_soon(id),
            Self::Choreography => {}
        }
    }

    /// Whether a shopper may cancel. Events are not taken back: who has heard of an order goes on with it.
    pub(crate) fn can_cancel(&self) -> bool {
        !matches!(self, Self::Choreography)
    }
}
