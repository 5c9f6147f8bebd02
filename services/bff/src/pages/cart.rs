//! The cart.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use ids::{SessionId, Sku};
use maud::{Markup, html};

use super::Frame;
use crate::{
    account::is_signed_in,
    error::Error,
    input::{Form, MAX_QUANTITY, Named, typed_quantity},
    server::App,
    session::{Known, Session},
    view::{Cart, CartLine, total},
};

/// `GET /cart`
pub(super) async fn show(State(app): State<App>, Known(session): Known) -> Result<Response, Error> {
    let cart = match &session {
        Some(session) => app.shop.cart(session).await?,
        None => Cart { lines: Vec::new(), total: total([])?, version: 0 },
    };
    let mut frame = Frame::new(&app, None, "Your cart").await;
    frame.cart_size = Some(cart.lines.iter().map(|line| u64::from(line.quantity)).sum());
    let body = html! {
        h1 { "Your cart" }
        div #cart data-version=(cart.version) {
            @if cart.lines.is_empty() {
                div.empty {
                    p.lead { "It is empty." }
                    p { a.button href="/" { "Find something" } }
                }
            } @else {
                div.with-summary {
                    ul.lines { @for line in &cart.lines { li { (row(line)) } } }
                    aside.summary aria-label="Summary" {
                        (sums(&cart))
                        a.button.wide #checkout href="/checkout" { "Check out" }
                        p.quiet { "Prices are fixed when you order." }
                    }
                }
            }
        }
    };
    let body = html! { (body) (who(session.as_ref())) };
    Ok(([(header::CACHE_CONTROL, "no-store")], frame.around(&body)).into_response())
}

/// Whose cart it is.
fn who(session: Option<&SessionId>) -> Markup {
    html! {
        @if session.is_some_and(is_signed_in) {
            form.account action="/sign-out" method="post" {
                p.quiet { "You are signed in: this cart is yours on any device. " button.plain #sign-out type="submit" { "Sign out" } }
            }
        } @else {
            p.quiet.account { a #sign-in-link href="/sign-in" { "Sign in" } " to have this cart on any device." }
        }
    }
}

fn row(line: &CartLine) -> Markup {
    let change = format!("/cart/lines/{}", line.sku);
    let field = format!("quantity-{}", line.sku);
    html! {
        a.picture href={ "/items/" (line.sku) } tabindex="-1" aria-hidden="true" {
            @if line.unit_price.is_some() { img src=(line.image) alt="" width="400" height="400"; }
        }
        div.words {
            a.title href={ "/items/" (line.sku) } { (line.title) }
            @match &line.unit_price {
                Some(price) => span.quiet { (price) " each" },
                None => span.stock.none { "Not sold any more: take it out" },
            }
            @if line.unit_price.is_some() && line.in_stock < i64::from(line.quantity) {
                span.stock.few { "Only " (line.in_stock) " left" }
            }
        }
        form.amount action=(change) method="post" {
            label.unseen for=(field) { "Quantity of " (line.title) }
            input id=(field) type="number" name="quantity" value=(line.quantity) min="1" max=(MAX_QUANTITY) inputmode="numeric" required;
            button.plain type="submit" { "Update" span.unseen { " " (line.title) } }
            button.plain type="submit" name="remove" value="1" formnovalidate { "Remove" span.unseen { " " (line.title) } }
        }
        span.price { @if let Some(sum) = sum(line) { (sum) } }
    }
}

fn sum(line: &CartLine) -> Option<crate::view::Money> {
    total([(line.unit_price.as_ref()?, line.quantity)]).ok()
}

/// What it costs.
pub(super) fn sums(cart: &Cart) -> Markup {
    let units: u64 = cart.lines.iter().map(|line| u64::from(line.quantity)).sum();
    html! {
        dl.sums {
            dt { (units) @if units == 1 { " piece" } @else { " pieces" } }
            dd { (cart.total) }
            dt { "Shipping" }
            dd { "Free" }
            dt.total { "Total" }
            dd.total { (cart.total) }
        }
    }
}

/// `POST /cart/lines/{sku}`: sets the line, so that a form sent twice is one change.
pub(super) async fn change(State(app): State<App>, session: Session, Named(sku): Named<Sku>, Form(form): Form) -> Result<Response, Error> {
    if form.get("remove").is_empty() {
        app.shop.set_line(&session.id, &sku, typed_quantity(form.get("quantity"))?, None).await?;
    } else {
        app.shop.remove_line(&session.id, &sku, None).await?;
    }
    Ok(session.with(Redirect::to("/cart")))
}
