//! Which region has a request first, and what may become of it when its answer is lost. Pure.

use axum::http::{HeaderMap, HeaderName, Method, Uri};
use ids::Region;

use crate::{error::Error, geo, headers::cookie, health::Health, regions::Sight};

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) region: Region,
    /// This region or none.
    pub(crate) is_pinned: bool,
}

/// What becomes of a request that may have been done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It only reads.
    Read,
    /// It sets something in a cart under a key: done in both regions it is done once.
    Anywhere,
    /// It makes or changes an order under a key, which is known where its home is held.
    AtHome,
    /// It could be done twice.
    Never,
}

impl Repeat {
    /// Whether it may be sent again although it may have been done.
    pub(crate) fn is_safe(self) -> bool {
        self != Self::Never
    }
}

/// `X-Region` pins; the cookie `region` is a wish, so that an old one never shuts anybody out; the country in header `geo` is a guess, and
/// so is `nearest`, for all others.
pub(crate) fn choose(headers: &HeaderMap, geo: &HeaderName, nearest: Region) -> Result<Choice, Error> {
    let mut pins = headers.get_all("x-region").into_iter();
    match (pins.next(), pins.next()) {
        (None, _) => {
            let wish = || cookie(headers, "region").and_then(|text| text.parse().ok());
            let guess = || headers.get(geo).and_then(|country| geo::region(country.to_str().ok()?));
            Ok(Choice { region: wish().or_else(guess).unwrap_or(nearest), is_pinned: false })
        }
        (Some(pin), None) => {
            let region = pin.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or(Error::UnknownRegion)?;
            Ok(Choice { region, is_pinned: true })
        }
        _ => Err(Error::UnknownRegion),
    }
}

/// Where the first attempt goes. With both unhealthy the choice is tried still: a wrong opinion causes no outage.
pub(crate) fn first(choice: Choice, sight: &Sight) -> Result<Region, Error> {
    let Choice { region, is_pinned } = choice;
    let (here, there) = (sight.health[region], sight.health[region.peer()]);
    match here {
        Health::Down if is_pinned => Err(Error::RegionDown { pinned: Some(region) }),
        _ if is_pinned => Ok(region),
        // What holds no home reads, and changes carts.
        Health::Down | Health::Unready if there.is_well() => Ok(region.peer()),
        Health::Fenced | Health::Drained if there == Health::Healthy => Ok(region.peer()),
        _ => Ok(region),
    }
}

/// How a request may be repeated.
pub(crate) fn repeat(method: &Method, uri: &Uri, headers: &HeaderMap) -> Repeat {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Repeat::Read;
    }
    let path = uri.path();
    let is_cart = path == "/api/cart" || path.starts_with("/api/cart/");
    match (headers.contains_key("idempotency-key"), is_cart) {
        (true, true) => Repeat::Anywhere,
        (true, false) => Repeat::AtHome,
        _ if form_key(method, uri).is_some() => Repeat::AtHome,
        _ => Repeat::Never,
    }
}

/// The key of a page's form that makes or changes an order, which its address repeats: bodies are not read here.
pub(crate) fn form_key<'a>(method: &Method, uri: &'a Uri) -> Option<&'a str> {
    let is_form = match *uri.path().split('/').collect::<Vec<_>>() {
        ["", "checkout"] => true,
        ["", "orders", _, verb] => ["cancel", "return"].contains(&verb),
        _ => false,
    };
    let key = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="));
    key.filter(|key| *method == Method::POST && is_form && !key.is_empty())
}

/// `?region=` on a page: the region, and the address without it. Never an address of another site.
pub(crate) fn link(method: &Method, uri: &Uri) -> Result<Option<(Region, String)>, Error> {
    let is_page = method == Method::GET && !uri.path().starts_with("/api/");
    let Some(query) = uri.query().filter(|_| is_page) else { return Ok(None) };
    let value = |pair: &str| pair.strip_prefix("region=").map(str::to_owned);
    let Some(asked) = query.split('&').find_map(value) else { return Ok(None) };
    let region = asked.parse().map_err(|_| Error::UnknownRegion)?;
    // Browsers take `//host` and `/\host` for another site.
    let path = uri.path().trim_start_matches(['/', '\\']);
    let kept: Vec<_> = query.split('&').filter(|pair| value(pair).is_none()).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok(Some((region, format!("/{path}{mark}{}", kept.join("&")))))
}

#[cfg(test)]
mod tests;
