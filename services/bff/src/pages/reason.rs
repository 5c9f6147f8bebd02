//! The page about an error reason.

use ids::SessionId;
use maud::{Markup, html};

use super::Frame;
use crate::server::App;

/// `GET /errors/{reason}`: `docs/errors/<reason>.md` with headings, paragraphs, lists and code.
pub(crate) async fn page(app: &App, session: Option<&SessionId>, reason: &str, text: &str) -> Markup {
    let frame = Frame::new(app, session, reason).await;
    frame.around(&html! { article.prose { (markdown(text)) } })
}

fn markdown(text: &str) -> Markup {
    html! {
        @for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            @if let Some(title) = block.strip_prefix("# ") {
                h1 { (title) }
            } @else if let Some(title) = block.strip_prefix("## ") {
                h2 { (title) }
            } @else if block.starts_with("- ") {
                ul { @for item in block.lines() { li { (line(item.trim_start_matches("- "))) } } }
            } @else {
                p { (line(block)) }
            }
        }
    }
}

/// Every second piece between backticks is code.
fn line(text: &str) -> Markup {
    html! {
        @for (index, piece) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_readable_and_escaped() {
        let shown = markdown("# A\n\nUse `x < y` now.\n\n- one\n- `two`\n").into_string();
        assert_eq!(shown, "<h1>A</h1><p>Use <code>x &lt; y</code> now.</p><ul><li>one</li><li><code>two</code></li></ul>");
    }
}
