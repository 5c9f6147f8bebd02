//! Reading: what the last commit left.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable as _};

use super::{
    record::{Effect, Record, StepUp},
    tables::{self, decode},
};
use crate::domain::{Charge, State};

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
            effects.push(Effect::Webhook(decode(&row?.1)?));
        }
        Ok(effects)
    }
}
