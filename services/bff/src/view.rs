//! What the JSON API and the pages show: the contract's types, made readable.

use ids::{OrderId, Region};
use proto::{inventory::v1 as inventory, market::v1 as market, order::v1 as order};
use rpc::{Failure, Kind};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::Error;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
}

impl From<market::Money> for Money {
    fn from(money: market::Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency }
    }
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        market::Money::from(money).into()
    }
}

/// As shoppers read it: `€12.50`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minor = self.amount_minor.unsigned_abs();
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let (major, minor) = (thousands(minor / 100), minor % 100);
        match self.currency.as_str() {
            "EUR" => write!(f, "{sign}€{major}.{minor:02}"),
            "USD" => write!(f, "{sign}${major}.{minor:02}"),
            "GBP" => write!(f, "{sign}£{major}.{minor:02}"),
            other => write!(f, "{sign}{major}.{minor:02} {other}"),
        }
    }
}

/// `1234567` is `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An item of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    /// Units that can be sold now, of both regions.
    pub(crate) in_stock: i64,
    pub(crate) image: String,
}

/// The address of an item's picture.
pub(crate) fn image(sku: &str) -> String {
    format!("/images/{sku}.svg")
}

impl From<inventory::Item> for Item {
    fn from(item: inventory::Item) -> Self {
        let price = item.price.unwrap_or_default().into();
        let (image, in_stock) = (image(&item.sku), item.in_stock.max(0));
        Self { image, in_stock, price, sku: item.sku, title: item.title, description: item.description, category: item.category }
    }
}

/// A page of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Items {
    pub(crate) items: Vec<Item>,
    /// Absent on the last page.
    pub(crate) next_page_token: Option<String>,
}

/// A cart with what its lines cost now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cart {
    pub(crate) lines: Vec<CartLine>,
    /// Of the lines that can be bought.
    pub(crate) total: Money,
    /// Grows with each change.
    pub(crate) version: u64,
}

/// A line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CartLine {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    /// Absent when the item is not sold any more.
    pub(crate) unit_price: Option<Money>,
    pub(crate) in_stock: i64,
    pub(crate) image: String,
}

impl CartLine {
    /// A line and its item, if there still is one.
    pub(crate) fn of(line: market::Line, item: Option<Item>) -> Self {
        let market::Line { sku, quantity } = line;
        match item {
            Some(Item { title, price, in_stock, image, .. }) => Self { sku, title, quantity, unit_price: Some(price), in_stock, image },
            None => Self { title: sku.clone(), quantity, unit_price: None, in_stock: 0, image: image(&sku), sku },
        }
    }
}

/// What lines cost in all; nothing costs 0 EUR.
///
/// # Errors
/// When the amounts cannot be added, which the catalog rules out.
pub(crate) fn total<'a>(lines: impl IntoIterator<Item = (&'a Money, u32)>) -> Result<Money, Error> {
    let mut sum: Option<money::Money> = None;
    for (price, quantity) in lines {
        let price = currency_of(price).and_then(|currency| money::Money::new(price.amount_minor, currency).times(quantity));
        let added = price.and_then(|price| sum.map_or(Ok(price), |sum| sum.plus(price)));
        sum = Some(added.map_err(|error| Failure::new(Kind::Internal, "INTERNAL", format!("the cart has no total: {error}")))?);
    }
    Ok(sum.unwrap_or_else(|| money::Money::new(0, money::Currency::EUR)).into())
}

fn currency_of(money: &Money) -> Result<money::Currency, money::Error> {
    money.currency.parse()
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Placed,
    Confirmed,
    Shipped,
    Returned,
    Cancelled,
}

impl State {
    /// Whether nothing comes after it, unless its shopper asks.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Shipped | Self::Returned | Self::Cancelled)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the shopper asked for, while it is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Requested {
    Cancel,
    Return,
}

/// An order as anybody who knows its id may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) state: State,
    pub(crate) requested: Option<Requested>,
    pub(crate) home_region: String,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total: Money,
    /// Absent unless cancelled.
    pub(crate) cancel_reason: Option<String>,
    /// RFC 3339.
    pub(crate) placed_at: String,
    pub(crate) version: u64,
    /// For the page of the one who placed it, never for others.
    #[serde(skip)]
    pub(crate) owner: Owner,
}

/// Who placed an order, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) session: String,
    pub(crate) address: market::Address,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OrderLine {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
}

impl Order {
    /// Whether nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state.is_final() && self.requested.is_none()
    }
}

impl TryFrom<order::Order> for Order {
    type Error = Error;

    fn try_from(order: order::Order) -> Result<Self, Error> {
        let foreign = |what: &str| Failure::new(Kind::Internal, "INTERNAL", format!("an order of the order service has no {what}"));
        let state = match order.state() {
            order::OrderState::Placed => State::Placed,
            order::OrderState::Confirmed => State::Confirmed,
            order::OrderState::Shipped => State::Shipped,
            order::OrderState::Returned => State::Returned,
            order::OrderState::Cancelled => State::Cancelled,
            order::OrderState::Unspecified => return Err(foreign("state").into()),
        };
        let requested = match state {
            State::Placed if order.cancel_requested => Some(Requested::Cancel),
            State::Shipped if order.return_requested => Some(Requested::Return),
            _ => None,
        };
        let home = Region::try_from(order.home_region()).map_err(|_| foreign("home region"))?;
        let id: OrderId = order.order_id.parse().map_err(|_| foreign("id"))?;
        let line = |line: market::PricedLine| OrderLine {
            sku: line.sku,
            title: line.title,
            quantity: line.quantity,
            unit_price: line.unit_price.unwrap_or_default().into(),
        };
        Ok(Self {
            order_id: id.to_string(),
            state,
            requested,
            home_region: home.to_string(),
            lines: order.lines.into_iter().map(line).collect(),
            total: order.total.unwrap_or_default().into(),
            cancel_reason: Some(order.cancel_reason).filter(|reason| !reason.is_empty()),
            placed_at: order.placed_at.map(|at| rfc3339(at.seconds, at.nanos)).unwrap_or_default(),
            version: order.version,
            owner: Owner { session: order.session_id, address: order.address.unwrap_or_default() },
        })
    }
}

fn rfc3339(seconds: i64, nanos: i32) -> String {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn eur(amount_minor: i64) -> Money {
        Money { amount_minor, currency: "EUR".to_owned() }
    }

    #[test]
    fn money_is_shown_with_its_sign() {
        assert_eq!(eur(1250).to_string(), "€12.50");
        assert_eq!(eur(123_456_789).to_string(), "€1,234,567.89");
        assert_eq!(eur(-5).to_string(), "-€0.05");
        assert_eq!(Money { amount_minor: 100, currency: "CHF".to_owned() }.to_string(), "1.00 CHF");
    }

    #[test]
    fn a_total_is_exact_or_refused() {
        assert_eq!(total([]).unwrap(), eur(0));
        assert_eq!(total([(&eur(250), 2), (&eur(1), 3)]).unwrap(), eur(503));
        let dollars = Money { amount_minor: 1, currency: "USD".to_owned() };
        assert!(total([(&eur(1), 1), (&dollars, 1)]).is_err());
        assert!(total([(&eur(i64::MAX), 2)]).is_err());
    }

    #[test]
    fn a_line_without_item_has_no_price() {
        let line = CartLine::of(market::Line { sku: "GONE-1".to_owned(), quantity: 2 }, None);
        assert_eq!((line.title.as_str(), line.unit_price, line.in_stock), ("GONE-1", None, 0));
    }

    #[test]
    fn an_order_is_shown_without_its_owner() {
        let wire = order::Order {
            order_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            state: order::OrderState::Cancelled.into(),
            home_region: market::Region::Us.into(),
            cancel_reason: "PAYMENT_DECLINED".to_owned(),
            session_id: "secret-session".to_owned(),
            version: 2,
            ..order::Order::default()
        };
        let json = serde_json::to_value(Order::try_from(wire).unwrap()).unwrap();
        assert_eq!((json["state"].as_str(), json["home_region"].as_str()), (Some("cancelled"), Some("us")));
        assert!(!json.to_string().contains("secret-session"));
        assert!(Order::try_from(order::Order::default()).is_err());
    }

    #[test]
    fn a_request_is_shown_while_it_is_being_done() {
        let shown = |state: order::OrderState, cancel_requested, return_requested| {
            let order_id = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
            let home_region = market::Region::Eu.into();
            let wire =
                order::Order { order_id, state: state.into(), home_region, cancel_requested, return_requested, ..Default::default() };
            let order = Order::try_from(wire).unwrap();
            (order.requested, order.is_over())
        };
        assert_eq!(shown(order::OrderState::Placed, true, false), (Some(Requested::Cancel), false));
        assert_eq!(shown(order::OrderState::Cancelled, true, false), (None, true));
        assert_eq!(shown(order::OrderState::Shipped, false, false), (None, true));
        assert_eq!(shown(order::OrderState::Shipped, false, true), (Some(Requested::Return), false));
        assert_eq!(shown(order::OrderState::Returned, false, true), (None, true));
    }

    proptest! {
        #[test]
        fn no_amount_and_no_time_panics(amount: i64, seconds: i64, nanos: i32) {
            let _ = (eur(amount).to_string(), rfc3339(seconds, nanos));
        }
    }
}
