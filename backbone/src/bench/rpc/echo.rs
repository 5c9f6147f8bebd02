//! A server that does as it is told, and open-loop callers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::future::{BoxFuture, FutureExt as _, join_all};
use proto::search::v1::{
    SearchRequest, SearchResponse,
    search_service_client::SearchServiceClient,
    search_service_server::{SearchService, SearchServiceServer},
};
use rpc::{Client, ServiceConfig};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tonic::{Request, Response, Status, service::Routes, transport::Endpoint};

type Behaviour = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Status>> + Send + Sync>;

/// Answers with what it was sent.
#[derive(Clone)]
pub(super) struct Echo {
    behaviour: Behaviour,
    calls: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl SearchService for Echo {
    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        self.calls.fetch_add(1, Relaxed);
        (self.behaviour)().await?;
        Ok(Response::new(SearchResponse { next_page_token: request.into_inner().query, ..SearchResponse::default() }))
    }
}

/// A running server; it ends with this.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    calls: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// As tonic has it.
    pub(super) async fn bare() -> Result<Self> {
        let (echo, listener) = begin(|| async { Ok(()) }).await?;
        let (address, calls) = (listener.local_addr()?, echo.calls.clone());
        let server = tonic::transport::Server::builder().add_service(SearchServiceServer::new(echo));
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let task = tokio::spawn(async move { drop(server.serve_with_incoming(incoming).await) });
        Ok(Self { address, calls, task })
    }

    /// As our services are.
    pub(super) async fn ours<F>(behaviour: impl Fn() -> F + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (echo, listener) = begin(behaviour).await?;
        let (address, calls) = (listener.local_addr()?, echo.calls.clone());
        let app = rpc::guarded(Routes::new(SearchServiceServer::new(echo)).prepare().into_axum_router());
        let task = tokio::spawn(async move { drop(rpc::serve_on(listener, app, std::future::pending()).await) });
        Ok(Self { address, calls, task })
    }

    /// How often it was called.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        Ok(Endpoint::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true))
    }
}

async fn begin<F>(behaviour: impl Fn() -> F + Send + Sync + 'static) -> Result<(Echo, TcpListener)>
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    Ok((Echo { behaviour: Arc::new(move || behaviour().boxed()), calls: Arc::default() }, listener))
}

/// Our client of these servers.
pub(super) fn client(servers: &[&Server], config: &str) -> Result<Client> {
    let endpoints = servers.iter().map(|server| server.endpoint()).collect::<Result<Vec<_>>>()?;
    Ok(Client::new(endpoints, ServiceConfig::parse(config)?))
}

/// One call.
pub(super) async fn ask(client: Client, query: String) -> Result<(), Status> {
    SearchServiceClient::new(client).search(SearchRequest { query, ..SearchRequest::default() }).await.map(drop)
}

/// Makes `rate` calls a second for `length`, whatever becomes of them. What each returned, with the time when it was due and how long it took from then.
pub(super) async fn open_loop<T, F>(rate: u32, length: Duration, mut call: impl FnMut(u32) -> F) -> Vec<(Duration, Duration, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let begun = Instant::now();
    let count = u64::from(rate) * u64::try_from(length.as_millis()).unwrap_or(u64::MAX) / 1_000;
    let mut calls = Vec::new();
    for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        let due = Duration::from_secs(1) * number / rate;
        if begun.elapsed() < due {
            sleep_until(begun + due).await;
        }
        let call = call(number);
        calls.push(tokio::spawn(async move {
            let outcome = call.await;
            (due, begun.elapsed().saturating_sub(due), outcome)
        }));
    }
    join_all(calls).await.into_iter().flatten().collect()
}
