//! Watching the keys of homes: a sign that something has changed, and no more. What it is now is read.

use std::time::Duration;

use tokio_stream::StreamExt as _;

use super::{Etcd, prefix};
use crate::wire::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, watch_client::WatchClient, watch_request::RequestUnion,
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// How often a watch is asked for a sign of life; one that gives none before the next is begun anew elsewhere.
const ALIVE: Duration = Duration::from_secs(2);

/// Calls back when a key of a home has changed.
#[derive(Debug)]
pub struct Watcher(Etcd);

impl Watcher {
    /// A watcher at this client's endpoints.
    #[must_use]
    pub fn new(etcd: &Etcd) -> Self {
        Self(etcd.clone())
    }

    /// Watches for ever, at one endpoint after the other. Changes between two watches are not told one by one: `changed` is also called when a
    /// watch begins.
    pub async fn run(self, changed: impl Fn()) {
        for index in (0..self.0.0.sites.len()).cycle() {
            let _ = self.watch(index, &changed).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn watch(&self, index: usize, changed: &impl Fn()) -> Result<(), tonic::Status> {
        let (key, range_end) = prefix();
        let create = WatchCreateRequest { key: key.into(), range_end: range_end.into(), ..WatchCreateRequest::default() };
        let begin = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The questions for a sign of life.
        let questions = tokio_stream::iter(std::iter::repeat_with(|| WatchRequest {
            request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
        }));
        let requests = tokio_stream::once(begin).chain(questions.throttle(ALIVE));
        let opened = tokio::time::timeout(ALIVE, WatchClient::new(self.0.0.sites[index].channel.clone()).watch(requests)).await;
        let mut answers = opened.map_err(|_| tonic::Status::deadline_exceeded("no watch in time"))??.into_inner();
        while let Ok(Some(answer)) = tokio::time::timeout(ALIVE * 2, answers.message()).await.unwrap_or(Ok(None)) {
            if answer.canceled {
                break;
            }
            if answer.created || !answer.events.is_empty() {
                changed();
            }
        }
        Ok(())
    }
}
