//! One region's database, in one snapshot: what stands in it stands together.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow};
use futures::TryStreamExt as _;
use ids::Region;
use money::{Currency, Money};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::Scope;
use crate::verify::{
    checks::pay_2::{Books, Entry},
    facts::{Cart, Hold, Key, Millis, Order, Reservation, Shelf, Side, State, Stock, Transfer},
};

/// Digests of text keep the rows small: 64 bits, the same in both databases.
const ORDERS: &str = "
    SELECT o.order_id, o.home_region, o.state, o.course = 'returning' AS is_returning, o.total_minor, o.currency, o.version,
           hashtextextended(concat_ws('|', o.session_id, o.home_region, o.payment_token, o.address, o.total_minor, o.currency,
                                      extract(epoch FROM o.placed_at), l.lines), 0) AS terms,
           hashtextextended(o::text, 0) AS digest, coalesce(l.units, 0) AS units,
           (extract(epoch FROM o.placed_at) * 1000)::bigint AS placed_at
    FROM \"order\".orders o LEFT JOIN (
        SELECT line.order_id, string_agg(line::text, '|' ORDER BY line_no) AS lines,
               hashtextextended(string_agg(sku || ' x ' || quantity, ',' ORDER BY sku COLLATE \"C\"), 0) AS units
        FROM \"order\".order_lines line GROUP BY line.order_id) l USING (order_id)
    WHERE o.placed_at >= to_timestamp($1::float8 / 1000)";

/// Keys still under way have no answer.
const KEYS: &str = "
    SELECT hashtextextended(scope || ' ' || key, 0) AS digest, response
    FROM \"order\".idempotency_keys WHERE scope LIKE 'place/%' AND response IS NOT NULL";

const RESERVATIONS: &str = "
    SELECT r.order_id, r.state, coalesce(l.units, 0) AS units
    FROM inventory.reservations r LEFT JOIN (
        SELECT order_id, hashtextextended(string_agg(sku || ' x ' || quantity, ',' ORDER BY sku COLLATE \"C\"), 0) AS units
        FROM inventory.reservation_lines GROUP BY order_id) l USING (order_id) WHERE r.home = $1";

const STOCK: &str = "
    SELECT s.sku, s.stocked, s.on_hand, s.reserved, s.sold, s.moved,
           coalesce(l.reserved, 0)::bigint AS reserved_by_lines, coalesce(l.sold, 0)::bigint AS sold_by_lines
    FROM inventory.stock s LEFT JOIN (
        SELECT sku, sum(quantity) FILTER (WHERE state = 'reserved') AS reserved, sum(quantity) FILTER (WHERE state = 'committed') AS sold
        FROM inventory.reservation_lines line JOIN inventory.reservations USING (order_id) WHERE line.home = $1 GROUP BY sku) l USING (sku)
    WHERE s.home = $1";

const TRANSFERS: &str = "
    SELECT transfer_id, sku, quantity, (extract(epoch FROM moved_at) * 1000)::bigint FROM inventory.rights_moved WHERE home = $1";

const HELD: &str = "SELECT home, epoch FROM region.homes WHERE holder = region.self()";

const CARTS: &str = "
    SELECT cart_id, hashtextextended(encode(state, 'hex'), 0), (extract(epoch FROM changed_at) * 1000)::bigint
    FROM cart.carts WHERE state IS NOT NULL";

/// Both regions have the rows of both homes; each home's are looked at where they are written.
const LEDGER: &str = "
    SELECT order_id, cause, source_id AS source, account, amount_minor, currency FROM payment.ledger_entries
    WHERE home IN (SELECT home FROM region.homes WHERE holder = region.self())";

/// The saga's own refund, of the whole, has the key `<order>/refund`.
const GRANTED: &str = "
    SELECT order_id, sum(amount_minor)::bigint FROM payment.refunds
    WHERE refund_id IS NOT NULL AND key <> order_id || '/refund'
      AND home IN (SELECT home FROM region.homes WHERE holder = region.self()) GROUP BY order_id";

#[derive(FromRow)]
struct OrderRow {
    order_id: Uuid,
    home_region: String,
    state: String,
    is_returning: bool,
    total_minor: i64,
    currency: String,
    version: i64,
    terms: i64,
    digest: i64,
    units: i64,
    placed_at: Millis,
}

impl OrderRow {
    fn order(self) -> Result<(Uuid, Order)> {
        let Self { order_id, state, total_minor, version, terms, digest: row, units, placed_at, .. } = self;
        let state =
            State::of(&state, self.is_returning).with_context(|| format!("order {order_id} is '{state}', which is no known state"))?;
        let home: Region = self.home_region.parse()?;
        let total = Money::new(total_minor, self.currency.parse()?);
        Ok((order_id, Order { home, state, total, version, terms, row, units, placed_at }))
    }
}

#[derive(FromRow)]
struct StockRow {
    sku: String,
    stocked: i64,
    on_hand: i64,
    reserved: i64,
    sold: i64,
    reserved_by_lines: i64,
    sold_by_lines: i64,
    moved: i64,
}

#[derive(FromRow)]
struct EntryRow {
    order_id: Option<Uuid>,
    cause: String,
    source: String,
    account: String,
    amount_minor: i64,
    currency: String,
}

/// A home's stock, as the region that holds it has it.
pub(super) struct Held {
    pub(super) home: Region,
    pub(super) epoch: i64,
    pub(super) shelf: Shelf,
}

/// A database as it was at one moment.
pub(super) struct Snapshot(PgConnection);

impl Snapshot {
    pub(super) async fn begin(mut connection: PgConnection) -> Result<Self> {
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    pub(super) async fn side(&mut self, scope: Scope) -> Result<Side> {
        Ok(Side {
            orders: self.orders(scope.since).await.context("orders")?,
            keys: self.keys().await.context("idempotency keys")?,
            shelf: Shelf::default(),
            carts: self.carts().await.context("carts")?,
            books: self.ledger().await.context("the ledger")?,
            granted: self.granted().await.context("refunds")?,
        })
    }

    /// The stock of each home that the region holds.
    pub(super) async fn shelves(&mut self) -> Result<Vec<Held>> {
        let held: Vec<(String, i64)> = sqlx::query_as(HELD).fetch_all(&mut self.0).await?;
        let mut shelves = Vec::new();
        for (home, epoch) in held {
            let home: Region = home.parse()?;
            let shelf = Shelf {
                reservations: self.reservations(home).await.context("reservations")?,
                stock: self.stock(home).await.context("counters")?,
                transfers: self.transfers(home).await.context("transfers of stock")?,
            };
            shelves.push(Held { home, epoch, shelf });
        }
        Ok(shelves)
    }

    async fn orders(&mut self, since: Millis) -> Result<HashMap<Uuid, Order>> {
        let mut rows = sqlx::query_as::<_, OrderRow>(ORDERS).bind(since).fetch(&mut self.0);
        let mut orders = HashMap::new();
        while let Some(row) = rows.try_next().await? {
            let (id, order) = row.order()?;
            orders.insert(id, order);
        }
        Ok(orders)
    }

    async fn keys(&mut self) -> Result<Vec<Key>> {
        let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(KEYS).fetch(&mut self.0);
        let mut keys = Vec::new();
        while let Some((digest, answer)) = rows.try_next().await? {
            let order_id = Uuid::from_slice(&answer).map_err(|_| anyhow!("the answer to a key is no order id: {answer:?}"))?;
            keys.push(Key { digest, order_id });
        }
        Ok(keys)
    }

    async fn reservations(&mut self, home: Region) -> Result<HashMap<Uuid, Reservation>> {
        let mut rows = sqlx::query_as::<_, (Uuid, String, i64)>(RESERVATIONS).bind(home.as_str()).fetch(&mut self.0);
        let mut reservations = HashMap::new();
        while let Some((id, state, units)) = rows.try_next().await? {
            let state = Hold::of(&state).with_context(|| format!("the reservation of order {id} is '{state}', which is no known state"))?;
            reservations.insert(id, Reservation { state, units });
        }
        Ok(reservations)
    }

    async fn stock(&mut self, home: Region) -> Result<Vec<Stock>> {
        let rows: Vec<StockRow> = sqlx::query_as(STOCK).bind(home.as_str()).fetch_all(&mut self.0).await?;
        let stock = |row: StockRow| {
            let StockRow { sku, stocked, on_hand, reserved, sold, reserved_by_lines, sold_by_lines, moved } = row;
            Stock { sku: sku.into(), stocked, on_hand, reserved, sold, reserved_by_lines, sold_by_lines, moved }
        };
        Ok(rows.into_iter().map(stock).collect())
    }

    async fn transfers(&mut self, home: Region) -> Result<HashMap<Uuid, Transfer>> {
        let mut rows = sqlx::query_as::<_, (Uuid, String, i64, Millis)>(TRANSFERS).bind(home.as_str()).fetch(&mut self.0);
        let mut transfers = HashMap::new();
        while let Some((id, sku, quantity, moved_at)) = rows.try_next().await? {
            transfers.insert(id, Transfer { sku: sku.into(), quantity, moved_at });
        }
        Ok(transfers)
    }

    async fn carts(&mut self) -> Result<HashMap<Box<str>, Cart>> {
        let mut rows = sqlx::query_as::<_, (String, i64, Millis)>(CARTS).fetch(&mut self.0);
        let mut carts = HashMap::new();
        while let Some((id, state, changed_at)) = rows.try_next().await? {
            carts.insert(id.into(), Cart { state, changed_at });
        }
        Ok(carts)
    }

    async fn ledger(&mut self) -> Result<Books> {
        let mut rows = sqlx::query_as::<_, EntryRow>(LEDGER).fetch(&mut self.0);
        let mut books = Books::default();
        while let Some(EntryRow { order_id, cause, source, account, amount_minor, currency }) = rows.try_next().await? {
            let currency: Currency = currency.parse()?;
            books.enter(Entry { order_id, cause, source, account, amount: amount_minor, currency });
        }
        Ok(books)
    }

    async fn granted(&mut self) -> Result<HashMap<Uuid, i64>> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(GRANTED).fetch_all(&mut self.0).await?;
        Ok(rows.into_iter().collect())
    }
}
