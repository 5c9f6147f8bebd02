//! The client side of a call.

use std::time::Duration;

use tonic::{
    Request, Status,
    metadata::MetadataMap,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// A connection to one service.
pub type Client = InterceptedService<Channel, Carry>;

/// Writes the current trace into every request.
#[derive(Debug, Clone, Copy)]
pub struct Carry;

impl Interceptor for Carry {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        telemetry::to_headers(&mut headers);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

/// A connection to `endpoint`, made when first used and made again when lost. A call fails after 5 s at the latest.
#[must_use]
pub fn channel(endpoint: Endpoint) -> Client {
    let channel = endpoint
        .connect_timeout(Duration::from_secs(1))
        .timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .connect_lazy();
    InterceptedService::new(channel, Carry)
}
