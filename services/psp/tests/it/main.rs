//! The payment provider as a process, on a real disk, through its HTTP API.

mod behavior;
mod charging;
mod commands;
mod durability;
mod lists;
mod page;
mod receiver;
mod refunds;
mod refusals;
mod statement;
mod webhooks;

use std::{path::PathBuf, time::Duration};

use psp::domain::{Charge, State};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::{Running, eventually};
use uuid::Uuid;

const SECRET: &str = "it-is-secret";
/// For everything that takes a moment.
const SOON: Duration = Duration::from_secs(20);

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("psp-{}", Uuid::now_v7())))
    }

    fn as_str(&self) -> &str {
        self.0.to_str().expect("a path of ours is text")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running provider with its folder.
struct World {
    http: Client,
    service: Running,
    _folder: Folder,
}

impl World {
    async fn new() -> Self {
        Self::with_delay("50ms").await
    }

    /// Shoppers take this long to approve.
    async fn with_delay(delay: &str) -> Self {
        let folder = Folder::new();
        let env = [("DATA_DIR", folder.as_str()), ("PSP_WEBHOOK_SECRET", SECRET), ("PSP_STEP_UP_DELAY", delay)];
        Self { http: client(), service: Running::start(env!("CARGO_BIN_EXE_psp"), &env).await, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.service.address())
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    async fn post(&self, key: &str, body: &Value) -> Response {
        self.http.post(self.url("/v1/charges")).header("idempotency-key", key).json(body).send().await.expect("an answer")
    }

    /// Status and charge.
    async fn charge(&self, key: &str, body: &Value) -> (u16, Charge) {
        made(self.post(key, body).await).await
    }

    /// Status and body of a refund of `amount`, or of the rest.
    async fn refund(&self, id: &str, key: &str, amount: Option<i64>) -> (u16, Value) {
        let request = self.http.post(self.url(&format!("/v1/charges/{id}/refund"))).header("idempotency-key", key);
        let request = match amount {
            Some(amount) => request.json(&json!({ "amount_minor": amount })),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Changes how the provider behaves.
    async fn set(&self, changes: &Value) -> Value {
        let response = self.http.patch(self.url("/v1/behavior")).json(changes).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{changes}");
        response.json().await.expect("JSON")
    }

    /// All movements, page by page.
    async fn movements(&self, query: &str) -> Vec<Value> {
        let (mut movements, mut token) = (Vec::new(), String::new());
        loop {
            let page: Value = self.get(&format!("/v1/transactions?{query}{token}")).await.json().await.expect("JSON");
            movements.extend(page["transactions"].as_array().expect("a list").clone());
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => return movements,
            }
        }
    }

    /// Status and body of a command.
    async fn command(&self, id: &str, command: &str) -> (u16, Value) {
        let response = self.http.post(self.url(&format!("/v1/charges/{id}/{command}"))).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn charge_of(&self, id: &str) -> Charge {
        made(self.get(&format!("/v1/charges/{id}")).await).await.1
    }

    async fn comes_to(&self, id: &str, state: State) {
        eventually("the charge changes", SOON, async || {
            let charge = self.charge_of(id).await;
            if charge.state == state { Ok(()) } else { Err(format!("{charge:?}")) }
        })
        .await;
    }

    /// All that a list shows, page by page.
    async fn list(&self, query: &str) -> Vec<Charge> {
        let (mut charges, mut token) = (Vec::new(), String::new());
        loop {
            let response = self.get(&format!("/v1/charges?{query}{token}")).await;
            assert_eq!(response.status(), 200, "{query}{token}");
            let mut page: Value = response.json().await.expect("JSON");
            charges.extend(serde_json::from_value::<Vec<Charge>>(page["charges"].take()).expect("charges"));
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => return charges,
            }
        }
    }
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(SOON).build().expect("a client")
}

async fn made(response: Response) -> (u16, Charge) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {text}: {error}")))
}

/// A sound request.
fn order(order_id: &str, token: &str) -> Value {
    json!({ "order_id": order_id, "amount_minor": 1250, "currency": "EUR", "payment_token": token })
}
