//! Names, help and label values of the links' own metrics.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use link::{Link, Links, Site, Traffic};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: &str = "market_links_connections";
const OPENED: &str = "market_links_opened_total";
const REFUSED: &str = "market_links_refused_total";
const BYTES: &str = "market_links_bytes_total";
const HELD: &str = "market_links_held_bytes";
const PARTITIONED: &str = "market_links_partitioned";

/// Between two looks at the counters.
const EVERY: Duration = Duration::from_secs(1);

fn describe() {
    metrics::describe_gauge!(CONNECTIONS, "Connections now, by who made them");
    metrics::describe_counter!(OPENED, "Connections that were made");
    metrics::describe_counter!(REFUSED, "Connections that were refused: too many, or the target took none");
    metrics::describe_counter!(BYTES, "Bytes that came out, by their direction");
    metrics::describe_gauge!(HELD, "Bytes under way, by their direction");
    metrics::describe_gauge!(PARTITIONED, "1 when nothing comes out in this direction");
}

/// Writes them down until `shutdown`.
pub(crate) async fn run(links: Links, carried: Arc<[(Link, Arc<Traffic>)]>, shutdown: CancellationToken) {
    describe();
    loop {
        for (link, traffic) in carried.iter() {
            note(link, traffic);
        }
        for flow in links.flows() {
            let labels = labels(flow.way.from, flow.way.to, &flow.protocol, "");
            metrics::gauge!(PARTITIONED, &labels[..3]).set(f64::from(u8::from(flow.shape.partitioned)));
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

/// The listener's port tells links that share sites and protocol apart.
fn labels(from: Site, to: Site, protocol: &str, port: &str) -> [(&'static str, String); 4] {
    [("from", from.to_string()), ("to", to.to_string()), ("protocol", protocol.to_owned()), ("port", port.to_owned())]
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers; these are far below 2^52")]
fn note(link: &Link, traffic: &Traffic) {
    let Link { from, to, protocol, listen, .. } = link;
    let port = listen.port().to_string();
    let (there, back) = (labels(*from, *to, protocol, &port), labels(*to, *from, protocol, &port));
    metrics::gauge!(CONNECTIONS, &there).set(traffic.connections.load(Ordering::Relaxed) as f64);
    metrics::counter!(OPENED, &there).absolute(traffic.opened.load(Ordering::Relaxed));
    metrics::counter!(REFUSED, &there).absolute(traffic.refused.load(Ordering::Relaxed));
    for (labels, bytes, held) in [(there, &traffic.there, &traffic.held_there), (back, &traffic.back, &traffic.held_back)] {
        metrics::counter!(BYTES, &labels).absolute(bytes.load(Ordering::Relaxed));
        metrics::gauge!(HELD, &labels).set(held.load(Ordering::Relaxed) as f64);
    }
}
