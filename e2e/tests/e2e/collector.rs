//! Takes the market's traces, as a collector would: OTLP over gRPC.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::ResourceSpans,
};
use tonic::{Request, Response, Status, transport::Server};

/// Which services had a part in which trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    traces: Arc<Mutex<HashMap<Vec<u8>, BTreeSet<String>>>>,
}

impl Collector {
    /// Listens on `port` until the program ends.
    pub(crate) fn listen(&self, port: u16) {
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        let serving = server.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        tokio::spawn(async move { serving.await.expect("the collector listens") });
    }

    /// The services that sent spans of this trace.
    pub(crate) fn services(&self, trace_id: &uuid::Uuid) -> BTreeSet<String> {
        let traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.get(trace_id.as_bytes().as_slice()).cloned().unwrap_or_default()
    }

    fn take(&self, spans: ResourceSpans) {
        let attributes = spans.resource.map(|resource| resource.attributes).unwrap_or_default();
        let name = attributes.into_iter().find(|attribute| attribute.key == "service.name").and_then(|attribute| attribute.value?.value);
        let Some(Value::StringValue(name)) = name else { return };
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            traces.entry(span.trace_id).or_default().insert(name.clone());
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        request.into_inner().resource_spans.into_iter().for_each(|spans| self.take(spans));
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}
