//! The only mapping from changes to the events that the service says, and of payments to the wire.

use ids::OrderId;
use money::Money;
use prost::Message as _;
use proto::{events::payment::v1 as event, payment::v1 as wire};
use store::outbox;

use crate::domain::{Payment, Refund, State};

/// What the order's payment has just come to, and by which refund; nothing for one that only waits for an answer.
pub(crate) fn of_payment(id: OrderId, payment: &Payment, refund: Option<&Refund>) -> Option<outbox::Event> {
    let kind = match payment.state {
        State::Pending => return None,
        State::RequiresAction => "payment.requires_action",
        State::Authorized => "payment.authorized",
        State::Captured if refund.is_some() => "payment.partially_refunded",
        State::Captured => "payment.captured",
        State::Voided => "payment.voided",
        State::Refunded => "payment.refunded",
        State::Declined => "payment.declined",
        State::Expired => "payment.expired",
        State::ChargedBack => "payment.charged_back",
    };
    let refund = refund.map(|refund| self::refund(payment, refund));
    let wire::Payment { order_id, amount, state, charge_id, decline_code, refunded, refunds: _ } = self::payment(id, payment);
    let version = payment.version;
    let payload = event::PaymentChanged { order_id, state, amount, charge_id, decline_code, version, refunded, refund }.encode_to_vec();
    Some(outbox::Event { id: uuid::Uuid::now_v7(), topic: spine::topics::PAYMENT_EVENTS, key: id.to_string(), kind, payload })
}

/// A payment on the wire.
pub(crate) fn payment(id: OrderId, payment: &Payment) -> wire::Payment {
    wire::Payment {
        order_id: id.to_string(),
        amount: payment.terms.as_ref().map(|terms| terms.amount.into()),
        state: state(payment.state).into(),
        charge_id: payment.charge_id.clone().unwrap_or_default(),
        decline_code: payment.decline_code.clone().unwrap_or_default(),
        refunded: money(payment, payment.refunded_minor()),
        refunds: payment.refunds.iter().map(|refund| self::refund(payment, refund)).collect(),
    }
}

fn refund(payment: &Payment, refund: &Refund) -> wire::Refund {
    wire::Refund {
        idempotency_key: refund.key.clone(),
        amount: money(payment, refund.amount_minor),
        refund_id: refund.id.clone().unwrap_or_default(),
    }
}

/// An amount in the payment's currency.
fn money(payment: &Payment, amount_minor: i64) -> Option<proto::market::v1::Money> {
    payment.terms.as_ref().map(|terms| Money::new(amount_minor, terms.amount.currency).into())
}

fn state(state: State) -> wire::PaymentState {
    match state {
        State::Pending => wire::PaymentState::Pending,
        State::RequiresAction => wire::PaymentState::RequiresAction,
        State::Authorized => wire::PaymentState::Authorized,
        State::Captured => wire::PaymentState::Captured,
        State::Voided => wire::PaymentState::Voided,
        State::Refunded => wire::PaymentState::Refunded,
        State::Declined => wire::PaymentState::Declined,
        State::Expired => wire::PaymentState::Expired,
        State::ChargedBack => wire::PaymentState::ChargedBack,
    }
}
