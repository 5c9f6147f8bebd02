//! The counter as bytes.

use std::collections::BTreeMap;

use super::{Malformed, Reader, Wire, put_count, put_number, put_rising};
use crate::{PnCounter, ReplicaId, pn_counter::Totals};

impl Wire for PnCounter {
    const VERSION: u8 = 0x41;

    fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.totals().len());
        let mut previous = None;
        for (replica, totals) in self.totals() {
            let id = u64::from(replica.0);
            put_rising(out, previous, id);
            previous = Some(id);
            put_number(out, totals.plus);
            put_number(out, totals.minus);
        }
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut counter = BTreeMap::new();
        let mut previous = None;
        for _ in 0..input.count()? {
            let id = input.rising(previous)?;
            previous = Some(id);
            let replica = ReplicaId(u32::try_from(id).map_err(|_| Malformed::Number)?);
            let totals = Totals { plus: input.number()?, minus: input.number()? };
            if totals == Totals::default() {
                return Err(Malformed::Form);
            }
            counter.insert(replica, totals);
        }
        Ok(Self::from_totals(counter))
    }
}
