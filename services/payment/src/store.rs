//! PostgreSQL: a payment moves together with its ledger entries and its event.

use std::time::Duration;

use ids::OrderId;
use money::{Currency, Money};
use sqlx::{FromRow, PgConnection, PgPool};
use store::outbox;

use crate::{
    domain::{self, Charge, Command, Next, Payment, State, Terms},
    error::Error,
    events, metrics,
};

#[derive(FromRow)]
struct Row {
    state: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    payment_token: Option<String>,
    charge_id: Option<String>,
    decline_code: Option<String>,
    version: i64,
    seconds_in_state: f64,
}

macro_rules! select {
    ($lock:literal) => {
        concat!(
            "SELECT state, amount_minor, currency, payment_token, charge_id, decline_code, version,
             extract(epoch FROM now() - updated_at)::float8 AS seconds_in_state FROM payments WHERE order_id = $1 ",
            $lock
        )
    };
}

impl Row {
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
            version: self.version.cast_unsigned(),
        })
    }
}

/// The order's payment, and for how long it has been in its state.
pub(crate) async fn find(pool: &PgPool, id: OrderId) -> Result<Option<(Payment, Duration)>, Error> {
    let row: Option<Row> = sqlx::query_as(select!("")).bind(id.as_uuid()).fetch_optional(pool).await?;
    row.map(|row| {
        let age = Duration::try_from_secs_f64(row.seconds_in_state).unwrap_or_default();
        Ok((row.payment(id)?, age))
    })
    .transpose()
}

async fn lock_in(tx: &mut PgConnection, id: OrderId) -> Result<Option<Payment>, Error> {
    let row: Option<Row> = sqlx::query_as(select!("FOR UPDATE")).bind(id.as_uuid()).fetch_optional(tx).await?;
    row.map(|row| row.payment(id)).transpose()
}

/// What follows from `command`, and the payment as it stands; what is to be kept is kept when this returns.
pub(crate) async fn next(pool: &PgPool, id: OrderId, command: &Command) -> Result<(Next, Payment), Error> {
    let mut tx = pool.begin().await?;
    loop {
        let payment = lock_in(&mut tx, id).await?;
        match (domain::next(payment.as_ref(), command)?, payment) {
            // When another call was faster, its payment is looked at instead.
            (Next::Keep(kept), _) => {
                if insert_in(&mut tx, id, &kept).await? {
                    say_in(&mut tx, id, &kept).await?;
                }
            }
            (next, Some(payment)) => {
                tx.commit().await?;
                return Ok((next, payment));
            }
            (_, None) => return Err(Error::Corrupt { order_id: id, what: "row" }),
        }
    }
}

/// Brings the order's payment to where the provider says that it is. True when that changed something.
pub(crate) async fn learn(pool: &PgPool, order_id: OrderId, charge: &Charge) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    let payment = lock_in(&mut tx, order_id).await?.ok_or(domain::Refusal::Missing)?;
    let changes = domain::learn(&payment, charge).map_err(|source| {
        metrics::count_contradiction();
        Error::Contradiction { order_id, charge: format!("{charge:?}, payment: {payment:?}"), source }
    })?;
    for change in &changes {
        update_in(&mut tx, order_id, change).await?;
        enter_in(&mut tx, order_id, change).await?;
        say_in(&mut tx, order_id, change).await?;
    }
    tx.commit().await?;
    metrics::count(&changes);
    Ok(!changes.is_empty())
}

async fn insert_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<bool, Error> {
    let terms = payment.terms.as_ref();
    let inserted = sqlx::query(
        "INSERT INTO payments (order_id, state, amount_minor, currency, payment_token, version) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
    )
    .bind(id.as_uuid())
    .bind(payment.state.as_str())
    .bind(terms.map(|terms| terms.amount.amount_minor))
    .bind(terms.map(|terms| terms.amount.currency.to_string()))
    .bind(terms.map(|terms| terms.token.as_str()))
    .bind(payment.version.cast_signed())
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn update_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<(), Error> {
    sqlx::query("UPDATE payments SET state = $2, charge_id = $3, decline_code = $4, version = $5, updated_at = now() WHERE order_id = $1")
        .bind(id.as_uuid())
        .bind(payment.state.as_str())
        .bind(&payment.charge_id)
        .bind(&payment.decline_code)
        .bind(payment.version.cast_signed())
        .execute(tx)
        .await?;
    Ok(())
}

/// Money moves with a capture and with a refund: what the provider owes us, and what we sold.
async fn enter_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<(), Error> {
    let (cause, sign) = match payment.state {
        State::Captured => ("capture", 1),
        State::Refunded => ("refund", -1),
        _ => return Ok(()),
    };
    let terms = payment.terms.as_ref().ok_or(Error::Corrupt { order_id: id, what: "amount" })?;
    let amount = sign * terms.amount.amount_minor;
    sqlx::query(
        "INSERT INTO ledger_entries (order_id, cause, account, amount_minor, currency)
         SELECT $1, $2, account, amount, $3 FROM unnest($4::text[], $5::bigint[]) AS entry (account, amount)",
    )
    .bind(id.as_uuid())
    .bind(cause)
    .bind(terms.amount.currency.to_string())
    .bind(["psp", "sales"].as_slice())
    .bind([amount, -amount].as_slice())
    .execute(tx)
    .await?;
    Ok(())
}

async fn say_in(tx: &mut PgConnection, id: OrderId, payment: &Payment) -> Result<(), Error> {
    if let Some(event) = events::of_payment(id, payment) {
        outbox::append_in(tx, &event).await?;
    }
    Ok(())
}
