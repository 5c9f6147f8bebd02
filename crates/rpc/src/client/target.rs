//! A service that is called, and one call.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use resilience::{Balancer, Breaker, BreakerOpen, Deadline, Endpoint as Place, Hedger, Pass, RetryBudget, Zone, is_worth_it};
use tokio::time::sleep;
use tonic::{
    Status,
    body::Body,
    codegen::Bytes,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use super::answer::{Answer, Pushback};
use crate::{
    Context, ServiceConfig, clock,
    context::set_timeout,
    service_config::{Policy, Retries},
};

/// Larger messages are refused; tonic's own limit is below it.
const LARGEST: usize = 16 << 20;
/// For calls that the contract does not have, as the health check.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// So many answers must be known before a call is refused because it would take too long.
const ENOUGH: u32 = 20;
/// The share of such calls that is made all the same: otherwise nobody would learn that it takes less time again.
const PROBES: f64 = 0.1;
/// As in gRPC: how many tries there were before this one.
const PREVIOUS: &str = "grpc-previous-rpc-attempts";

pub(super) struct Target {
    name: String,
    channels: BTreeMap<String, Channel>,
    config: RwLock<Arc<ServiceConfig>>,
    state: Mutex<State>,
}

struct State {
    balancer: Balancer,
    breaker: Breaker,
    budget: RetryBudget,
    hedgers: HashMap<String, Hedger>,
    under_way: u32,
}

/// One call, as it goes out with each try.
struct Call<'a> {
    config: &'a ServiceConfig,
    policy: &'a Policy,
    parts: Parts,
    body: Bytes,
    deadline: Deadline,
}

impl Call<'_> {
    fn path(&self) -> &str {
        self.parts.uri.path()
    }
}

/// An endpoint that a try was begun at. Dropped without an end, the try was cancelled.
struct Begun<'a> {
    target: &'a Target,
    address: String,
    pass: Pass,
    at: Duration,
    is_ended: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.name).finish()
    }
}

impl Target {
    pub(super) fn new(endpoints: impl Iterator<Item = Endpoint>, config: ServiceConfig) -> Self {
        let now = clock::now();
        let channels: BTreeMap<_, _> = endpoints.map(|endpoint| (endpoint.uri().to_string(), endpoint.connect_lazy())).collect();
        let mut balancer = Balancer::new(Zone::default());
        balancer.update(now, channels.keys().map(|address| Place { address: address.clone(), zone: Zone::default(), weight: 1.0 }));
        let state = State {
            balancer,
            breaker: Breaker::new(now),
            budget: RetryBudget::new(&config.budgeting),
            hedgers: HashMap::new(),
            under_way: 0,
        };
        let name = channels.keys().next().cloned().unwrap_or_default();
        Self { name, channels, config: RwLock::new(Arc::new(config)), state: Mutex::new(state) }
    }

    pub(super) fn set_config(&self, config: ServiceConfig) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(policy) = config.of(request.uri().path()) else { return self.pass_on(request).await };
        let (context, now) = (Context::current(), clock::now());
        // What the caller has set for this call alone.
        let asked = Context::from_headers(request.headers()).ok().and_then(|own| own.deadline).map(|deadline| deadline.left(now));
        let timeout = asked.map_or(policy.timeout, |asked| asked.min(policy.timeout));
        let left = match context.left_for_next_hop(now) {
            Some(None) => timeout,
            Some(Some(left)) if self.is_worth_it(request.uri().path(), left, now) => left.min(timeout),
            _ => {
                self.count_refused("deadline");
                return Err(Status::deadline_exceeded("the time that is left is not enough for it"));
            }
        };
        let _room = self.enter(config.bulkhead)?;
        let (mut parts, body) = request.into_parts();
        telemetry::to_headers(&mut parts.headers);
        context.to_headers(&mut parts.headers);
        let body = Limited::new(body, LARGEST).collect().await.map_err(Status::from_error)?.to_bytes();
        let call = Call { config: &config, policy, parts, body, deadline: Deadline::after(now, left) };
        self.tries(&call).await
    }

    async fn tries(&self, call: &Call<'_>) -> Result<Response<Body>, Status> {
        let mut last: Option<String> = None;
        // Of a try that was lost on its way nobody knows whether it was done, whatever the later ones come to.
        let mut lost: Option<Answer> = None;
        for tries in 1.. {
            let begun = match self.begin(call, last.as_deref()) {
                Ok(begun) => begun,
                Err(BreakerOpen(wait)) => {
                    let text = format!("{} fails, and is asked again in {} ms", self.name, wait.as_millis());
                    let refused = self.refused("breaker", text);
                    return lost.map_or(Err(refused), Answer::into_result);
                }
            };
            last = Some(begun.address.clone());
            let answer = if tries == 1 { self.hedged(call, begun).await } else { self.try_once(call, begun, tries).await };
            let Some(pause) = self.pause(call, &answer, tries) else {
                return if answer.was_never_sent() { lost.unwrap_or(answer) } else { answer }.into_result();
            };
            if !answer.was_never_sent() {
                lost = Some(answer);
            }
            metrics::counter!("market_rpc_retries_total", "route" => call.path().to_owned()).increment(1);
            sleep(pause).await;
        }
        unreachable!("tries are counted")
    }

    /// One try, and a second beside it when that takes longer than nearly all do.
    async fn hedged(&self, call: &Call<'_>, begun: Begun<'_>) -> Answer {
        let address = begun.address.clone();
        let first = self.try_once(call, begun, 1);
        let Some(wait) = self.hedge_after(call) else { return first.await };
        tokio::pin!(first);
        tokio::select! {
            answer = &mut first => return answer,
            () = sleep(wait) => {}
        }
        let is_allowed = self.state().hedgers.get_mut(call.path()).is_some_and(Hedger::hedge);
        let Ok(begun) = (if is_allowed { self.begin(call, Some(&address)) } else { return first.await }) else { return first.await };
        metrics::counter!("market_rpc_hedges_total", "route" => call.path().to_owned()).increment(1);
        let second = self.try_once(call, begun, 2);
        tokio::pin!(second);
        // The loser is dropped, and so cancelled.
        tokio::select! {
            answer = &mut first => if answer.is_healthy() { answer } else { second.await },
            answer = &mut second => if answer.is_healthy() { answer } else { first.await },
        }
    }

    async fn try_once(&self, call: &Call<'_>, begun: Begun<'_>, tries: u32) -> Answer {
        let left = call.deadline.left(begun.at);
        let mut request = Request::from_parts(call.parts.clone(), Body::new(Full::new(call.body.clone())));
        set_timeout(request.headers_mut(), left);
        if tries > 1 {
            request.headers_mut().insert(PREVIOUS, HeaderValue::from(tries - 1));
        }
        let answer = match self.channels.get(&begun.address) {
            Some(channel) => tokio::time::timeout(left, exchange(channel.clone(), request)).await,
            None => unreachable!("the balancer knows the addresses of the connections"),
        };
        let answer = answer.unwrap_or_else(|_| Answer::Lost(Status::deadline_exceeded("there was no answer in time")));
        begun.end(call, &answer);
        answer
    }

    /// How long to wait before the next try; nothing when there is none.
    fn pause(&self, call: &Call<'_>, answer: &Answer, tries: u32) -> Option<Duration> {
        let Retries { attempts, backoff, codes } = &call.policy.retries;
        let is_failed = answer.is_retryable(codes);
        let mut state = self.state();
        state.budget.note(&call.config.budgeting, !is_failed);
        // What was never sent may be sent again, whatever it is.
        let attempts = if *attempts == 1 && answer.was_never_sent() { 2 } else { *attempts };
        if !is_failed || tries >= attempts {
            return None;
        }
        if !state.budget.allows(&call.config.budgeting) {
            self.count_refused("budget");
            return None;
        }
        drop(state);
        let pause = match answer.pushback() {
            Pushback::Never => return None,
            Pushback::After(pause) => pause,
            Pushback::None => backoff.pause(tries, rand::random()),
        };
        (call.deadline.left(clock::now()) > pause).then_some(pause)
    }

    fn begin(&self, call: &Call<'_>, except: Option<&str>) -> Result<Begun<'_>, BreakerOpen> {
        let (at, dice) = (clock::now(), rand::random());
        let mut state = self.state();
        let pass = state.breaker.begin(&call.config.breaking, at)?;
        let address = state.balancer.pick_other_than(at, &call.config.ejecting, dice, except).ok_or(BreakerOpen(Duration::ZERO))?;
        drop(state);
        Ok(Begun { target: self, address, pass, at, is_ended: false })
    }

    fn hedge_after(&self, call: &Call<'_>) -> Option<Duration> {
        let hedging = call.policy.hedging.as_ref().filter(|_| self.channels.len() > 1)?;
        let now = clock::now();
        self.hedger(&mut self.state(), call.path(), now, |hedger| hedger.begin(hedging, now))
    }

    fn is_worth_it(&self, path: &str, left: Duration, now: Duration) -> bool {
        let usual = self.hedger(&mut self.state(), path, now, |hedger| hedger.usual(now, ENOUGH));
        is_worth_it(left, usual) || rand::random::<f64>() < PROBES
    }

    #[expect(clippy::unused_self, reason = "what is asked is a target's")]
    fn hedger<T>(&self, state: &mut State, path: &str, now: Duration, ask: impl FnOnce(&mut Hedger) -> T) -> T {
        if let Some(hedger) = state.hedgers.get_mut(path) {
            return ask(hedger);
        }
        ask(state.hedgers.entry(path.to_owned()).or_insert_with(|| Hedger::new(now)))
    }

    /// What the contract does not have goes through as it is, to any endpoint.
    async fn pass_on(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        telemetry::to_headers(request.headers_mut());
        let Some(channel) = self.channels.values().next() else { return Err(Status::unavailable("it has no endpoint")) };
        let mut channel = channel.clone();
        let answer = async { channel.ready().await?.call(request).await };
        match tokio::time::timeout(UNKNOWN_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| Status::from_error(error.into())),
            Err(_) => Err(Status::deadline_exceeded("there was no answer in time")),
        }
    }

    fn enter(&self, bulkhead: u32) -> Result<Room<'_>, Status> {
        let mut state = self.state();
        if state.under_way >= bulkhead {
            drop(state);
            return Err(self.refused("bulkhead", format!("{bulkhead} calls to {} are under way already", self.name)));
        }
        state.under_way += 1;
        Ok(Room(self))
    }

    /// A call that was not sent.
    fn refused(&self, why: &'static str, text: String) -> Status {
        self.count_refused(why);
        Status::from_error(Box::new(tonic::ConnectError(text.into())))
    }

    fn count_refused(&self, why: &'static str) {
        metrics::counter!("market_rpc_refused_total", "target" => self.name.clone(), "why" => why).increment(1);
    }
}

impl Begun<'_> {
    fn end(mut self, call: &Call<'_>, answer: &Answer) {
        self.is_ended = true;
        let (now, is_healthy) = (clock::now(), answer.is_healthy());
        let took = now.saturating_sub(self.at);
        let mut state = self.target.state();
        state.balancer.end(now, &call.config.ejecting, &self.address, is_healthy, took);
        state.breaker.end(&call.config.breaking, now, self.pass, is_healthy);
        if is_healthy {
            self.target.hedger(&mut state, call.path(), now, |hedger| hedger.end(now, took));
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.target.state().balancer.abandon(&self.address);
        }
    }
}

/// A place among the calls that are under way.
struct Room<'a>(&'a Target);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

/// Sends a request, and waits for the whole answer: only its end says how it went.
async fn exchange(mut channel: Channel, request: Request<Body>) -> Answer {
    let answer = async {
        let (head, body) = channel.ready().await?.call(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer::said(head, body))
    };
    answer.await.unwrap_or_else(|error| Answer::Lost(lost(error)))
}

/// tonic watches the time too, and calls its end a cancellation.
fn lost(error: Box<dyn std::error::Error + Send + Sync>) -> Status {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return Status::deadline_exceeded("there was no answer in time");
        }
        cause = error.source();
    }
    Status::from_error(error)
}
