//! Watches. Each stream reads on from where its watches are, out of the same history that reads see.
//!
//! Nothing is pushed: when the state goes on, a stream looks what of it concerns its watches. So a slow client costs no memory here, events
//! come in the order of revisions, each once, a revision never in two parts, and a watch that fell behind a compaction is told so.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Api;
use crate::{
    Refusal,
    mvcc::Filter,
    wire::etcdserverpb::{
        WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType, watch_request::RequestUnion, watch_server::Watch,
    },
};

/// Events in one response, unless one revision has more.
const TOGETHER: usize = 1000;
/// How often a watch that asked for it hears that nothing has happened, as etcd has it.
const PROGRESS: Duration = Duration::from_secs(600);
/// The id of answers that belong to no watch.
const NOBODY: i64 = -1;

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    next: i64,
    /// Whether it wants to hear when nothing happens.
    progress: bool,
    is_idle: bool,
}

/// One stream of a client.
struct Watches {
    api: Api,
    watchers: BTreeMap<i64, Watcher>,
    answers: mpsc::Sender<Result<WatchResponse, Status>>,
}

/// The client is gone.
struct Gone;

impl Watches {
    async fn send(&self, mut response: WatchResponse, revision: i64) -> Result<(), Gone> {
        response.header = Some(self.api.node.header(revision));
        self.answers.send(Ok(response)).await.map_err(|_| Gone)
    }

    fn revision(&self) -> i64 {
        self.api.node.state().mvcc().revision()
    }

    async fn refuse(&self, watch_id: i64, reason: &str) -> Result<(), Gone> {
        let refused =
            WatchResponse { watch_id, created: true, canceled: true, cancel_reason: reason.to_owned(), ..WatchResponse::default() };
        self.send(refused, self.revision()).await
    }

    async fn create(&mut self, request: WatchCreateRequest) -> Result<(), Gone> {
        if self.watchers.contains_key(&request.watch_id) && request.watch_id != 0 {
            return self.refuse(NOBODY, "mvcc: duplicate watch ID provided on the WatchStream").await;
        }
        // No key means from the first one on.
        let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key.clone() };
        let end = request.range_end.clone();
        if !end.is_empty() && end != Bytes::from_static(&[0]) && end <= key {
            return self.refuse(NOBODY, "mvcc: watcher range is empty").await;
        }
        let id = match request.watch_id {
            0 => (0..).find(|id| !self.watchers.contains_key(id)).unwrap_or(i64::MAX),
            id => id,
        };
        let revision = self.revision();
        let next = if request.start_revision > 0 { request.start_revision } else { revision + 1 };
        let filters: Vec<FilterType> = request.filters().collect();
        let filter = Filter {
            key,
            range_end: end,
            no_put: filters.contains(&FilterType::Noput),
            no_delete: filters.contains(&FilterType::Nodelete),
            prev_kv: request.prev_kv,
        };
        self.watchers.insert(id, Watcher { filter, next, progress: request.progress_notify, is_idle: true });
        self.send(WatchResponse { watch_id: id, created: true, ..WatchResponse::default() }, revision).await?;
        self.go_on(id).await
    }

    /// Sends what one watch has not seen yet.
    async fn go_on(&mut self, id: i64) -> Result<(), Gone> {
        loop {
            let Some(watcher) = self.watchers.get_mut(&id) else { return Ok(()) };
            let (read, revision) = {
                let mvcc = self.api.node.state().mvcc();
                (mvcc.events(&watcher.filter, watcher.next, TOGETHER), mvcc.revision())
            };
            match read {
                Err(compact_revision) => {
                    self.watchers.remove(&id);
                    let cancel_reason = Refusal::Compacted.to_string();
                    let lost = WatchResponse { watch_id: id, canceled: true, compact_revision, cancel_reason, ..WatchResponse::default() };
                    return self.send(lost, revision).await;
                }
                Ok((events, next)) => {
                    watcher.next = next;
                    if events.is_empty() {
                        return Ok(());
                    }
                    watcher.is_idle = false;
                    self.send(WatchResponse { watch_id: id, events, ..WatchResponse::default() }, revision).await?;
                    if next > revision {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn go_on_all(&mut self) -> Result<(), Gone> {
        let ids: Vec<i64> = self.watchers.keys().copied().collect();
        for id in ids {
            self.go_on(id).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(request)) => {
                if self.watchers.remove(&request.watch_id).is_none() {
                    return Ok(());
                }
                let canceled = WatchResponse { watch_id: request.watch_id, canceled: true, ..WatchResponse::default() };
                self.send(canceled, self.revision()).await
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                let revision = self.revision();
                self.go_on_all().await?;
                // A watch that begins later has nothing to say of this revision yet.
                if self.watchers.values().all(|watcher| watcher.next > revision) {
                    self.send(WatchResponse { watch_id: NOBODY, ..WatchResponse::default() }, revision).await?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn tell_progress(&mut self) -> Result<(), Gone> {
        let revision = self.revision();
        self.go_on_all().await?;
        let mut idle = Vec::new();
        for (id, watcher) in &mut self.watchers {
            if watcher.progress && watcher.is_idle && watcher.next > revision {
                idle.push(*id);
            }
            watcher.is_idle = true;
        }
        for id in idle {
            self.send(WatchResponse { watch_id: id, ..WatchResponse::default() }, revision).await?;
        }
        Ok(())
    }

    async fn run(mut self, mut requests: Streaming<WatchRequest>) {
        let mut applied = self.api.node.state().applied();
        let mut progress = tokio::time::interval(PROGRESS);
        progress.reset();
        let shutdown = self.api.shutdown.clone();
        loop {
            let done = tokio::select! {
                () = shutdown.cancelled() => {
                    let _ = self.answers.send(Err(Refusal::Stopped.into())).await;
                    return;
                }
                request = requests.message() => match request {
                    Ok(Some(request)) => self.handle(request).await,
                    Ok(None) | Err(_) => return,
                },
                changed = applied.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.go_on_all().await
                }
                _ = progress.tick() => self.tell_progress().await,
            };
            if done.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl Watch for Api {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let (answers, sent) = mpsc::channel(16);
        let watches = Watches { api: self.clone(), watchers: BTreeMap::new(), answers };
        tokio::spawn(watches.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }
}
