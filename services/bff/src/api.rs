//! The JSON API. Its description is `openapi.json`; a test holds the two equal.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json as Answer, Router,
    extract::State,
    handler::Handler,
    http::{HeaderMap, Method, StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{MethodFilter, MethodRouter, on},
};
use futures::{Stream, StreamExt as _, stream};
use ids::{IdempotencyKey, OrderId, Sku};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    account::Credentials,
    checkout::Checkout,
    error::Error,
    input::{Json, Named, Query, quantity},
    live::Status,
    openapi,
    server::App,
    session::Session,
    shop::{Keyed, Wanted},
};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// One operation: method, path, handler.
pub(crate) struct Operation {
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that compares with openapi.json"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    handler: MethodRouter<App>,
}

fn operation<H: Handler<T, App>, T: 'static>(method: Method, path: &'static str, handler: H) -> Operation {
    let filter = MethodFilter::try_from(method.clone()).expect("a method that routes know");
    Operation { method, path, handler: on(filter, handler) }
}

/// Every operation of the API.
pub(crate) fn operations() -> [Operation; 14] {
    [
        operation(Method::GET, "/api/items", items),
        operation(Method::GET, "/api/items/{sku}", item),
        operation(Method::GET, "/api/cart", cart),
        operation(Method::POST, "/api/session", sign_in),
        operation(Method::DELETE, "/api/session", sign_out),
        operation(Method::GET, "/api/cart/events", cart_events),
        operation(Method::PUT, "/api/cart/lines/{sku}", put_line),
        operation(Method::DELETE, "/api/cart/lines/{sku}", delete_line),
        operation(Method::POST, "/api/orders", post_order),
        operation(Method::GET, "/api/orders/{id}", order),
        operation(Method::GET, "/api/orders/{id}/events", order_events),
        operation(Method::POST, "/api/orders/{id}/cancel", cancel_order),
        operation(Method::POST, "/api/orders/{id}/return", return_order),
        operation(Method::GET, "/api/openapi.json", openapi::document),
    ]
}

pub(crate) fn router() -> Router<App> {
    operations().into_iter().fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
}

async fn items(State(app): State<App>, Query(query): Query) -> Result<Response, Error> {
    let wanted = Wanted { text: query.get("q").to_owned(), page_size: query.page_size()?, page_token: query.get("page_token").to_owned() };
    Ok(Answer(app.shop.items(wanted).await?).into_response())
}

async fn item(State(app): State<App>, Named(sku): Named<Sku>) -> Result<Response, Error> {
    Ok(Answer(app.shop.item(&sku).await?).into_response())
}

async fn cart(State(app): State<App>, session: Session) -> Result<Response, Error> {
    Ok(session.with(Answer(app.shop.cart(&session.id).await?)))
}

async fn sign_in(State(app): State<App>, before: Session, Json(credentials): Json<Credentials>) -> Result<Response, Error> {
    let (session, cart) = app.shop.sign_in(&credentials, &app.session_secret, &before).await?;
    let signed_in = json!({ "session": session.id.as_str(), "cart": cart });
    Ok(session.with(([(header::CACHE_CONTROL, "no-store")], Answer(signed_in))))
}

async fn sign_out() -> Response {
    Session::end(StatusCode::NO_CONTENT)
}

/// An event `cart` for the cart now and after each change.
async fn cart_events(State(app): State<App>, session: Session) -> Result<Response, Error> {
    let baskets = app.live.follow_cart(session.id.clone()).await?;
    let events = baskets.map(|basket| {
        let data = serde_json::to_string(&basket).expect("numbers are plain text");
        Ok(Event::default().event("cart").id(basket.version.to_string()).retry(Duration::from_secs(1)).data(data))
    });
    Ok(session.with(live(events)))
}

/// Server-sent events that no proxy on the way holds back.
fn live(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(heartbeat)).into_response()
}

/// The quantity is read with care: 1.5 and 1e9 are bad quantities, not bad JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    quantity: Value,
}

async fn put_line(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    Named(sku): Named<Sku>,
    Json(line): Json<Line>,
) -> Result<Response, Error> {
    let cart = app.shop.set_line(&session.id, &sku, quantity(&line.quantity)?, optional_key(&headers)?).await?;
    Ok(session.with(Answer(cart)))
}

async fn delete_line(State(app): State<App>, session: Session, headers: HeaderMap, Named(sku): Named<Sku>) -> Result<Response, Error> {
    Ok(session.with(Answer(app.shop.remove_line(&session.id, &sku, optional_key(&headers)?).await?)))
}

async fn post_order(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    Json(checkout): Json<Checkout>,
) -> Result<Response, Error> {
    let key = key(&headers)?;
    let Keyed { order, is_replay } = app.shop.order_cart(&session.id, &key, checkout).await?;
    let location = format!("/api/orders/{}", order.order_id);
    let headers = [(header::LOCATION.as_str(), location.as_str()), ("idempotency-replayed", yes_or_no(is_replay))];
    Ok(session.with((StatusCode::CREATED, headers, Answer(order))))
}

async fn cancel_order(State(app): State<App>, session: Session, headers: HeaderMap, Named(id): Named<OrderId>) -> Result<Response, Error> {
    let Keyed { order, is_replay } = app.shop.cancel_order(&session.id, &key(&headers)?, id).await?;
    Ok((StatusCode::ACCEPTED, [("idempotency-replayed", yes_or_no(is_replay))], Answer(order)).into_response())
}

async fn return_order(State(app): State<App>, session: Session, headers: HeaderMap, Named(id): Named<OrderId>) -> Result<Response, Error> {
    let Keyed { order, is_replay } = app.shop.return_order(&session.id, &key(&headers)?, id).await?;
    Ok((StatusCode::ACCEPTED, [("idempotency-replayed", yes_or_no(is_replay))], Answer(order)).into_response())
}

fn yes_or_no(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn key(headers: &HeaderMap) -> Result<IdempotencyKey, Error> {
    optional_key(headers)?.ok_or(Error::KeyRequired)
}

fn optional_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Error> {
    let value = headers.get("idempotency-key");
    value.map(|value| value.to_str().unwrap_or_default().parse().map_err(Error::Key)).transpose()
}

async fn order(State(app): State<App>, Named(id): Named<OrderId>) -> Result<Response, Error> {
    Ok(([(header::CACHE_CONTROL, "no-store")], Answer(app.shop.order(id).await?)).into_response())
}

async fn order_events(State(app): State<App>, Named(id): Named<OrderId>) -> Result<Response, Error> {
    Ok(live(events(app.live.follow(id).await?)))
}

/// An event `order` for each status; after a final one an event `end` says that the connection closes for good.
fn events(statuses: impl Stream<Item = Status>) -> impl Stream<Item = Result<Event, Infallible>> {
    statuses.flat_map(|status| {
        let data = serde_json::to_string(&status).expect("a status is plain text");
        let order = Event::default().event("order").id(status.version.to_string()).retry(Duration::from_secs(1)).data(data.as_str());
        let end = status.is_over().then(|| Event::default().event("end").data(data));
        stream::iter([Some(order), end].into_iter().flatten().map(Ok))
    })
}
