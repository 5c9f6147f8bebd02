//! Passing a request on, and its answer back.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri, header,
        request::Parts,
        uri::{PathAndQuery, Scheme},
    },
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use ids::Region;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    error::Error,
    headers::{self, X_SERVED_BY},
    keys::{Key, Keys},
    metrics::{self, Outcome},
    problem::{self, Asker},
    regions::Regions,
    route::{self, Choice, Loss, Repeat},
    upload::{Outgoing, Upload},
};

/// Most bytes of an address.
const MAX_URI: usize = 8 * 1024;
/// Idle connections end before anything on the way forgets them.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for each region.
const MAX_IDLE: usize = 64;

/// Passes requests on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) regions: Regions,
    client: Client<HttpConnector, Outgoing>,
    keys: Keys,
    max_body: usize,
    response_timeout: Duration,
    shutdown: CancellationToken,
}

/// All of a request but its body.
#[derive(Debug)]
struct Head {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    choice: Choice,
    repeat: Repeat,
    /// Of a request that its region recognises.
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
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_nodelay(true);
        // A request that met an idle connection's end before its first byte was sent goes out again on another: the client's default.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Self { regions, client, keys: Keys::default(), max_body: config.max_body.0, response_timeout: config.response_timeout, shutdown }
    }

    async fn pass_on(&self, request: Request) -> Result<Response, Error> {
        let deadline = Instant::now() + self.response_timeout;
        let (parts, body) = request.into_parts();
        let length = length(&parts.headers)?;
        let mut head = head(parts, deadline)?;
        head.key = self.keys.of(&head.headers).filter(|_| head.repeat == Repeat::SameRegion);
        let upload = Upload::read(body, length, self.max_body, head.repeat != Repeat::Never);
        let upload = timeout_at(deadline, upload).await.map_err(|_| Error::Invalid("its body did not come in time"))??;
        // Unless the client says where: to the region that had this key before.
        let holder = head.key.filter(|_| !head.choice.is_pinned).and_then(|key| self.keys.region(key));
        if let Some(region) = holder {
            head.choice = Choice { region, is_pinned: true };
        }
        self.send(&head, &upload).await.map_err(|error| match (error, holder) {
            (Error::RegionDown { .. }, Some(region)) => Error::OutcomeUnknown { region, has_key: true },
            (error, _) => error,
        })
    }

    async fn send(&self, head: &Head, upload: &Upload) -> Result<Response, Error> {
        let first = route::first(head.choice, |region| self.regions.health(region))?;
        let mut lost = Vec::with_capacity(2);
        let mut next = Some(first);
        while let Some(region) = next {
            let loss = match self.attempt(head, upload, region).await {
                Ok(response) => return Ok(response),
                Err(loss) => loss,
            };
            if let Some(fault) = upload.fault() {
                upload.discard().await;
                return Err(fault);
            }
            lost.push((region, loss));
            let is_first = lost.len() == 1;
            next = route::again(head.choice, head.repeat, region, loss).filter(|_| is_first && upload.is_repeatable());
            tracing::warn!(edge.region = %region, ?loss, again = next.map(Region::as_str), "attempt lost");
            if next.is_some() {
                metrics::count_retry();
            }
        }
        Err(route::verdict(head.choice, head.repeat, &lost, self.response_timeout))
    }

    async fn attempt(&self, head: &Head, upload: &Upload, region: Region) -> Result<Response, Loss> {
        let is_new = head.key.is_some_and(|key| self.keys.note(key, region));
        let gone_down = self.regions.gone_down(region);
        let answer = timeout_at(head.deadline, self.client.request(self.request(head, upload, region)));
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = gone_down, if head.repeat == Repeat::Anywhere => return Err(Loss::Down),
        };
        match answer {
            Ok(Ok(response)) => Ok(self.bring_back(region, response.map(Body::new))),
            Ok(Err(error)) if error.is_connect() => {
                if is_nobody_there(&error) {
                    self.regions.refused(region);
                }
                head.key.filter(|_| is_new).inspect(|&key| self.keys.forget(key));
                Err(Loss::NotSent)
            }
            Ok(Err(error)) => {
                tracing::debug!(edge.region = %region, %error, "connection broke");
                Err(Loss::Broken)
            }
            Err(_) => Err(Loss::Late),
        }
    }

    fn request(&self, head: &Head, upload: &Upload, region: Region) -> Request<Outgoing> {
        let address = self.regions.address(region).shop.clone();
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(address).path_and_query(head.target.clone()).build();
        let mut request = Request::new(upload.outgoing());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri.expect("a checked address and a checked path make a URI");
        *request.headers_mut() = head.headers.clone();
        if matches!(upload, Upload::Stream(_)) && !head.headers.contains_key(header::CONTENT_LENGTH) {
            request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        request
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

/// The other side refused or did not answer; any other fault, such as no file left for a socket, is on this side.
fn is_nobody_there(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::TimedOut | ErrorKind::HostUnreachable
            );
        }
        cause = error.source();
    }
    false
}

/// Reads, checks and prepares all of a request but its body.
fn head(parts: Parts, deadline: Instant) -> Result<Head, Error> {
    let host = headers::host(&parts)?;
    let target = parts.uri.path_and_query().filter(|target| target.as_str().starts_with('/'));
    let target = target.filter(|_| parts.method != Method::CONNECT).cloned().ok_or(Error::Invalid("the shop is no proxy"))?;
    let client = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip());
    let Parts { method, mut headers, .. } = parts;
    headers::clean(&mut headers);
    headers::introduce(&mut headers, host.as_ref(), client);
    telemetry::to_headers(&mut headers);
    let choice = route::choose(&headers)?;
    let repeat = route::repeat(&method, &headers);
    Ok(Head { method, target, headers, choice, repeat, key: None, deadline })
}

/// What the client says of its body's size, when that counts.
fn length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let value = headers.get(header::CONTENT_LENGTH).filter(|_| !headers.contains_key(header::TRANSFER_ENCODING));
    let parse = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    value.map(|value| parse(value).ok_or(Error::Invalid("its Content-Length is no length"))).transpose()
}
