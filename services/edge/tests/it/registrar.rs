//! A region service's stand-in: real gRPC, and holders that the test chooses.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, routing::post};
use proto::{
    market::v1::Region as Home,
    region::v1::{GetRegionRequest, GetRegionResponse},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::Status;
use tonic_prost::ProstCodec;

/// Who holds the home of eu and that of us, and since which epoch.
type Holders = [(&'static str, u64); 2];

/// A running region service; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Registrar {
    port: u16,
    holders: Arc<Mutex<Holders>>,
    server: JoinHandle<()>,
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Registrar {
    pub(crate) async fn start(holders: Holders) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let holders = Arc::new(Mutex::new(holders));
        // Only this one method, so that the contract can grow.
        let told = holders.clone();
        let method = post(move |request: Request| answer(told.clone(), request));
        let router = Router::new().route("/region.v1.RegionService/GetRegion", method);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves until it is stopped") });
        Self { port, holders, server }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Says so from now on.
    pub(crate) fn tell(&self, holders: Holders) {
        *self.holders.lock().expect("no holder of this lock panics") = holders;
    }
}

async fn answer(holders: Arc<Mutex<Holders>>, request: Request) -> http::Response<tonic::body::Body> {
    let [eu, us] = *holders.lock().expect("no holder of this lock panics");
    let method = tower::service_fn(move |request: tonic::Request<GetRegionRequest>| async move {
        let (holder, epoch) = if request.get_ref().home() == Home::Eu { eu } else { us };
        let holder = if holder == "eu" { Home::Eu } else { Home::Us };
        Ok::<_, Status>(tonic::Response::new(GetRegionResponse { holder: holder.into(), epoch, ..GetRegionResponse::default() }))
    });
    tonic::server::Grpc::new(ProstCodec::<GetRegionResponse, GetRegionRequest>::default()).unary(method, request).await
}
