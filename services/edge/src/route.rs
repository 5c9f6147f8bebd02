//! Which region has a request first, and where it may be sent once more. Pure.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri};
use ids::Region;

use crate::{error::Error, headers::cookie, regions::Health};

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
    Anywhere,
    /// It has an idempotency key, which only its region knows.
    SameRegion,
    /// It could be done twice.
    Never,
}

/// How an attempt ended without the head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// There was no connection: nothing was done.
    NotSent,
    /// The connection broke.
    Broken,
    /// The region was found down meanwhile. Only reads are given up for that.
    Down,
    /// The time was up.
    Late,
}

/// `X-Region` pins; the cookie `region` is a wish, so that an old one never shuts anybody out.
pub(crate) fn choose(headers: &HeaderMap) -> Result<Choice, Error> {
    let mut pins = headers.get_all("x-region").into_iter();
    match (pins.next(), pins.next()) {
        (None, _) => {
            let wish = cookie(headers, "region").and_then(|text| text.parse().ok());
            Ok(Choice { region: wish.unwrap_or(Region::Eu), is_pinned: false })
        }
        (Some(pin), None) => {
            let region = pin.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or(Error::UnknownRegion)?;
            Ok(Choice { region, is_pinned: true })
        }
        _ => Err(Error::UnknownRegion),
    }
}

/// Where the first attempt goes. With both unhealthy the choice is tried still: a wrong opinion causes no outage.
pub(crate) fn first(choice: Choice, health: impl Fn(Region) -> Health) -> Result<Region, Error> {
    let Choice { region, is_pinned } = choice;
    match health(region) {
        Health::Down if is_pinned => Err(Error::RegionDown { pinned: Some(region) }),
        Health::Down | Health::Unready if !is_pinned && health(region.peer()) == Health::Healthy => Ok(region.peer()),
        _ => Ok(region),
    }
}

/// How a request may be repeated.
pub(crate) fn repeat(method: &Method, headers: &HeaderMap) -> Repeat {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        Repeat::Anywhere
    } else if headers.contains_key("idempotency-key") {
        Repeat::SameRegion
    } else {
        Repeat::Never
    }
}

/// Where the one repeat goes after an attempt at `tried` was lost, if it is safe.
pub(crate) fn again(choice: Choice, repeat: Repeat, tried: Region, loss: Loss) -> Option<Region> {
    let elsewhere = if choice.is_pinned { tried } else { tried.peer() };
    match (loss, repeat) {
        (Loss::NotSent, _) | (Loss::Broken, Repeat::Anywhere) => Some(elsewhere),
        (Loss::Broken, Repeat::SameRegion) => Some(tried),
        (Loss::Down, Repeat::Anywhere) => (!choice.is_pinned).then_some(elsewhere),
        _ => None,
    }
}

/// What the client is told when all attempts were lost; `limit` is the time that they had.
pub(crate) fn verdict(choice: Choice, repeat: Repeat, lost: &[(Region, Loss)], limit: Duration) -> Error {
    let doubtful = lost.iter().find(|(_, loss)| *loss != Loss::NotSent);
    let late = lost.iter().find(|(_, loss)| *loss == Loss::Late);
    match (repeat, doubtful, late) {
        (Repeat::SameRegion | Repeat::Never, Some(&(region, _)), _) => {
            Error::OutcomeUnknown { region, has_key: repeat == Repeat::SameRegion }
        }
        (_, _, Some(&(region, _))) => Error::Timeout { region, limit },
        _ => Error::RegionDown { pinned: choice.is_pinned.then_some(choice.region) },
    }
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
