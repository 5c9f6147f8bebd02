//! The storefronts' HTTP: one request, one answer, or how it was lost.

use std::{io::ErrorKind, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Uri, header, uri::Scheme},
    response::Response,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use ids::Region;

use crate::{
    config::Config,
    journey::Loss,
    proxy::Head,
    regions::Regions,
    upload::{Outgoing, Upload},
};

/// Idle connections end before anything on the way forgets them.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for each region.
const MAX_IDLE: usize = 1024;

/// Connections to both regions' storefronts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Storefronts {
    regions: Regions,
    client: Client<HttpConnector, Outgoing>,
}

impl Storefronts {
    pub(crate) fn new(config: &Config, regions: Regions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_nodelay(true);
        // A request that met an idle connection's end before its first byte was sent goes out again on another: the client's default.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Self { regions, client }
    }

    /// Sends a request to a region. Who gives it up has a lost answer.
    pub(crate) async fn ask(&self, region: Region, head: &Head, upload: &Upload) -> Result<Response, Loss> {
        match self.client.request(self.request(region, head, upload)).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(error) if error.is_connect() => {
                if is_nobody_there(&error) {
                    self.regions.refused(region);
                }
                Err(Loss::NotSent)
            }
            Err(error) => {
                tracing::debug!(edge.region = %region, %error, "connection broke");
                Err(Loss::Broken)
            }
        }
    }

    fn request(&self, region: Region, head: &Head, upload: &Upload) -> Request<Outgoing> {
        let address = self.regions.address(region).shop.clone();
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(address).path_and_query(head.target.clone()).build();
        let mut request = Request::new(upload.outgoing());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri.expect("a checked address and a checked path make a URI");
        *request.headers_mut() = head.headers.clone();
        if !upload.is_kept() && !head.headers.contains_key(header::CONTENT_LENGTH) {
            request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        request
    }
}

/// The other side refused or did not answer; any other fault, such as no file left for a socket, is on this side.
fn is_nobody_there(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::TimedOut | ErrorKind::HostUnreachable
            );
        }
        cause = error.source();
    }
    false
}
