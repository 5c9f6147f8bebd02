//! Claims about the choice of a region, and about what may be repeated.

use axum::http::HeaderValue;
use ids::Region::{Eu, Us};
use proptest::prelude::*;

use super::*;
use crate::both::Both;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn chosen(pairs: &[(&str, &str)], nearest: Region) -> Result<Choice, Error> {
    choose(&headers(pairs), &HeaderName::from_static("cf-ipcountry"), nearest)
}

fn choice(region: Region, is_pinned: bool) -> Choice {
    Choice { region, is_pinned }
}

#[test]
fn the_header_pins_the_cookie_wishes_and_the_nearest_is_the_default() {
    for nearest in Region::ALL {
        assert_eq!(chosen(&[], nearest), Ok(choice(nearest, false)));
        assert_eq!(chosen(&[("cookie", "session=a; region=us")], nearest), Ok(choice(Us, false)));
        assert_eq!(chosen(&[("cookie", "region=mars")], nearest), Ok(choice(nearest, false)));
        assert_eq!(chosen(&[("x-region", "eu"), ("cookie", "region=us"), ("cf-ipcountry", "US")], nearest), Ok(choice(Eu, true)));
        for bad in ["mars", "", "EU", "eu, us"] {
            assert_eq!(chosen(&[("x-region", bad)], nearest), Err(Error::UnknownRegion), "{bad}");
        }
        assert_eq!(chosen(&[("x-region", "eu"), ("x-region", "us")], nearest), Err(Error::UnknownRegion));
    }
}

#[test]
fn the_country_counts_for_those_who_wish_nothing() {
    assert_eq!(chosen(&[("cf-ipcountry", "BR")], Eu), Ok(choice(Us, false)));
    assert_eq!(chosen(&[("cf-ipcountry", "FR")], Us), Ok(choice(Eu, false)));
    assert_eq!(chosen(&[("cf-ipcountry", "BR"), ("cookie", "region=eu")], Us), Ok(choice(Eu, false)));
    assert_eq!(chosen(&[("cf-ipcountry", "XX")], Us), Ok(choice(Us, false)), "no country");
    assert_eq!(chosen(&[("x-country", "BR")], Eu), Ok(choice(Eu, false)), "another header");
}

fn sight(eu: Health, us: Health) -> Sight {
    Sight { health: Both { eu, us }, holder: Both::default(), nearest: Eu }
}

#[test]
fn an_unpinned_request_goes_where_somebody_is() {
    use Health::{Down, Drained, Fenced, Healthy, Unknown, Unready};
    let cases = [
        (Healthy, Healthy, Eu),
        (Unknown, Healthy, Eu),
        (Unready, Healthy, Us),
        (Down, Healthy, Us),
        (Fenced, Healthy, Us),
        (Drained, Healthy, Us),
        (Down, Fenced, Us),
        (Down, Drained, Us),
        (Fenced, Unready, Eu),
        (Drained, Drained, Eu),
        (Unready, Unready, Eu),
        // Somebody must be tried.
        (Down, Down, Eu),
    ];
    for (eu, us, expected) in cases {
        assert_eq!(first(choice(Eu, false), &sight(eu, us)), Ok(expected), "{eu:?} {us:?}");
    }
    for eu in [Healthy, Unknown, Unready, Fenced, Drained] {
        assert_eq!(first(choice(Eu, true), &sight(eu, Healthy)), Ok(Eu), "{eu:?}");
    }
    assert_eq!(first(choice(Eu, true), &sight(Down, Healthy)), Err(Error::RegionDown { pinned: Some(Eu) }));
}

#[test]
fn what_may_be_repeated_depends_on_what_it_does_and_on_its_key() {
    let of = |method: Method, uri: &'static str, key: bool| {
        let headers = if key { headers(&[("idempotency-key", "k")]) } else { HeaderMap::new() };
        repeat(&method, &Uri::from_static(uri), &headers)
    };
    assert_eq!(of(Method::GET, "/api/orders/1", true), Repeat::Read);
    assert_eq!(of(Method::PUT, "/api/cart/lines/A", true), Repeat::Anywhere);
    assert_eq!(of(Method::DELETE, "/api/cart/lines/A", true), Repeat::Anywhere);
    assert_eq!(of(Method::PUT, "/api/cart/lines/A", false), Repeat::Never);
    assert_eq!(of(Method::POST, "/api/cartoon", true), Repeat::AtHome);
    assert_eq!(of(Method::POST, "/api/orders", true), Repeat::AtHome);
    assert_eq!(of(Method::POST, "/api/orders/1/cancel", true), Repeat::AtHome);
    assert_eq!(of(Method::POST, "/api/orders?key=k", false), Repeat::Never, "a program says it in the header");
    for form in ["/checkout?key=k", "/orders/1/cancel?a=b&key=k", "/orders/1/return?key=k"] {
        assert_eq!(of(Method::POST, form, false), Repeat::AtHome, "{form}");
    }
    for form in ["/checkout", "/checkout?key=", "/checkout?monkey=k", "/cart/lines/A?key=k", "/sign-in?key=k", "/orders/1/x?key=k"] {
        assert_eq!(of(Method::POST, form, false), Repeat::Never, "{form}");
    }
}

#[test]
fn a_link_chooses_a_region_and_keeps_the_rest_of_the_address() {
    let link = |uri: &str| link(&Method::GET, &uri.parse().unwrap());
    assert_eq!(link("/?region=us"), Ok(Some((Us, "/".to_owned()))));
    assert_eq!(link("/items/A?q=a%20b&region=eu&page=2&region=us"), Ok(Some((Eu, "/items/A?q=a%20b&page=2".to_owned()))));
    assert_eq!(link("/?region=mars"), Err(Error::UnknownRegion));
    assert_eq!(link("/?region="), Err(Error::UnknownRegion));
    assert_eq!(link("/?my_region=us"), Ok(None));
    assert_eq!(link("/api/items?region=mars"), Ok(None));
    assert_eq!(link("//evil.test/?region=us"), Ok(Some((Us, "/evil.test/".to_owned()))));
    assert_eq!(link("/\\evil.test?region=us"), Ok(Some((Us, "/evil.test".to_owned()))));
    assert_eq!(super::link(&Method::POST, &"/cart?region=us".parse().unwrap()), Ok(None));
}

fn region() -> impl Strategy<Value = Region> {
    prop::sample::select(Region::ALL.to_vec())
}

fn health() -> impl Strategy<Value = Health> {
    use Health::{Down, Drained, Fenced, Healthy, Unknown, Unready};
    prop::sample::select(vec![Unknown, Healthy, Fenced, Drained, Unready, Down])
}

proptest! {
    #[test]
    fn a_new_shopper_is_never_sent_past_a_healthy_region(region in region(), eu in health(), us in health()) {
        let sight = sight(eu, us);
        let first = first(choice(region, false), &sight).unwrap();
        let is_elsewhere_better = sight.health[first] != Health::Unknown && sight.health[first.peer()] == Health::Healthy;
        prop_assert!(sight.health[first] == Health::Healthy || !is_elsewhere_better);
    }

    #[test]
    fn without_a_key_nothing_but_a_read_is_repeated(path in "/[a-z/]{0,20}", query in "[a-z=&]{0,12}") {
        let uri: Uri = format!("{path}?{query}").parse().unwrap();
        if !query.split('&').any(|pair| pair.starts_with("key=")) {
            prop_assert_eq!(repeat(&Method::POST, &uri, &HeaderMap::new()), Repeat::Never);
        }
    }

    #[test]
    fn a_link_never_leads_to_another_site(path in "[/\\\\a-z.:@]{0,12}", rest in "[a-z=&]{0,12}") {
        if let Ok(uri) = format!("/{path}?region=us&{rest}").parse::<Uri>()
            && let Ok(Some((_, location))) = link(&Method::GET, &uri)
        {
            prop_assert!(location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\"), "{}", location);
        }
    }
}
