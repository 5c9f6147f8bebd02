//! Claims about the choice of a region and about repeats.

use axum::http::{HeaderName, HeaderValue};
use ids::Region::{Eu, Us};
use proptest::prelude::*;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn choice(region: Region, is_pinned: bool) -> Choice {
    Choice { region, is_pinned }
}

#[test]
fn the_header_pins_the_cookie_wishes_and_eu_is_the_default() {
    assert_eq!(choose(&headers(&[])), Ok(choice(Eu, false)));
    assert_eq!(choose(&headers(&[("cookie", "session=a; region=us")])), Ok(choice(Us, false)));
    assert_eq!(choose(&headers(&[("cookie", "region=mars")])), Ok(choice(Eu, false)));
    assert_eq!(choose(&headers(&[("x-region", "eu"), ("cookie", "region=us")])), Ok(choice(Eu, true)));
    for bad in ["mars", "", "EU", "eu, us"] {
        assert_eq!(choose(&headers(&[("x-region", bad)])), Err(Error::UnknownRegion), "{bad}");
    }
    assert_eq!(choose(&headers(&[("x-region", "eu"), ("x-region", "us")])), Err(Error::UnknownRegion));
}

#[test]
fn an_unpinned_request_goes_where_somebody_is() {
    let eu = |health| move |region| if region == Eu { health } else { Health::Healthy };
    assert_eq!(first(choice(Eu, false), eu(Health::Healthy)), Ok(Eu));
    assert_eq!(first(choice(Eu, false), eu(Health::Unknown)), Ok(Eu));
    assert_eq!(first(choice(Eu, false), eu(Health::Unready)), Ok(Us));
    assert_eq!(first(choice(Eu, false), eu(Health::Down)), Ok(Us));
    assert_eq!(first(choice(Eu, false), |_| Health::Down), Ok(Eu), "somebody must be tried");
    assert_eq!(first(choice(Eu, true), eu(Health::Unready)), Ok(Eu));
    assert_eq!(first(choice(Eu, true), eu(Health::Down)), Err(Error::RegionDown { pinned: Some(Eu) }));
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

#[test]
fn a_pinned_region_that_went_down_is_not_asked_again() {
    assert_eq!(again(choice(Eu, true), Repeat::Anywhere, Eu, Loss::Down), None);
    assert_eq!(again(choice(Eu, false), Repeat::Anywhere, Eu, Loss::Down), Some(Us));
}

#[test]
fn a_client_learns_where_its_write_may_have_been_done() {
    let lost = [(Us, Loss::Broken), (Us, Loss::NotSent)];
    let error = verdict(choice(Eu, false), Repeat::SameRegion, &lost, LIMIT);
    assert_eq!(error, Error::OutcomeUnknown { region: Us, has_key: true });
    assert!(error.to_string().contains("region us") && error.to_string().contains("same Idempotency-Key"), "{error}");
    let lost = [(Eu, Loss::NotSent), (Us, Loss::NotSent)];
    assert_eq!(verdict(choice(Eu, false), Repeat::Never, &lost, LIMIT), Error::RegionDown { pinned: None });
    assert_eq!(verdict(choice(Eu, true), Repeat::Anywhere, &lost[..1], LIMIT), Error::RegionDown { pinned: Some(Eu) });
    let late = verdict(choice(Eu, true), Repeat::Anywhere, &[(Eu, Loss::Late)], LIMIT);
    assert_eq!(late, Error::Timeout { region: Eu, limit: LIMIT });
}

fn region() -> impl Strategy<Value = Region> {
    prop::sample::select(Region::ALL.to_vec())
}

fn health() -> impl Strategy<Value = Health> {
    prop::sample::select(vec![Health::Unknown, Health::Healthy, Health::Unready, Health::Down])
}

fn loss() -> impl Strategy<Value = Loss> {
    prop::sample::select(vec![Loss::NotSent, Loss::Broken, Loss::Down, Loss::Late])
}

fn kind() -> impl Strategy<Value = Repeat> {
    prop::sample::select(vec![Repeat::Anywhere, Repeat::SameRegion, Repeat::Never])
}

proptest! {
    #[test]
    fn a_pin_is_never_left(region in region(), eu in health(), us in health(), repeat in kind(), loss in loss()) {
        let pinned = choice(region, true);
        if let Ok(first) = first(pinned, |region| if region == Eu { eu } else { us }) {
            prop_assert_eq!(first, region);
            prop_assert!(again(pinned, repeat, first, loss).is_none_or(|next| next == region));
        }
    }

    #[test]
    fn a_write_that_may_be_done_never_reaches_the_other_region(
        is_pinned: bool, region in region(), repeat in kind(), loss in loss(),
    ) {
        let next = again(choice(region, is_pinned), repeat, region, loss);
        if repeat != Repeat::Anywhere && loss != Loss::NotSent {
            prop_assert!(next.is_none_or(|next| next == region));
        }
        if repeat == Repeat::Never && loss != Loss::NotSent {
            prop_assert_eq!(next, None);
        }
    }

    #[test]
    fn doubt_about_a_write_is_always_told(
        is_pinned: bool, region in region(), repeat in kind(), lost in prop::collection::vec((region(), loss()), 1..3),
    ) {
        let error = verdict(choice(region, is_pinned), repeat, &lost, LIMIT);
        let is_doubtful = repeat != Repeat::Anywhere && lost.iter().any(|(_, loss)| *loss != Loss::NotSent);
        prop_assert_eq!(matches!(error, Error::OutcomeUnknown { .. }), is_doubtful);
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
