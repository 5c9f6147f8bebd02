//! Reading: what the last commit left.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable as _};

use super::{
    record::{Effect, Record, StepUp, Transaction},
    tables::{self, decode},
};
use crate::{
    behavior::Behavior,
    domain::{Charge, State},
};

/// Most rows that one page of a list may step over.
const SCAN: usize = 20_000;

/// One page of charges.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) charges: Vec<Charge>,
    /// Id of the last one, when there are more.
    pub(crate) next: Option<String>,
}

impl Listing {
    /// The first `limit` of `charges`, of which there may be one more.
    fn cut(mut charges: Vec<Charge>, limit: usize) -> Self {
        let has_more = charges.len() > limit;
        charges.truncate(limit);
        let next = charges.last().filter(|_| has_more).map(|charge| charge.id.clone());
        Self { charges, next }
    }
}

/// Which movements are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Period {
    /// Of this account alone.
    pub(crate) account: Option<String>,
    /// Not older, unix ms.
    pub(crate) from: i64,
    /// Older, unix ms.
    pub(crate) to: i64,
}

/// One page of movements.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) transactions: Vec<Transaction>,
    /// The last row looked at, when there may be more.
    pub(crate) next: Option<(i64, u64)>,
}

/// Everything at a glance.
#[derive(Debug)]
pub(crate) struct Overview {
    /// How many charges are in each state.
    pub(crate) counts: Vec<(State, u64)>,
    /// Newest first, declined ones too.
    pub(crate) newest: Vec<Record>,
}

/// A view that later commits do not change.
pub(super) struct Snapshot(ReadTransaction);

impl Snapshot {
    pub(super) fn of(database: &impl ReadableDatabase) -> Result<Self, redb::Error> {
        Ok(Self(database.begin_read()?))
    }

    pub(super) fn record(&self, id: &str) -> Result<Option<Record>, redb::Error> {
        for rows in [tables::CHARGES, tables::DECLINED] {
            if let Some(row) = self.0.open_table(rows)?.get(id)? {
                return decode(&row).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn by_key(&self, key: &str) -> Result<Listing, redb::Error> {
        let id = self.0.open_table(tables::KEYS)?.get(key)?;
        let record = id.map_or(Ok(None), |id| self.record(id.value()))?;
        Ok(Listing { charges: record.into_iter().map(|record| record.charge).collect(), next: None })
    }

    pub(super) fn of_order(&self, order_id: &str, after: Option<&str>, limit: usize) -> Result<Listing, redb::Error> {
        let orders = self.0.open_table(tables::ORDERS)?;
        let charges = self.0.open_table(tables::CHARGES)?;
        // Every id sorts behind the empty one.
        let from = Bound::Excluded((order_id, after.unwrap_or_default()));
        let mut found = Vec::new();
        for row in orders.range::<(&str, &str)>((from, Bound::Unbounded))?.take(limit + 1) {
            let (key, _) = row?;
            let (order, id) = key.value();
            if order != order_id {
                break;
            }
            let row = charges.get(id)?.ok_or_else(|| redb::Error::Corrupted(format!("charge {id} is gone")))?;
            found.push(decode::<Record>(&row)?.charge);
        }
        Ok(Listing::cut(found, limit))
    }

    pub(super) fn newest(&self, after: Option<&str>, limit: usize) -> Result<Listing, redb::Error> {
        let charges = self.0.open_table(tables::CHARGES)?;
        let to = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = charges.range::<&str>((Bound::Unbounded, to))?.rev().take(limit + 1);
        let found = rows.map(|row| Ok(decode::<Record>(&row?.1)?.charge)).collect::<Result<_, redb::Error>>()?;
        Ok(Listing::cut(found, limit))
    }

    pub(super) fn transactions(&self, period: &Period, after: Option<(i64, u64)>, limit: usize) -> Result<Statement, redb::Error> {
        let rows = self.0.open_table(tables::TRANSACTIONS)?;
        let from = after.filter(|after| *after >= (period.from, 0)).map_or(Bound::Included((period.from, 0)), Bound::Excluded);
        let to = Bound::Excluded((period.to.max(period.from), 0));
        let mut statement = Statement { transactions: Vec::new(), next: None };
        if matches!(from, Bound::Excluded(from) if from >= (period.to, 0)) {
            return Ok(statement);
        }
        for (seen, row) in rows.range::<(i64, u64)>((from, to))?.enumerate() {
            if statement.transactions.len() == limit || seen == SCAN {
                return Ok(statement);
            }
            let (key, row) = row?;
            let transaction: Transaction = decode(&row)?;
            statement.next = Some(key.value());
            if period.account.is_none() || period.account == transaction.account {
                statement.transactions.push(transaction);
            }
        }
        statement.next = None;
        Ok(statement)
    }

    pub(super) fn has_expired(&self, now: i64) -> Result<bool, redb::Error> {
        let expiries = self.0.open_table(tables::EXPIRIES)?;
        let first = expiries.first()?;
        Ok(first.is_some_and(|(key, _)| key.value().0 <= now))
    }

    pub(super) fn behavior(&self) -> Result<Option<Behavior>, redb::Error> {
        self.0.open_table(tables::BEHAVIOR)?.get(())?.map(|row| decode(&row)).transpose()
    }

    pub(super) fn overview(&self, limit: usize) -> Result<Overview, redb::Error> {
        let counts = self.0.open_table(tables::COUNTS)?;
        let count = |state: State| Ok((state, counts.get(state.as_str())?.map_or(0, |row| row.value())));
        let counts = State::ALL.into_iter().map(count).collect::<Result<_, redb::Error>>()?;
        let mut newest: Vec<Record> = Vec::new();
        for rows in [tables::CHARGES, tables::DECLINED] {
            for row in self.0.open_table(rows)?.iter()?.rev().take(limit) {
                newest.push(decode(&row?.1)?);
            }
        }
        newest.sort_by(|one, other| other.charge.id.cmp(&one.charge.id));
        newest.truncate(limit);
        Ok(Overview { counts, newest })
    }

    /// Everything that is still to be done outside.
    pub(super) fn effects(&self) -> Result<Vec<Effect>, redb::Error> {
        let mut effects = Vec::new();
        for row in self.0.open_table(tables::STEP_UPS)?.iter()? {
            let (id, due) = row?;
            effects.push(Effect::StepUp(StepUp { charge_id: id.value().to_owned(), due: due.value() }));
        }
        for row in self.0.open_table(tables::WEBHOOKS)?.iter()? {
            effects.push(Effect::Webhook(Box::new(decode(&row?.1)?)));
        }
        Ok(effects)
    }
}
