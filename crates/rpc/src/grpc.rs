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

/// Collects a service's RPCs.
pub struct Grpc {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    descriptors: Vec<&'static [u8]>,
    reporter: HealthReporter,
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grpc").field(&self.names).finish()
    }
}

impl Default for Grpc {
    fn default() -> Self {
        let (reporter, health) = health_reporter();
        let mut routes = Routes::builder();
        routes.add_service(health);
        Self { routes, names: Vec::new(), descriptors: vec![proto::DESCRIPTORS], reporter }
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
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Lets reflection tell of a contract that is not in `proto/`: a file descriptor set, encoded.
    #[must_use]
    pub fn described_by(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors.push(descriptors);
        self
    }

    /// The routes, and a handle that reports health for all of them.
    ///
    /// # Errors
    /// When the descriptors cannot be read, which is a fault of the build.
    pub fn finish(mut self) -> Result<(Router, Health), tonic_reflection::server::Error> {
        // grpcurl and older clients still speak v1alpha.
        self.routes.add_service(self.reflection().build_v1()?);
        self.routes.add_service(self.reflection().build_v1alpha()?);
        let health = Health { names: self.names, reporter: self.reporter };
        Ok((self.routes.routes().prepare().into_axum_router(), health))
    }

    /// Lists what this process serves and nothing else of the contract.
    fn reflection(&self) -> tonic_reflection::server::Builder<'static> {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        let described = self.descriptors.iter();
        let builder = described.fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set));
        let always = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
        self.names.iter().copied().chain(always).fold(builder, tonic_reflection::server::Builder::with_service_name)
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
