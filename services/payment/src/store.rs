//! PostgreSQL: a payment moves together with its ledger entries and its event.

pub(crate) mod intents;
pub(crate) mod ledger;
pub(crate) mod reconciliation;

use std::time::Duration;

use ids::{OrderId, Region};
use money::{Currency, Money};
use sqlx::{FromRow, PgConnection, PgPool};
use store::{inbox, outbox};
use uuid::Uuid;

use crate::{
    domain::{self, Change, Charge, Command, Next, Payment, Refund, State, Terms, Wish},
    error::Error,
    events, metrics,
};

/// Under this name webhooks are noted in the inbox.
const WEBHOOKS: &str = "payment.webhooks";

#[derive(FromRow)]
struct Row {
    state: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    payment_token: Option<String>,
    charge_id: Option<String>,
    decline_code: Option<String>,
    wanted: Option<String>,
    version: i64,
    seconds_in_state: f64,
}

macro_rules! select {
    ($lock:literal) => {
        concat!(
            "SELECT state, amount_minor, currency, payment_token, charge_id, decline_code, wanted, version,
             extract(epoch FROM now() - updated_at)::float8 AS seconds_in_state FROM payments WHERE order_id = $1 ",
            $lock
        )
    };
}

impl Row {
    /// The payment, but for its refunds.
    fn payment(self, order_id: OrderId) -> Result<Payment, Error> {
        let corrupt = |what| Error::Corrupt { order_id, what };
        let terms = match (self.amount_minor, self.currency, self.payment_token) {
            (Some(amount), Some(currency), Some(token)) => {
                let currency: Currency = currency.parse().map_err(|_| corrupt("currency"))?;
                Some(Terms { amount: Money::new(amount, currency), token })
            }
            _ => None,
        };
        Ok(Payment {
            state: State::of(&self.state).ok_or_else(|| corrupt("state"))?,
            terms,
            charge_id: self.charge_id,
            decline_code: self.decline_code,
            refunds: Vec::new(),
            wanted: self.wanted.map(|wish| Wish::of(&wish).ok_or_else(|| corrupt("wanted"))).transpose()?,
            version: self.version.cast_unsigned(),
        })
    }
}

/// The order's payment, and for how long it has been in its state.
pub(crate) async fn find(pool: &PgPool, id: OrderId) -> Result<Option<(Payment, Duration)>, Error> {
    let mut connection = pool.acquire().await?;
    let row: Option<Row> = sqlx::query_as(select!("")).bind(id.as_uuid()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let age = Duration::try_from_secs_f64(row.seconds_in_state).unwrap_or_default();
    let payment = with_refunds(&mut connection, id, row.payment(id)?).await?;
    Ok(Some((payment, age)))
}

async fn lock_in(tx: &mut PgConnection, id: OrderId) -> Result<Option<Payment>, Error> {
    let row: Option<Row> = sqlx::query_as(select!("FOR UPDATE")).bind(id.as_uuid()).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(None) };
    with_refunds(tx, id, row.payment(id)?).await.map(Some)
}

/// A statement of its own: one that waited for the row's lock does not see what was added to other tables while it waited.
async fn with_refunds(connection: &mut PgConnection, id: OrderId, payment: Payment) -> Result<Payment, Error> {
    if !payment.state.was_captured() {
        return Ok(payment);
    }
    let rows: Vec<(String, i64, Option<String>)> =
        sqlx::query_as("SELECT key, amount_minor, refund_id FROM refunds WHERE order_id = $1 ORDER BY asked_at, key")
            .bind(id.as_uuid())
            .fetch_all(connection)
            .await?;
    let refunds = rows.into_iter().map(|(key, amount_minor, id)| Refund { key, amount_minor, id }).collect();
    Ok(Payment { refunds, ..payment })
}

/// The home of the order's payment: whose account at the provider is credited.
pub(crate) async fn home(pool: &PgPool, id: OrderId) -> Result<Region, Error> {
    let home: Option<String> =
        sqlx::query_scalar("SELECT home FROM payments WHERE order_id = $1").bind(id.as_uuid()).fetch_optional(pool).await?;
    region(id, &home.unwrap_or_default())
}

fn region(id: OrderId, home: &str) -> Result<Region, Error> {
    home.parse().map_err(|_| Error::Corrupt { order_id: id, what: "home" })
}

/// What follows from `command`, and the payment as it stands; what is to be kept is kept when this returns. A payment that there is not yet gets
/// this home, or this region's own.
pub(crate) async fn next(pool: &PgPool, id: OrderId, home: Option<Region>, command: &Command) -> Result<(Next, Payment), Error> {
    let mut tx = pool.begin().await?;
    let mut payment = lock_in(&mut tx, id).await?;
    loop {
        match (domain::next(payment.as_ref(), command)?, &mut payment) {
            (Next::Keep(kept), _) => {
                payment = if let Some(home) = insert_in(&mut tx, id, home, &kept).await? {
                    say_in(&mut tx, id, home, &kept, None).await?;
                    Some(kept)
                } else {
                    // Another call was faster, so its payment is looked at instead.
                    lock_in(&mut tx, id).await?
                };
            }
            (Next::KeepRefund(refund), Some(payment)) => {
                put_refund_in(&mut tx, id, &refund).await?;
                payment.refunds.push(refund);
            }
            (Next::Want(wish), Some(payment)) => {
                want_in(&mut tx, id, wish).await?;
                payment.wanted = Some(wish);
            }
            (next, Some(payment)) => {
                let payment = payment.clone();
                tx.commit().await?;
                return Ok((next, payment));
            }
            (_, None) => return Err(Error::Corrupt { order_id: id, what: "row" }),
        }
    }
}

/// Brings the order's payment to where the provider says that it is, and answers it as it then stands.
pub(crate) async fn learn(pool: &PgPool, order_id: OrderId, charge: &Charge) -> Result<Payment, Error> {
    let mut tx = pool.begin().await?;
    let (changes, payment) = learn_in(&mut tx, order_id, charge).await?;
    tx.commit().await?;
    metrics::count(&changes);
    Ok(payment)
}

/// How a webhook was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It changed the payment.
    News,
    /// The payment was there already, or further.
    OldNews,
    /// This very webhook was taken before.
    Repeat,
}

/// Takes in what the provider tells by the webhook `notice`, once.
pub(crate) async fn hear(pool: &PgPool, notice: Uuid, order_id: OrderId, charge: &Charge) -> Result<Heard, Error> {
    let mut tx = pool.begin().await?;
    if inbox::note_in(&mut tx, WEBHOOKS, &[notice]).await?.is_empty() {
        return Ok(Heard::Repeat);
    }
    let (changes, _) = learn_in(&mut tx, order_id, charge).await?;
    tx.commit().await?;
    metrics::count(&changes);
    Ok(if changes.is_empty() { Heard::OldNews } else { Heard::News })
}

async fn learn_in(tx: &mut PgConnection, order_id: OrderId, charge: &Charge) -> Result<(Vec<Change>, Payment), Error> {
    let payment = lock_in(tx, order_id).await?.ok_or(domain::Refusal::Missing)?;
    let changes = domain::learn(&payment, charge).map_err(|source| {
        metrics::count_contradiction();
        Error::Contradiction { order_id, charge: format!("{charge:?}, payment: {payment:?}"), source }
    })?;
    for change in &changes {
        let home = update_in(tx, order_id, &change.payment).await?;
        if let Some(refund) = &change.refund {
            put_refund_in(tx, order_id, refund).await?;
        }
        if let Some(posting) = &change.posting {
            ledger::post_in(tx, order_id, posting).await?;
        }
        say_in(tx, order_id, home, &change.payment, change.refund.as_ref()).await?;
    }
    if let Some(last) = changes.last().filter(|last| last.payment.state.was_captured()) {
        forget_refunds_in(tx, order_id, &last.payment).await?;
    }
    let payment = changes.last().map_or(payment, |last| last.payment.clone());
    Ok((changes, payment))
}

/// The home of the payment, when it is new.
async fn insert_in(tx: &mut PgConnection, id: OrderId, home: Option<Region>, payment: &Payment) -> Result<Option<Region>, Error> {
    let terms = payment.terms.as_ref();
    let inserted: Option<String> = sqlx::query_scalar(
        "INSERT INTO payments (order_id, state, amount_minor, currency, payment_token, version, home)
         VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, region.self())) ON CONFLICT DO NOTHING RETURNING home",
    )
    .bind(id.as_uuid())
    .bind(payment.state.as_str())
    .bind(terms.map(|terms| terms.amount.amount_minor))
    .bind(terms.map(|terms| terms.amount.currency.to_string()))
    .bind(terms.map(|terms| terms.token.as_str()))
    .bind(payment.version.cast_signed())
    .bind(home.map(Region::as_str))
    .fetch_optional(tx)
    .await?;
    inserted.map(|home| region(id, &home)).transpose()
}

/// Writes what has become of the payment: its home.
async fn update_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<Region, Error> {
    let home: String = sqlx::query_scalar(
        "UPDATE payments SET state = $2, charge_id = $3, decline_code = $4, version = $5, updated_at = now() WHERE order_id = $1 RETURNING home",
    )
        .bind(id.as_uuid())
        .bind(payment.state.as_str())
        .bind(&payment.charge_id)
        .bind(&payment.decline_code)
        .bind(payment.version.cast_signed())
        .fetch_one(tx)
        .await?;
    region(id, &home)
}

/// Keeps what is wanted. Nobody hears of it, so the version stays.
async fn want_in(tx: &mut PgConnection, id: OrderId, wish: Wish) -> Result<(), Error> {
    sqlx::query("UPDATE payments SET wanted = $2, wanted_at = now() WHERE order_id = $1")
        .bind(id.as_uuid())
        .bind(wish.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// Keeps what is wanted of a payment that is authorized. False when it is not.
pub(crate) async fn want_of_authorized_in(tx: &mut PgConnection, id: OrderId, wish: Wish) -> Result<bool, Error> {
    let is_authorized = lock_in(tx, id).await?.is_some_and(|payment| payment.state == State::Authorized && payment.wanted.is_none());
    if is_authorized {
        want_in(tx, id, wish).await?;
    }
    Ok(is_authorized)
}

/// Keeps a payment that is to be asked for and then captured, unless the order has one.
pub(crate) async fn open_wanted_in(tx: &mut PgConnection, id: OrderId, terms: &Terms) -> Result<(), Error> {
    if insert_in(tx, id, None, &Payment::open(terms.clone())).await?.is_some() {
        want_in(tx, id, Wish::Capture).await?;
    }
    Ok(())
}

/// Keeps a refund that is asked for, or that was made.
async fn put_refund_in(tx: &mut PgConnection, id: OrderId, refund: &Refund) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO refunds (order_id, key, amount_minor, refund_id, home) SELECT $1, $2, $3, $4, home FROM payments WHERE order_id = $1
         ON CONFLICT ON CONSTRAINT refunds_pkey DO UPDATE SET refund_id = excluded.refund_id",
    )
    .bind(id.as_uuid())
    .bind(&refund.key)
    .bind(refund.amount_minor)
    .bind(&refund.id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets refunds that were kept and are not the payment's any more: they do not fit, and will never be made.
async fn forget_refunds_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<(), Error> {
    let kept: Vec<&str> = payment.refunds.iter().map(|refund| refund.key.as_str()).collect();
    sqlx::query("DELETE FROM refunds WHERE order_id = $1 AND refund_id IS NULL AND key <> ALL ($2)")
        .bind(id.as_uuid())
        .bind(kept)
        .execute(tx)
        .await?;
    Ok(())
}

async fn say_in(tx: &mut PgConnection, id: OrderId, home: Region, payment: &Payment, refund: Option<&Refund>) -> Result<(), Error> {
    if let Some(event) = events::of_payment(id, payment, refund) {
        outbox::append_in(tx, &event, Some(home)).await?;
    }
    Ok(())
}
