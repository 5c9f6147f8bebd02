//! The checkout: card and address, sent with a key that the page carries, so that two clicks make one order.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{Redirect, Response},
};
use ids::IdempotencyKey;
use maud::{Markup, html};

use super::{Frame, cart, sentence, with_key};
use crate::{
    checkout::{CARDS, Checkout},
    error::Error,
    input::Form,
    server::App,
    session::{self, Session},
};

const COUNTRIES: [(&str, &str); 28] = [
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("BE", "Belgium"),
    ("BR", "Brazil"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("CZ", "Czechia"),
    ("DE", "Germany"),
    ("DK", "Denmark"),
    ("ES", "Spain"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("GB", "United Kingdom"),
    ("GR", "Greece"),
    ("IE", "Ireland"),
    ("IN", "India"),
    ("IT", "Italy"),
    ("JP", "Japan"),
    ("MX", "Mexico"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("NZ", "New Zealand"),
    ("PL", "Poland"),
    ("PT", "Portugal"),
    ("SE", "Sweden"),
    ("SG", "Singapore"),
    ("US", "United States"),
    ("ZA", "South Africa"),
];

/// `GET /checkout`
pub(super) async fn show(State(app): State<App>, session: Session) -> Result<Response, Error> {
    let filled = Checkout { payment_token: CARDS[0].0.to_owned(), ..Checkout::default() };
    page(&app, &session, &session::random(), &filled, None).await
}

/// `POST /checkout`
pub(super) async fn submit(State(app): State<App>, session: Session, Form(form): Form) -> Result<Response, Error> {
    let key: IdempotencyKey = form.get("key").parse().map_err(Error::Key)?;
    let checkout = Checkout::typed(&form);
    match app.shop.order_cart(&session.id, &key, checkout.clone()).await {
        Ok(placed) => Ok(session.with(Redirect::to(&format!("/orders/{}", placed.order.order_id)))),
        // What the shopper can mend is shown beside what was filled in. Nothing is stored under the key, so it stays.
        Err(error @ (Error::Address { .. } | Error::PaymentToken)) => {
            let mut response = page(&app, &session, key.as_str(), &checkout, Some(&error)).await?;
            *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            Ok(response)
        }
        Err(error) => Err(error),
    }
}

async fn page(app: &App, session: &Session, key: &str, filled: &Checkout, error: Option<&Error>) -> Result<Response, Error> {
    let cart = app.shop.cart(&session.id).await?;
    if cart.lines.is_empty() && error.is_none() {
        return Ok(session.with(Redirect::to("/cart")));
    }
    let mut frame = Frame::new(app, None, "Check out").await;
    frame.cart_size = Some(cart.lines.iter().map(|line| u64::from(line.quantity)).sum());
    let body = html! {
        h1 { "Check out" }
        @if let Some(error) = error {
            p.note.warn #problem role="alert" { (sentence(&error.to_string())) }
        }
        form.with-summary #checkout-form action=(with_key("/checkout", key)) method="post" {
            div.steps {
                input type="hidden" name="key" value=(key);
                (address(filled, error))
                (cards(filled))
            }
            aside.summary aria-label="Summary" {
                ul.brief {
                    @for line in &cart.lines {
                        li { span { (line.quantity) " × " (line.title) } @if let Some(price) = &line.unit_price { span.quiet { (price) " each" } } }
                    }
                }
                (cart::sums(&cart))
                button.button.wide #place-order type="submit" { "Place order" }
                p.quiet { "Nothing is charged: this is a demonstration." }
            }
        }
    };
    Ok(session.with(([(header::CACHE_CONTROL, "no-store")], frame.around(&body))))
}

fn address(filled: &Checkout, error: Option<&Error>) -> Markup {
    let address = &filled.address;
    let faulty = match error {
        Some(Error::Address { field, .. }) => *field,
        _ => "",
    };
    let text = |name: &'static str, label: &str, value: &str, autocomplete: &str| {
        html! {
            label.field {
                span { (label) }
                input type="text" name=(name) value=(value) maxlength="200" autocomplete=(autocomplete) required
                    aria-invalid=[(faulty == name).then_some("true")] aria-describedby=[(faulty == name).then_some("problem")];
            }
        }
    };
    html! {
        fieldset {
            legend { "Where it goes" }
            (text("name", "Name", &address.name, "name"))
            (text("line1", "Street and number", &address.line1, "address-line1"))
            div.pair {
                (text("postal_code", "Postal code", &address.postal_code, "postal-code"))
                (text("city", "City", &address.city, "address-level2"))
            }
            label.field {
                span { "Country" }
                select name="country" autocomplete="country" required {
                    option value="" { "Choose a country" }
                    @for (code, name) in COUNTRIES {
                        option value=(code) selected[code == address.country] { (name) }
                    }
                }
            }
        }
    }
}

fn cards(filled: &Checkout) -> Markup {
    html! {
        fieldset {
            legend { "How you pay" }
            div.cards {
                @for (token, name, hint) in CARDS {
                    label.choice {
                        input type="radio" name="payment_token" value=(token) checked[token == filled.payment_token] required;
                        span { strong { (name) } span.quiet { (hint) } }
                    }
                }
            }
        }
    }
}
