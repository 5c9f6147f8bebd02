//! The list of items, and one item.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use ids::Sku;
use maud::{Markup, html};

use super::{Frame, layout};
use crate::{
    error::Error,
    input::{MAX_QUANTITY, Named, Pairs, Query},
    server::App,
    session::Known,
    shop::Wanted,
    view::{Item, Items},
};

/// What the shop has, as the search knows it.
const CATEGORIES: [&str; 10] = ["kitchen", "home", "garden", "books", "office", "outdoor", "toys", "audio", "lighting", "textiles"];

/// `GET /`
pub(super) async fn list(State(app): State<App>, Known(session): Known, Query(query): Query) -> Result<Response, Error> {
    let text = query.get("q").trim().to_owned();
    let category = CATEGORIES.into_iter().find(|category| *category == query.get("category")).unwrap_or_default();
    let page_token = query.get("page_token").to_owned();
    let searched = if category.is_empty() { text.clone() } else { format!("category:{category}") };
    let wanted = Wanted { text: searched.clone(), page_size: query.page_size()?, page_token };
    let is_first = wanted.page_token.is_empty();
    let (page, is_away) = match app.shop.items(wanted).await {
        // Without search there still is the catalog.
        Err(error) if !searched.is_empty() && error.is_outage() => (app.shop.items(Wanted::default()).await?, true),
        page => (page?, false),
    };
    let mut frame = Frame::new(&app, session.as_ref(), heading(&text, category)).await;
    frame.text = if category.is_empty() { text.clone() } else { String::new() };
    let next = page.next_page_token.as_ref().filter(|_| !is_away).map(|token| link(&query, token));
    let body = html! {
        (hero(&text, category, is_first))
        (categories(category, &text))
        @if is_away {
            p.note.warn role="status" { "The search is away for a moment. Here is the whole catalog instead." }
        }
        (grid(&page, &text))
        nav.pages aria-label="Pages" {
            @if !is_first { a.button.plain href=(link(&query, "")) { "← First page" } }
            @if let Some(next) = next { a.button.plain rel="next" href=(next) { "Next page →" } }
        }
    };
    Ok(frame.around(&body).into_response())
}

fn heading(text: &str, category: &str) -> String {
    match (text, category) {
        ("", "") => "Everything for a good day".to_owned(),
        (text, "") => format!("Results for “{text}”"),
        (_, category) => capital(category),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The same list, another page of it.
fn link(query: &Pairs, page_token: &str) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for name in ["q", "category", "page_size"] {
        if !query.get(name).is_empty() {
            pairs.append_pair(name, query.get(name));
        }
    }
    if !page_token.is_empty() {
        pairs.append_pair("page_token", page_token);
    }
    format!("/?{}", pairs.finish())
}

fn hero(text: &str, category: &str, is_first: bool) -> Markup {
    html! {
        @if text.is_empty() && category.is_empty() && is_first {
            section.hero {
                h1 { "Everything for a good day" }
                p.lead { "Well-made things for the house, the desk and the trail, from two warehouses that never lose an order." }
            }
        } @else {
            h1.list-title { (heading(text, category)) }
        }
    }
}

fn categories(chosen: &str, text: &str) -> Markup {
    html! {
        nav.chips aria-label="Categories" {
            a href="/" aria-current=[(chosen.is_empty() && text.is_empty()).then_some("page")] { "All" }
            @for category in CATEGORIES {
                a href={ "/?category=" (category) } aria-current=[(chosen == category).then_some("page")] { (capital(category)) }
            }
        }
    }
}

fn grid(page: &Items, text: &str) -> Markup {
    html! {
        @if page.items.is_empty() {
            div.empty {
                p.lead { @if text.is_empty() { "There is nothing here yet." } @else { "Nothing fits “" (text) "”." } }
                p { a href="/" { "See everything" } }
            }
        } @else {
            ul.grid {
                @for (index, item) in page.items.iter().enumerate() {
                    li.card { (card(item, index)) }
                }
            }
        }
    }
}

fn card(item: &Item, index: usize) -> Markup {
    html! {
        a href={ "/items/" (item.sku) } {
            span.picture { img src=(item.image) alt="" width="400" height="400" loading=[(index >= 8).then_some("lazy")]; }
            span.words {
                span.title { (item.title) }
                span.row { span.price { (item.price) } (layout::stock(item)) }
            }
        }
    }
}

/// `GET /items/{sku}`
pub(super) async fn item(State(app): State<App>, Known(session): Known, Named(sku): Named<Sku>) -> Result<Response, Error> {
    let item = app.shop.item(&sku).await?;
    let frame = Frame::new(&app, session.as_ref(), item.title.clone()).await;
    let most = item.in_stock.min(i64::from(MAX_QUANTITY));
    let body = html! {
        nav.crumbs aria-label="Where you are" {
            a href="/" { "Shop" }
            @if !item.category.is_empty() { a href={ "/?category=" (item.category) } { (capital(&item.category)) } }
        }
        article.item {
            div.picture { img src=(item.image) alt={ "Drawing of " (item.title) } width="400" height="400"; }
            div.facts {
                h1 { (item.title) }
                p.price { (item.price) }
                p { (layout::stock(&item)) }
                p.lead { (item.description) }
                @if most > 0 {
                    form.buy action={ "/cart/lines/" (item.sku) } method="post" {
                        label for="quantity" { "Quantity" }
                        input #quantity type="number" name="quantity" value="1" min="1" max=(most) inputmode="numeric" required;
                        button.button #add-to-cart type="submit" { "Add to cart" }
                    }
                } @else {
                    p.note.warn { "Sold out." }
                }
                dl.small { dt { "SKU" } dd { code { (item.sku) } } dt { "Ships from" } dd.region { (app.region) } }
            }
        }
    };
    Ok(frame.around(&body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_breaks_out_of_a_page(text in "\\PC{0,40}") {
            let shown = grid(&Items { items: Vec::new(), next_page_token: None }, &format!("<script>{text}")).into_string();
            prop_assert!(!shown.contains("<script"));
            prop_assert!(link(&Pairs::default(), &text).is_ascii());
        }
    }
}
