//! `backbone verify` from outside: it is content with what the suite has done, and names what is put wrong.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{market::Market, shop::Shop};

/// Asks the payment provider for something behind the market's back.
async fn ask(provider: &Shop, path: &str, body: &Value) -> Result<Value> {
    let request = provider.request(Method::POST, path).header("Idempotency-Key", uuid::Uuid::now_v7().to_string());
    provider.send(request.json(body)).await?.good()
}

pub(crate) async fn verify_names_an_amount_held_behind_our_back(market: &Market) -> Result<()> {
    let (shop, provider) = (market.shop().await?, Shop::at(market.process("global", "psp").await?.port));
    let id = shop.buy(&shop.any_sku().await?, "tok_visa").await?;
    shop.shipped(&id).await?;
    market.verify(&[]).await?;
    let body = json!({ "order_id": id, "amount_minor": 77, "currency": "EUR", "payment_token": "tok_visa" });
    let charge = ask(&provider, "/v1/charges", &body).await?;
    let said = market.backbone(&["verify"]).await?;
    let named = format!("order {id} is shipped, and 77 EUR are still held");
    ensure!(said.code == 1 && said.text.contains("PAY-1    NO, 1 broken") && said.text.contains(&named), "{said:?}");
    let said = market.backbone(&["verify", "--json"]).await?;
    let verdict: Value = serde_json::from_str(&said.text).context("verify --json")?;
    ensure!(verdict["clean"] == false && verdict["broken"] == 1 && verdict["promises"]["PAY-1"]["broken"] == 1, "{verdict}");
    let charge = charge["id"].as_str().context("a charge has an id")?;
    ask(&provider, &format!("/v1/charges/{charge}/void"), &json!({})).await?;
    market.verify(&[]).await
}

pub(crate) async fn verify_misses_an_order_that_only_the_journal_knows(market: &Market) -> Result<()> {
    let journal = market.home().join("journal.ndjson");
    let path = journal.display().to_string();
    let id = uuid::Uuid::now_v7();
    std::fs::write(&journal, json!({ "order_id": id, "idempotency_key": "k" }).to_string())?;
    let said = market.backbone(&["verify", "--journal", &path]).await?;
    let named = format!("order {id} was acknowledged and is in neither region");
    ensure!(said.code == 1 && said.text.contains(&named), "{said:?}");
    std::fs::write(&journal, "no json\n")?;
    let said = market.backbone(&["verify", "--journal", &path]).await?;
    ensure!(said.code == 69 && said.text.contains("line 1 of"), "{said:?}");
    let said = market.backbone_with(&["verify"], &market.home().join("nowhere"), 0).await?;
    ensure!(said.code == 69 && said.text.contains("nothing has ever run"), "{said:?}");
    Ok(())
}
