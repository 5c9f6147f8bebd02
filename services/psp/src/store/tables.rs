//! The tables. Values are JSON, so that a field can be added without touching old rows.

use redb::{AccessGuard, Database, TableDefinition, TableHandle as _};
use serde::{Serialize, de::DeserializeOwned};

use super::upgrade;

/// JSON of one value.
type Json = &'static [u8];

/// Charges by id, but for declined ones.
pub(super) const CHARGES: TableDefinition<'_, &str, Json> = TableDefinition::new("charges");
/// Declined charges by id: apart, so that no list has to step over them.
pub(super) const DECLINED: TableDefinition<'_, &str, Json> = TableDefinition::new("declined");
/// Charge ids by idempotency key.
pub(super) const KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("keys");
/// Order and charge id of each row of [`CHARGES`].
pub(super) const ORDERS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("orders");
/// How many charges are in each state.
pub(super) const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// Charges that wait for their shopper, and when that one approves (unix ms).
pub(super) const STEP_UPS: TableDefinition<'_, &str, i64> = TableDefinition::new("step_ups");
/// Charges that hold or may hold an amount, by when that ends (unix ms).
pub(super) const EXPIRIES: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("expiries");
/// What moved balances, by time (unix ms) and number: in the order in which it was committed.
pub(super) const TRANSACTIONS: TableDefinition<'_, (i64, u64), Json> = TableDefinition::new("transactions");
/// How the provider behaves, in its one row; without one it behaves as its settings say.
pub(super) const BEHAVIOR: TableDefinition<'_, (), Json> = TableDefinition::new("behavior");
/// Webhooks by id that nobody took yet.
pub(super) const WEBHOOKS: TableDefinition<'_, &str, Json> = TableDefinition::new("webhooks");

/// Makes the tables that are not there: readers take them for granted.
pub(super) fn make(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let is_known = |name: &str| Ok::<_, redb::Error>(transaction.list_tables()?.any(|table| table.name() == name));
    let is_old = is_known(CHARGES.name())? && !is_known(TRANSACTIONS.name())?;
    transaction.open_table(CHARGES)?;
    transaction.open_table(DECLINED)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(ORDERS)?;
    transaction.open_table(COUNTS)?;
    transaction.open_table(STEP_UPS)?;
    transaction.open_table(EXPIRIES)?;
    transaction.open_table(TRANSACTIONS)?;
    transaction.open_table(BEHAVIOR)?;
    transaction.open_table(WEBHOOKS)?;
    if is_old {
        upgrade::list_movements(&transaction)?;
    }
    Ok(transaction.commit()?)
}

/// A value as it is kept.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("rows are plain structs")
}

/// A value read back.
pub(super) fn decode<T: DeserializeOwned>(row: &AccessGuard<'_, Json>) -> Result<T, redb::Error> {
    serde_json::from_slice(row.value())
        .map_err(|error| redb::Error::Corrupted(format!("a row is no {}: {error}", std::any::type_name::<T>())))
}
