//! The page for people: how many charges there are, and the newest.

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use maud::{DOCTYPE, Markup, html};
use money::Money;
use time::OffsetDateTime;

use crate::{
    error::Error,
    store::{Overview, Record, Store},
};

/// Charges on the page.
const SHOWN: usize = 100;

const STYLE: &str = include_str!("page.css");

pub(crate) fn router() -> Router<Store> {
    let style = async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response();
    Router::new().route("/", get(show)).route("/page.css", get(style))
}

async fn show(State(store): State<Store>) -> Result<Markup, Error> {
    Ok(page(&store.overview(SHOWN).await?))
}

fn page(overview: &Overview) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Payment provider" }
                link rel="stylesheet" href="/page.css";
            }
            body {
                main {
                    h1 { "Payment provider" }
                    p { "A simulator: no money moves. Programs use " a href="/v1/charges" { code { "/v1/charges" } } "." }
                    h2 { "Charges by state" }
                    dl.counts {
                        @for (state, count) in &overview.counts {
                            div { dt { (words(state.as_str())) } dd { (count) } }
                        }
                    }
                    h2 { "Newest charges" }
                    @if overview.newest.is_empty() {
                        p { "There are none yet." }
                    } @else {
                        ol.charges { @for record in &overview.newest { li { (row(record)) } } }
                    }
                    @if overview.newest.len() == SHOWN { p { "Older ones are not shown here." } }
                }
            }
        }
    }
}

fn row(record: &Record) -> Markup {
    let charge = &record.charge;
    let created = rfc3339(record.created);
    html! {
        p.first {
            strong { (amount(charge.amount_minor, &charge.currency)) }
            span.state data-state=(charge.state.as_str()) { (words(charge.state.as_str())) }
        }
        p { "Order " span.name { (charge.order_id) } }
        p.quiet {
            a.name href={ "/v1/charges/" (charge.id) } { (charge.id) } " "
            time datetime=(created) { (created.replace('T', " ").replace('Z', " UTC")) }
        }
    }
}

fn words(state: &str) -> String {
    state.replace('_', " ")
}

fn amount(minor: i64, currency: &str) -> String {
    currency.parse().map_or_else(|_| format!("{minor} {currency}"), |currency| Money::new(minor, currency).to_string())
}

/// To the second.
fn rfc3339(millis: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(millis / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_shown_as_in_the_shop() {
        assert_eq!(amount(1250, "EUR"), "12.50 EUR");
        assert_eq!(rfc3339(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00Z");
    }
}
