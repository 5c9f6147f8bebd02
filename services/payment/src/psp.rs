//! The payment provider's HTTP API, as this service uses it. Nothing else knows how the provider words things.

use std::time::Duration;

use ids::{OrderId, Region};
use money::Money;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use crate::{
    domain::{Charge, ChargeRefund, Chargeback, Question, State, Terms},
    error::Error,
    ledger::Cause,
    metrics::{self, Answer},
    reconcile::Movement,
};

/// Longest wait for an answer; shorter than the saga's patience with this service.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Answers are short, the longest a page of movements; whatever is longer is none of the provider's.
const MAX_ANSWER: usize = 1024 * 1024;
/// Movements asked for at a time.
const PAGE: usize = 1000;

/// The provider.
#[derive(Debug, Clone)]
pub(crate) struct Psp {
    http: Client,
    address: Url,
    webhook_url: Url,
}

/// A charge in the provider's words.
#[derive(Debug, Deserialize)]
pub(crate) struct WireCharge {
    id: String,
    order_id: String,
    state: String,
    amount_minor: i64,
    currency: String,
    decline_code: Option<String>,
    captured_at: Option<i64>,
    #[serde(default)]
    refunds: Vec<WireRefund>,
    chargeback: Option<WireChargeback>,
}

#[derive(Debug, Deserialize)]
struct WireRefund {
    id: String,
    idempotency_key: String,
    amount_minor: i64,
    created: i64,
}

#[derive(Debug, Deserialize)]
struct WireChargeback {
    id: String,
    amount_minor: i64,
    created: i64,
}

#[derive(Debug, Deserialize)]
struct WireMovements {
    transactions: Vec<WireMovement>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WireMovement {
    kind: String,
    source_id: String,
    charge_id: String,
    order_id: String,
    amount_minor: i64,
    currency: String,
}

impl WireMovement {
    fn read(self) -> Result<Movement, String> {
        let cause = Cause::of(&self.kind).ok_or_else(|| format!("movement {} is of an unknown kind", self.source_id))?;
        let currency = self.currency.parse().map_err(|error| format!("movement {}: {error}", self.source_id))?;
        let amount = Money::new(self.amount_minor, currency);
        // Whatever is credited to our account is ours to explain, also what is of no order of ours.
        let order_id = self.order_id.parse().ok();
        Ok(Movement { cause, source_id: self.source_id, order_id, charge_id: Some(self.charge_id), amount })
    }
}

#[derive(Deserialize)]
struct WireProblem {
    reason: String,
}

impl WireCharge {
    /// Which order it pays for, and how it stands.
    pub(crate) fn read(self) -> Result<(OrderId, Charge), String> {
        let order_id = self.order_id.parse().map_err(|_| format!("charge {} is of no order of ours", self.id))?;
        let state = State::of(&self.state).filter(|state| *state != State::Pending);
        let state = state.ok_or_else(|| format!("charge {} is in an unknown state", self.id))?;
        let currency = self.currency.parse().map_err(|error| format!("charge {}: {error}", self.id))?;
        let amount = Money::new(self.amount_minor, currency);
        let refund =
            |made: WireRefund| ChargeRefund { id: made.id, key: made.idempotency_key, amount_minor: made.amount_minor, at: made.created };
        let charge = Charge {
            id: Some(self.id),
            state,
            amount,
            decline_code: self.decline_code,
            captured_at: self.captured_at,
            refunds: self.refunds.into_iter().map(refund).collect(),
            chargeback: self.chargeback.map(|back| Chargeback { id: back.id, amount_minor: back.amount_minor, at: back.created }),
        };
        Ok((order_id, charge))
    }
}

impl Psp {
    /// The provider at `address`, which is to send its webhooks to `webhook_url`.
    pub(crate) fn new(address: Url, webhook_url: Url) -> Result<Self, reqwest::Error> {
        let http = Client::builder().no_proxy().connect_timeout(Duration::from_secs(1)).timeout(TIMEOUT).tcp_nodelay(true).build()?;
        Ok(Self { http, address, webhook_url })
    }

    /// Asks, and answers how the order's charge stands after it. A new charge is credited to the account of `home`.
    pub(crate) async fn ask(&self, order_id: OrderId, home: Region, question: &Question) -> Result<Charge, Error> {
        let (request, id) = match question {
            Question::Charge(terms) => return self.charge(order_id, home, terms).await,
            Question::Capture(id) => (self.command(order_id, id, "capture"), id),
            Question::Void(id) => (self.command(order_id, id, "void"), id),
            Question::Refund { charge_id, key, amount_minor } => {
                let request = self.request(Method::POST, &["v1", "charges", charge_id, "refund"]).header("Idempotency-Key", key);
                (request.json(&json!({ "amount_minor": amount_minor })), charge_id)
            }
        };
        let (status, body) = self.send(request).await?;
        match (status, reason(&body).as_deref()) {
            // It stands elsewhere than we believed: look where.
            (StatusCode::CONFLICT, Some("PSP_CHARGE_STATE")) | (StatusCode::UNPROCESSABLE_ENTITY, Some("PSP_REFUND_TOO_LARGE")) => {
                self.look(order_id, id).await
            }
            (status, _) if status.is_success() => read(order_id, &body),
            (status, reason) => Err(unknown(format!("{question:?}: {status} {}", reason.unwrap_or_default()))),
        }
    }

    /// How a charge stands.
    pub(crate) async fn look(&self, order_id: OrderId, charge_id: &str) -> Result<Charge, Error> {
        let (status, body) = self.send(self.request(Method::GET, &["v1", "charges", charge_id])).await?;
        if status.is_success() { read(order_id, &body) } else { Err(unknown(format!("charge {charge_id}: {status}"))) }
    }

    /// All that moved the balance of the account of `home` from one moment to another, unix ms, oldest first.
    pub(crate) async fn movements(&self, home: Region, from: i64, to: i64) -> Result<Vec<Movement>, Error> {
        let (mut movements, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut url = self.url(&["v1", "transactions"]);
            url.query_pairs_mut()
                .append_pair("account", home.as_str())
                .append_pair("from", &from.to_string())
                .append_pair("to", &to.to_string())
                .append_pair("page_size", &PAGE.to_string());
            if let Some(token) = token {
                url.query_pairs_mut().append_pair("page_token", &token);
            }
            let (status, body) = self.send(self.request_to(Method::GET, url)).await?;
            if !status.is_success() {
                return Err(unknown(format!("movements: {status} {}", reason(&body).unwrap_or_default())));
            }
            let page: WireMovements =
                serde_json::from_slice(&body).map_err(|error| unknown(format!("the answer is no list of movements: {error}")))?;
            for movement in page.transactions {
                movements.push(movement.read().map_err(unknown)?);
            }
            match page.next_page_token {
                next @ Some(_) => token = next,
                None => return Ok(movements),
            }
        }
    }

    async fn charge(&self, order_id: OrderId, home: Region, terms: &Terms) -> Result<Charge, Error> {
        let request = self.request(Method::POST, &["v1", "charges"]).header("Idempotency-Key", order_id.step_key("authorize"));
        let request = request.json(&json!({
            "order_id": order_id.to_string(),
            "account": home.to_string(),
            "amount_minor": terms.amount.amount_minor,
            "currency": terms.amount.currency.as_str(),
            "payment_token": terms.token,
            "webhook_url": self.webhook_url.as_str(),
        }));
        let (status, body) = self.send(request).await?;
        if status.is_success() {
            return read(order_id, &body);
        }
        match reason(&body).as_deref() {
            // A card that does not exist is a no. Any other refusal may be our own fault, and a charge may stand under the key.
            Some("PSP_UNKNOWN_TOKEN") if status == StatusCode::BAD_REQUEST => Ok(Charge::declined(terms.amount, "unknown_token")),
            reason => Err(unknown(format!("charge for order {order_id}: {status} {}", reason.unwrap_or_default()))),
        }
    }

    fn command(&self, order_id: OrderId, charge_id: &str, verb: &str) -> RequestBuilder {
        self.request(Method::POST, &["v1", "charges", charge_id, verb]).header("Idempotency-Key", order_id.step_key(verb))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.address.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(path);
        url
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.request_to(method, self.url(path))
    }

    fn request_to(&self, method: Method, url: Url) -> RequestBuilder {
        let mut headers = axum::http::HeaderMap::new();
        telemetry::to_headers(&mut headers);
        self.http.request(method, url).headers(headers)
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Error> {
        let ended = async {
            let response = request
                .send()
                .await
                .map_err(|error| if error.is_connect() { Error::PspUnavailable(error) } else { unknown(error.to_string()) })?;
            let status = response.status();
            Ok((status, read_body(response).await?))
        }
        .await;
        metrics::count_call(match &ended {
            Ok((status, _)) if !status.is_server_error() => Answer::Charge,
            Err(Error::PspUnavailable(_)) => Answer::Unavailable,
            _ => Answer::Unknown,
        });
        ended
    }
}

fn unknown(cause: String) -> Error {
    Error::OutcomeUnknown(cause)
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unknown(error.to_string()))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(unknown(format!("the answer has more than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn reason(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<WireProblem>(body).ok().map(|problem| problem.reason)
}

fn read(order_id: OrderId, body: &[u8]) -> Result<Charge, Error> {
    let charge: WireCharge = serde_json::from_slice(body).map_err(|error| unknown(format!("the answer is no charge: {error}")))?;
    match charge.read() {
        Ok((of, charge)) if of == order_id => Ok(charge),
        Ok((of, _)) => Err(unknown(format!("asked for order {order_id}, answered for {of}"))),
        Err(error) => Err(unknown(error)),
    }
}
