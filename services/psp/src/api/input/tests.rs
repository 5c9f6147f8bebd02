//! No input panics, and what is taken is sound.

use axum::http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn sound() -> Value {
    json!({ "order_id": "o1", "amount_minor": 1200, "currency": "EUR", "payment_token": "tok_visa", "webhook_url": "http://127.0.0.1:1/hook" })
}

fn asked(body: &Value) -> Result<Request, Error> {
    charge("k".to_owned(), body.to_string().as_bytes())
}

#[test]
fn a_sound_body_is_taken_whole() {
    let request = asked(&sound()).unwrap();
    assert_eq!((request.order_id.as_str(), request.amount_minor, request.currency.as_str()), ("o1", 1200, "EUR"));
    assert_eq!((request.token, request.webhook_url.as_deref()), (Token::Visa, Some("http://127.0.0.1:1/hook")));
}

#[test]
fn fields_out_of_range_are_refused() {
    for (field, bad) in [
        ("order_id", json!("")),
        ("order_id", json!("x".repeat(65))),
        ("order_id", json!(7)),
        ("amount_minor", json!(0)),
        ("amount_minor", json!(-1)),
        ("amount_minor", json!(1.5)),
        ("amount_minor", json!(1e300)),
        ("amount_minor", json!("12")),
        ("amount_minor", json!(u64::MAX)),
        ("currency", json!("eur")),
        ("currency", json!("EURO")),
        ("currency", json!("ÄÖ")),
        ("payment_token", json!(null)),
        ("account", json!("")),
        ("account", json!("EU")),
        ("account", json!("x".repeat(33))),
        ("more", json!(1)),
    ] {
        let mut body = sound();
        body[field] = bad.clone();
        assert_eq!(asked(&body).unwrap_err().reason(), "PSP_INVALID_REQUEST", "{field} {bad}");
    }
    let mut body = sound();
    body["order_id"] = json!("ß".repeat(64));
    assert!(asked(&body).is_ok(), "characters count, not bytes");
    body["payment_token"] = json!("tok_gold");
    assert_eq!(asked(&body).unwrap_err().reason(), "PSP_UNKNOWN_TOKEN");
}

#[test]
fn webhooks_go_to_this_machine_only() {
    for good in ["http://127.0.0.1:21103/webhooks", "http://localhost:1", "http://[::1]:9/a?b=c", "http://127.9.9.9/"] {
        assert!(is_near(good), "{good}");
    }
    let long = format!("http://127.0.0.1/{}", "x".repeat(MAX_URL));
    for bad in [
        "",
        "/webhooks",
        "127.0.0.1:80",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://[::ffff:10.0.0.1]/",
        "http://127.0.0.1@example.com/",
        "http://user@127.0.0.1/",
        "file:///etc/passwd",
        long.as_str(),
    ] {
        assert!(!is_near(bad), "{bad}");
    }
}

#[test]
fn a_key_is_one_header_of_visible_ascii() {
    let headers = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("idempotency-key", HeaderValue::from_bytes(value).unwrap());
        }
        headers
    };
    let longest = [b'k'; MAX_KEY];
    assert_eq!(key(&headers(&[b"o1/authorize"])).unwrap(), "o1/authorize");
    assert_eq!(key(&headers(&[&longest])).unwrap().len(), MAX_KEY);
    let too_long = [b'k'; MAX_KEY + 1];
    for bad in [&[][..], &[b"" as &[u8]], &[b"a b"], &[b"a", b"a"], &["ä".as_bytes()], &[&too_long], &[b"a\tb"]] {
        assert!(matches!(key(&headers(bad)), Err(Error::Key)), "{bad:?}");
    }
}

#[test]
fn a_refund_names_an_amount_or_takes_the_rest() {
    let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    assert_eq!(refund(&HeaderMap::new(), b"").unwrap(), None);
    assert_eq!(refund(&json, b"{}").unwrap(), None);
    assert_eq!(refund(&json, br#"{"amount_minor": 5}"#).unwrap(), Some(5));
    assert_eq!(refund(&HeaderMap::new(), b"{}").unwrap_err().reason(), "PSP_CONTENT_TYPE");
    for bad in [r#"{"amount_minor": 0}"#, r#"{"amount_minor": -5}"#, r#"{"amount_minor": 0.5}"#, r#"{"amount": 5}"#, "5", "["] {
        assert_eq!(refund(&json, bad.as_bytes()).unwrap_err().reason(), "PSP_INVALID_REQUEST", "{bad}");
    }
}

#[test]
fn movements_are_wanted_by_account_and_time() {
    let wanted = |account: Option<&str>, from, to, limit, after| Movements {
        period: Period { account: account.map(str::to_owned), from, to },
        limit,
        after,
    };
    assert_eq!(movements("").unwrap(), wanted(None, 0, i64::MAX, 100, None));
    let query = "account=eu&from=1000&to=2000&page_size=7&page_token=1500-3";
    assert_eq!(movements(query).unwrap(), wanted(Some("eu"), 1000, 2000, 7, Some((1500, 3))));
    for bad in ["from=x", "to=1.5", "page_token=5", "page_token=5-", "page_token=5-6-7", "page_size=0", "day=1", "from=1&from=2"] {
        assert_eq!(movements(bad).unwrap_err().reason(), "PSP_INVALID_REQUEST", "{bad}");
    }
}

#[test]
fn queries_name_a_key_an_order_or_a_page() {
    let page = |order_id: Option<&str>, limit, after: Option<&str>| Wanted::Page {
        order_id: order_id.map(str::to_owned),
        limit,
        after: after.map(str::to_owned),
    };
    let id = "ch_0193a0b000007000800000000000000a";
    assert_eq!(wanted("").unwrap(), page(None, 100, None));
    assert_eq!(wanted("order_id=a%2Fb").unwrap(), page(Some("a/b"), 100, None));
    assert_eq!(wanted(&format!("page_size=1000&page_token={id}")).unwrap(), page(None, 1000, Some(id)));
    assert_eq!(wanted("idempotency_key=o1/authorize").unwrap(), Wanted::Key("o1/authorize".to_owned()));
    for bad in [
        "page_size=0",
        "page_size=1001",
        "page_size=",
        "page_size=-1",
        "page_size=99999999999999999999999",
        "page_token=",
        "page_token=ch_1",
        "order=1",
        "order_id=1&order_id=2",
        "order_id=1&idempotency_key=2",
        "idempotency_key=2&page_size=1",
    ] {
        assert_eq!(wanted(bad).unwrap_err().reason(), "PSP_INVALID_REQUEST", "{bad}");
    }
}

/// JSON that has the right fields with values of any kind.
fn nearly_sound() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        prop::sample::select(vec!["EUR", "tok_3ds", "http://[::1]", "http://localhost:99999"]).prop_map(Value::from),
        Just(Value::Null),
    ];
    let field = prop::sample::select(vec!["order_id", "amount_minor", "currency", "payment_token", "webhook_url", "other"]);
    prop::collection::vec((field, value), 0..5).prop_map(|changes| {
        let mut body = sound();
        changes.into_iter().for_each(|(field, value)| body[field] = value);
        body
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text in "\\PC{0,120}", body in nearly_sound()) {
        let _ = (charge(text.clone(), &bytes), charge(text.clone(), text.as_bytes()), is_near(&text), is_near(&format!("http://{text}")));
        let _ = (movements(&text), refund(&HeaderMap::new(), &bytes));
        let _ = (wanted(&text), wanted(&String::from_utf8_lossy(&bytes)), page_token_of(text));
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let _ = key(&HeaderMap::from_iter([(axum::http::HeaderName::from_static("idempotency-key"), value)]));
        }
        if let Ok(request) = asked(&body) {
            prop_assert!(request.amount_minor > 0 && !request.order_id.is_empty());
            prop_assert!(request.webhook_url.as_deref().is_none_or(|url| url.starts_with("http://") || Url::parse(url).is_ok()));
        }
    }

    #[test]
    fn a_page_is_never_larger_than_allowed(size in "[0-9]{0,24}", order in "\\PC{0,80}") {
        let order: String = form_urlencoded::byte_serialize(order.as_bytes()).collect();
        if let Ok(Wanted::Page { limit, .. }) = wanted(&format!("page_size={size}&order_id={order}")) {
            prop_assert!((1..=MAX_PAGE).contains(&limit));
        }
    }
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limit() {
    assert_eq!(read(Body::from(vec![b'x'; MAX_BODY])).await.unwrap().len(), MAX_BODY);
    assert_eq!(read(Body::empty()).await.unwrap(), b"");
    for size in [MAX_BODY + 1, 64 * MAX_BODY] {
        assert!(matches!(read(Body::from(vec![b'x'; size])).await, Err(Error::BodyTooLarge { limit: MAX_BODY })));
    }
}
