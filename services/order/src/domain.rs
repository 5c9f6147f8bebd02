//! The order as a pure state machine.
//!
//! ```text
//! placed ── confirm ──> confirmed ── ship ──> shipped ── return ──> returned
//!   └────── cancel ───────────────────────> cancelled
//! ```
//! Beside the state stands the course: which way the order goes. It is what a cancel and the capture, the pivot, race for: both are commands
//! on the order under the lock of its row, so one of them comes first and the other one is refused.
//! ```text
//! open ── pass the pivot ──> passed ── request return, once shipped ──> returning
//!   └──── request cancel ──> cancelling
//! ```

use ids::{IdempotencyKey, OrderId, Region, SessionId, Sku};
use money::Money;

/// Most lines an order may have.
pub const MAX_LINES: usize = 100;
/// Most units of one line.
pub const MAX_QUANTITY: u32 = 999;
const MAX_FIELD: usize = 200;
/// Longest title in bytes, so that the event of the largest order stays far below what Kafka takes.
const MAX_TITLE: usize = 1000;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted, not paid yet.
    Placed,
    /// Paid.
    Confirmed,
    /// On its way. Final, unless its shopper sends it back.
    Shipped,
    /// Sent back, and the money with it. Final.
    Returned,
    /// Ended without a charge. Final.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Placed, Self::Confirmed, Self::Shipped, Self::Returned, Self::Cancelled];

    /// The name in the database and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// Forward, and its shopper may still cancel.
    Open,
    /// Its shopper cancelled in time: what was done is undone.
    Cancelling,
    /// Past the pivot: forward, whatever its shopper wishes.
    Passed,
    /// Its shopper sends it back.
    Returning,
}

impl Course {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Cancelling, Self::Passed, Self::Returning];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cancelling => "cancelling",
            Self::Passed => "passed",
            Self::Returning => "returning",
        }
    }

    /// The course of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|course| course.as_str() == name)
    }
}

/// One line with the price it was sold at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: u32,
    /// Its title when it was ordered.
    pub title: String,
    /// Price of one unit.
    pub unit_price: Money,
}

/// Where an order goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// Who receives the parcel.
    pub name: String,
    /// Street and number.
    pub line1: String,
    /// City.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Postal code.
    pub postal_code: String,
}

impl Address {
    /// The first field that cannot be used, with why.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let fields = [
            ("name", &self.name),
            ("line1", &self.line1),
            ("city", &self.city),
            ("country", &self.country),
            ("postal_code", &self.postal_code),
        ];
        let bad_text = |text: &str| text.trim().is_empty() || text.chars().count() > MAX_FIELD || text.chars().any(char::is_control);
        if let Some((field, _)) = fields.into_iter().find(|(_, text)| bad_text(text)) {
            return Some(format!("address.{field} must be 1 to {MAX_FIELD} characters without control characters"));
        }
        let is_code = self.country.len() == 2 && self.country.bytes().all(|byte| byte.is_ascii_uppercase());
        (!is_code).then(|| "address.country must be two capital letters, e.g. DE".to_owned())
    }
}

/// What a shopper asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub session: SessionId,
    /// Names the intent.
    pub key: IdempotencyKey,
    /// What to buy.
    pub lines: Vec<Line>,
    /// The lines are what the shopper's cart held, not what the caller wrote.
    pub from_cart: bool,
    /// Token of the card.
    pub payment_token: String,
    /// Where it goes.
    pub address: Address,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id, and that of its payment, its reservation and its workflow.
    pub id: OrderId,
    /// Who placed it.
    pub session: SessionId,
    /// Where it stands.
    pub state: State,
    /// Which way it goes.
    pub course: Course,
    /// Who owns it.
    pub home: Region,
    /// What was bought.
    pub lines: Vec<Line>,
    /// What it costs in all.
    pub total: Money,
    /// Token of the card.
    pub payment_token: String,
    /// Where it goes.
    pub address: Address,
    /// Why it was cancelled; empty otherwise.
    pub cancel_reason: String,
    /// Grows by one with each event.
    pub version: u64,
}

/// Why an order is not accepted or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to buy.
    #[error("the order has no lines: put something into the cart first")]
    Empty,
    /// A line or the address cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// A final state does not change.
    #[error("the order is {} already", .0.as_str())]
    Final(State),
    /// Not paid yet.
    #[error("the order is not paid yet")]
    Unpaid,
    /// Past the pivot an order only goes forward.
    #[error("the order is paid already")]
    Paid,
    /// Its shopper cancelled before the pivot.
    #[error("the order was cancelled by its shopper")]
    CancelRequested,
    /// Its shopper cancels after the pivot.
    #[error("it is too late to cancel: the order is being paid for or paid; return it when it has been shipped")]
    TooLate,
    /// Nothing to send back yet.
    #[error("the order has not been shipped, so there is nothing to return; it may be cancelled until it is paid for")]
    NotShipped,
    /// Nobody asked to return it.
    #[error("the order is not being returned")]
    NotReturning,
}

/// Accepts a request as order `id` of region `home`.
///
/// # Errors
/// [`Refusal::Empty`] or [`Refusal::Invalid`].
pub fn place(id: OrderId, home: Region, request: Request) -> Result<Order, Refusal> {
    let Request { session, lines, payment_token, address, key: _, from_cart: _ } = request;
    let Some(first) = lines.first() else { return Err(Refusal::Empty) };
    if lines.len() > MAX_LINES {
        return Err(Refusal::Invalid(format!("an order has at most {MAX_LINES} lines")));
    }
    let mut total = Money::new(0, first.unit_price.currency);
    let mut seen = std::collections::HashSet::new();
    for line in &lines {
        if !(1..=MAX_QUANTITY).contains(&line.quantity) {
            return Err(Refusal::Invalid(format!("quantity of {} must be 1 to {MAX_QUANTITY}", line.sku)));
        }
        if !seen.insert(&line.sku) {
            return Err(Refusal::Invalid(format!("{} stands in two lines", line.sku)));
        }
        if line.title.len() > MAX_TITLE || line.title.chars().any(char::is_control) {
            return Err(Refusal::Invalid(format!("title of {} must be at most {MAX_TITLE} bytes without control characters", line.sku)));
        }
        if line.unit_price.amount_minor < 0 {
            return Err(Refusal::Invalid(format!("price of {} is negative", line.sku)));
        }
        let price = line.unit_price.times(line.quantity).and_then(|price| total.plus(price));
        total = price.map_err(|error| Refusal::Invalid(error.to_string()))?;
    }
    if let Some(fault) = address.fault() {
        return Err(Refusal::Invalid(fault));
    }
    if total.amount_minor == 0 {
        return Err(Refusal::Invalid("an order must cost something".to_owned()));
    }
    if !(1..=MAX_FIELD).contains(&payment_token.len()) || !payment_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Invalid(format!("payment_token must be 1 to {MAX_FIELD} visible ASCII characters")));
    }
    let (state, course, cancel_reason) = (State::Placed, Course::Open, String::new());
    Ok(Order { id, session, state, course, home, lines, total, payment_token, address, cancel_reason, version: 1 })
}

/// What its shopper or its sagas want of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Its shopper does not want it any more.
    RequestCancel,
    /// The money is taken next.
    PassPivot,
    /// It is paid.
    Confirm,
    /// It is on its way.
    Ship,
    /// It ends without a charge.
    Cancel {
        /// Why, e.g. `PAYMENT_DECLINED`.
        reason: String,
    },
    /// Its shopper sends it back.
    RequestReturn,
    /// The money is given back.
    Return,
}

/// Applies `command`. `None` when it was applied before: a repeat changes nothing. The version grows with the state, not with the course.
///
/// # Errors
/// A [`Refusal`] when the order cannot go there.
pub fn decide(order: &Order, command: Command) -> Result<Option<Order>, Refusal> {
    use {Course as C, State as S};
    let mut next = order.clone();
    match (command, order.state, order.course) {
        // What was done is done; what ended cancelled needs no cancelling, what was returned no return.
        (Command::RequestCancel, S::Placed, C::Cancelling)
        | (Command::RequestCancel | Command::Cancel { .. }, S::Cancelled, _)
        | (Command::PassPivot, S::Placed, C::Passed)
        | (Command::PassPivot | Command::Confirm, S::Confirmed, _)
        | (Command::PassPivot | Command::Confirm | Command::Ship, S::Shipped | S::Returned, _)
        | (Command::RequestReturn, S::Shipped, C::Returning)
        | (Command::RequestReturn | Command::Return, S::Returned, _) => return Ok(None),
        (Command::RequestCancel, S::Placed, C::Open) => next.course = C::Cancelling,
        (Command::PassPivot, S::Placed, C::Open) => next.course = C::Passed,
        // A saga from before there was a pivot step confirms an order whose course is still open.
        (Command::Confirm, S::Placed, _) => (next.state, next.course) = (S::Confirmed, C::Passed),
        (Command::Ship, S::Confirmed, _) => next.state = S::Shipped,
        (Command::Cancel { reason }, S::Placed, _) => (next.state, next.cancel_reason) = (S::Cancelled, reason),
        (Command::RequestReturn, S::Shipped, _) => next.course = C::Returning,
        (Command::Return, S::Shipped, C::Returning) => next.state = S::Returned,
        (Command::PassPivot, S::Placed, _) => return Err(Refusal::CancelRequested),
        (Command::RequestCancel, ..) => return Err(Refusal::TooLate),
        (Command::RequestReturn | Command::Return, S::Placed | S::Confirmed, _) => return Err(Refusal::NotShipped),
        (Command::Return, S::Shipped, _) => return Err(Refusal::NotReturning),
        (Command::Ship, S::Placed, _) => return Err(Refusal::Unpaid),
        (Command::Cancel { .. }, S::Confirmed, _) => return Err(Refusal::Paid),
        (_, state @ (S::Shipped | S::Returned | S::Cancelled), _) => return Err(Refusal::Final(state)),
    }
    if next.state != order.state {
        next.version += 1;
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests;
