//! An order: what was bought, its state as it changes, and what its shopper can still do about it.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use ids::{IdempotencyKey, OrderId, SessionId};
use maud::{Markup, html};
use rpc::Kind;

use super::{Frame, sentence, with_key};
use crate::{
    error::Error,
    input::{Form, Named},
    server::App,
    session::{self, Known, Session},
    view::{Order, OrderLine, Requested, State as Stage, image, total},
};

/// The way of an order that goes well.
const STAGES: [(Stage, &str, &str); 3] = [
    (Stage::Placed, "Placed", "We have your order."),
    (Stage::Confirmed, "Confirmed", "Stock is reserved and the payment went through."),
    (Stage::Shipped, "Shipped", "It is on its way."),
];

/// `GET /orders/{id}`
pub(super) async fn show(State(app): State<App>, Known(session): Known, Named(id): Named<OrderId>) -> Result<Response, Error> {
    page(&app, session.as_ref(), id, None).await
}

/// `POST /orders/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<App>,
    session: Session,
    Named(id): Named<OrderId>,
    Form(form): Form,
) -> Result<Response, Error> {
    let key: IdempotencyKey = form.get("key").parse().map_err(Error::Key)?;
    let done = app.shop.cancel_order(&session.id, &key, id).await;
    answer(&app, &session.id, id, done.map(drop)).await
}

/// `POST /orders/{id}/return`
pub(super) async fn send_back(
    State(app): State<App>,
    session: Session,
    Named(id): Named<OrderId>,
    Form(form): Form,
) -> Result<Response, Error> {
    let key: IdempotencyKey = form.get("key").parse().map_err(Error::Key)?;
    let done = app.shop.return_order(&session.id, &key, id).await;
    answer(&app, &session.id, id, done.map(drop)).await
}

/// The order's page; after a refusal with what it says, beside what can be done instead.
async fn answer(app: &App, session: &SessionId, id: OrderId, done: Result<(), Error>) -> Result<Response, Error> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/orders/{id}")).into_response()),
        Err(refusal) if refusal.kind() == Kind::Refused => {
            let mut response = page(app, Some(session), id, Some(&refusal)).await?;
            *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Ok(response)
        }
        Err(error) => Err(error),
    }
}

async fn page(app: &App, session: Option<&SessionId>, id: OrderId, refusal: Option<&Error>) -> Result<Response, Error> {
    let order = app.shop.order(id).await?;
    let is_mine = session.is_some_and(|session| session.as_str() == order.owner.session);
    let mut frame = Frame::new(app, session, "Your order").await;
    // The cart is emptied a moment after the order; until then its old number would only confuse.
    frame.cart_size = frame.cart_size.filter(|_| order.state.is_final());
    frame.refresh = (!order.is_over()).then_some(3);
    let body = html! {
        @if let Some(refusal) = refusal {
            p.note.warn #problem role="alert" {
                (sentence(&refusal.to_string())) " Reason: " a href={ "/errors/" (refusal.reason()) } { (refusal.reason()) }
            }
        }
        (headline(&order))
        div.with-summary {
            div {
                (timeline(&order))
                ul.lines.bought { @for line in &order.lines { li { (row(line)) } } }
            }
            aside.summary aria-label="Details" {
                dl.sums {
                    dt.total { "Total" } dd.total { (order.total) }
                    dt { "Placed" } dd { time datetime=(order.placed_at) { (minute(&order.placed_at)) } }
                    dt { "Home region" } dd.region { (order.home_region) }
                }
                @if is_mine { (destination(&order)) (actions(&order)) }
                p.quiet { "Order " code.order-id { (order.order_id) } }
            }
        }
        p.more { a.button.plain href="/" { "Go on shopping" } }
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], frame.around(&body)).into_response())
}

fn headline(order: &Order) -> Markup {
    html! {
        section.order-head #order data-order=(order.order_id) data-state=(order.state.as_str()) data-over[order.is_over()] {
            p.eyebrow { "Your order" }
            h1 #order-headline aria-live="polite" { (words(order.state, order.requested)) }
            p { "State: " strong.state #order-state data-state=(order.state.as_str()) { (order.state.as_str()) } }
            p.note.warn #order-reason hidden[order.cancel_reason.is_none()] {
                span { (order.cancel_reason.as_deref().map_or("", explained)) }
                " Nothing was charged."
            }
            @if !order.is_over() {
                noscript { p.quiet { "This page asks again every three seconds." } }
            }
        }
    }
}

fn words(state: Stage, requested: Option<Requested>) -> &'static str {
    match (state, requested) {
        (_, Some(Requested::Cancel)) => "It is being cancelled",
        (_, Some(Requested::Return)) => "It is being returned",
        (Stage::Placed, None) => "Thank you, we have your order",
        (Stage::Confirmed, None) => "Paid, and being packed",
        (Stage::Shipped, None) => "It is on its way",
        (Stage::Returned, None) => "Returned, and you have your money back",
        (Stage::Cancelled, None) => "This order was cancelled",
    }
}

/// What the one who placed it can do. The script shows and hides the forms as the state changes; without it the page is asked for again.
fn actions(order: &Order) -> Markup {
    let form = |id: &'static str, verb: &str, label: &str, about: &str, is_shown: bool| {
        let (key, action) = (session::random(), format!("/orders/{}/{verb}", order.order_id));
        html! {
            form id=(id) action=(with_key(&action, &key)) method="post" hidden[!is_shown] {
                input type="hidden" name="key" value=(key);
                button.button.plain.wide type="submit" { (label) }
                p.quiet { (about) }
            }
        }
    };
    let can = |state| order.state == state && order.requested.is_none();
    html! {
        (form("cancel-form", "cancel", "Cancel the order", "Possible until it is paid for.", can(Stage::Placed)))
        (form("return-form", "return", "Return the order", "You get the whole amount back.", can(Stage::Shipped)))
    }
}

/// A reason in words; one that is not known is shown as it is.
fn explained(reason: &str) -> &str {
    match reason {
        "PAYMENT_DECLINED" => "The card was declined.",
        "ORDER_CANCELLED_BY_SHOPPER" => "You cancelled it.",
        "PAYMENT_STEP_UP_TIMEOUT" => "The bank's confirmation did not come in time.",
        "INVENTORY_OUT_OF_STOCK" | "OUT_OF_STOCK" => "Something in it was sold out a moment before.",
        other => other,
    }
}

fn timeline(order: &Order) -> Markup {
    // A cancelled order was placed and went no further; a returned one had gone all the way.
    let stage = if order.state == Stage::Returned { Stage::Shipped } else { order.state };
    let reached = STAGES.iter().position(|(reached, ..)| *reached == stage).unwrap_or_default();
    html! {
        ol.timeline #timeline data-state=(order.state.as_str()) {
            @for (index, (stage, name, about)) in STAGES.iter().enumerate() {
                li data-stage=(stage.as_str()) data-done[index <= reached] aria-current=[(index == reached).then_some("step")] {
                    span.dot aria-hidden="true" {}
                    div { strong { (name) } span.quiet { (about) } }
                }
            }
            li.returned data-stage="returned" data-done[order.state == Stage::Returned] {
                span.dot aria-hidden="true" {}
                div { strong { "Returned" } span.quiet { "The whole amount was refunded." } }
            }
            li.cancelled data-stage="cancelled" data-done[order.state == Stage::Cancelled] {
                span.dot aria-hidden="true" {}
                div { strong { "Cancelled" } span.quiet { "What was reserved is free again." } }
            }
        }
    }
}

fn row(line: &OrderLine) -> Markup {
    html! {
        a.picture href={ "/items/" (line.sku) } tabindex="-1" aria-hidden="true" {
            img src=(image(&line.sku)) alt="" width="400" height="400";
        }
        div.words {
            a.title href={ "/items/" (line.sku) } { (line.title) }
            span.quiet { (line.quantity) " × " (line.unit_price) }
        }
        span.price { @if let Ok(sum) = total([(&line.unit_price, line.quantity)]) { (sum) } }
    }
}

fn destination(order: &Order) -> Markup {
    let address = &order.owner.address;
    html! {
        address {
            (address.name) br; (address.line1) br; (address.postal_code) " " (address.city) br; (address.country)
        }
    }
}

/// `2026-01-31T12:34:56.789Z` is "2026-01-31 12:34 UTC".
fn minute(rfc3339: &str) -> String {
    rfc3339.get(..16).map_or_else(String::new, |minute| format!("{} UTC", minute.replace('T', " ")))
}
