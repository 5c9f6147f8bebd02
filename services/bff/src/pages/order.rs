//! An order: what was bought, and its state as it changes.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use ids::OrderId;
use maud::{Markup, html};

use super::Frame;
use crate::{
    error::Error,
    input::Named,
    server::App,
    session::Known,
    view::{Order, OrderLine, State as Stage, image, total},
};

/// The way of an order that goes well.
const STAGES: [(Stage, &str, &str); 3] = [
    (Stage::Placed, "Placed", "We have your order."),
    (Stage::Confirmed, "Confirmed", "Stock is reserved and the payment went through."),
    (Stage::Shipped, "Shipped", "It is on its way."),
];

/// `GET /orders/{id}`
pub(super) async fn show(State(app): State<App>, Known(session): Known, Named(id): Named<OrderId>) -> Result<Response, Error> {
    let order = app.shop.order(id).await?;
    let is_mine = session.as_ref().is_some_and(|session| session.as_str() == order.owner.session);
    let mut frame = Frame::new(&app, session.as_ref(), "Your order").await;
    // The cart is emptied a moment after the order; until then its old number would only confuse.
    frame.cart_size = frame.cart_size.filter(|_| order.state.is_final());
    frame.refresh = (!order.state.is_final()).then_some(3);
    let body = html! {
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
                @if is_mine { (destination(&order)) }
                p.quiet { "Order " code.order-id { (order.order_id) } }
            }
        }
        p.more { a.button.plain href="/" { "Go on shopping" } }
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], frame.around(&body)).into_response())
}

fn headline(order: &Order) -> Markup {
    html! {
        section.order-head #order data-order=(order.order_id) data-state=(order.state.as_str()) {
            p.eyebrow { "Your order" }
            h1 #order-headline aria-live="polite" { (words(order.state)) }
            p { "State: " strong.state #order-state data-state=(order.state.as_str()) { (order.state.as_str()) } }
            p.note.warn #order-reason hidden[order.cancel_reason.is_none()] {
                span { (order.cancel_reason.as_deref().map_or("", explained)) }
                " Nothing was charged."
            }
            @if !order.state.is_final() {
                noscript { p.quiet { "This page asks again every three seconds." } }
            }
        }
    }
}

fn words(state: Stage) -> &'static str {
    match state {
        Stage::Placed => "Thank you, we have your order",
        Stage::Confirmed => "Paid, and being packed",
        Stage::Shipped => "It is on its way",
        Stage::Cancelled => "This order was cancelled",
    }
}

/// A reason in words; one that is not known is shown as it is.
fn explained(reason: &str) -> &str {
    match reason {
        "PAYMENT_DECLINED" => "The card was declined.",
        "PAYMENT_STEP_UP_TIMEOUT" => "The bank's confirmation did not come in time.",
        "INVENTORY_OUT_OF_STOCK" | "OUT_OF_STOCK" => "Something in it was sold out a moment before.",
        other => other,
    }
}

fn timeline(order: &Order) -> Markup {
    // A cancelled order was placed and went no further.
    let reached = STAGES.iter().position(|(stage, ..)| *stage == order.state).unwrap_or_default();
    html! {
        ol.timeline #timeline data-state=(order.state.as_str()) {
            @for (index, (stage, name, about)) in STAGES.iter().enumerate() {
                li data-stage=(stage.as_str()) data-done[index <= reached] aria-current=[(index == reached).then_some("step")] {
                    span.dot aria-hidden="true" {}
                    div { strong { (name) } span.quiet { (about) } }
                }
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
