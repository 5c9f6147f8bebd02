//! Talks to a part once in its own protocol: an open port is not yet an engine that answers.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

async fn connect(port: u16) -> Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("connect to port {port}"))
}

/// Kafka: an `ApiVersions` request, version 0, which every broker answers.
///
/// # Errors
/// When the broker does not answer, or with an error code.
pub async fn kafka(port: u16) -> Result<()> {
    // size, api key 18, version 0, correlation id 7, no client id: <https://kafka.apache.org/protocol>
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let mut stream = connect(port).await?;
    stream.write_all(&REQUEST).await?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.context("read the broker's answer")?;
    ensure!(answer[4..] == [0, 0, 0, 7, 0, 0], "the broker answered with an error");
    Ok(())
}

/// NATS: a PING is answered with a PONG.
///
/// # Errors
/// When it is not.
pub async fn nats(port: u16) -> Result<()> {
    let mut stream = connect(port).await?;
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").await?;
    let mut text = Vec::new();
    while !text.ends_with(b"PONG\r\n") {
        ensure!(stream.read_buf(&mut text).await? > 0 && text.len() < 8192, "the server did not answer a PING");
    }
    Ok(())
}

/// gRPC: the standard health check of one service.
///
/// # Errors
/// When it does not serve.
pub async fn grpc_health(port: u16, service: &str) -> Result<()> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?;
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
    ensure!(answer.status() == ServingStatus::Serving, "{service} is {}", answer.status().as_str_name());
    Ok(())
}

/// A service: `/readyz` on its admin port.
///
/// # Errors
/// What it lacks, in its own words.
pub async fn ready(admin: u16) -> Result<()> {
    let answer = http()?.get(format!("http://127.0.0.1:{admin}/readyz")).send().await?;
    let status = answer.status();
    if status != reqwest::StatusCode::OK {
        bail!("/readyz says {status}: {}", answer.text().await.unwrap_or_default().trim());
    }
    Ok(())
}

/// The shop's public door: the catalog's first page has an item.
///
/// # Errors
/// When it has not.
pub async fn shop(base: &str) -> Result<()> {
    let url = format!("{base}/api/items?page_size=1");
    let answer = http()?.get(&url).send().await.with_context(|| format!("GET {url}"))?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.with_context(|| format!("GET {url}: {status}"))?;
    ensure!(body["items"].as_array().is_some_and(|items| !items.is_empty()), "GET {url}: {status} without an item");
    Ok(())
}

/// A client for one machine: no proxy, no patience.
///
/// # Errors
/// Never in practice.
pub fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?)
}

/// Tries until it works or `limit` has passed; then the last error.
///
/// # Errors
/// The last error of `once`.
pub async fn until<T, F>(limit: Duration, pause: Duration, mut once: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let end = tokio::time::Instant::now() + limit;
    loop {
        match once().await {
            Ok(value) => return Ok(value),
            Err(error) if tokio::time::Instant::now() >= end => return Err(error.context(format!("still not after {limit:?}"))),
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
}
