//! Reflection, unpacked when it is first asked for: the whole contract, twice, takes more memory than many a service, and few are asked.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::Request,
    response::IntoResponse,
    routing::{MethodRouter, any},
};
use tonic_reflection::server::Builder;
use tower::{Service, ServiceExt as _};

/// What a process tells of itself.
#[derive(Clone, Default)]
pub(crate) struct Reflection {
    /// The gRPC services that it lists.
    pub(crate) names: Vec<&'static str>,
    /// File descriptor sets, encoded.
    pub(crate) descriptors: Vec<&'static [u8]>,
}

impl Reflection {
    /// The routes of both versions: grpcurl and older clients still speak v1alpha.
    pub(crate) fn routes(self) -> Router {
        let alpha = self.clone();
        Router::new()
            .route(
                "/grpc.reflection.v1.ServerReflection/{*method}",
                lazily(move || self.builder().build_v1().expect("descriptors come from the build")),
            )
            .route(
                "/grpc.reflection.v1alpha.ServerReflection/{*method}",
                lazily(move || alpha.builder().build_v1alpha().expect("descriptors come from the build")),
            )
    }

    /// Lists what this process serves and nothing else of the contract.
    fn builder(&self) -> Builder<'static> {
        let builder = self.descriptors.iter().fold(Builder::configure(), |builder, set| builder.register_encoded_file_descriptor_set(set));
        let always = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
        self.names.iter().copied().chain(always).fold(builder, Builder::with_service_name)
    }
}

fn lazily<S>(build: impl Fn() -> S + Clone + Send + Sync + 'static) -> MethodRouter
where
    S: Service<Request, Response: IntoResponse, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let built: Arc<OnceLock<S>> = Arc::default();
    any(move |request: Request| built.get_or_init(&build).clone().oneshot(request))
}
