//! Writing the list of what moved balances. Times never go back in it, so whoever reads to its end and comes back later misses nothing.

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::{
    record::Transaction,
    tables::{self, encode},
};
use crate::domain::{Charge, Movement};

/// The list, open for writing.
pub(super) struct Transactions<'t>(Table<'t, (i64, u64), &'static [u8]>);

impl<'t> Transactions<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self(transaction.open_table(tables::TRANSACTIONS)?))
    }

    /// The time of whatever is done now: the clock's, unless that went back.
    pub(super) fn time(&self, clock: i64) -> Result<i64, redb::Error> {
        Ok(self.0.last()?.map_or(clock, |(key, _)| clock.max(key.value().0)))
    }

    /// Adds a movement of the balance that `charge` credits. `now` is a [`Self::time`].
    pub(super) fn add(&mut self, movement: Movement, charge: &Charge, now: i64) -> Result<(), redb::Error> {
        let number = self.0.last()?.map_or(1, |(key, _)| key.value().1 + 1);
        let row = Transaction::new(number, movement, charge, now);
        self.0.insert((now, number), encode(&row).as_slice())?;
        Ok(())
    }
}
