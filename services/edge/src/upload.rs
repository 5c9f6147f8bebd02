//! A request's body on its way to a region.
//!
//! The small body of a request that may be repeated, or of known size, is kept whole. Any other is streamed and counted; it can be sent again
//! only while nobody has read from it.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::error::Error;

/// Most bytes that are kept for a repeat.
const KEPT: usize = 64 * 1024;

/// Most bytes that are read of a body that is refused.
const DISCARDED: usize = 16 * 1024 * 1024;
/// A client that sends nothing for so long is waiting for its answer.
const SILENCE: Duration = Duration::from_millis(200);

/// A body that an attempt takes with it.
#[derive(Debug)]
pub(crate) enum Upload {
    /// All of it.
    Whole(Bytes),
    /// What is left of it.
    Stream(Arc<Mutex<Source>>),
}

/// What became of a streamed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unread,
    Read,
    TooLarge,
    Lost,
}

/// A body as it comes from the client.
#[derive(Debug)]
pub(crate) struct Source {
    front: Bytes,
    rest: Body,
    limit: usize,
    /// Bytes of `rest` that are within the limit.
    left: usize,
    state: State,
}

/// The body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the client's body broke off")]
pub(crate) struct Cut;

impl Upload {
    /// Takes a body; `keep` says that it will be wanted whole, `length` what the client says of its size. A small one of known size is kept
    /// anyway: a region may say that it did nothing.
    pub(crate) async fn read(mut body: Body, length: Option<usize>, limit: usize, keep: bool) -> Result<Self, Error> {
        if length.is_some_and(|length| length > limit) {
            discard(body).await;
            return Err(Error::BodyTooLarge { limit });
        }
        let mut front = BytesMut::new();
        let is_short = length.map_or(keep, |length| length <= KEPT);
        while !body.is_end_stream() {
            if !is_short || front.len() > KEPT {
                let source = Source { left: limit - front.len(), front: front.freeze(), rest: body, limit, state: State::Unread };
                return Ok(Self::Stream(Arc::new(Mutex::new(source))));
            }
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(|_| Error::Invalid("its body broke off"))?;
            front.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if front.len() > limit {
                discard(body).await;
                return Err(Error::BodyTooLarge { limit });
            }
        }
        Ok(Self::Whole(front.freeze()))
    }

    /// The body for one attempt.
    pub(crate) fn outgoing(&self) -> Outgoing {
        match self {
            Self::Whole(bytes) => Outgoing::Whole(bytes.clone()),
            Self::Stream(source) => Outgoing::Stream(source.clone()),
        }
    }

    /// Whether all of it is here.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Whether another attempt would send the same bytes.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Stream(source) => lock(source).state == State::Unread,
        }
    }

    /// Reads what nobody will have of a streamed body.
    pub(crate) async fn discard(&self) {
        let Self::Stream(source) = self else { return };
        let rest = mem::take(&mut lock(source).rest);
        discard(rest).await;
    }

    /// What the client did wrong while its body was streamed.
    pub(crate) fn fault(&self) -> Option<Error> {
        let Self::Stream(source) = self else { return None };
        let source = lock(source);
        match source.state {
            State::TooLarge => Some(Error::BodyTooLarge { limit: source.limit }),
            State::Lost => Some(Error::Invalid("its body broke off")),
            State::Unread | State::Read => None,
        }
    }
}

/// Reads what is on its way of a body that nobody will have: a connection that is closed on unread bytes is reset, and the answer lost with
/// it. Ends when no more comes, or too much.
async fn discard(mut body: Body) {
    let mut size = 0;
    while let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await {
        size += frame.data_ref().map_or(0, Bytes::len);
        if size > DISCARDED {
            return;
        }
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.front.is_empty() {
            self.state = State::Read;
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.front)))));
        }
        let frame = ready!(Pin::new(&mut self.rest).poll_frame(context));
        self.state = State::Read;
        Poll::Ready(match frame {
            None => None,
            Some(Err(_)) => Some(self.cut(State::Lost)),
            Some(Ok(frame)) => match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                None => Some(self.cut(State::TooLarge)),
                Some(left) => {
                    self.left = left;
                    Some(Ok(frame))
                }
            },
        })
    }

    fn cut(&mut self, state: State) -> Result<Frame<Bytes>, Cut> {
        self.state = state;
        Err(Cut)
    }
}

/// The body of one attempt.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Whole(Bytes),
    Stream(Arc<Mutex<Source>>),
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(bytes) => {
                let bytes = mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Stream(source) => lock(source).poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    const LIMIT: usize = 1 << 20;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes.iter().map(|&size| Ok::<_, Cut>(Bytes::from(vec![b'x'; size]))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn sent(upload: &Upload) -> Result<usize, Cut> {
        upload.outgoing().collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test]
    async fn a_small_body_is_sent_as_often_as_needed() {
        let upload = Upload::read(chunks(&[10, 20]), None, LIMIT, true).await.unwrap();
        assert_eq!((sent(&upload).await.unwrap(), sent(&upload).await.unwrap()), (30, 30));
        assert!(upload.is_repeatable());
    }

    #[tokio::test]
    async fn a_body_is_kept_when_it_is_wanted_or_known_to_be_small() {
        for (length, keep, is_kept) in [(None, true, true), (Some(30), false, true), (None, false, false), (Some(KEPT + 1), true, false)] {
            let upload = Upload::read(chunks(&[10, 20]), length, LIMIT, keep).await.unwrap();
            assert_eq!(upload.is_kept(), is_kept, "{length:?} {keep}");
        }
    }

    #[tokio::test]
    async fn a_body_too_large_to_keep_is_sent_whole_and_once() {
        let upload = Upload::read(chunks(&[KEPT, 1, 9]), None, LIMIT, true).await.unwrap();
        assert!(matches!(upload, Upload::Stream(_)) && upload.is_repeatable());
        assert_eq!(sent(&upload).await.unwrap(), KEPT + 10);
        assert!(!upload.is_repeatable());
        assert_eq!(upload.fault(), None);
    }

    #[tokio::test]
    async fn an_unread_stream_can_be_taken_over_by_the_next_attempt() {
        let upload = Upload::read(chunks(&[5]), None, LIMIT, false).await.unwrap();
        assert!(!upload.is_kept());
        drop(upload.outgoing());
        assert!(upload.is_repeatable());
        assert_eq!(sent(&upload).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn the_limit_holds_for_declared_kept_and_streamed_bodies() {
        let too_large = Error::BodyTooLarge { limit: 8 };
        assert_eq!(Upload::read(Body::empty(), Some(9), 8, false).await.unwrap_err(), too_large);
        assert_eq!(Upload::read(chunks(&[5, 4]), None, 8, true).await.unwrap_err(), too_large);
        let upload = Upload::read(chunks(&[5, 4]), None, 8, false).await.unwrap();
        assert!(sent(&upload).await.is_err());
        assert_eq!(upload.fault(), Some(too_large));
        let upload = Upload::read(chunks(&[5, 3]), None, 8, false).await.unwrap();
        assert_eq!(sent(&upload).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_the_clients_fault() {
        let broken = || Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err(Cut)]));
        assert!(Upload::read(broken(), None, LIMIT, true).await.is_err());
        let upload = Upload::read(broken(), None, LIMIT, false).await.unwrap();
        assert!(sent(&upload).await.is_err());
        assert_eq!(upload.fault().unwrap().reason(), "EDGE_INVALID_REQUEST");
    }
}
