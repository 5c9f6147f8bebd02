//! How a payment catches up with the provider's charge, whoever brings it.

use money::Money;

use super::{Payment, Refund, State};
use crate::ledger::{Cause, Posting};

/// A refund as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRefund {
    /// The provider's id of it.
    pub id: String,
    /// The key it was asked for with.
    pub key: String,
    /// More than 0.
    pub amount_minor: i64,
    /// Unix ms, by the provider's clock.
    pub at: i64,
}

/// A chargeback as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chargeback {
    /// The provider's id of it.
    pub id: String,
    /// More than 0.
    pub amount_minor: i64,
    /// Unix ms, by the provider's clock.
    pub at: i64,
}

/// How the provider says that a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's id of it; absent when it refused to make one.
    pub id: Option<String>,
    /// Never `Pending`.
    pub state: State,
    /// What it is about.
    pub amount: Money,
    /// Why it was declined.
    pub decline_code: Option<String>,
    /// When the amount was taken, unix ms by the provider's clock.
    pub captured_at: Option<i64>,
    /// Every refund, oldest first.
    pub refunds: Vec<ChargeRefund>,
    /// What the bank took back.
    pub chargeback: Option<Chargeback>,
}

impl Charge {
    /// A charge that was never made.
    #[must_use]
    pub fn declined(amount: Money, code: &str) -> Self {
        let decline_code = Some(code.to_owned());
        Self { id: None, state: State::Declined, amount, decline_code, captured_at: None, refunds: Vec::new(), chargeback: None }
    }
}

/// The provider's charge and the payment cannot both be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider's charge contradicts the payment")]
pub struct Contradiction;

/// One change of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The payment after it.
    pub payment: Payment,
    /// The refund that was made, if this is one.
    pub refund: Option<Refund>,
    /// The money that moved, if any did.
    pub posting: Option<Posting>,
}

/// What `payment` goes through, one change after the other, to catch up with what the provider says. Nothing for old news.
///
/// # Errors
/// [`Contradiction`].
pub fn learn(payment: &Payment, charge: &Charge) -> Result<Vec<Change>, Contradiction> {
    let is_known = payment.charge_id.is_none() || payment.charge_id == charge.id;
    if !is_known || payment.terms.as_ref().is_none_or(|terms| terms.amount != charge.amount) {
        return Err(Contradiction);
    }
    let mut lesson = Lesson { now: payment.clone(), charge, changes: Vec::new() };
    lesson.advance()?;
    lesson.take_in_refunds()?;
    lesson.take_in_chargeback()?;
    let Lesson { now, changes, .. } = lesson;
    if charge.state.is_final() && now.state != charge.state { Err(Contradiction) } else { Ok(changes) }
}

/// A payment on its way to where the charge is.
struct Lesson<'c> {
    now: Payment,
    charge: &'c Charge,
    changes: Vec<Change>,
}

impl Lesson<'_> {
    fn step(&mut self, state: State, refund: Option<Refund>, posting: Option<Posting>) {
        self.now.state = state;
        self.now.version += 1;
        // A refund that was kept and does not fit any more will never be made: the provider refuses it as well.
        let left = if state.is_final() { 0 } else { self.now.amount_minor() - self.now.refunded_minor() };
        self.now.refunds.retain(|refund| refund.id.is_some() || refund.amount_minor <= left);
        self.changes.push(Change { payment: self.now.clone(), refund, posting });
    }

    /// As far as the capture.
    fn advance(&mut self) -> Result<(), Contradiction> {
        let goal = if self.charge.state.was_captured() { State::Captured } else { self.charge.state };
        while let Some(state) = self.now.state.toward(goal) {
            let posting = match (state, &self.charge.id, self.charge.captured_at) {
                (State::Captured, Some(id), Some(at)) => Some(self.posting(Cause::Capture, id, self.charge.amount.amount_minor, at)),
                (State::Captured, ..) => return Err(Contradiction),
                _ => None,
            };
            self.now.charge_id.clone_from(&self.charge.id);
            self.now.decline_code = self.charge.decline_code.clone().filter(|_| state == State::Declined);
            self.step(state, None, posting);
        }
        Ok(())
    }

    fn take_in_refunds(&mut self) -> Result<(), Contradiction> {
        let charge = self.charge;
        for made in &charge.refunds {
            if self.now.refunds.iter().any(|known| known.id.as_ref() == Some(&made.id)) {
                continue;
            }
            let refund = Refund { key: made.key.clone(), amount_minor: made.amount_minor, id: Some(made.id.clone()) };
            match self.now.refunds.iter_mut().find(|known| known.key == made.key) {
                Some(asked) if asked.id.is_none() && asked.amount_minor == made.amount_minor => *asked = refund.clone(),
                // The key names another refund.
                Some(_) => return Err(Contradiction),
                None => self.now.refunds.push(refund.clone()),
            }
            let left = self.now.amount_minor() - self.now.refunded_minor();
            if self.now.state != State::Captured || made.amount_minor <= 0 || left < 0 {
                return Err(Contradiction);
            }
            let posting = self.posting(Cause::Refund, &made.id, made.amount_minor, made.at);
            self.step(if left == 0 { State::Refunded } else { State::Captured }, Some(refund), Some(posting));
        }
        Ok(())
    }

    fn take_in_chargeback(&mut self) -> Result<(), Contradiction> {
        if self.charge.state != State::ChargedBack || self.now.state != State::Captured {
            return Ok(());
        }
        let left = self.now.amount_minor() - self.now.refunded_minor();
        let chargeback = self.charge.chargeback.as_ref().filter(|chargeback| chargeback.amount_minor == left).ok_or(Contradiction)?;
        let posting = self.posting(Cause::Chargeback, &chargeback.id, chargeback.amount_minor, chargeback.at);
        self.step(State::ChargedBack, None, Some(posting));
        Ok(())
    }

    fn posting(&self, cause: Cause, source_id: &str, amount_minor: i64, at: i64) -> Posting {
        let amount = Money::new(amount_minor, self.charge.amount.currency);
        Posting { cause, source_id: source_id.to_owned(), amount, at }
    }
}
