//! The ways a workflow can go. Each is played here, and one history of each is kept in `tests/histories`.

use payment::domain::Intent;
use proto::payment::v1::PaymentState::{self, Authorized, Captured, ChargedBack, Declined, Voided};
use serde_json::json;

use super::world::{Workflows, refund};
use crate::new_order;

/// A way a workflow can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Authorized,
    Declined,
    SteppedUp,
    Captured,
    OvertakenByVoid,
    Refunded,
    NeverRefunded,
    Reversed,
    ReversedUnknown,
    TooLateToReverse,
}

impl Shape {
    pub(super) const ALL: [Self; 10] = [
        Self::Authorized,
        Self::Declined,
        Self::SteppedUp,
        Self::Captured,
        Self::OvertakenByVoid,
        Self::Refunded,
        Self::NeverRefunded,
        Self::Reversed,
        Self::ReversedUnknown,
        Self::TooLateToReverse,
    ];

    /// Name of its history.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authorized => "charge-authorized",
            Self::Declined => "charge-declined",
            Self::SteppedUp => "charge-stepped-up",
            Self::Captured => "charge-captured",
            Self::OvertakenByVoid => "charge-overtaken-by-void",
            Self::Refunded => "refund-made",
            Self::NeverRefunded => "refund-never-made",
            Self::Reversed => "reversal-of-authorized",
            Self::ReversedUnknown => "reversal-of-unknown",
            Self::TooLateToReverse => "reversal-too-late",
        }
    }

    /// Leaves something open, and lets its workflow settle it; the workflow's id.
    pub(super) async fn play(self, world: &Workflows) -> String {
        let order = new_order();
        let intent = self.leave_open(world, &order).await;
        let (workflow, _) = world.start(&order, &intent).await;
        world.ended(&workflow).await;
        let payment = world.payment(&order).await.expect("there is a payment");
        assert_eq!(payment.state(), self.end(), "{self:?}");
        workflow
    }

    async fn leave_open(self, world: &Workflows, order: &str) -> Intent {
        let token = match self {
            Self::Declined => "tok_decline",
            Self::SteppedUp => "tok_3ds",
            _ => "tok_visa",
        };
        if matches!(self, Self::Captured | Self::Refunded | Self::NeverRefunded | Self::Reversed | Self::TooLateToReverse) {
            world.authorize(order, 1250, token).await.expect("the provider is there");
        }
        if matches!(self, Self::Refunded | Self::NeverRefunded) {
            world.capture(order).await.expect("the provider is there");
        }
        // Of a capture nobody hears, but the provider makes it.
        let lost = if self == Self::TooLateToReverse { json!({ "cut_after_rate": 1.0 }) } else { json!({ "down": "unavailable" }) };
        world.set(lost).await;
        let is_lost = match self {
            Self::Captured | Self::TooLateToReverse => world.capture(order).await.is_err(),
            Self::Refunded | Self::NeverRefunded => world.refund_part(order, "r1", Some(1000)).await.is_err(),
            Self::Reversed => world.void(order).await.is_err(),
            _ => world.authorize(order, 1250, token).await.is_err(),
        };
        assert!(is_lost, "{self:?}: nobody answers");
        let intent = match self {
            Self::Refunded | Self::NeverRefunded => refund(order, "r1"),
            Self::Reversed => Intent::Void,
            Self::OvertakenByVoid | Self::ReversedUnknown | Self::TooLateToReverse => {
                assert!(world.void(order).await.is_err(), "{self:?}: nobody answers");
                if self == Self::OvertakenByVoid { Intent::Authorization } else { Intent::Void }
            }
            Self::Captured => Intent::Capture,
            _ => Intent::Authorization,
        };
        world.set(json!({ "down": "no", "cut_after_rate": 0.0 })).await;
        if self == Self::NeverRefunded {
            // The bank takes everything back: there is nothing left to be refunded.
            let charge = world.payment(order).await.expect("there is a payment").charge_id;
            world.at_provider(&charge, "chargeback").await;
            world.comes_to(order, ChargedBack).await;
        }
        intent
    }

    /// Where the payment stands after it.
    fn end(self) -> PaymentState {
        match self {
            Self::Authorized | Self::SteppedUp => Authorized,
            Self::Declined => Declined,
            Self::Captured | Self::Refunded | Self::TooLateToReverse => Captured,
            // The reversal's business, which is not played here.
            Self::OvertakenByVoid => PaymentState::Pending,
            Self::NeverRefunded => ChargedBack,
            Self::Reversed | Self::ReversedUnknown => Voided,
        }
    }
}
