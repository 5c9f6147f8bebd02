//! The only mapping from changes to the events that the service says.

use ids::OrderId;
use prost::Message as _;
use proto::{events::payment::v1 as event, payment::v1 as wire};
use store::outbox;

use crate::domain::{Payment, State};

/// The state that the order's payment has just reached; nothing for one that only waits for an answer.
pub(crate) fn of_payment(id: OrderId, payment: &Payment) -> Option<outbox::Event> {
    let kind = match payment.state {
        State::Pending => return None,
        State::RequiresAction => "payment.requires_action",
        State::Authorized => "payment.authorized",
        State::Captured => "payment.captured",
        State::Voided => "payment.voided",
        State::Refunded => "payment.refunded",
        State::Declined => "payment.declined",
    };
    let wire::Payment { order_id, amount, state, charge_id, decline_code } = self::payment(id, payment);
    let payload = event::PaymentChanged { order_id, state, amount, charge_id, decline_code, version: payment.version }.encode_to_vec();
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
    }
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
    }
}
