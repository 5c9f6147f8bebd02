//! A storefront's stand-in: a real HTTP server on two ports, with an end that the test chooses.

use std::{
    convert::Infallible,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::{JoinHandle, JoinSet},
};

/// A request as the storefront got it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    /// Connections still to be broken after their request was read.
    breaks: Mutex<usize>,
    is_unready: AtomicBool,
    is_silent: AtomicBool,
    is_fenced: AtomicBool,
    /// Milliseconds before a probe is answered.
    distance: AtomicU64,
    go_on: Notify,
    chunks: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
}

/// A running storefront; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    name: &'static str,
    port: u16,
    shared: Arc<Shared>,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.servers.drain(..).for_each(|server| server.abort());
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().expect("no holder of this lock panics")
}

/// A port that is free, as is the one of its admin side.
fn ports() -> u16 {
    (0..1000).map(|_| testkit::free_port()).find(|&port| testkit::is_free(port + 500)).expect("two ports are free")
}

impl Upstream {
    pub(crate) async fn start(name: &'static str) -> Self {
        let mut this = Self { name, port: ports(), shared: Arc::default(), servers: Vec::new() };
        this.restart().await;
        this
    }

    /// Listens again after [`Upstream::stop`].
    pub(crate) async fn restart(&mut self) {
        for (port, is_admin) in [(self.port, false), (self.port + 500, true)] {
            // A process that another test is just starting may hold a copy of the listener that stopped, until it has become its program.
            let bind = async || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string());
            let listener = testkit::eventually("the port is given back", Duration::from_secs(5), bind).await;
            self.servers.push(tokio::spawn(serve(listener, self.name, self.shared.clone(), is_admin)));
        }
    }

    /// Ends with all its connections; new ones are refused.
    pub(crate) async fn stop(&mut self) {
        for server in self.servers.drain(..) {
            server.abort();
            assert!(server.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests that came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Breaks the connections of the next `count` requests after having read them.
    pub(crate) fn break_next(&self, count: usize) {
        *lock(&self.shared.breaks) = count;
    }

    /// Answers probes with 503 from now on.
    pub(crate) fn become_unready(&self) {
        self.shared.is_unready.store(true, Ordering::Release);
    }

    /// Takes probes and never answers them from now on, as a process that hangs.
    pub(crate) fn fall_silent(&self) {
        self.shared.is_silent.store(true, Ordering::Release);
    }

    /// Says of all that changes something that it may not, from now on, or no more.
    pub(crate) fn fence(&self, is_fenced: bool) {
        self.shared.is_fenced.store(is_fenced, Ordering::Release);
    }

    /// Answers probes after so many milliseconds from now on.
    pub(crate) fn move_away(&self, millis: u64) {
        self.shared.distance.store(millis, Ordering::Release);
    }

    /// Lets a held answer go on.
    pub(crate) fn go_on(&self) {
        self.shared.go_on.notify_one();
    }

    /// The pieces of the next upload to `/upload`, as they come.
    pub(crate) fn watch_upload(&self) -> mpsc::UnboundedReceiver<Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *lock(&self.shared.chunks) = Some(sender);
        receiver
    }
}

async fn serve(listener: TcpListener, name: &'static str, shared: Arc<Shared>, is_admin: bool) {
    // The connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { if is_admin { Ok(probe(&shared).await) } else { answer(name, &shared, request).await } }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn probe(shared: &Shared) -> Response<Body> {
    if shared.is_silent.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(shared.distance.load(Ordering::Acquire))).await;
    let status = if shared.is_unready.load(Ordering::Acquire) { 503 } else { 200 };
    Response::builder().status(status).body(Body::empty()).expect("a response")
}

/// An error closes the connection without an answer.
async fn answer(name: &'static str, shared: &Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = Body::new(body);
    let body = if parts.uri.path() == "/upload" { watched(body, shared).await? } else { whole(body).await? };
    let target = parts.uri.to_string();
    let is_write = parts.method != "GET";
    let seen = Seen { method: parts.method.to_string(), target, headers: parts.headers, body: body.clone() };
    lock(&shared.seen).push(seen);
    let is_broken = {
        let mut breaks = lock(&shared.breaks);
        let is_broken = *breaks > 0;
        *breaks = breaks.saturating_sub(1);
        is_broken
    };
    if is_broken {
        return Err(io::Error::other("broken on purpose"));
    }
    if is_write && shared.is_fenced.load(Ordering::Acquire) {
        let response = Response::builder().status(503).header("x-region-fenced", "1").header("retry-after", "1");
        return response.body(Body::from(r#"{"reason":"REGION_FENCED"}"#)).map_err(io::Error::other);
    }
    let response = Response::builder().header("content-type", "text/plain");
    let response = match parts.uri.path() {
        "/events" => response.header("content-type", "text/event-stream").body(events(shared.clone())),
        "/held" => {
            shared.go_on.notified().await;
            response.body(Body::from(name))
        }
        "/hops" => response
            .header("connection", "X-Secret")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
            .header("x-served-by", "somebody else")
            .header("x-kept", "2")
            .body(Body::from(name)),
        "/echo" => response.header("x-name", name).body(Body::from(body)),
        _ => response.body(Body::from(name)),
    };
    response.map_err(io::Error::other)
}

async fn whole(body: Body) -> io::Result<Bytes> {
    to_bytes(body, usize::MAX).await.map_err(io::Error::other)
}

async fn watched(body: Body, shared: &Shared) -> io::Result<Bytes> {
    let watcher = lock(&shared.chunks).take();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(io::Error::other)?;
        if let Some(watcher) = &watcher {
            let _ = watcher.send(piece);
        }
    }
    Ok(Bytes::new())
}

/// One event at once, the second when the test says so.
fn events(shared: Arc<Shared>) -> Body {
    Body::from_stream(stream::unfold(0, move |count| {
        let shared = shared.clone();
        async move {
            match count {
                0 => {}
                1 => shared.go_on.notified().await,
                _ => return None,
            }
            Some((Ok::<_, Infallible>(format!("data: {count}\n\n")), count + 1))
        }
    }))
}
