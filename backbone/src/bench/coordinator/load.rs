//! Clients that put one key after another, as fast as they are answered.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lease::wire::etcdserverpb::{PutRequest, kv_client::KvClient};
use tonic::transport::Channel;

use super::cluster::Cluster;
use crate::bench::measure::Latencies;

/// Clients that share a connection.
pub(super) const SHARED: usize = 32;
/// Bytes of a value.
pub(super) const VALUE: usize = 256;
/// Keys of one client; their histories grow.
const KEYS: u64 = 1000;

/// What one load came to.
#[derive(Debug)]
pub(super) struct Load {
    clients: usize,
    pub(super) rate: f64,
    /// Milliseconds.
    pub(super) p99: f64,
    /// Puts for each second that the sites' processors worked.
    pub(super) per_cpu: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.0}/s, p99 {:.1} ms, {:.0} per CPU second", self.clients, self.rate, self.p99, self.per_cpu)
    }
}

fn connect(cluster: &Cluster, clients: usize, sites: &[usize]) -> Result<Vec<KvClient<Channel>>> {
    let connections = clients.div_ceil(SHARED).max(sites.len());
    (0..connections).map(|number| Ok(KvClient::new(cluster.connect(sites[number % sites.len()])?))).collect()
}

/// Has clients put until `left` says that it is enough, and gives how long each put took. Every put must work.
async fn drive(cluster: &Cluster, clients: usize, sites: &[usize], left: impl Fn() -> bool + Clone + Send + 'static) -> Result<Latencies> {
    let connections = connect(cluster, clients, sites)?;
    let workers = (0..clients).map(|number| {
        let (mut client, left) = (connections[number % connections.len()].clone(), left.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            for count in 0.. {
                if !left() {
                    break;
                }
                let key = (number as u64 * KEYS + count % KEYS).to_be_bytes();
                let put = PutRequest { key: key.to_vec().into(), value: vec![b'v'; VALUE].into(), ..PutRequest::default() };
                let begun = Instant::now();
                client.put(put).await.context("a put")?;
                times.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>(times)
        })
    });
    let mut all = Latencies::default();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.context("a client panicked")??);
    }
    Ok(all)
}

/// `clients` at once, spread over `sites`.
pub(super) async fn put(cluster: &Cluster, clients: usize, length: Duration, sites: &[usize]) -> Result<Load> {
    let (used, begun) = (cluster.cpu(), Instant::now());
    let mut times = drive(cluster, clients, sites, move || begun.elapsed() < length).await?;
    let (seconds, used) = (begun.elapsed().as_secs_f64(), cluster.cpu() - used);
    ensure!(times.len() > 0, "nothing was put in {length:?}");
    #[expect(clippy::cast_precision_loss, reason = "a count of some seconds of puts")]
    let count = times.len() as f64;
    Ok(Load { clients, rate: count / seconds, p99: times.ms(0.99), per_cpu: count / used.max(0.01) })
}

/// Makes a history of `count` puts.
pub(super) async fn fill(cluster: &Cluster, site: usize, clients: usize, count: usize) -> Result<()> {
    let begun = Arc::new(AtomicUsize::new(0));
    drive(cluster, clients, &[site], move || begun.fetch_add(1, Ordering::Relaxed) < count).await.map(|_| ())
}
