//! Nothing waits for its end.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use crate::{SOON, World, header, sent};

async fn in_time<T>(what: &str, wait: impl Future<Output = Option<T>>) -> T {
    let got = tokio::time::timeout(SOON, wait).await;
    got.unwrap_or_else(|_| panic!("no {what} in time")).unwrap_or_else(|| panic!("no {what}"))
}

#[tokio::test]
async fn an_event_comes_before_the_next_one_is_there() {
    let world = World::new().await;
    let response = sent(world.get("/events").header("accept", "text/event-stream")).await;
    assert_eq!(header(&response, "x-served-by"), "eu");
    let mut events = response.bytes_stream();
    assert_eq!(in_time("first event", events.next()).await.unwrap(), "data: 0\n\n");
    world.eu.go_on();
    assert_eq!(in_time("second event", events.next()).await.unwrap(), "data: 1\n\n");
    assert!(tokio::time::timeout(SOON, events.next()).await.unwrap().is_none(), "the end is passed on too");
}

#[tokio::test]
async fn an_upload_flows_before_it_ends() {
    let world = World::new().await;
    let mut arrived = world.eu.watch_upload();
    let (pieces, source) = mpsc::unbounded_channel::<Bytes>();
    let source = stream::unfold(source, |mut source| async move { Some((Ok::<_, String>(source.recv().await?), source)) });
    let upload = tokio::spawn(world.post("/upload").body(reqwest::Body::wrap_stream(source)).send());
    for piece in ["one", "two"] {
        pieces.send(Bytes::from_static(piece.as_bytes())).unwrap();
        assert_eq!(in_time(piece, arrived.recv()).await, piece);
    }
    drop(pieces);
    assert_eq!(upload.await.unwrap().unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn a_grpc_web_call_passes_byte_by_byte() {
    let world = World::new().await;
    let message: Vec<u8> = [0, 0, 0, 0, 5].into_iter().chain(*b"\x0a\x03A\xff\x00").collect();
    let request = world.post("/echo").header("content-type", "application/grpc-web+proto").header("x-grpc-web", "1");
    let response = sent(request.body(message.clone())).await;
    assert_eq!(response.bytes().await.unwrap(), message);
    let seen = &world.eu.seen()[0].headers;
    assert_eq!(seen["content-type"], "application/grpc-web+proto");
    assert_eq!(seen["x-grpc-web"], "1");
}
