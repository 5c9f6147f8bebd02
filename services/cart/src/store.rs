//! Carts in PostgreSQL. Every change commits with its event and, where one was given, its idempotency key.

use std::collections::HashSet;

use ids::{IdempotencyKey, OrderId, SessionId, Sku};
use prost::Message as _;
use sqlx::{PgConnection, PgPool};
use store::{
    idempotency::{self, Claim},
    inbox, outbox,
};

use crate::{
    domain::{self, Cart, Command, Event},
    error::Error,
    events,
};

/// A key with the hash of the request it names.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) key: IdempotencyKey,
    pub(crate) request_hash: Vec<u8>,
}

/// A cart after a command.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) cart: Cart,
    /// What happened; nothing when the cart was like that before.
    pub(crate) event: Option<Event>,
}

/// Reads a cart in one snapshot.
pub(crate) async fn get(pool: &PgPool, id: SessionId) -> Result<Cart, Error> {
    let rows: Vec<(i64, Option<String>, Option<i64>)> =
        sqlx::query_as("SELECT version, sku, quantity FROM carts LEFT JOIN cart_lines USING (cart_id) WHERE cart_id = $1")
            .bind(id.as_str())
            .fetch_all(pool)
            .await?;
    let mut cart = Cart::empty(id);
    for (version, sku, quantity) in rows {
        cart.version = version.cast_unsigned();
        if let (Some(sku), Some(quantity)) = (sku, quantity) {
            let (sku, quantity) = read_line(&cart.id, &sku, quantity)?;
            cart.lines.insert(sku, quantity);
        }
    }
    Ok(cart)
}

/// Applies a shopper's command. A repeat under the same key gets the first answer.
pub(crate) async fn apply(pool: &PgPool, id: SessionId, command: Command, keyed: Option<Keyed>) -> Result<Changed, Error> {
    let mut tx = pool.begin().await?;
    let scope = format!("cart/{id}");
    if let Some(Keyed { key, request_hash }) = &keyed {
        match idempotency::claim_in(&mut tx, &scope, key.as_str(), request_hash).await? {
            Claim::New => {}
            Claim::Reused => return Err(Error::KeyReused),
            Claim::Replay(answer) => return Ok(Changed { cart: read_answer(id, &answer)?, event: None }),
        }
    }
    let changed = apply_in(&mut tx, id, command).await?;
    if let Some(Keyed { key, .. }) = &keyed {
        let answer = events::cart(&changed.cart).encode_to_vec();
        idempotency::answer_in(&mut tx, &scope, key.as_str(), &answer).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// What an order took.
#[derive(Debug)]
pub(crate) struct Bought {
    /// Whose cart.
    pub(crate) id: SessionId,
    pub(crate) order_id: OrderId,
    pub(crate) lines: Vec<(Sku, u32)>,
}

/// Takes what an order bought out of the cart, once for each order, whoever asks first.
pub(crate) async fn check_out(pool: &PgPool, bought: Bought) -> Result<Changed, Error> {
    let mut tx = pool.begin().await?;
    let id = bought.id.clone();
    let changed = check_out_all_in(&mut tx, vec![bought]).await?;
    tx.commit().await?;
    match changed.into_iter().next() {
        Some(changed) => Ok(changed),
        None => Ok(Changed { cart: get(pool, id).await?, event: None }),
    }
}

/// The same of several orders within the caller's transaction; nothing for those whose order was there before, or that have no cart.
pub(crate) async fn check_out_all_in(tx: &mut PgConnection, mut bought: Vec<Bought>) -> Result<Vec<Changed>, Error> {
    let orders: Vec<_> = bought.iter().map(|bought| bought.order_id.as_uuid()).collect();
    let new = inbox::note_in(tx, "check out", &orders).await?;
    bought.retain(|bought| new.contains(&bought.order_id.as_uuid()));
    let carts: Vec<&str> = bought.iter().map(|bought| bought.id.as_str()).collect();
    let there: HashSet<String> = sqlx::query_scalar("SELECT cart_id FROM carts WHERE cart_id = ANY($1)")
        .bind(carts)
        .fetch_all(&mut *tx)
        .await?
        .into_iter()
        .collect();
    bought.retain(|bought| there.contains(bought.id.as_str()));
    // In one order everywhere, so that no two batches wait for each other's carts.
    bought.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let mut changed = Vec::with_capacity(bought.len());
    for Bought { id, order_id, lines } in bought {
        changed.push(apply_in(tx, id, Command::CheckOut { order_id, lines }).await?);
    }
    Ok(changed)
}

/// Applies `command` within the caller's transaction. A refusal leaves at most an empty cart behind.
pub(crate) async fn apply_in(tx: &mut PgConnection, id: SessionId, command: Command) -> Result<Changed, Error> {
    let mut cart = lock_in(tx, &id).await?;
    if cart.is_none() && matches!(command, Command::SetLine { .. }) {
        sqlx::query("INSERT INTO carts (cart_id, version) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        // Another call may have made it a moment ago.
        cart = lock_in(tx, &id).await?;
    }
    let cart = cart.unwrap_or_else(|| Cart::empty(id));
    let Some(event) = domain::decide(&cart, command)? else { return Ok(Changed { cart, event: None }) };
    let cart = domain::apply(cart, &event);
    write_in(tx, &cart, &event).await?;
    Ok(Changed { cart, event: Some(event) })
}

async fn lock_in(tx: &mut PgConnection, id: &SessionId) -> Result<Option<Cart>, Error> {
    let version: Option<i64> =
        sqlx::query_scalar("SELECT version FROM carts WHERE cart_id = $1 FOR UPDATE").bind(id.as_str()).fetch_optional(&mut *tx).await?;
    let Some(version) = version else { return Ok(None) };
    let lines: Vec<(String, i64)> =
        sqlx::query_as("SELECT sku, quantity FROM cart_lines WHERE cart_id = $1").bind(id.as_str()).fetch_all(tx).await?;
    let lines = lines.into_iter().map(|(sku, quantity)| read_line(id, &sku, quantity)).collect::<Result<_, _>>()?;
    Ok(Some(Cart { id: id.clone(), lines, version: version.cast_unsigned() }))
}

fn read_line(id: &SessionId, sku: &str, quantity: i64) -> Result<(Sku, u32), Error> {
    let corrupt = |what| Error::Corrupt { cart_id: id.to_string(), what };
    Ok((sku.parse().map_err(|_| corrupt("sku"))?, u32::try_from(quantity).map_err(|_| corrupt("quantity"))?))
}

fn read_answer(id: SessionId, answer: &[u8]) -> Result<Cart, Error> {
    let corrupt = || Error::Corrupt { cart_id: id.to_string(), what: "the stored answer" };
    let answer = proto::cart::v1::Cart::decode(answer).map_err(|_| corrupt())?;
    let line = |line: proto::market::v1::Line| Ok((line.sku.parse().map_err(|_| corrupt())?, line.quantity));
    let lines = answer.lines.into_iter().map(line).collect::<Result<_, Error>>()?;
    Ok(Cart { lines, version: answer.version, id })
}

async fn write_in(tx: &mut PgConnection, cart: &Cart, event: &Event) -> Result<(), Error> {
    sqlx::query("UPDATE carts SET version = $2 WHERE cart_id = $1")
        .bind(cart.id.as_str())
        .bind(cart.version.cast_signed())
        .execute(&mut *tx)
        .await?;
    let touched: Vec<&Sku> = match event {
        Event::LineSet { sku, .. } | Event::LineRemoved { sku } => vec![sku],
        Event::CheckedOut { left, .. } => left.keys().collect(),
    };
    for sku in touched {
        write_line_in(tx, cart, sku).await?;
    }
    if let Some(event) = events::of(cart, event) {
        outbox::append_in(tx, &event).await?;
    }
    Ok(())
}

/// Makes the row of one line what the cart says.
async fn write_line_in(tx: &mut PgConnection, cart: &Cart, sku: &Sku) -> Result<(), Error> {
    let query = match cart.lines.get(sku) {
        Some(quantity) => sqlx::query(
            "INSERT INTO cart_lines (cart_id, sku, quantity) VALUES ($1, $2, $3)
             ON CONFLICT ON CONSTRAINT cart_lines_pkey DO UPDATE SET quantity = excluded.quantity",
        )
        .bind(cart.id.as_str())
        .bind(sku.as_str())
        .bind(i64::from(*quantity)),
        None => sqlx::query("DELETE FROM cart_lines WHERE cart_id = $1 AND sku = $2").bind(cart.id.as_str()).bind(sku.as_str()),
    };
    query.execute(tx).await?;
    Ok(())
}
