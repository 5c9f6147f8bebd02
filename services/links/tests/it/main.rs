//! The links as a process, through their HTTP API.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{Running, eventually, free_port};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

/// A link from eu to us, and who answers at its end.
struct World {
    service: Running,
    link: SocketAddr,
    http: Client,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Says everything back.
async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

impl World {
    async fn new(latency: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address");
        tokio::spawn(echo(listener));
        let link = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("links-{}", uuid::Uuid::now_v7()));
        let table = format!("eu/us/cart={link}>{target}");
        let env = [("DATA_DIR", folder.to_str().expect("text")), ("LINKS", &table), ("LINK_LATENCY", latency)];
        let service = Running::start(env!("CARGO_BIN_EXE_links"), &env).await;
        Self { service, link, http: Client::builder().no_proxy().timeout(SOON).build().expect("a client"), folder }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.service.address())).json(body);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn set(&self, body: &Value) -> Value {
        let (status, answer) = self.send(Method::PATCH, "/shapes", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn flow(&self, from: &str) -> Value {
        let (_, answer) = self.send(Method::GET, "/links", &Value::Null).await;
        answer["flows"].as_array().expect("flows").iter().find(|flow| flow["from"] == from).expect("it").clone()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.link).await.expect("a connection")
    }
}

async fn say(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello").await?;
    let mut back = [0; 5];
    timeout(SOON, stream.read_exact(&mut back)).await.expect("in time")?;
    assert_eq!(&back, b"hello");
    Ok(())
}

#[tokio::test]
async fn what_is_set_holds_and_comes_back_after_a_kill() {
    let mut world = World::new("0ms").await;
    let mut stream = world.connect().await;
    say(&mut stream).await.expect("an echo");
    world.set(&json!({ "from": "eu", "to": "us", "change": { "latency_us": 50_000 } })).await;
    let begun = Instant::now();
    say(&mut stream).await.expect("an echo");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());

    world.set(&json!({ "from": "us", "to": "eu", "one_way": true, "protocol": "cart", "change": { "partitioned": true } })).await;
    world.service.kill_and_restart().await;
    assert!(matches!(
        say(&mut stream).await.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
    ));
    let (there, back) = (world.flow("eu").await, world.flow("us").await);
    assert_eq!((&there["latency_us"], &there["partitioned"]), (&json!(50_000), &json!(false)));
    assert_eq!((&back["latency_us"], &back["partitioned"], &back["is_apart"]), (&json!(50_000), &json!(true), &json!(true)));

    let mut stream = world.connect().await;
    stream.write_all(b"hello").await.expect("room");
    let (status, _) = world.send(Method::DELETE, "/shapes", &Value::Null).await;
    assert_eq!(status, 200);
    let mut back = [0; 5];
    timeout(SOON, stream.read_exact(&mut back)).await.expect("in time").expect("bytes");
    assert_eq!(world.flow("us").await["latency_us"], 0);
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let world = World::new("40ms").await;
    let before = world.flow("eu").await;
    assert_eq!(before["latency_us"], 20_000, "half of the round trip");
    for (body, status, reason) in [
        (json!({ "from": "eu", "to": "mars", "change": {} }), 400, "LINKS_INVALID_REQUEST"),
        (json!({ "from": "eu", "to": "us", "change": { "loss": 0.95 } }), 400, "LINKS_INVALID_REQUEST"),
        (json!({ "from": "eu", "to": "us", "change": { "latency_us": 60_000_001 } }), 400, "LINKS_INVALID_REQUEST"),
        (json!({ "from": "eu", "to": "us", "change": { "bandwidth": "fast" } }), 400, "LINKS_INVALID_REQUEST"),
        (json!({ "from": "eu", "to": "us", "change": { "color": "red" } }), 400, "LINKS_INVALID_REQUEST"),
        (json!("x".repeat(5_000)), 400, "LINKS_INVALID_REQUEST"),
        (json!({ "from": "eu", "to": "witness", "change": {} }), 404, "LINKS_UNKNOWN_LINK"),
        (json!({ "from": "eu", "to": "us", "protocol": "smtp", "change": {} }), 404, "LINKS_UNKNOWN_LINK"),
    ] {
        let (said, answer) = world.send(Method::PATCH, "/shapes", &body).await;
        assert_eq!((said, answer["reason"].as_str()), (status, Some(reason)), "{body}: {answer}");
    }
    assert_eq!(world.send(Method::POST, "/shapes", &Value::Null).await.0, 405);
    assert_eq!(world.send(Method::GET, "/", &Value::Null).await.0, 404);
    assert_eq!(world.flow("eu").await, before);
}

#[tokio::test]
async fn traffic_is_counted() {
    let world = World::new("0ms").await;
    say(&mut world.connect().await).await.expect("an echo");
    eventually("the bytes are counted", SOON, async || {
        let flow = world.flow("us").await;
        if flow["bytes"] == 5 && flow["held_bytes"] == 0 { Ok(()) } else { Err(flow.to_string()) }
    })
    .await;
}
