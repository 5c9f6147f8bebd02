//! What a call brings along from whoever began it, and what goes on with every call that is made because of it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use resilience::{Deadline, InvalidTimeout, Priority, format_timeout, parse_timeout};

use crate::clock;

/// How long a call may take, as in the gRPC protocol over HTTP/2.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");
/// As in W3C Baggage.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// Longer ids and baggage are not passed on.
const LONGEST_ID: usize = 128;
const LONGEST_BAGGAGE: usize = 8_192;
/// In which the answer of a call comes back and is passed on.
const MARGIN: Duration = Duration::from_millis(5);

/// The circumstances of a call.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When its answer is worth nothing any more.
    pub deadline: Option<Deadline>,
    /// What goes first when there is too much to do.
    pub priority: Priority,
    /// The same for all calls of one request.
    pub request_id: Option<Arc<str>>,
    baggage: Option<HeaderValue>,
}

tokio::task_local! {
    static CURRENT: Context;
}

impl Context {
    /// The circumstances of what runs now; none when nobody asked for it.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// The same with that priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same, worth nothing after `left` from now.
    #[must_use]
    pub fn with_time(self, left: Duration) -> Self {
        Self { deadline: Some(Deadline::after(clock::now(), left)), ..self }
    }

    /// Runs `future` in these circumstances.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Reads what came with a call.
    ///
    /// # Errors
    /// When its `grpc-timeout` is none.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, InvalidTimeout> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let timeout = headers.get(TIMEOUT).map(|value| value.to_str().map_err(|_| InvalidTimeout).and_then(parse_timeout)).transpose()?;
        let priority = text(PRIORITY).and_then(|name| Priority::ALL.into_iter().find(|priority| priority.as_str() == name));
        Ok(Self {
            deadline: timeout.map(|left| Deadline::after(clock::now(), left)),
            priority: priority.unwrap_or_default(),
            request_id: text(REQUEST_ID).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID).map(Arc::from),
            baggage: headers.get(BAGGAGE).filter(|baggage| baggage.len() <= LONGEST_BAGGAGE).cloned(),
        })
    }

    /// Reads what came with a request that is no call. Its deadline and its priority are nothing that a browser has to say.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        Self { deadline: None, priority: Priority::default(), ..Self::from_headers(headers).unwrap_or_default() }
    }

    /// Writes what goes along with a call to the next hop; its deadline is the caller's to write.
    pub(crate) fn to_headers(&self, headers: &mut HeaderMap) {
        headers.insert(PRIORITY, HeaderValue::from_static(self.priority.as_str()));
        if let Some(id) = self.request_id.as_ref().and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(baggage) = &self.baggage {
            headers.insert(BAGGAGE, baggage.clone());
        }
    }

    /// What the next hop may take, which is less than what is left here; nothing when too little is left. `None` inside when there is no deadline.
    pub(crate) fn left_for_next_hop(&self, now: Duration) -> Option<Option<Duration>> {
        self.deadline.map_or(Some(None), |deadline| deadline.for_next_hop(now, MARGIN).map(Some))
    }
}

/// Tells the next hop how long it has.
pub(crate) fn set_timeout(headers: &mut HeaderMap, left: Duration) {
    if let Ok(value) = HeaderValue::try_from(format_timeout(left)) {
        headers.insert(TIMEOUT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_with_less_time() {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT, HeaderValue::from_static("100m"));
        headers.insert(PRIORITY, HeaderValue::from_static("checkout"));
        headers.insert(REQUEST_ID, HeaderValue::from_static("r-1"));
        headers.insert(BAGGAGE, HeaderValue::from_static("test=1"));
        let context = Context::from_headers(&headers).unwrap();
        let next = context.scope(async { Context::current() }).await;
        let left = next.left_for_next_hop(clock::now()).unwrap().unwrap();
        assert!(left <= Duration::from_millis(95), "{left:?}");
        let mut sent = HeaderMap::new();
        next.to_headers(&mut sent);
        set_timeout(&mut sent, left);
        assert_eq!((&sent[PRIORITY], &sent[REQUEST_ID], &sent[BAGGAGE]), (&headers[PRIORITY], &headers[REQUEST_ID], &headers[BAGGAGE]));
        assert!(parse_timeout(sent[TIMEOUT].to_str().unwrap()).unwrap() <= left);
    }

    #[test]
    fn what_cannot_be_read_is_refused_or_left_out() {
        let mut headers = HeaderMap::new();
        headers.insert(PRIORITY, HeaderValue::from_static("emperor"));
        headers.insert(BAGGAGE, HeaderValue::from_bytes(&[b'x'; LONGEST_BAGGAGE + 1]).unwrap());
        let context = Context::from_headers(&headers).unwrap();
        assert_eq!((context.priority, context.baggage, context.deadline), (Priority::default(), None, None));
        headers.insert(TIMEOUT, HeaderValue::from_static("soon"));
        assert_eq!(Context::from_headers(&headers).unwrap_err(), InvalidTimeout);
    }
}
