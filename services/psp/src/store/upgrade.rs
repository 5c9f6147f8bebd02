//! Stores of earlier versions: they kept no list of movements, and a refund had no name of its own.

use redb::{ReadableTable as _, WriteTransaction};

use super::{
    ledger::Transactions,
    record::Record,
    tables::{self, decode, encode},
};
use crate::domain::{Charge, Event, Refund, State};

/// Lists the movements of all charges as of the time when each was made, and names their refunds.
pub(super) fn list_movements(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut charges = transaction.open_table(tables::CHARGES)?;
    let mut keys = transaction.open_table(tables::KEYS)?;
    let mut transactions = Transactions::open(transaction)?;
    let moved: Vec<Record> = charges
        .iter()?
        .map(|row| decode::<Record>(&row?.1))
        .filter(|record| record.as_ref().map_or(true, |record| matches!(record.charge.state, State::Captured | State::Refunded)))
        .collect::<Result<_, _>>()?;
    for mut record in moved {
        let events = events_of(&record.charge, record.created);
        record.charge.refunded_minor = 0;
        for event in events {
            if let Some(movement) = record.charge.movement_of(&event) {
                let at = transactions.time(record.created)?;
                transactions.add(movement, &record.charge, at)?;
            }
            if let Event::Refunded(refund) = &event {
                keys.insert(refund.idempotency_key.as_str(), record.charge.id.as_str())?;
            }
            record.charge = record.charge.after(&event);
        }
        charges.insert(record.charge.id.as_str(), encode(&record).as_slice())?;
    }
    Ok(())
}

/// What must have happened to a charge that was captured or refunded, which was only ever done in whole.
fn events_of(charge: &Charge, at: i64) -> Vec<Event> {
    let mut events = vec![Event::Captured { at }];
    if charge.state == State::Refunded {
        events.push(Event::Refunded(Refund {
            id: charge.id.replacen("ch_", "re_", 1),
            idempotency_key: format!("{}/refund", charge.order_id),
            amount_minor: charge.amount_minor,
            is_rest: true,
            created: at,
        }));
    }
    events
}
