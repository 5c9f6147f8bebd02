//! Items of the catalog with what is free of them.

use ids::{Region, Sku};
use money::Money;
use proto::{inventory::v1 as wire, market::v1 as market};
use sqlx::{FromRow, PgConnection, PgPool};
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

/// An item and how many of it are free in both homes.
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

/// Adds or changes an item of this region's catalog; `initial_stock`, of its own home, counts only when it is new.
pub(crate) async fn put(pool: &PgPool, home: Region, item: &Item, initial_stock: i64) -> Result<Put, Error> {
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
        stock_in(&mut tx, home, item, initial_stock).await?;
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
        let Some(version) = changed.fetch_optional(&mut *tx).await? else {
            if stock_in(&mut tx, home, item, initial_stock).await? {
                tx.commit().await?;
            }
            return Ok(Put::Same);
        };
        (Put::Changed, version)
    };
    outbox::append_in(&mut tx, &events::of_item(item, version.cast_unsigned()), None).await?;
    tx.commit().await?;
    Ok(put)
}

/// Makes the home's stock of an item. False when it is there: it is missing of old items only when what this region wrote unheard was undone.
async fn stock_in(tx: &mut PgConnection, home: Region, item: &Item, initial_stock: i64) -> Result<bool, Error> {
    let made = sqlx::query(
        "INSERT INTO stock (home, sku, stocked, on_hand)
         SELECT $1, $2, $3, $3 WHERE NOT EXISTS (SELECT FROM stock WHERE home = $1 AND sku = $2) ON CONFLICT DO NOTHING",
    )
    .bind(home.as_str())
    .bind(item.sku.as_str())
    .bind(initial_stock)
    .execute(tx)
    .await?;
    Ok(made.rows_affected() == 1)
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
        "SELECT i.sku, i.title, i.description, i.category, i.price_minor, i.currency,
                (SELECT coalesce(sum(on_hand), 0)::bigint FROM stock WHERE home IN ('eu', 'us') AND sku = i.sku) AS on_hand
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place) JOIN items i ON i.sku = asked.sku ORDER BY asked.place",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Stocked::try_from).collect()
}

/// The next `limit` items behind `after`, by SKU.
pub(crate) async fn list(pool: &PgPool, after: Option<&Sku>, limit: u32) -> Result<Vec<Stocked>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT i.sku, i.title, i.description, i.category, i.price_minor, i.currency,
                (SELECT coalesce(sum(on_hand), 0)::bigint FROM stock WHERE home IN ('eu', 'us') AND sku = i.sku) AS on_hand
         FROM items i WHERE i.sku > $1 ORDER BY i.sku LIMIT $2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Stocked::try_from).collect()
}

#[derive(FromRow)]
struct StockRow {
    home: String,
    is_held: bool,
    sku: String,
    stocked: i64,
    on_hand: i64,
    reserved: i64,
    sold: i64,
    moved: i64,
}

/// How the stock of these SKUs stands, by home, in the order asked for; what no home has is left out.
pub(crate) async fn stock(pool: &PgPool, skus: &[Sku]) -> Result<Vec<wire::Stock>, Error> {
    let rows: Vec<StockRow> = sqlx::query_as(
        "SELECT s.home, region.holds(s.home) AS is_held, s.sku, s.stocked, s.on_hand, s.reserved, s.sold, s.moved
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place) JOIN stock s ON s.home IN ('eu', 'us') AND s.sku = asked.sku
         ORDER BY asked.place, s.home",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let stock = |StockRow { home, is_held, sku, stocked, on_hand, reserved, sold, moved }| {
        let home: Region = home.parse().map_err(|_| Error::Corrupt { row: format!("stock {sku}"), what: "home" })?;
        let home_region = market::Region::from(home).into();
        Ok(wire::Stock { sku, stocked, on_hand, reserved, sold, moved, home_region, is_held })
    };
    rows.into_iter().map(stock).collect()
}
