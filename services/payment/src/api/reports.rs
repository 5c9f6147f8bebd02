//! Reconciliations and balances on the wire.

use money::Money;
use proto::{market::v1::Money as WireMoney, payment::v1 as wire};
use time::{Date, OffsetDateTime, macros::format_description};

use crate::{
    error::Error,
    reconcile::{Difference, Kind},
    store::{
        ledger::Balance,
        reconciliation::{Run, Total},
    },
};

/// `YYYY-MM-DD`; nothing when empty.
pub(super) fn day(text: &str) -> Result<Option<Date>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let today = OffsetDateTime::now_utc().date();
    match day {
        Ok(day) if day <= today => Ok(Some(day)),
        _ => Err(Error::Malformed("day is not after today and is written as in 2026-11-21".to_owned())),
    }
}

pub(super) fn reconciliation(run: Run) -> wire::Reconciliation {
    wire::Reconciliation {
        run_id: run.run_id,
        day: run.findings.day.to_string(),
        ended_at_ms: i64::try_from(run.ended_at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
        movements: run.findings.movements.unsigned_abs(),
        differences: run.findings.differences.into_iter().map(difference).collect(),
        totals: run.findings.totals.into_iter().map(total).collect(),
        settled: run.findings.is_settled,
    }
}

fn difference(difference: Difference) -> wire::Difference {
    let kind = match difference.kind {
        Kind::MissingInLedger => wire::DifferenceKind::MissingInLedger,
        Kind::MissingAtPsp => wire::DifferenceKind::MissingAtPsp,
        Kind::Amount => wire::DifferenceKind::Amount,
    };
    wire::Difference {
        kind: kind.into(),
        cause: difference.cause.as_str().to_owned(),
        source_id: difference.source_id,
        order_id: difference.order_id.map(|id| id.to_string()).unwrap_or_default(),
        at_psp: difference.at_psp.map(Into::into),
        in_ledger: difference.in_ledger.map(Into::into),
        resolved: difference.is_resolved,
    }
}

fn total(total: Total) -> wire::DayTotal {
    let money = |minor| Some(Money::new(minor, total.currency).into());
    wire::DayTotal { at_psp: money(total.at_psp_minor), in_ledger: money(total.in_ledger_minor) }
}

pub(super) fn balance(balance: Balance) -> wire::Balance {
    let Balance { account, kind, balance_minor, currency } = balance;
    wire::Balance { account, kind, balance: Some(WireMoney { amount_minor: balance_minor, currency }) }
}
