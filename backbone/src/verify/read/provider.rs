//! The provider's own list of charges, page by page, newest first. What is charged while it is read stands before the first page.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use money::Currency;
use serde::Deserialize;
use uuid::Uuid;

use crate::{probe, verify::facts::Charge};

const PAGE: u32 = 1000;

#[derive(Deserialize)]
struct List {
    charges: Vec<Listed>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    order_id: String,
    state: String,
    amount_minor: i64,
    currency: String,
    refunded_minor: i64,
    chargeback: Option<Chargeback>,
}

#[derive(Deserialize)]
struct Chargeback {
    amount_minor: i64,
}

/// All charges by order. Those whose order id is none of ours are not ours to judge.
pub(super) async fn charges(base: &str) -> Result<HashMap<Uuid, Vec<Charge>>> {
    let http = probe::http()?;
    let mut charges: HashMap<Uuid, Vec<Charge>> = HashMap::new();
    let mut token = None;
    loop {
        let after = token.map(|token: String| format!("&page_token={token}")).unwrap_or_default();
        let answer = http.get(format!("{base}/v1/charges?page_size={PAGE}{after}")).send().await?.error_for_status()?;
        let List { charges: page, next_page_token } = answer.json().await?;
        for listed in page {
            let Ok(order_id) = listed.order_id.parse() else { continue };
            charges.entry(order_id).or_default().push(listed.charge()?);
        }
        token = next_page_token;
        if token.is_none() {
            return Ok(charges);
        }
    }
}

impl Listed {
    fn charge(self) -> Result<Charge> {
        let Self { id, state, amount_minor: amount, refunded_minor: refunded, .. } = self;
        let (held, captured) = match state.as_str() {
            "requires_action" | "authorized" => (amount, 0),
            "captured" | "refunded" | "charged_back" => (0, amount),
            "voided" | "expired" => (0, 0),
            _ => bail!("charge {id} is '{state}', which is no known state"),
        };
        let charged_back = self.chargeback.map_or(0, |chargeback| chargeback.amount_minor);
        let currency: Currency = self.currency.parse().with_context(|| format!("the currency of charge {id}"))?;
        Ok(Charge { id: id.into(), held, captured, refunded, charged_back, currency })
    }
}
