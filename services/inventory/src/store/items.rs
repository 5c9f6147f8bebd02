//! Items of the catalog with what is free of them.

use ids::Sku;
use money::Money;
use proto::inventory::v1 as wire;
use sqlx::{FromRow, PgPool};
use store::outbox;

use crate::{domain::Item, error::Error, events};

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is new.
    Created,
    /// It has changed.
    Changed,
    /// It was like that before.
    Same,
}

/// An item and how many of it are free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stocked {
    pub(crate) item: Item,
    pub(crate) in_stock: i64,
}

#[derive(FromRow)]
struct Row {
    sku: String,
    title: String,
    description: String,
    category: String,
    price_minor: i64,
    currency: String,
    on_hand: i64,
}

impl TryFrom<Row> for Stocked {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what| Error::Corrupt { row: format!("item {}", row.sku), what };
        let item = Item {
            sku: row.sku.parse().map_err(|_| corrupt("sku"))?,
            price: Money::new(row.price_minor, row.currency.parse().map_err(|_| corrupt("currency"))?),
            title: row.title,
            description: row.description,
            category: row.category,
        };
        Ok(Self { item, in_stock: row.on_hand })
    }
}

/// Adds or changes an item; `initial_stock` counts only when it is new.
pub(crate) async fn put(pool: &PgPool, item: &Item, initial_stock: i64) -> Result<Put, Error> {
    let mut tx = pool.begin().await?;
    let inserted = bind(
        sqlx::query_scalar(
            "INSERT INTO items (sku, title, description, category, price_minor, currency, version)
             VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT DO NOTHING RETURNING version",
        ),
        item,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let (put, version) = if let Some(version) = inserted {
        sqlx::query("INSERT INTO stock (sku, stocked, on_hand) VALUES ($1, $2, $2)")
            .bind(item.sku.as_str())
            .bind(initial_stock)
            .execute(&mut *tx)
            .await?;
        (Put::Created, version)
    } else {
        let changed = bind(
            sqlx::query_scalar(
                "UPDATE items SET title = $2, description = $3, category = $4, price_minor = $5, currency = $6, version = version + 1
                 WHERE sku = $1 AND (title, description, category, price_minor, currency) IS DISTINCT FROM ($2, $3, $4, $5, $6)
                 RETURNING version",
            ),
            item,
        );
        let Some(version) = changed.fetch_optional(&mut *tx).await? else { return Ok(Put::Same) };
        (Put::Changed, version)
    };
    outbox::append_in(&mut tx, &events::of_item(item, version.cast_unsigned())).await?;
    tx.commit().await?;
    Ok(put)
}

type Scalar<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, i64, sqlx::postgres::PgArguments>;

fn bind<'q>(query: Scalar<'q>, item: &'q Item) -> Scalar<'q> {
    query
        .bind(item.sku.as_str())
        .bind(&item.title)
        .bind(&item.description)
        .bind(&item.category)
        .bind(item.price.amount_minor)
        .bind(item.price.currency.to_string())
}

/// Reads these items in the order asked for; those not in the catalog are left out.
pub(crate) async fn find(pool: &PgPool, skus: &[Sku]) -> Result<Vec<Stocked>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.sku, i.title, i.description, i.category, i.price_minor, i.currency, s.on_hand
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place)
         JOIN items i ON i.sku = asked.sku JOIN stock s ON s.sku = i.sku ORDER BY asked.place",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Stocked::try_from).collect()
}

/// The next `limit` items behind `after`, by SKU.
pub(crate) async fn list(pool: &PgPool, after: Option<&Sku>, limit: u32) -> Result<Vec<Stocked>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.sku, i.title, i.description, i.category, i.price_minor, i.currency, s.on_hand
         FROM items i JOIN stock s ON s.sku = i.sku WHERE i.sku > $1 ORDER BY i.sku LIMIT $2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Stocked::try_from).collect()
}

#[derive(FromRow)]
struct StockRow {
    sku: String,
    stocked: i64,
    on_hand: i64,
    reserved: i64,
    sold: i64,
    moved: i64,
}

/// How the stock of these SKUs stands, in the order asked for; those not in the catalog are left out.
pub(crate) async fn stock(pool: &PgPool, skus: &[Sku]) -> Result<Vec<wire::Stock>, Error> {
    let rows: Vec<StockRow> = sqlx::query_as(
        "SELECT s.sku, s.stocked, s.on_hand, s.reserved, s.sold, s.moved
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place) JOIN stock s ON s.sku = asked.sku ORDER BY asked.place",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let stock = |StockRow { sku, stocked, on_hand, reserved, sold, moved }| wire::Stock { sku, stocked, on_hand, reserved, sold, moved };
    Ok(rows.into_iter().map(stock).collect())
}
