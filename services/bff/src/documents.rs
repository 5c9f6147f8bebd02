//! Files of the shop: style, script, and a page for each error reason.

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{error::Error, pages, server::App, session::Known};

const STYLE: &str = include_str!("../static/shop.css");
const SCRIPT: &str = include_str!("../static/shop.js");
const ICON: &str = include_str!("../static/icon.svg");

/// `docs/errors/*.md` by reason.
const ERRORS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/errors.rs"));

/// Changes when a file does, so that browsers may keep a file for ever.
pub(crate) const VERSION: u64 = fingerprint(fingerprint(0xcbf2_9ce4_8422_2325, STYLE.as_bytes()), SCRIPT.as_bytes());

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
pub(crate) const fn fingerprint(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

pub(crate) fn router() -> Router<App> {
    let file = |media_type, text| get(async move || kept(media_type, text));
    Router::new()
        .route("/static/shop.css", file("text/css; charset=utf-8", STYLE))
        .route("/static/shop.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/static/icon.svg", file("image/svg+xml", ICON))
        .route("/errors/{reason}", get(reason))
}

fn kept(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], text).into_response()
}

async fn reason(
    State(app): State<App>,
    Known(session): Known,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Error> {
    let Path(reason) = path.map_err(|_| Error::UnknownPath)?;
    let (reason, text) = ERRORS.iter().find(|(known, _)| *known == reason).ok_or(Error::UnknownPath)?;
    Ok(pages::reason(&app, session.as_ref(), reason, text).await.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_page_that_begins_with_it() {
        assert!(ERRORS.iter().any(|(reason, _)| *reason == "BFF_INVALID_ADDRESS"));
        for (reason, text) in ERRORS.iter().filter(|(reason, _)| *reason != "README") {
            assert!(text.starts_with(&format!("# {reason}\n")), "{reason}");
        }
    }
}
