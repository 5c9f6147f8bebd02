//! Comparing a day in the ledger with the provider's own list of it (PAY-2). Pure.

use std::collections::BTreeMap;

use ids::OrderId;
use money::{Currency, Money};

use crate::ledger::Cause;

/// What moved the balance that the provider owes us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What moved it.
    pub cause: Cause,
    /// The provider's id of the charge, the refund or the chargeback.
    pub source_id: String,
    /// The order, where there is one.
    pub order_id: Option<OrderId>,
    /// The provider's id of the charge; the ledger does not keep it.
    pub charge_id: Option<String>,
    /// More than 0 when it is to our credit.
    pub amount: Money,
}

/// How a movement differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The provider lists it, the ledger does not have it.
    MissingInLedger,
    /// The ledger has it, the provider does not list it.
    MissingAtPsp,
    /// Both have it, with another amount or currency.
    Amount,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MissingInLedger, Self::MissingAtPsp, Self::Amount];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingInLedger => "missing_in_ledger",
            Self::MissingAtPsp => "missing_at_psp",
            Self::Amount => "amount",
        }
    }
}

/// A movement that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub kind: Kind,
    /// What moved.
    pub cause: Cause,
    /// The provider's id of it.
    pub source_id: String,
    /// The order, where there is one.
    pub order_id: Option<OrderId>,
    /// The provider's id of the charge, where the provider lists it.
    pub charge_id: Option<String>,
    /// What the provider says.
    pub at_psp: Option<Money>,
    /// What the ledger says.
    pub in_ledger: Option<Money>,
    /// True when the payment caught up, so that nothing differs any more.
    pub is_resolved: bool,
}

/// A movement there and here.
type Pair<'m> = (Option<&'m Movement>, Option<&'m Movement>);

/// Every movement that the two do not agree on, by cause and source.
#[must_use]
pub fn compare(at_psp: &[Movement], in_ledger: &[Movement]) -> Vec<Difference> {
    let mut pairs: BTreeMap<(Cause, &str), Pair<'_>> = BTreeMap::new();
    for movement in at_psp {
        pairs.entry((movement.cause, &movement.source_id)).or_default().0 = Some(movement);
    }
    for movement in in_ledger {
        pairs.entry((movement.cause, &movement.source_id)).or_default().1 = Some(movement);
    }
    pairs.into_iter().filter_map(|((cause, source_id), pair)| difference(cause, source_id, pair)).collect()
}

fn difference(cause: Cause, source_id: &str, (there, here): Pair<'_>) -> Option<Difference> {
    let kind = match (there, here) {
        (Some(there), Some(here)) if there.amount == here.amount => return None,
        (Some(_), Some(_)) => Kind::Amount,
        (Some(_), None) => Kind::MissingInLedger,
        (None, _) => Kind::MissingAtPsp,
    };
    Some(Difference {
        kind,
        cause,
        source_id: source_id.to_owned(),
        order_id: there.or(here).and_then(|movement| movement.order_id),
        charge_id: there.and_then(|movement| movement.charge_id.clone()),
        at_psp: there.map(|movement| movement.amount),
        in_ledger: here.map(|movement| movement.amount),
        is_resolved: false,
    })
}

/// The sum by currency.
///
/// # Errors
/// When a sum does not fit.
pub fn totals(movements: &[Movement]) -> Result<BTreeMap<Currency, i64>, money::Error> {
    let mut totals = BTreeMap::new();
    for movement in movements {
        let sum: &mut i64 = totals.entry(movement.amount.currency).or_default();
        *sum = sum.checked_add(movement.amount.amount_minor).ok_or(money::Error::Overflow)?;
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn movement(source: u8, amount: i64) -> Movement {
        Movement {
            cause: if source.is_multiple_of(2) { Cause::Capture } else { Cause::Refund },
            source_id: format!("s{source}"),
            order_id: None,
            charge_id: None,
            amount: Money::new(amount, Currency::EUR),
        }
    }

    fn list() -> impl Strategy<Value = Vec<Movement>> {
        prop::collection::btree_map(0_u8..12, 1_i64..3, 0..12)
            .prop_map(|rows| rows.into_iter().map(|(source, amount)| movement(source, amount)).collect())
    }

    proptest! {
        #[test]
        fn nothing_differs_exactly_when_both_are_the_same(there in list(), here in list()) {
            let differences = compare(&there, &here);
            prop_assert_eq!(differences.is_empty(), there == here);
            prop_assert!(compare(&there, &there).is_empty());
            // What is made good as reported is the same after that.
            let mut mended = here;
            for difference in &differences {
                mended.retain(|movement| movement.source_id != difference.source_id);
                mended.extend(there.iter().find(|movement| movement.source_id == difference.source_id).cloned());
            }
            prop_assert!(compare(&there, &mended).is_empty());
            prop_assert_eq!(totals(&there), totals(&mended));
        }
    }

    #[test]
    fn each_way_to_differ_has_its_name() {
        let there = [movement(0, 5), movement(2, 5), movement(4, 5)];
        let here = [movement(0, 5), movement(2, 6), movement(6, 5)];
        let kinds: Vec<_> = compare(&there, &here).into_iter().map(|difference| (difference.source_id, difference.kind)).collect();
        let expected =
            [("s2", Kind::Amount), ("s4", Kind::MissingInLedger), ("s6", Kind::MissingAtPsp)].map(|(id, kind)| (id.to_owned(), kind));
        assert_eq!(kinds, expected);
    }
}
