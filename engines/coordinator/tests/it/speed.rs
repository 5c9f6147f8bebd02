//! Puts a second beside etcd's, on the same disk. `COORDINATOR_SPEED=5s` runs it; `ETCD` names the etcd to compare with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::cluster::{Client, Cluster, Make};

/// Clients that share a connection.
const SHARED: usize = 32;

/// Memory of all sites in MiB.
fn memory(cluster: &Cluster) -> u64 {
    let resident = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default().to_owned();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
    };
    (0..cluster.sites.len()).filter_map(|index| cluster.pid(index)).map(resident).sum::<u64>() / 1024
}

/// User and system time of all sites, in seconds.
fn processor(cluster: &Cluster) -> f64 {
    let ticks = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
        // After the name comes the state, which is no number; then utime and stime are the 11th and 12th numbers.
        fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| user + system)
    };
    (0..cluster.sites.len()).filter_map(|index| cluster.pid(index)).map(ticks).sum::<f64>() / 100.0
}

async fn measure(cluster: &Cluster, clients: usize, length: Duration, sites: &[usize]) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let connections: Vec<Client> =
        (0..clients.div_ceil(SHARED).max(sites.len())).map(|number| cluster.client(sites[number % sites.len()])).collect();
    let (before, started) = (processor(cluster), Instant::now());
    let workers = (0..clients).map(|number| {
        let (mut client, stop) = (connections[number % connections.len()].clone(), stop.clone());
        tokio::spawn(async move {
            let (mut times, mut failed, mut count) = (Vec::new(), 0u64, 0u64);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let key = (number as u64 * 1000 + count % 1000).to_be_bytes();
                match client.put(&key, &[b'v'; 256]).await {
                    Ok(_) => times.push(begun.elapsed()),
                    Err(_) => failed += 1,
                }
                count += 1;
            }
            (times, failed)
        })
    });
    let workers: Vec<_> = workers.collect();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let (mut times, mut failed) = (Vec::new(), 0);
    for worker in workers {
        let (more, errors) = worker.await?;
        times.extend(more);
        failed += errors;
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |permille: usize| times.get(times.len() * permille / 1000).copied().unwrap_or_default();
    println!(
        "{clients:>4} clients: {:>7.0} puts/s, p50 {:>9.2?}, p99 {:>9.2?}, {failed} failed, {:.0} puts per second of processor, {} MiB in all sites",
        f64::from(u32::try_from(times.len())?) / seconds,
        at(500),
        at(990),
        f64::from(u32::try_from(times.len())?) / (processor(cluster) - before).max(0.01),
        memory(cluster),
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_beside_etcd() {
    let Some(length) = std::env::var_os("COORDINATOR_SPEED").and_then(|text| humantime::parse_duration(&text.to_string_lossy()).ok())
    else {
        eprintln!("SKIPPED: set COORDINATOR_SPEED to the length of each measurement, e.g. 5s");
        return;
    };
    for make in [Some(Make::Coordinator), Make::etcd()].into_iter().flatten() {
        let cluster = Cluster::start(make.clone(), 3, &[]).await.unwrap();
        let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
        println!("{make:?}, {} MiB at rest", memory(&cluster));
        for clients in [1, 64, 512] {
            for sites in [vec![leader], vec![0, 1, 2]] {
                print!("to {} sites, ", sites.len());
                measure(&cluster, clients, length, &sites).await.unwrap();
            }
        }
    }
}
