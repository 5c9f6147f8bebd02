//! The order as a pure state machine.
//!
//! ```text
//! placed ── confirm ──> confirmed ── ship ──> shipped
//!   └────── cancel ───────────────────────> cancelled
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
    /// On its way. Final.
    Shipped,
    /// Ended without a charge. Final.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Placed, Self::Confirmed, Self::Shipped, Self::Cancelled];

    /// The name in the database and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
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
}

/// Accepts a request as order `id` of region `home`.
///
/// # Errors
/// [`Refusal::Empty`] or [`Refusal::Invalid`].
pub fn place(id: OrderId, home: Region, request: Request) -> Result<Order, Refusal> {
    let Request { session, lines, payment_token, address, key: _ } = request;
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
        if line.title.len() > MAX_TITLE {
            return Err(Refusal::Invalid(format!("title of {} must be at most {MAX_TITLE} bytes", line.sku)));
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
    Ok(Order { id, session, state: State::Placed, home, lines, total, payment_token, address, cancel_reason: String::new(), version: 1 })
}

/// What the saga wants of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// It is paid.
    Confirm,
    /// It is on its way.
    Ship,
    /// It ends without a charge.
    Cancel {
        /// Why, e.g. `PAYMENT_DECLINED`.
        reason: String,
    },
}

/// Applies `command`. `None` when it was applied before: a repeat changes nothing.
///
/// # Errors
/// A [`Refusal`] when the order cannot go there.
pub fn decide(order: &Order, command: Command) -> Result<Option<Order>, Refusal> {
    let (state, cancel_reason) = match (order.state, command) {
        (State::Confirmed | State::Shipped, Command::Confirm)
        | (State::Shipped, Command::Ship)
        | (State::Cancelled, Command::Cancel { .. }) => return Ok(None),
        (State::Placed, Command::Confirm) => (State::Confirmed, String::new()),
        (State::Confirmed, Command::Ship) => (State::Shipped, String::new()),
        (State::Placed, Command::Cancel { reason }) => (State::Cancelled, reason),
        (State::Placed, Command::Ship) => return Err(Refusal::Unpaid),
        (State::Confirmed, Command::Cancel { .. }) => return Err(Refusal::Paid),
        (state @ (State::Shipped | State::Cancelled), _) => return Err(Refusal::Final(state)),
    };
    Ok(Some(Order { state, cancel_reason, version: order.version + 1, ..order.clone() }))
}

#[cfg(test)]
mod tests;
