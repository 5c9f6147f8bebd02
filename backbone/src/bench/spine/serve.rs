//! What `backbone bench-relay` does: runs our relay on one outbox, as a service would, and nothing else.

use anyhow::{Context as _, Result};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{exit::Exit, output::line};

/// Publishes the outbox of `DATABASE_URL` to `KAFKA_BOOTSTRAP_SERVERS` from the line `start` to the line `stop` of standard input, and ends
/// with it.
///
/// # Errors
/// When the settings are of no use.
pub async fn serve() -> Result<Exit> {
    let mut settings = config::Reader::new(config::Source::environment());
    let database_url = settings.secret("DATABASE_URL", "postgres://order:secret@127.0.0.1/bench");
    let bootstrap = settings.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092");
    settings.finish()?;
    let mut orders = orders();
    let mut running: Option<(CancellationToken, JoinHandle<_>)> = None;
    while let Some(order) = orders.recv().await {
        if order == "start" {
            let shutdown = CancellationToken::new();
            let outbox = ::spine::Outbox {
                pool: store::connect(&database_url, 4)?,
                database_url: database_url.clone(),
                bootstrap: bootstrap.clone(),
                source: "/market/eu/bench".to_owned(),
                is_mirrored: false,
            };
            let relay = tokio::spawn(outbox.run(shutdown.clone()));
            running = Some((shutdown, relay));
        } else {
            if let Some((shutdown, relay)) = running.take() {
                shutdown.cancel();
                relay.await.context("the relay does not panic")??;
            }
            line("stopped");
        }
    }
    Ok(Exit::Ok)
}

/// Lines of standard input.
fn orders() -> mpsc::Receiver<String> {
    let (send, orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            if send.blocking_send(order).is_err() {
                return;
            }
        }
    });
    orders
}
