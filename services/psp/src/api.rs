//! The JSON API: decode, call the store, encode.

pub(crate) mod input;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use uuid::Uuid;

use self::input::Wanted;
use crate::{
    domain::{self, Charge, Command},
    error::Error,
    problem,
    store::{Charged, Listing, Statement, Store, Transaction},
};

pub(crate) type Name = Result<Path<String>, PathRejection>;

pub(crate) fn router() -> Router<Store> {
    Router::new()
        .route("/v1/charges", get(list).post(create))
        .route("/v1/charges/{id}", get(read))
        .route("/v1/charges/{id}/capture", post(|store, id| command(store, id, Command::Capture)))
        .route("/v1/charges/{id}/void", post(|store, id| command(store, id, Command::Void)))
        .route("/v1/charges/{id}/refund", post(refund))
        .route("/v1/transactions", get(transactions))
        .route("/errors/{reason}", get(reason))
}

/// A charge that exists, however it ended, is 200; only one that this request made and that may still take money is 201.
async fn create(State(store): State<Store>, headers: HeaderMap, body: Body) -> Result<Response, Error> {
    let body = input::read(body).await;
    let key = input::key(&headers)?;
    input::is_json(&headers)?;
    let request = input::charge(key, &body?)?;
    let charged = store.charge(request, telemetry::current_traceparent()).await?;
    let is_made = charged.is_new && charged.charge.state != domain::State::Declined;
    let status = if is_made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, replayed(charged)).into_response())
}

/// Gives back the amount that the body names, or what is left when it names none. Answers the charge with all its refunds.
async fn refund(State(store): State<Store>, id: Name, headers: HeaderMap, body: Body) -> Result<Response, Error> {
    let body = input::read(body).await;
    let Path(charge_id) = id.map_err(|_| Error::UnknownPath)?;
    let key = input::key(&headers)?;
    let amount_minor = input::refund(&headers, &body?)?;
    let command = Command::Refund { id: format!("re_{}", Uuid::now_v7().simple()), key, amount_minor };
    store.command(charge_id, command).await.map(replayed)
}

/// The charge, and whether this request changed it.
fn replayed(charged: Charged) -> Response {
    let location = format!("/v1/charges/{}", charged.charge.id);
    let replayed = if charged.is_new { "false" } else { "true" };
    let headers = [(header::LOCATION.as_str(), location.as_str()), ("idempotency-replayed", replayed)];
    (headers, Json(charged.charge)).into_response()
}

async fn command(State(store): State<Store>, id: Name, command: Command) -> Result<Json<Charge>, Error> {
    let Path(id) = id.map_err(|_| Error::UnknownPath)?;
    store.command(id, command).await.map(|answer| Json(answer.charge))
}

async fn read(State(store): State<Store>, id: Name) -> Result<Json<Charge>, Error> {
    let Path(id) = id.map_err(|_| Error::UnknownPath)?;
    store.get(id).await.map(Json)
}

#[derive(Debug, Serialize)]
struct List {
    charges: Vec<Charge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

async fn list(State(store): State<Store>, RawQuery(query): RawQuery) -> Result<Json<List>, Error> {
    let Listing { charges, next } = match input::wanted(&query.unwrap_or_default())? {
        Wanted::Key(key) => store.by_key(key).await?,
        Wanted::Page { order_id: Some(order_id), limit, after } => store.of_order(order_id, after, limit).await?,
        Wanted::Page { order_id: None, limit, after } => store.newest(after, limit).await?,
    };
    Ok(Json(List { charges, next_page_token: next }))
}

#[derive(Debug, Serialize)]
struct Transactions {
    transactions: Vec<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// A page may be short, or even empty, and have a next one: only the last page has no token.
async fn transactions(State(store): State<Store>, RawQuery(query): RawQuery) -> Result<Json<Transactions>, Error> {
    let input::Movements { period, limit, after } = input::movements(&query.unwrap_or_default())?;
    let Statement { transactions, next } = store.transactions(period, after, limit).await?;
    Ok(Json(Transactions { transactions, next_page_token: next.map(|(time, number)| format!("{time}-{number}")) }))
}

async fn reason(reason: Name) -> Result<Response, Error> {
    let text = reason.ok().and_then(|Path(reason)| problem::page(&reason)).ok_or(Error::UnknownPath)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
