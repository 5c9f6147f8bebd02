//! A service's RPCs with health and reflection.

use axum::Router;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};
use tower::Service;

use crate::reflection::Reflection;

/// Collects a service's RPCs.
pub struct Grpc {
    routes: RoutesBuilder,
    reflection: Reflection,
    reporter: HealthReporter,
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grpc").field(&self.reflection.names).finish()
    }
}

impl Default for Grpc {
    fn default() -> Self {
        let (reporter, health) = health_reporter();
        let mut routes = Routes::builder();
        routes.add_service(health);
        // Of errors too, so that grpcurl can show their details.
        let descriptors = vec![tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET, proto::DESCRIPTORS];
        Self { routes, reflection: Reflection { names: Vec::new(), descriptors }, reporter }
    }
}

impl Grpc {
    /// Adds one gRPC service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = std::convert::Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.reflection.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Lets reflection tell of a contract that is not in `proto/`: a file descriptor set, encoded.
    #[must_use]
    pub fn described_by(mut self, descriptors: &'static [u8]) -> Self {
        self.reflection.descriptors.push(descriptors);
        self
    }

    /// The routes, and a handle that reports health for all of them.
    pub fn finish(self) -> (Router, Health) {
        let health = Health { names: self.reflection.names.clone(), reporter: self.reporter };
        (self.routes.routes().prepare().into_axum_router().merge(self.reflection.routes()), health)
    }
}

/// Reports the health of a process's gRPC services.
#[derive(Debug)]
pub struct Health {
    names: Vec<&'static str>,
    reporter: HealthReporter,
}

impl Health {
    pub(crate) async fn set(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in self.names.iter().copied().chain([""]) {
            self.reporter.set_service_status(name, status).await;
        }
    }
}
