//! The load generator's journal: one JSON object a line, written when an order was acknowledged.
//!
//! ```text
//! {"order_id": "0199…", "idempotency_key": "…", "region": "eu", "total": {"amount_minor": 1999, "currency": "EUR"}}
//! {"order_id": "0199…", "idempotency_key": "…", "ends": "cancelled"}
//! ```
//! The second line says that the shopper's cancel was accepted.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use money::Money;
use serde::Deserialize;
use uuid::Uuid;

use crate::verify::facts::{Acknowledged, State};

#[derive(Deserialize)]
struct Line {
    order_id: Uuid,
    idempotency_key: String,
    region: Option<String>,
    total: Option<Total>,
    ends: Option<String>,
}

#[derive(Deserialize)]
struct Total {
    amount_minor: i64,
    currency: String,
}

/// Reads a journal. Other fields are left alone.
///
/// # Errors
/// When it cannot be read, with the number of the line.
pub fn read(path: &Path) -> Result<Vec<Acknowledged>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let lines = BufReader::new(file).lines().enumerate();
    let read = |(number, line): (usize, std::io::Result<String>)| {
        line.map_err(Into::into).and_then(|line| parse(&line)).with_context(|| format!("line {} of {}", number + 1, path.display()))
    };
    lines.map(read).collect()
}

fn parse(line: &str) -> Result<Acknowledged> {
    let Line { order_id, idempotency_key, region, total, ends } = serde_json::from_str(line)?;
    let total = total.map(|Total { amount_minor, currency }| anyhow::Ok(Money::new(amount_minor, currency.parse()?)));
    let region = region.map(|region| region.parse()).transpose()?;
    let ends = ends.map(|state| State::of(&state, false).with_context(|| format!("an order never ends '{state}'"))).transpose()?;
    Ok(Acknowledged { order_id, key: idempotency_key.into(), region, total: total.transpose()?, ends })
}

#[cfg(test)]
mod tests {
    use ids::Region;
    use money::Currency;

    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_what_may_be_missing() {
        let id = Uuid::from_u128(7);
        let full = format!(
            r#"{{"order_id":"{id}","idempotency_key":"k","region":"us","total":{{"amount_minor":5,"currency":"EUR"}},"at":"now"}}"#
        );
        let total = Some(Money::new(5, Currency::EUR));
        let expected = Acknowledged { order_id: id, key: "k".into(), region: Some(Region::Us), total, ends: None };
        assert_eq!(parse(&full).unwrap(), expected);
        let short = parse(&format!(r#"{{"order_id":"{id}","idempotency_key":"k"}}"#)).unwrap();
        assert_eq!(short, Acknowledged { region: None, total: None, ..expected });
        let ends = parse(&format!(r#"{{"order_id":"{id}","idempotency_key":"k","ends":"returned"}}"#)).unwrap();
        assert_eq!(ends.ends, Some(State::Returned));
        for bad in ["", "{}", r#"{"order_id":"7","idempotency_key":"k"}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
