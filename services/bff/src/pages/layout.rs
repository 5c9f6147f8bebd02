//! What all pages share: head, search, cart, footer.

use ids::Region;
use maud::{DOCTYPE, Markup, html};

use super::Frame;
use crate::{documents::VERSION, view::Item};

const NAME: &str = "Backbone Market";

pub(super) fn page(frame: &Frame, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · " (NAME) }
                link rel="icon" href="/static/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href={ "/static/shop.css?v=" (format!("{VERSION:x}")) };
                script src={ "/static/shop.js?v=" (format!("{VERSION:x}")) } defer {}
                @if let Some(seconds) = frame.refresh {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (header(frame))
                main #main tabindex="-1" { (main) }
                (footer(frame))
            }
        }
    }
}

fn header(frame: &Frame) -> Markup {
    html! {
        header.top {
            div.bar {
                a.brand href="/" { (mark()) span { (NAME) } }
                form.search action="/" method="get" role="search" {
                    label.unseen for="q" { "Search the shop" }
                    input #q type="search" name="q" value=(frame.text) maxlength="200" placeholder="Search mugs, tents, radios …" autocomplete="off";
                    button type="submit" { (glass()) span.unseen { "Search" } }
                }
                a.cart-link #cart-link href="/cart" {
                    (basket())
                    span { "Cart" }
                    @if let Some(size) = frame.cart_size.filter(|size| *size > 0) {
                        span.count { (size) span.unseen { " in the cart" } }
                    }
                }
            }
        }
    }
}

fn footer(frame: &Frame) -> Markup {
    html! {
        footer.bottom {
            div.bar {
                p { "A demonstration shop: nothing is charged, nothing is sent." }
                nav aria-label="Region" {
                    @if !frame.region.is_empty() { span { "Served from " strong #region { (frame.region) } } }
                    @for region in Region::ALL {
                        @if region.as_str() != frame.region {
                            a href={ "/?region=" (region) } { "Shop in " span.region { (region) } }
                        }
                    }
                    a href="/api/openapi.json" { "API" }
                }
            }
        }
    }
}

/// How many there are, as far as it matters to a shopper.
pub(super) fn stock(item: &Item) -> Markup {
    html! {
        @match item.in_stock {
            0 => span.stock.none { "Sold out" },
            1..=20 => span.stock.few { "Only " (item.in_stock) " left" },
            _ => span.stock.plenty { "In stock" },
        }
    }
}

fn mark() -> Markup {
    html! {
        svg viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" {
            rect width="32" height="32" rx="9" fill="currentColor" {}
            path d="M9 20V10m0 5h9a4 4 0 0 0 0-8H9m0 8h10a4.5 4.5 0 0 1 0 9H9" transform="translate(1 1)" fill="none" stroke="var(--page)" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

fn glass() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" {
            circle cx="10.5" cy="10.5" r="6.5" {}
            path d="M15.5 15.5 21 21" {}
        }
    }
}

fn basket() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" {
            path d="M3.5 9.5h17l-1.6 9a2 2 0 0 1-2 1.6H7.1a2 2 0 0 1-2-1.6zM8 9.5l3-6M16 9.5l-3-6" {}
        }
    }
}
