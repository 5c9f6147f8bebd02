//! A small client of etcd's v3 API at several endpoints.
//!
//! A call goes to the endpoint that answered last, and on to the next when that does not answer in time, or says that it cannot. The first,
//! which is the own site's, is tried again after a while. A change whose answer did not come is [`Error::Unknown`], and is never sent again:
//! it may have been carried out, or may still be.

mod watch;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

pub use self::watch::Watcher;
use crate::{
    Time,
    record::Key,
    txn::Txn,
    view::View,
    wire::etcdserverpb::{
        DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest, kv_client::KvClient,
        lease_client::LeaseClient,
    },
};

/// A call at one endpoint: a cut link must not stall a renewal.
const CALL: Duration = Duration::from_millis(700);
const CONNECT: Duration = Duration::from_millis(300);
/// How long an endpoint that is not the first is stayed with.
const STAYS: Duration = Duration::from_secs(5);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done: no endpoint could be reached, or all said so.
    #[error("reach the coordinator: {0}")]
    Unreachable(String),
    /// It may have been done, or may be done later.
    #[error("learn the outcome from the coordinator: {0}")]
    Unknown(String),
    /// The coordinator says no.
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug)]
struct Site {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    channel: Channel,
}

#[derive(Debug)]
struct Inner {
    sites: Vec<Site>,
    /// The endpoint that is asked first, and since when.
    current: AtomicUsize,
    since: Mutex<Instant>,
}

/// A client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Etcd(Arc<Inner>);

/// What may be sent again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Always: it does the same twice as once.
    Always,
    /// Only when it certainly was not carried out.
    WhenNotDone,
}

impl Etcd {
    /// A client of these endpoints, the nearest first. Connections are made when first used.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        assert!(!endpoints.is_empty(), "a client has an endpoint");
        let site = |endpoint: Endpoint| {
            let channel = endpoint
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(Duration::from_secs(1))
                .keep_alive_timeout(Duration::from_secs(1))
                .keep_alive_while_idle(true)
                .connect_lazy();
            Site { kv: KvClient::new(channel.clone()), lease: LeaseClient::new(channel.clone()), channel }
        };
        let sites = endpoints.into_iter().map(site).collect();
        Self(Arc::new(Inner { sites, current: AtomicUsize::new(0), since: Mutex::new(Instant::now()) }))
    }

    /// Asks one endpoint after the other.
    async fn call<T, F>(&self, repeat: Repeat, ask: impl Fn(&Site) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let count = self.0.sites.len();
        let first = self.first();
        let mut last = String::new();
        for step in 0..count {
            let index = (first + step) % count;
            let answer = tokio::time::timeout(CALL, ask(&self.0.sites[index])).await;
            let status = match answer {
                Ok(Ok(answer)) => {
                    self.stay(index);
                    return Ok(answer);
                }
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            if !is_elsewhere_better(&status) {
                return Err(Error::Refused(status.message().to_owned()));
            }
            last = status.message().to_owned();
            if repeat == Repeat::WhenNotDone && !was_not_sent(&status) {
                self.stay((index + 1) % count);
                return Err(Error::Unknown(last));
            }
        }
        Err(Error::Unreachable(last))
    }

    fn first(&self) -> usize {
        let current = self.0.current.load(Ordering::Relaxed);
        let since = *self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.elapsed() > STAYS { 0 } else { current }
    }

    fn stay(&self, index: usize) {
        let is_new = self.0.current.swap(index, Ordering::Relaxed) != index;
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new || since.elapsed() > STAYS {
            *since = Instant::now();
        }
    }

    /// Everything about homes, as it is now: no earlier than this call.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn view(&self, asked: Time) -> Result<View, Error> {
        let (key, range_end) = prefix();
        let request = RangeRequest { key: key.into(), range_end: range_end.into(), ..RangeRequest::default() };
        let answer = self
            .call(Repeat::Always, |site| {
                let (mut client, request) = (site.kv.clone(), request.clone());
                async move { client.range(request).await }
            })
            .await?;
        Ok(View::read(asked, &answer.into_inner().kvs))
    }

    /// Carries a transaction out. The revision that it made; None when a check did not hold.
    ///
    /// # Errors
    /// When nobody answers, or the outcome is not known.
    pub async fn txn(&self, txn: &Txn) -> Result<Option<i64>, Error> {
        let request = txn.request();
        let answer = self
            .call(Repeat::WhenNotDone, |site| {
                let (mut client, request) = (site.kv.clone(), request.clone());
                async move { client.txn(request).await }
            })
            .await?
            .into_inner();
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok(answer.succeeded.then_some(revision))
    }

    /// Puts a key, or removes it when there is no value. Does the same twice as once.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn put(&self, key: Key, value: Option<&str>) -> Result<(), Error> {
        let key = key.path();
        if let Some(value) = value {
            let request = PutRequest { key: key.into(), value: value.as_bytes().to_vec().into(), ..PutRequest::default() };
            self.call(Repeat::Always, |site| {
                let (mut client, request) = (site.kv.clone(), request.clone());
                async move { client.put(request).await }
            })
            .await?;
        } else {
            let request = DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() };
            self.call(Repeat::Always, |site| {
                let (mut client, request) = (site.kv.clone(), request.clone());
                async move { client.delete_range(request).await }
            })
            .await?;
        }
        Ok(())
    }

    /// A new lease of `ttl` whole seconds: its id. One whose answer is lost ends by itself.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn grant(&self, ttl: Duration) -> Result<i64, Error> {
        let request = LeaseGrantRequest { ttl: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX), id: 0 };
        let answer = self
            .call(Repeat::Always, |site| {
                let (mut client, request) = (site.lease.clone(), request);
                async move { client.lease_grant(request).await }
            })
            .await?;
        Ok(answer.into_inner().id)
    }

    /// Gives a lease its whole TTL again. False when there is no such lease any more.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn keep_alive(&self, lease: i64) -> Result<bool, Error> {
        let ask = |site: &Site| {
            let mut client = site.lease.clone();
            async move {
                let requests = tokio_stream::once(LeaseKeepAliveRequest { id: lease });
                let mut answers = client.lease_keep_alive(Request::new(requests)).await?.into_inner();
                answers.message().await?.ok_or_else(|| Status::unavailable("the stream ended without an answer"))
            }
        };
        Ok(self.call(Repeat::Always, ask).await?.ttl > 0)
    }

    /// Ends a lease, and what is kept under it.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn revoke(&self, lease: i64) -> Result<(), Error> {
        let request = LeaseRevokeRequest { id: lease };
        self.call(Repeat::Always, |site| {
            let (mut client, request) = (site.lease.clone(), request);
            async move { client.lease_revoke(request).await }
        })
        .await
        .map(drop)
    }
}

/// The keys that begin with [`Key::PREFIX`]: the first, and the one after the last.
fn prefix() -> (Vec<u8>, Vec<u8>) {
    let from = Key::PREFIX.as_bytes().to_vec();
    let mut end = from.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (from, end)
}

/// Whether another endpoint may do better.
fn is_elsewhere_better(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal)
}

/// Whether a call failed because no connection could be made.
fn was_not_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
