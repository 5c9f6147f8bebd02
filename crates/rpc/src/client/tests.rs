//! Calls to real servers on loopback, which do as the test says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt as _, join_all};
use proto::search::v1::{
    SearchRequest, SearchResponse,
    search_service_client::SearchServiceClient,
    search_service_server::{SearchService, SearchServiceServer},
};
use tokio::time::sleep;
use tonic::{Code, Request, Response, Status, service::Routes};

use super::{Client, answer::PUSHBACK};
use crate::{Context, Failure, Kind, ServiceConfig, clock, gate::Gate, server::scoped};

type Behaviour = Arc<dyn Fn(u32) -> BoxFuture<'static, Result<String, Status>> + Send + Sync>;

/// A server and how often it was called.
#[derive(Clone)]
struct Server {
    behaviour: Behaviour,
    calls: Arc<AtomicU32>,
    address: SocketAddr,
}

#[tonic::async_trait]
impl SearchService for Server {
    async fn search(&self, _: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let number = self.calls.fetch_add(1, Relaxed);
        let next_page_token = (self.behaviour)(number).await?;
        Ok(Response::new(SearchResponse { next_page_token, ..SearchResponse::default() }))
    }
}

impl Server {
    async fn start<F>(behaviour: impl Fn(u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, Status>> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behaviour: Behaviour = Arc::new(move |number| behaviour(number).boxed());
        let server = Self { behaviour, calls: Arc::default(), address: listener.local_addr().unwrap() };
        let routes = Routes::new(SearchServiceServer::new(server.clone())).prepare().into_axum_router();
        let app = routes.layer(axum::middleware::from_fn_with_state(Gate::default(), scoped));
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }
}

fn client(servers: &[&Server], config: &str) -> Client {
    let endpoints = servers.iter().map(|server| format!("http://{}", server.address).parse().unwrap());
    Client::new(endpoints, ServiceConfig::parse(config).unwrap())
}

async fn search(client: &Client) -> Result<String, Status> {
    let answer = SearchServiceClient::new(client.clone()).search(SearchRequest::default()).await;
    answer.map(|answer| answer.into_inner().next_page_token)
}

fn left() -> u64 {
    let left = Context::current().deadline.map(|deadline| deadline.left(clock::now()));
    left.map_or(u64::MAX, |left| u64::try_from(left.as_millis()).unwrap())
}

const UNGUARDED: &str = r#"{ "backbone": { "breaker": { "share": 1, "least": 1000000 } } }"#;

#[tokio::test]
async fn each_hop_has_less_time_than_the_one_before() {
    let last = Server::start(|_| async { Ok(left().to_string()) }).await;
    let to_last = client(&[&last], "{}");
    let first = Server::start(move |_| {
        let to_last = to_last.clone();
        async move { Ok(format!("{} {}", left(), search(&to_last).await?)) }
    });
    let first = first.await;
    let mut request = Request::new(SearchRequest::default());
    request.set_timeout(Duration::from_millis(400));
    let answer = SearchServiceClient::new(client(&[&first], "{}")).search(request).await.unwrap().into_inner().next_page_token;
    let times: Vec<u64> = answer.split(' ').map(|time| time.parse().unwrap()).collect();
    assert!(times[0] <= 400 && times[1] + 5 <= times[0], "{times:?}");
}

#[tokio::test]
async fn a_call_ends_with_its_time_and_nothing_goes_on_behind_it() {
    let goes_on = Arc::new(AtomicBool::new(false));
    let noted = goes_on.clone();
    let server = Server::start(move |_| {
        let noted = noted.clone();
        async move {
            sleep(Duration::from_millis(200)).await;
            noted.store(true, Relaxed);
            Ok(String::new())
        }
    })
    .await;
    let begun = Instant::now();
    let refused = search(&client(&[&server], r#"{ "methodConfig": [{ "name": [{}], "timeout": "0.05s" }] }"#)).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_millis(190), "{:?}", begun.elapsed());
    sleep(Duration::from_millis(250)).await;
    assert!(!goes_on.load(Relaxed), "its work was dropped");
    assert!(crate::was_cancelled_within(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_call_that_cannot_be_in_time_is_not_begun() {
    let server = Server::start(|_| async {
        sleep(Duration::from_millis(30)).await;
        Ok(String::new())
    });
    let server = server.await;
    let client = client(&[&server], "{}");
    join_all((0..25).map(|_| search(&client))).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    for _ in 0..40 {
        let hurried = Context::default().with_time(Duration::from_millis(20));
        assert_eq!(hurried.scope(search(&client)).await.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert!(server.calls() < 25 + 20, "one in ten is a probe, and {} calls reached it", server.calls() - 25);
}

#[tokio::test]
async fn what_was_lost_is_asked_again_and_what_was_said_is_not() {
    let flaky =
        Server::start(|number| async move { if number < 2 { Err(Status::unavailable("gone")) } else { Ok("there".to_owned()) } }).await;
    assert_eq!((search(&client(&[&flaky], "{}")).await.unwrap().as_str(), flaky.calls()), ("there", 3));
    let plain = Server::start(|_| async { Err(Failure::new(Kind::Unavailable, "NO_DATABASE", "no").into()) }).await;
    let refused = search(&client(&[&plain], "{}")).await.unwrap_err();
    assert_eq!((Failure::from(refused).reason.as_str(), plain.calls()), ("NO_DATABASE", 1));
}

#[tokio::test]
async fn a_server_says_when_to_ask_again_or_that_it_is_in_vain() {
    let pushing = |text: &'static str| {
        Server::start(move |number| async move {
            let mut status = Status::from(Failure::new(Kind::Unavailable, "BUSY", "busy"));
            status.metadata_mut().insert(PUSHBACK, text.parse().unwrap());
            if number == 0 { Err(status) } else { Ok(String::new()) }
        })
    };
    let (later, never) = (pushing("60").await, pushing("-1").await);
    let begun = Instant::now();
    search(&client(&[&later], "{}")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert_eq!((search(&client(&[&never], "{}")).await.unwrap_err().code(), never.calls()), (Code::Unavailable, 1));
}

#[tokio::test]
async fn a_retry_storm_is_held_by_the_budget() {
    const CALLS: u32 = 200;
    let tries = async |budget: &str| {
        let dead = Server::start(|_| async { Err(Status::unavailable("dead")) }).await;
        let retry = r#""retryPolicy": { "maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"] }"#;
        let config = format!(
            r#"{{ "methodConfig": [{{ "name": [{{}}], {retry} }}], "retryThrottling": {budget}, "backbone": {{ "breaker": {{ "share": 1, "least": 1000000 }} }} }}"#
        );
        let client = client(&[&dead], &config);
        for _ in 0..CALLS {
            search(&client).await.unwrap_err();
        }
        dead.calls()
    };
    let held = tries(r#"{ "maxTokens": 20, "tokenRatio": 0.1 }"#).await;
    assert!(held <= CALLS * 6 / 5, "{held} tries of {CALLS} calls");
    let unheld = tries(r#"{ "maxTokens": 1000, "tokenRatio": 1000 }"#).await;
    assert!(unheld >= CALLS * 2, "{unheld} tries: nothing held them, or the test shows nothing");
}

#[tokio::test]
async fn a_dead_service_is_left_alone_and_tried_again_when_it_is_back() {
    let is_alive = Arc::new(AtomicBool::new(false));
    let answers = is_alive.clone();
    let server = Server::start(move |_| {
        let is_alive = answers.load(Relaxed);
        async move { if is_alive { Ok(String::new()) } else { Err(Status::internal("broken")) } }
    })
    .await;
    let client = client(&[&server], r#"{ "backbone": { "breaker": { "pause": "0.1s", "longestPause": "0.2s" } } }"#);
    for _ in 0..40 {
        search(&client).await.unwrap_err();
    }
    assert!(server.calls() < 30, "{} calls reached it", server.calls());
    is_alive.store(true, Relaxed);
    let begun = Instant::now();
    while search(&client).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(3));
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_replica_that_fails_or_is_slow_is_left_out() {
    let good = Server::start(|_| async { Ok(String::new()) }).await;
    let failing = Server::start(|_| async { Err(Status::internal("broken")) }).await;
    let slow = Server::start(|_| async {
        sleep(Duration::from_millis(50)).await;
        Ok(String::new())
    })
    .await;
    let client = client(&[&good, &failing, &slow], UNGUARDED);
    let mut failures = 0;
    for _ in 0..500 {
        failures += u32::from(search(&client).await.is_err());
    }
    assert!(failures <= 8, "{failures} of 500 failed");
    assert!(failing.calls() < 20 && slow.calls() < 50, "failing {}, slow {}, good {}", failing.calls(), slow.calls(), good.calls());
}

#[tokio::test]
async fn a_read_that_takes_long_is_asked_elsewhere_and_the_loser_is_cancelled() {
    let is_stuck = Arc::new(AtomicBool::new(false));
    let start = || {
        let is_stuck = is_stuck.clone();
        Server::start(move |_| {
            // One is stuck, whichever comes first.
            let waits = is_stuck.swap(false, Relaxed);
            async move {
                sleep(if waits { Duration::from_secs(4) } else { Duration::from_millis(2) }).await;
                Ok(String::new())
            }
        })
    };
    let (one, two) = (start().await, start().await);
    let client = client(&[&one, &two], "{}");
    for _ in 0..100 {
        search(&client).await.unwrap();
    }
    is_stuck.store(true, Relaxed);
    let begun = Instant::now();
    search(&client).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    sleep(Duration::from_millis(50)).await;
    assert!(crate::was_cancelled_within(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_bad_config_changes_nothing() {
    let server = Server::start(|_| async { Err(Status::unavailable("gone")) }).await;
    let once = r#"{ "methodConfig": [{ "name": [{}], "timeout": "1s", "retryPolicy": { "maxAttempts": 2, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["ABORTED"] } }] }"#;
    let client = client(&[&server], once);
    assert!(client.set_config("{ \"magic\": 1 }").unwrap_err().to_string().contains("unknown field"));
    search(&client).await.unwrap_err();
    assert_eq!(server.calls(), 1, "as before: unavailable is not asked again");
    client.set_config("{}").unwrap();
    search(&client).await.unwrap_err();
    assert_eq!(server.calls(), 4);
}
