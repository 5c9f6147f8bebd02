//! Errors on the wire: problem documents (RFC 9457) for programs, a page in plain words for people.

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};
use rpc::Problem;

use crate::{error::Error, headers::X_SERVED_BY};

/// Self-contained, because nobody else may be there to ask for a file.
const STYLE: &str = "body{margin:0;padding:12vh 20px;background:#faf7f2;color:#22262a;font:17px/1.55 system-ui,sans-serif;text-align:center}\
    h1{font:600 2.2rem/1.2 Georgia,serif;margin:0 0 .4em}p{max-width:34em;margin:0 auto 1em}.quiet{color:#666b6f;font-size:.9rem}\
    a{color:#1f5c4d}@media(prefers-color-scheme:dark){body{background:#15181a;color:#ece8e1}.quiet{color:#a3a7aa}a{color:#7fcdb3}}";
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who asks, and what for.
#[derive(Debug)]
pub(crate) struct Asker {
    path: String,
    wants_page: bool,
}

impl Asker {
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.uri().path().to_owned();
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { wants_page: accept.contains("text/html") && !path.starts_with("/api/"), path }
    }
}

/// The answer that tells `asker` of `error`.
pub(crate) fn response(error: &Error, asker: &Asker) -> Response {
    if error.status() >= 500 {
        tracing::warn!(reason = error.reason(), error = %error, "request failed");
    }
    let mut response =
        if asker.wants_page { ([(header::CONTENT_SECURITY_POLICY, POLICY)], page(error)).into_response() } else { document(error, asker) };
    *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if error.kind().is_retryable() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Some(region) = error.had_by() {
        headers.insert(X_SERVED_BY, HeaderValue::from_static(region.as_str()));
    }
    response
}

fn document(error: &Error, asker: &Asker) -> Response {
    let problem = Problem::new(error.status(), error.reason(), error.to_string()).retryable(error.kind().is_retryable());
    Problem { instance: asker.path.clone(), ..problem }.into_response()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn page(error: &Error) -> Markup {
    let (heading, advice) = match error {
        Error::RegionDown { pinned: None } => ("The shop is away", "It will be back in a moment. Your cart is kept. Please try again."),
        Error::RegionDown { pinned: Some(_) } => ("This region is away", "The shop in the other region may be open."),
        Error::Timeout { .. } => ("This takes too long", "The shop did not answer. Please try again."),
        Error::OutcomeUnknown { .. } => {
            ("The answer was lost", "What you sent may have been done. Please look at your cart and your orders before you send it again.")
        }
        Error::UnknownRegion => ("No such region", "The shop is in two regions: eu and us."),
        Error::BodyTooLarge { .. } => ("Too much at once", "The shop takes less than that."),
        Error::Invalid(_) => ("That cannot be read", "The shop does not understand what your browser sent."),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (heading) " · Backbone Market" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (heading) }
                    p { (advice) }
                    p { a href="/" { "Back to the shop" } }
                    p.quiet { (capital(&error.to_string())) "." }
                    p.quiet { "Reason: " a href={ "/errors/" (error.reason()) } { (error.reason()) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;
    use axum::body::Body;
    use ids::Region;

    fn asker(path: &str, accept: &str) -> Asker {
        Asker::of(&Request::get(path).header("accept", accept).body(Body::empty()).unwrap())
    }

    fn all() -> [Error; 8] {
        let region = Region::Us;
        [
            Error::UnknownRegion,
            Error::Invalid("its address is too long"),
            Error::BodyTooLarge { limit: 1 },
            Error::RegionDown { pinned: None },
            Error::RegionDown { pinned: Some(region) },
            Error::OutcomeUnknown { region, has_key: true },
            Error::OutcomeUnknown { region, has_key: false },
            Error::Timeout { region, limit: Duration::from_secs(30) },
        ]
    }

    #[test]
    fn every_problem_has_a_page_of_its_reason_with_its_status() {
        for error in all() {
            let file = Path::new("../../docs/errors").join(format!("{}.md", error.reason()));
            let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            assert!(text.starts_with(&format!("# {}\n", error.reason())), "{text}");
            assert!(text.contains(&format!("Kind: {:?}. HTTP status: {}.", error.kind(), error.status())), "{text}");
        }
    }

    #[test]
    fn programs_get_documents_and_people_get_pages() {
        for error in all() {
            let document = response(&error, &asker("/", "*/*"));
            assert_eq!(document.headers()["content-type"], "application/problem+json");
            assert_eq!(document.status(), error.status());
            assert_eq!(document.headers().contains_key("retry-after"), error.status() >= 500);
        }
        let error = Error::RegionDown { pinned: None };
        assert_eq!(response(&error, &asker("/items/A", "text/html,*/*")).headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response(&error, &asker("/api/items", "text/html")).headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn the_region_that_had_a_lost_write_is_named() {
        let lost = response(&Error::OutcomeUnknown { region: Region::Us, has_key: true }, &asker("/api/orders", ""));
        assert_eq!(lost.headers()[X_SERVED_BY], "us");
        let down = response(&Error::RegionDown { pinned: Some(Region::Us) }, &asker("/", ""));
        assert!(!down.headers().contains_key(X_SERVED_BY), "nobody served that");
    }
}
