//! PAY-2: the ledger balances to zero per currency, and agrees with the PSP's own list.

use std::collections::{BTreeMap, HashMap};

use ids::Region;
use money::Currency;
use promises::PAY_2;
use uuid::Uuid;

use crate::verify::{
    facts::{Facts, Order},
    finding::Findings,
};

/// The account of what the provider owes us.
const PSP: &str = "psp_receivable";
/// What moves an order's money at the provider; settlements, fees and the like do not.
const OURS: [&str; 2] = ["capture", "refund"];
const THE_BANKS: &str = "chargeback";

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The order; none for a settlement.
    pub order_id: Option<Uuid>,
    /// What it was entered for, e.g. `capture`.
    pub cause: String,
    /// Tells apart several of one cause and order. Together they are a group, which balances.
    pub source: String,
    /// Which account.
    pub account: String,
    /// Minor units.
    pub amount: i64,
    /// Currency.
    pub currency: Currency,
}

/// A ledger, added up entry by entry: what does balance needs no room.
#[derive(Debug, Default)]
pub struct Books {
    entries: usize,
    sums: BTreeMap<Currency, i128>,
    open_groups: HashMap<(Option<Uuid>, String, Currency), i128>,
    orders: HashMap<Uuid, Movement>,
}

/// What was moved of an order's money.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Movement {
    /// Taken by us and not given back.
    kept: i64,
    /// Taken back by the bank.
    charged_back: i64,
}

impl Books {
    /// Adds one entry.
    pub fn enter(&mut self, entry: Entry) {
        self.entries += 1;
        *self.sums.entry(entry.currency).or_default() += i128::from(entry.amount);
        if let Some(order_id) = entry.order_id.filter(|_| entry.account == PSP) {
            let order = self.orders.entry(order_id).or_default();
            if OURS.contains(&&*entry.cause) {
                order.kept += entry.amount;
            } else if entry.cause == THE_BANKS {
                order.charged_back -= entry.amount;
            }
        }
        let group = (entry.order_id, format!("{} {}", entry.cause, entry.source), entry.currency);
        let sum = self.open_groups.entry(group.clone()).or_default();
        *sum += i128::from(entry.amount);
        if *sum == 0 {
            self.open_groups.remove(&group);
        }
    }
}

/// Adds up each region's ledger and compares it with the provider's list.
pub fn check(facts: &Facts, findings: &mut Findings) {
    for region in Region::ALL {
        let books = &facts.side(region).books;
        findings.looked_at(PAY_2, "entries", books.entries);
        for (currency, sum) in books.sums.iter().filter(|(_, sum)| **sum != 0) {
            findings.broken(PAY_2, format!("ledger of {region}"), format!("is off by {sum} {currency}"));
        }
        for ((id, cause, currency), sum) in &books.open_groups {
            let subject = id.map_or_else(|| format!("ledger of {region}"), |id| format!("order {id}"));
            findings.broken(PAY_2, subject, format!("its {} is off by {sum} {currency}", cause.trim_end()));
        }
    }
    let mut compared = 0;
    for (id, order) in facts.orders().filter(|(_, order)| order.state.is_final()) {
        compared += 1;
        compare(facts, id, order, findings);
    }
    findings.looked_at(PAY_2, "orders", compared);
}

fn compare(facts: &Facts, id: Uuid, order: &Order, findings: &mut Findings) {
    let entered = Region::ALL.iter().filter_map(|region| facts.side(*region).books.orders.get(&id));
    let (entered_kept, entered_back) = entered.fold((0, 0), |sum, of| (sum.0 + of.kept, sum.1 + of.charged_back));
    let charges = facts.charges.get(&id).map_or(&[][..], Vec::as_slice);
    let (kept, charged_back) = charges.iter().fold((0, 0), |sum, charge| (sum.0 + charge.kept(), sum.1 + charge.charged_back));
    let (subject, state) = (format!("order {id}"), order.state.as_str());
    if entered_kept != kept {
        findings.broken(PAY_2, &subject, format!("is {state}: the ledger says {entered_kept}, the provider {kept}"));
    }
    if entered_back != charged_back {
        let text = format!("is {state}: the bank took back {charged_back}, the ledger says {entered_back}");
        // The bank does not ask; we hear of it.
        if entered_back > charged_back { findings.broken(PAY_2, subject, text) } else { findings.unsettled(PAY_2, subject, text) }
    }
}
