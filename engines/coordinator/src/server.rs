//! Wiring: the node, its peer port, the API, health.

use rpc::{Grpc, Process, Readiness, process::Fatal};
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use crate::{
    Node,
    api::Api,
    config::Config,
    metrics,
    raft::{MESSAGE, Peer},
    wire::coordinator::v1::peer_service_server::PeerServiceServer,
};

/// What answers other sites.
pub(crate) fn peer(node: &Node) -> PeerServiceServer<Peer> {
    PeerServiceServer::new(Peer { node: node.clone() }).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE)
}

/// Runs a site until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let listener =
        TcpListener::bind(config.peer_listen).await.map_err(|error| format!("cannot listen on {}: {error}", config.peer_listen))?;
    // Told here, as a server that is handed its connections does not see to it: an answer must not wait for an acknowledgement.
    let listener = TcpIncoming::from(listener).with_nodelay(Some(true));
    let node = Node::start(config.node, process.shutdown.clone()).await?;

    let peer = peer(&node);
    let (left, leaving) = tokio::sync::oneshot::channel::<()>();
    process.spawn("peer port", async move {
        let server = Server::builder().initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20);
        let server = { server }.add_service(peer).serve_with_incoming_shutdown(listener, async {
            let _ = leaving.await;
        });
        // Streams of other sites have no end of their own, so they are not waited for.
        server.await.map_err(Into::into)
    });
    let (leaver, shutdown) = (node.clone(), process.shutdown.clone());
    process.spawn("raft", async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            error = leaver.failed() => return Err(error.into()),
        }
        leaver.leave().await;
        let _ = left.send(());
        Ok(())
    });
    process.spawn("metrics", metrics::watch(node.clone(), process.shutdown.clone()));

    let api = Api { node: node.clone(), shutdown: process.shutdown.clone() };
    let (router, health) = api.serve(Grpc::default()).finish();
    let readiness = Readiness::default().needs("leader", move || {
        let node = node.clone();
        async move { node.linearize().await.map_err(|refusal| refusal.to_string()) }
    });
    process.serve(router, Some(health), readiness).await
}
