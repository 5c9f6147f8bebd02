//! Settings of the edge.

use std::{fmt, str::FromStr, time::Duration};

use axum::http::{
    HeaderName, Uri,
    uri::{Authority, Scheme},
};
use config::Reader;
use tonic::transport::Endpoint;

/// How far a storefront's admin port is above its own, as `rpc::process` has it.
const ADMIN: u16 = 500;

/// Settings of the edge.
#[derive(Debug)]
pub struct Config {
    /// Storefront of region eu.
    pub eu: Address,
    /// Storefront of region us.
    pub us: Address,
    /// Region service of eu.
    pub region_eu: Endpoint,
    /// Region service of us.
    pub region_us: Endpoint,
    /// Header in which what stands before the edge says the client's country, as ISO 3166-1 alpha-2.
    pub geo_header: HeaderName,
    /// Time between two questions to a region service.
    pub lease_interval: Duration,
    /// Time between two probes of a region.
    pub probe_interval: Duration,
    /// A probe that takes longer has failed.
    pub probe_timeout: Duration,
    /// Most time for a connection to a storefront.
    pub connect_timeout: Duration,
    /// Most time until the head of an answer, repeats and waits for a takeover included.
    pub response_timeout: Duration,
    /// Most time of one attempt that may be followed by another.
    pub attempt_timeout: Duration,
    /// Most bytes of a request's body.
    pub max_body: Size,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            eu: reader.parsed("BFF_EU_ADDR", "http://127.0.0.1:21080"),
            us: reader.parsed("BFF_US_ADDR", "http://127.0.0.1:22080"),
            region_eu: reader.parsed("REGION_EU_ADDR", "http://127.0.0.1:21107"),
            region_us: reader.parsed("REGION_US_ADDR", "http://127.0.0.1:22107"),
            // That of CloudFront. Cloudflare says cf-ipcountry.
            geo_header: reader.parsed("GEO_HEADER", "cloudfront-viewer-country"),
            // A takeover is known half a second after it.
            lease_interval: reader.duration("LEASE_INTERVAL", "500ms"),
            // Two failed probes make a region unhealthy: about a second after it stops.
            probe_interval: reader.duration("PROBE_INTERVAL", "500ms"),
            probe_timeout: reader.duration("PROBE_TIMEOUT", "1s"),
            connect_timeout: reader.duration("CONNECT_TIMEOUT", "1s"),
            // Longer than a takeover: a lease of 3 s runs out, and the other region applies what it has.
            response_timeout: reader.duration("RESPONSE_TIMEOUT", "30s"),
            // Longer than any call behind, which is cut off after 5 s.
            attempt_timeout: reader.duration("ATTEMPT_TIMEOUT", "10s"),
            // Many times what the storefront takes.
            max_body: reader.parsed("MAX_BODY", "1MiB"),
        }
    }
}

/// Where a storefront answers: `http://host:port`. Its health is at the port 500 above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) shop: Authority,
    pub(crate) admin: Authority,
}

/// Not the address of a storefront.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port with a port from 1 to {}", u16::MAX - ADMIN)]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidAddress)?;
        let is_base = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/" && uri.query().is_none();
        let shop = uri.authority().filter(|authority| is_base && !authority.as_str().contains('@')).ok_or(InvalidAddress)?;
        let port = shop.port_u16().filter(|&port| port > 0).and_then(|port| port.checked_add(ADMIN)).ok_or(InvalidAddress)?;
        let admin = format!("{}:{port}", shop.host()).parse().map_err(|_| InvalidAddress)?;
        Ok(Self { shop: shop.clone(), admin })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.shop)
    }
}

/// A number of bytes: `512B`, `64KiB` or `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

/// Not a number of bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of bytes such as 512B, 64KiB or 1MiB")]
pub struct InvalidSize;

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1)];
        let (number, unit) = units.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes))).ok_or(InvalidSize)?;
        let number: usize = number.trim_end().parse().map_err(|_| InvalidSize)?;
        number.checked_mul(unit).map(Self).ok_or(InvalidSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Source;

    #[test]
    fn the_defaults_can_be_used_and_admin_is_500_above() {
        let mut reader = Reader::new(Source::default());
        let config = Config::read(&mut reader);
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!((config.eu.shop.as_str(), config.eu.admin.as_str()), ("127.0.0.1:21080", "127.0.0.1:21580"));
        assert_eq!(config.region_us.uri(), "http://127.0.0.1:22107/");
        assert_eq!((config.us.to_string().as_str(), config.max_body), ("http://127.0.0.1:22080", Size(1_048_576)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let bad =
            ["", "127.0.0.1:1", "https://a:1", "http://a", "http://a:0", "http://a:65036", "http://a:1/x", "http://u@a:1", "http://a:1/?q"];
        for text in bad {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text}");
        }
        assert_eq!("http://[::1]:80".parse::<Address>().unwrap().admin.as_str(), "[::1]:580");
    }

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!("64KiB".parse(), Ok(Size(65_536)));
        assert_eq!("10 B".parse(), Ok(Size(10)));
        for text in ["", "1", "MiB", "-1B", "1GB", "99999999999999999999MiB", "18446744073709551615KiB"] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize), "{text}");
        }
    }
}
