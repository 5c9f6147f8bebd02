//! The client side of a call.
//!
//! ```text
//! context ── deadline, less a margin ──> bulkhead ──> try ──> breaker ──> balancer ──> connection
//!                                                      ^                                   |
//!                                   pause, budget ─────┴──── failed, and may be repeated <─┘
//! ```

mod answer;
mod target;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    task::{Context as Poller, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body, transport::Endpoint};
use tower::Service;

pub(crate) use self::answer::PUSHBACK;
use self::target::Target;
use crate::{ServiceConfig, service_config::Invalid};

/// A service that is called: where it is, how it is called, and what is known of it. Clones share that.
#[derive(Debug, Clone)]
pub struct Client {
    target: Arc<Target>,
}

impl Client {
    /// A service with these endpoints, called as `config` says. Connections are made when first used, and again when lost.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>, config: ServiceConfig) -> Self {
        Self { target: Arc::new(Target::new(endpoints.into_iter().map(tuned), config)) }
    }

    /// Calls it in another way from now on. One that is refused changes nothing.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn set_config(&self, json: &str) -> Result<(), Invalid> {
        self.target.set_config(ServiceConfig::parse(json)?);
        Ok(())
    }
}

/// A service with one endpoint, called as is usual.
#[must_use]
pub fn channel(endpoint: Endpoint) -> Client {
    Client::new([endpoint], ServiceConfig::default())
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
}

impl Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let target = self.target.clone();
        Box::pin(async move { target.call(request).await })
    }
}
