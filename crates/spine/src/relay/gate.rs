//! Lets a transaction's events out when its changes will stay: a region that is lost may have committed what the other one never heard of, and that is
//! undone when it is back. So what the other region has is told, and what will be undone is not.

use std::time::Duration;

use cdc::Lsn;
use sqlx::PgPool;
use store::region::{self, Told};

use super::in_time;
use crate::Error;

/// Between two looks at how far the other region is: half of what the link takes for there and back.
const LOOK: Duration = Duration::from_millis(20);

/// The gate. One that is not for a mirrored outbox is always open.
#[derive(Debug)]
pub(super) struct Gate {
    pool: Option<PgPool>,
    told: Told,
    /// The transaction that stands at the gate, or went through it last.
    last: u64,
}

impl Gate {
    pub(super) fn new(pool: Option<PgPool>) -> Self {
        Self { pool, told: Told::default(), last: 0 }
    }

    /// A transaction comes, whose commit begins at `lsn`.
    pub(super) fn comes(&mut self, lsn: Lsn) {
        self.last = lsn.as_u64();
    }

    pub(super) fn is_shut(&self) -> bool {
        self.pool.is_some() && self.last >= self.told.upto
    }

    /// Homes of which the transaction has changes that are undone. To be asked when the gate is open.
    pub(super) fn undone_homes(&self) -> impl Iterator<Item = &str> {
        self.told.undone.iter().filter(|(_, part)| part.contains(&self.last)).map(|(home, _)| home.as_str())
    }

    /// Waits until the transaction may go through. Safe to cancel.
    pub(super) async fn opens(&mut self) -> Result<(), Error> {
        while let Some(pool) = self.pool.as_ref().filter(|_| self.is_shut()) {
            self.told = in_time(async { Ok(region::told(pool).await?) }).await?;
            if self.is_shut() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_goes_through_before_it_is_told_and_nothing_that_is_undone() {
        let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
        let mut gate = Gate::new(Some(pool));
        gate.comes(Lsn::from_u64(5));
        assert!(gate.is_shut(), "nobody has said anything");
        gate.told = Told { upto: 20, undone: vec![("eu".to_owned(), 7..9)] };
        let mut standing = |lsn| {
            gate.comes(Lsn::from_u64(lsn));
            (gate.is_shut(), gate.undone_homes().eq(["eu"]))
        };
        assert_eq!([5, 7, 8, 9, 19].map(&mut standing), [(false, false), (false, true), (false, true), (false, false), (false, false)]);
        assert!(standing(20).0, "the other region has what is before");
    }

    #[test]
    fn what_is_not_mirrored_goes_at_once() {
        let mut gate = Gate::new(None);
        gate.comes(Lsn::from_u64(u64::MAX));
        assert!(!gate.is_shut() && gate.undone_homes().next().is_none());
    }
}
