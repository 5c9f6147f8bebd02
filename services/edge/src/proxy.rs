//! Passing a request on, and its answer back.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use futures::{FutureExt as _, StreamExt as _};
use ids::Region;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    error::Error,
    headers::{self, X_SERVED_BY},
    journey::{Journey, Loss, Step},
    keys::{Key, Keys},
    metrics::{self, Outcome},
    problem::{self, Asker},
    regions::Regions,
    route::{self, Choice, Repeat},
    storefronts::Storefronts,
    strays::{Shopper, Strays},
    upload::Upload,
};

/// Most bytes of an address.
const MAX_URI: usize = 8 * 1024;
/// Between two attempts in one region.
const PAUSE: Duration = Duration::from_millis(100);
/// Most time of waiting for a change.
const LONG: Duration = Duration::from_secs(1);

/// Passes requests on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) regions: Regions,
    storefronts: Storefronts,
    keys: Keys,
    strays: Strays,
    geo: HeaderName,
    max_body: usize,
    response_timeout: Duration,
    attempt_timeout: Duration,
    shutdown: CancellationToken,
}

/// All of a request but its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    choice: Choice,
    /// The shopper who asks, and the region that the shopper belongs to; none of a request that says where to.
    shopper: Option<(Shopper, Region)>,
    repeat: Repeat,
    /// Of a request that makes or changes an order.
    key: Option<Key>,
    deadline: Instant,
}

/// Answers any request: from a region, or with the reason why not.
pub(crate) async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let asker = Asker::of(&request);
    let link = within_limits(request.uri()).and_then(|()| route::link(request.method(), request.uri()));
    let answer = match link {
        Ok(Some((region, location))) => {
            metrics::count_request(None, Outcome::Redirected);
            return remember(region, &location);
        }
        Ok(None) => proxy.pass_on(request).await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| {
        metrics::count_request(error.region(), Outcome::from(&error));
        problem::response(&error, &asker)
    })
}

fn within_limits(uri: &Uri) -> Result<(), Error> {
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > MAX_URI { Err(Error::Invalid("its address has more than 8 KiB")) } else { Ok(()) }
}

/// Sends a browser back with its region in a cookie.
fn remember(region: Region, location: &str) -> Response {
    let cookie = format!("region={region}; Path=/; SameSite=Lax; HttpOnly");
    let headers = [(header::LOCATION, location), (header::SET_COOKIE, &cookie), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

impl Proxy {
    pub(crate) fn new(config: &Config, regions: Regions, shutdown: CancellationToken) -> Self {
        Self {
            storefronts: Storefronts::new(config, regions.clone()),
            regions,
            keys: Keys::default(),
            strays: Strays::new(Instant::now()),
            geo: config.geo_header.clone(),
            max_body: config.max_body.0,
            response_timeout: config.response_timeout,
            attempt_timeout: config.attempt_timeout,
            shutdown,
        }
    }

    async fn pass_on(&self, request: Request) -> Result<Response, Error> {
        let deadline = Instant::now() + self.response_timeout;
        let (parts, body) = request.into_parts();
        let length = length(&parts.headers)?;
        let head = self.head(parts, deadline)?;
        let upload = Upload::read(body, length, self.max_body, head.repeat.is_safe());
        let upload = timeout_at(deadline, upload).await.map_err(|_| Error::Invalid("its body did not come in time"))??;
        self.send(&head, &upload).await
    }

    /// Reads, checks and prepares all of a request but its body.
    fn head(&self, parts: Parts, deadline: Instant) -> Result<Head, Error> {
        let host = headers::host(&parts)?;
        let target = parts.uri.path_and_query().filter(|target| target.as_str().starts_with('/'));
        let target = target.filter(|_| parts.method != Method::CONNECT).cloned().ok_or(Error::Invalid("the shop is no proxy"))?;
        let client = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip());
        let Parts { method, uri, mut headers, .. } = parts;
        headers::clean(&mut headers);
        headers::introduce(&mut headers, host.as_ref(), client);
        telemetry::to_headers(&mut headers);
        let sight = self.regions.sight();
        let mut choice = route::choose(&headers, &self.geo, sight.nearest)?;
        let shopper = self.strays.shopper(&headers).filter(|_| !choice.is_pinned).map(|shopper| (shopper, choice.region));
        if let Some(region) =
            shopper.and_then(|(shopper, _)| self.strays.region(shopper, Instant::now())).filter(|region| sight.health[*region].is_well())
        {
            choice.region = region;
        }
        let repeat = route::repeat(&method, &uri, &headers);
        let key = self.keys.of(&method, &uri, &headers).filter(|_| repeat == Repeat::AtHome);
        Ok(Head { method, target, headers, choice, shopper, repeat, key, deadline })
    }

    /// Sends a request until there is an answer, or nothing more to do.
    async fn send(&self, head: &Head, upload: &Upload) -> Result<Response, Error> {
        // Unless the client says where: to the region that had this key before.
        let had_by = head.key.filter(|_| !head.choice.is_pinned).and_then(|key| self.keys.region(key));
        let mut journey = Journey::new(head.choice, head.repeat, had_by);
        let mut refusal = None;
        let mut changes = self.regions.changes();
        loop {
            match journey.next(&changes.sight()) {
                Step::To(region) => {
                    if journey.is_repeated() {
                        metrics::count_retry();
                    }
                    let loss = match self.attempt(head, upload, region, &mut journey).await {
                        Ok(response) if headers::is_fenced(response.headers()) => {
                            refusal = Some((region, response));
                            Loss::Fenced
                        }
                        Ok(response) => {
                            if let Some((shopper, own)) = head.shopper.filter(|_| head.repeat != Repeat::Read) {
                                self.strays.note(shopper, region, own, Instant::now());
                            }
                            return Ok(self.bring_back(region, response));
                        }
                        Err(loss) => loss,
                    };
                    if let Some(fault) = upload.fault() {
                        upload.discard().await;
                        return Err(fault);
                    }
                    tracing::warn!(edge.region = %region, ?loss, "attempt lost");
                    journey.lose(region, loss);
                    if !upload.is_repeatable() {
                        break;
                    }
                }
                Step::Pause if self.has_waited(head, sleep(PAUSE)).await => journey.rest(),
                // What is known of the homes grows old without telling.
                Step::Wait if self.has_waited(head, timeout(LONG, changes.next()).map(drop)).await => {}
                Step::Pause | Step::Wait | Step::End => break,
            }
            if Instant::now() >= head.deadline {
                break;
            }
        }
        match refusal.filter(|_| journey.was_not_done()) {
            Some((region, response)) => Ok(self.bring_back(region, response)),
            None => Err(journey.verdict(self.response_timeout)),
        }
    }

    /// Waits; false when the request's time is up, or that of this process.
    async fn has_waited(&self, head: &Head, wait: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            () = sleep_until(head.deadline) => false,
            () = wait => true,
        }
    }

    async fn attempt(&self, head: &Head, upload: &Upload, region: Region, journey: &mut Journey) -> Result<Response, Loss> {
        let before = head.key.map(|key| (key, self.keys.note(key, region)));
        let can_be_left = head.repeat.is_safe() && upload.is_kept();
        let deadline = if can_be_left { head.deadline.min(Instant::now() + self.attempt_timeout) } else { head.deadline };
        let left = self.regions.changes().left(region, journey.is_bound_to(region));
        let answer = timeout_at(deadline, self.storefronts.ask(region, head, upload));
        let answer = tokio::select! {
            biased;
            answer = answer => answer.unwrap_or(Err(Loss::Late)),
            () = left, if can_be_left => Err(Loss::Left),
        };
        let was_done = match &answer {
            Ok(response) => !headers::is_fenced(response.headers()),
            Err(loss) => loss.is_doubtful(),
        };
        if let Some((key, before)) = before.filter(|_| !was_done) {
            journey.learn(self.keys.take_back(key, region, before));
        }
        answer
    }

    fn bring_back(&self, region: Region, mut response: Response) -> Response {
        metrics::count_request(Some(region), if response.status().is_server_error() { Outcome::Failed } else { Outcome::Answered });
        headers::clean(response.headers_mut());
        response.headers_mut().insert(X_SERVED_BY, HeaderValue::from_static(region.as_str()));
        let media_type = response.headers().get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        if media_type.starts_with(b"text/event-stream") {
            // Events have no end of their own; their readers come again.
            let shutdown = self.shutdown.clone().cancelled_owned();
            return response.map(|body| Body::from_stream(body.into_data_stream().take_until(shutdown)));
        }
        response
    }
}

/// What the client says of its body's size, when that counts.
fn length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let value = headers.get(header::CONTENT_LENGTH).filter(|_| !headers.contains_key(header::TRANSFER_ENCODING));
    let parse = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    value.map(|value| parse(value).ok_or(Error::Invalid("its Content-Length is no length"))).transpose()
}
