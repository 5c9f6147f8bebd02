//! The server side of a call: within its deadline, and in its circumstances.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context as Poller, Poll},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;
use tonic::{Status, metadata::MetadataValue};

use crate::{
    Context, Failure, Kind,
    client::PUSHBACK,
    clock,
    gate::{Gate, Place},
    methods,
};

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn refuse(status: Status) -> Response {
    status.into_http::<axum::body::Body>()
}

/// A server that has too much to do says when to come again, milliseconds.
const COME_AGAIN: &str = "100";

fn overloaded() -> Response {
    let mut status = Status::from(Failure::new(Kind::Unavailable, "OVERLOADED", "there is too much to do; try again in a moment"));
    status.metadata_mut().insert(PUSHBACK, MetadataValue::from_static(COME_AGAIN));
    refuse(status)
}

/// Runs a call in the circumstances that came with it, and ends it when its time is over: nobody waits for the answer then. Requests that are no calls
/// have no deadline, and only get a request id.
pub(crate) async fn scoped(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let context =
        if is_grpc(request.headers()) { Context::from_headers(request.headers()) } else { Ok(Context::of_request(request.headers())) };
    let mut context = match context {
        Ok(context) => context,
        Err(error) => return refuse(Status::invalid_argument(error.to_string())),
    };
    context.request_id.get_or_insert_with(|| Arc::from(format!("{:032x}", rand::random::<u128>())));
    let place = if methods::is_known(request.uri().path()) {
        match gate.enter(context.priority).await {
            None => {
                metrics::counter!("market_rpc_shed_total", "priority" => context.priority.as_str()).increment(1);
                return overloaded();
            }
            place => place,
        }
    } else {
        None
    };
    let left = context.deadline.map(|deadline| deadline.left(clock::now()));
    let answer = Watched { unfinished: Unfinished(true), inner: Box::pin(context.scope(next.run(request))) };
    let answer = match left {
        None => Some(answer.await),
        Some(left) => timeout(left, answer).await.ok(),
    };
    match (answer, place) {
        (Some(answer), place) => {
            place.into_iter().for_each(Place::answered);
            answer
        }
        (None, place) => {
            place.into_iter().for_each(Place::gave_up);
            refuse(Status::deadline_exceeded("its time is over"))
        }
    }
}

/// When a call was last cancelled, in milliseconds of the clock; zero when none was.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

/// Whether a call was cancelled, by its caller or by its deadline, within this time. What it had under way is then without an owner.
#[must_use]
pub fn was_cancelled_within(time: Duration) -> bool {
    let at = CANCELLED.load(Ordering::Acquire);
    at > 0 && clock::now() <= Duration::from_millis(at) + time
}

/// An answer that is being worked on. Dropped before it is there, it notes that before its work is dropped.
struct Watched<F> {
    unfinished: Unfinished,
    inner: Pin<Box<F>>,
}

struct Unfinished(bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0 {
            let now = u64::try_from(clock::now().as_millis()).unwrap_or(u64::MAX);
            CANCELLED.store(now.max(1), Ordering::Release);
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<F::Output> {
        let answer = self.inner.as_mut().poll(poller);
        self.unfinished.0 = answer.is_pending();
        answer
    }
}
