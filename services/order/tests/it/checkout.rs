//! The ways to check out that the saga is compared with: they keep the same promises.

mod choreography;
mod two_phase;

use proto::{
    order::v1::{Order, OrderState},
    payment::v1::PaymentState,
};
use testkit::eventually;

use std::time::Duration;

use crate::market::{Market, STOCK};

impl Market {
    /// Waits until the order has ended as it must: shipped and paid for, or cancelled with all given back.
    async fn ends_well(&self, order: &Order, reason: &str) {
        let end = self.ends(order).await;
        assert_eq!(end.cancel_reason, reason, "{end:?}");
        let is_shipped = end.state() == OrderState::Shipped;
        assert_eq!(is_shipped, reason.is_empty(), "{end:?}");
        let left = if is_shipped { STOCK - i64::from(order.lines[0].quantity) } else { STOCK };
        eventually("money and stock follow the order", Duration::from_secs(30), async || {
            let found = (self.payment(order).await, self.in_stock(order).await);
            let is_right = match found.0 {
                Some(PaymentState::Captured) => is_shipped,
                None | Some(PaymentState::Voided | PaymentState::Declined) => !is_shipped,
                _ => false,
            };
            if is_right && found.1 == left { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
}
