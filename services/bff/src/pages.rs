//! The shop's pages: HTML that works with a keyboard, on a phone and without JavaScript.

mod account;
mod cart;
mod catalog;
mod checkout;
mod layout;
mod order;
mod reason;

use axum::{
    Router,
    routing::{get, post},
};
use ids::SessionId;
use maud::{Markup, html};

use rpc::Problem;

use crate::server::App;
pub(crate) use reason::page as reason;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(catalog::list))
        .route("/items/{sku}", get(catalog::item))
        .route("/cart", get(cart::show))
        .route("/cart/lines/{sku}", post(cart::change))
        .route("/sign-in", get(account::show).post(account::submit))
        .route("/sign-out", post(account::leave))
        .route("/checkout", get(checkout::show).post(checkout::submit))
        .route("/orders/{id}", get(order::show))
        .route("/orders/{id}/cancel", post(order::cancel))
        .route("/orders/{id}/return", post(order::send_back))
}

/// What the frame of a page shows.
struct Frame {
    title: String,
    region: &'static str,
    /// Units in the cart, when that is known.
    cart_size: Option<u64>,
    /// What was searched for.
    text: String,
    /// Seconds after which a browser without JavaScript asks again.
    refresh: Option<u32>,
}

impl Frame {
    /// The frame of a page called `title`. A cart that cannot be read is not worth a refused page.
    async fn new(app: &App, session: Option<&SessionId>, title: impl Into<String>) -> Self {
        let cart_size = match session {
            Some(session) => app.shop.basket(session).await.ok().map(|basket| basket.units),
            None => None,
        };
        Self { title: title.into(), region: app.region.as_str(), cart_size, text: String::new(), refresh: None }
    }

    /// The whole page.
    fn around(&self, main: &Markup) -> Markup {
        layout::page(self, main)
    }
}

/// What people see of an error.
pub(crate) fn problem(problem: &Problem) -> Markup {
    let title = match problem.status {
        404 => "Not here".to_owned(),
        500.. => "Something is away".to_owned(),
        _ => problem.title.clone(),
    };
    let frame = Frame { title: title.clone(), region: "", cart_size: None, text: String::new(), refresh: None };
    frame.around(&html! {
        section.notice-page {
            p.big-code aria-hidden="true" { (problem.status) }
            h1 { (title) }
            p.lead { (sentence(&problem.detail)) }
            p { a.button href="/" { "Back to the shop" } }
            p.quiet { "Reason: " a href=(problem.r#type) { (problem.reason) } }
        }
    })
}

/// The address of a form whose body has this key too: the edge, which reads no bodies, finds it here, and knows that a repeat is harmless.
fn with_key(action: &str, key: &str) -> String {
    let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    format!("{action}?key={key}")
}

/// `out of stock` is "Out of stock."
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_one_key_in_an_address() {
        assert_eq!(with_key("/checkout", "0f3a"), "/checkout?key=0f3a");
        assert_eq!(with_key("/checkout", "a&b=c#d%"), "/checkout?key=a%26b%3Dc%23d%25");
    }
}
