//! The edge as a process, between real connections: storefronts' stand-ins behind it, an HTTP client before it.

mod failover;
mod fenced;
mod limits;
mod passing;
mod registrar;
mod routing;
mod streaming;
mod takeover;
mod upstream;
mod writes;

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, redirect::Policy};
use serde_json::Value;
use testkit::{Running, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{registrar::Registrar, upstream::Upstream};

/// Longer than anything in these tests takes.
const SOON: Duration = Duration::from_secs(20);

/// An edge with both storefronts.
struct World {
    edge: Running,
    eu: Upstream,
    us: Upstream,
    client: Client,
}

impl World {
    /// After the first probes, the next come when the test is long over: what the edge thinks changes by what it meets alone.
    async fn new() -> Self {
        Self::with(&[("PROBE_INTERVAL", "1h")]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let (eu, us) = (Upstream::start("eu").await, Upstream::start("us").await);
        let (eu_address, us_address, nobody) = (eu.address(), us.address(), format!("http://{}", testkit::nowhere()));
        let mut env = vec![("BFF_EU_ADDR", eu_address.as_str()), ("BFF_US_ADDR", us_address.as_str())];
        env.extend([("REGION_EU_ADDR", nobody.as_str()), ("REGION_US_ADDR", nobody.as_str())]);
        env.extend(settings);
        let edge = Running::start(env!("CARGO_BIN_EXE_edge"), &env).await;
        let client = Client::builder().redirect(Policy::none()).build().expect("a client");
        let this = Self { edge, eu, us, client };
        this.until("both regions are healthy", ["healthy", "healthy"]).await;
        this
    }

    /// Waits for the edge to think so of eu and us.
    async fn until(&self, what: &str, wanted: [&str; 2]) {
        eventually(what, SOON, async || {
            let regions: Value = json(self.get("/edge/regions").send().await.map_err(|error| error.to_string())?).await;
            let states = [0, 1].map(|index| regions["regions"][index]["state"].as_str().unwrap_or_default().to_owned());
            if states == wanted { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
    }

    fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{target}", self.edge.address()))
    }

    fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    fn post(&self, target: &str) -> RequestBuilder {
        self.request(Method::POST, target)
    }

    /// Sends bytes as they are, and reads until the edge closes the connection.
    async fn raw(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.edge.address().trim_start_matches("http://")).await.expect("the edge listens");
        connection.write_all(request).await.expect("the edge reads");
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, connection.read_to_end(&mut answer)).await.expect("the edge closes").expect("the edge answers");
        String::from_utf8(answer).expect("the answer is text")
    }
}

async fn sent(request: RequestBuilder) -> Response {
    tokio::time::timeout(SOON, request.send()).await.expect("an answer in time").expect("an answer")
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("plain text"))
}

/// Status, reason and the region that is named.
async fn problem(response: Response) -> (u16, String, String) {
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let (status, region) = (response.status().as_u16(), header(&response, "x-served-by").to_owned());
    let document = json(response).await;
    let reason = document["reason"].as_str().expect("a reason").to_owned();
    assert_eq!((&document["type"], &document["status"]), (&format!("/errors/{reason}").into(), &status.into()));
    (status, reason, region)
}
