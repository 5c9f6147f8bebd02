//! The ways a saga can go. Each is played here, and one history of each is kept in `tests/histories`.

use std::time::Duration;

use proto::{
    order::v1::{Order, OrderState},
    payment::v1::PaymentState,
};

use super::{
    faults::{Fault, Gate},
    world::Sagas,
};
use crate::market::STOCK;

/// A way a saga can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Shipped,
    OutOfStock,
    Declined,
    StepUpApproved,
    StepUpTimeout,
    CancelledFirst,
    CancelledWaiting,
    CancelledAtPivot,
    CaptureRefused,
    SlowProvider,
    Returned,
    ReturnedSlowly,
}

impl Shape {
    pub(super) const ALL: [Self; 12] = [
        Self::Shipped,
        Self::OutOfStock,
        Self::Declined,
        Self::StepUpApproved,
        Self::StepUpTimeout,
        Self::CancelledFirst,
        Self::CancelledWaiting,
        Self::CancelledAtPivot,
        Self::CaptureRefused,
        Self::SlowProvider,
        Self::Returned,
        Self::ReturnedSlowly,
    ];

    /// Name of its history.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::OutOfStock => "out-of-stock",
            Self::Declined => "declined",
            Self::StepUpApproved => "step-up-approved",
            Self::StepUpTimeout => "step-up-timeout",
            Self::CancelledFirst => "cancelled-before-it-began",
            Self::CancelledWaiting => "cancelled-during-step-up",
            Self::CancelledAtPivot => "cancelled-at-the-pivot",
            Self::CaptureRefused => "capture-refused",
            Self::SlowProvider => "slow-provider",
            Self::Returned => "returned",
            Self::ReturnedSlowly => "returned-slow-provider",
        }
    }

    /// How long its shopper takes to answer the bank.
    pub(super) fn step_up(self) -> &'static str {
        if self == Self::StepUpApproved { "300ms" } else { "1h" }
    }

    /// Plays it to its end; the workflow whose history is of this shape.
    pub(super) async fn play(self, world: &Sagas) -> String {
        let token = match self {
            Self::Declined => "tok_decline",
            Self::StepUpApproved | Self::StepUpTimeout | Self::CancelledWaiting => "tok_3ds",
            _ => "tok_visa",
        };
        let quantity = if self == Self::OutOfStock { 11 } else { 2 };
        let order = world.ordered(token, quantity).await;
        let workflow = order.order_id.clone();
        match self {
            Self::Shipped | Self::OutOfStock | Self::Declined => world.start(&order).await,
            Self::StepUpApproved => {
                world.start(&order).await;
                waits_for_the_bank(world, &order).await;
                tokio::time::sleep(Duration::from_millis(400)).await;
                world.signal_payment(&order).await;
            }
            Self::StepUpTimeout => {
                world.start(&order).await;
                // The first look comes by the clock, the others by signals, so that nobody waits for two minutes.
                looks(world, &order, 2).await;
                for look in 3..=24 {
                    world.signal_payment(&order).await;
                    looks(world, &order, look).await;
                }
                world.signal_payment(&order).await;
            }
            Self::CancelledFirst => {
                world.cancel(&order, "c").await.expect("nothing is paid");
                world.start(&order).await;
            }
            Self::CancelledWaiting => {
                world.start(&order).await;
                waits_for_the_bank(world, &order).await;
                world.cancel(&order, "c").await.expect("nothing is paid");
                world.signal_cancel(&order).await;
            }
            Self::CancelledAtPivot => cancel_at_the_pivot(world, &order).await,
            Self::CaptureRefused => {
                let gate = held(world, &order, "capture");
                world.start(&order).await;
                gate.reached().await;
                world.void(&order).await;
                gate.open();
            }
            Self::SlowProvider => {
                for step in ["authorize", "capture"] {
                    world.faults.set(&workflow, step, Fault::Slow(1, Duration::from_millis(1300)));
                }
                world.start(&order).await;
            }
            Self::Returned | Self::ReturnedSlowly => {
                ship(world, &order).await;
                world.send_back(&order, "r").await.expect("it is shipped");
                if self == Self::ReturnedSlowly {
                    let id = format!("{workflow}/return");
                    world.faults.set(&id, "refund", Fault::Slow(1, Duration::from_millis(1300)));
                }
                let workflow = world.start_return(&order).await;
                world.ended(&workflow).await;
                self.check(world, &order).await;
                return workflow;
            }
        }
        world.ended(&workflow).await;
        self.check(world, &order).await;
        workflow
    }

    /// PAY-1, STOCK-2: what the order says is what happened to the money and the stock.
    async fn check(self, world: &Sagas, order: &Order) {
        let now = world.now(order).await;
        let (payment, in_stock) = (world.payment(order).await, world.in_stock(order).await);
        let seen = (now.state(), now.cancel_reason.as_str(), payment, in_stock);
        let sold = STOCK - 2;
        let expected = match self {
            Self::Shipped | Self::StepUpApproved | Self::SlowProvider => (OrderState::Shipped, "", Some(PaymentState::Captured), sold),
            Self::Returned | Self::ReturnedSlowly => (OrderState::Returned, "", Some(PaymentState::Refunded), sold),
            Self::OutOfStock => (OrderState::Cancelled, "INVENTORY_OUT_OF_STOCK", None, STOCK),
            Self::Declined => (OrderState::Cancelled, "PAYMENT_DECLINED", payment, STOCK),
            Self::StepUpTimeout => (OrderState::Cancelled, "PAYMENT_STEP_UP_TIMEOUT", Some(PaymentState::Voided), STOCK),
            Self::CancelledFirst => (OrderState::Cancelled, "ORDER_CANCELLED_BY_SHOPPER", None, STOCK),
            Self::CancelledWaiting | Self::CancelledAtPivot => {
                (OrderState::Cancelled, "ORDER_CANCELLED_BY_SHOPPER", Some(PaymentState::Voided), STOCK)
            }
            Self::CaptureRefused => (OrderState::Cancelled, "PAYMENT_VOIDED", Some(PaymentState::Voided), STOCK),
        };
        assert_eq!(seen, expected, "{self:?}");
        if self == Self::Declined {
            assert!(!matches!(payment, Some(PaymentState::Authorized | PaymentState::Captured)), "{payment:?}");
        }
        let undone: Vec<String> = world.faults.taken(&order.order_id).into_iter().filter(|step| UNDO.contains(&step.as_str())).collect();
        let expected: &[&str] = match self {
            Self::OutOfStock | Self::CancelledFirst => &UNDO[1..],
            _ if now.state() == OrderState::Cancelled => &UNDO,
            _ => &[],
        };
        assert_eq!(undone, expected, "{self:?}: what was done is undone in reverse");
    }
}

const UNDO: [&str; 3] = ["void", "release", "cancel"];

/// Holds a step of the order's saga.
pub(super) fn held(world: &Sagas, order: &Order, step: &'static str) -> Gate {
    let gate = Gate::new();
    world.faults.set(&order.order_id, step, Fault::Held(gate.clone()));
    gate
}

/// Runs the saga of an order that goes well.
pub(super) async fn ship(world: &Sagas, order: &Order) {
    world.start(order).await;
    world.ended(&order.order_id).await;
    assert_eq!(world.now(order).await.state(), OrderState::Shipped);
}

/// The shopper cancels when the money is held, a moment before the pivot.
pub(super) async fn cancel_at_the_pivot(world: &Sagas, order: &Order) {
    let gate = held(world, order, "pivot");
    world.start(order).await;
    gate.reached().await;
    world.cancel(order, "c").await.expect("the pivot is not passed");
    gate.open();
}

async fn waits_for_the_bank(world: &Sagas, order: &Order) {
    looks(world, order, 1).await;
}

/// Waits until the saga has asked so many times how the payment stands.
async fn looks(world: &Sagas, order: &Order, count: usize) {
    testkit::eventually("the saga looks at the payment", Duration::from_secs(20), async || {
        let taken = world.faults.taken(&order.order_id);
        let looks = taken.iter().filter(|step| *step == "authorize").count();
        if looks >= count { Ok(()) } else { Err(format!("{looks} looks")) }
    })
    .await;
}
