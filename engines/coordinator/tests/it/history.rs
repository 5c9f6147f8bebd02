//! Concurrent clients on three sites that are killed, paused and cut off: every register is linearizable, and every watch is complete.
//!
//! `COORDINATOR_CHAOS=10m` makes it longer; `COORDINATOR_SEED` repeats the choice of faults and calls, though not their timing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use coordinator::wire::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    watch_request::RequestUnion,
};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    checker::{Call, Op, explain, is_linearizable},
    cluster::{Client, Cluster, Make},
};

const KEYS: u64 = 4;
const CLIENTS: u64 = 5;
/// A run in which less than this was done in a second says nothing.
const LEAST: usize = 50;

/// What all clients share.
#[derive(Debug)]
struct Board {
    started: Instant,
    stop: AtomicBool,
    values: AtomicU64,
    /// Key, site, call.
    ops: Mutex<Vec<(u64, usize, Op)>>,
    /// Revision and value of every write that was acknowledged.
    written: Mutex<BTreeMap<i64, u64>>,
}

impl Board {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test is short")
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("h/{number}").into_bytes()
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// One call. None when it is known to have done nothing.
async fn call(client: &mut Client, board: &Board, on: u64, dice: u64) -> Option<Op> {
    let start = board.now();
    let new = board.values.fetch_add(1, Ordering::Relaxed);
    let value = new.to_string();
    let read = match dice % 10 {
        0..4 => None,
        4..7 => Some(client.put(&key(on), value.as_bytes()).await.map(|response| response.header.map_or(0, |header| header.revision))),
        _ => return swap(client, board, on, new, start).await,
    };
    match read {
        None => {
            let seen = client.get(&key(on)).await.ok()?.kvs.first().map_or(0, |kv| number(&kv.value));
            Some(Op { call: Call::Read(Some(seen)), start, end: Some(board.now()) })
        }
        Some(Ok(revision)) => {
            board.written.lock().unwrap().insert(revision, new);
            Some(Op { call: Call::Write(new), start, end: Some(board.now()) })
        }
        Some(Err(_)) => Some(Op { call: Call::Write(new), start, end: None }),
    }
}

/// Reads, and then writes if nobody else has meanwhile.
async fn swap(client: &mut Client, board: &Board, on: u64, new: u64, start: u64) -> Option<Op> {
    let before = client.get(&key(on)).await.ok()?;
    let (expected, modified) = before.kvs.first().map_or((0, 0), |kv| (number(&kv.value), kv.mod_revision));
    let put = PutRequest { key: key(on).into(), value: new.to_string().into(), ..PutRequest::default() };
    let compare = Compare {
        key: key(on).into(),
        target: CompareTarget::Mod.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::ModRevision(modified)),
        ..Compare::default()
    };
    let txn =
        TxnRequest { compare: vec![compare], success: vec![RequestOp { request: Some(Request::RequestPut(put)) }], failure: Vec::new() };
    let (done, end) = match client.txn(txn).await {
        Ok(response) => {
            if response.succeeded {
                board.written.lock().unwrap().insert(response.header.map_or(0, |header| header.revision), new);
            }
            (Some(response.succeeded), Some(board.now()))
        }
        Err(_) => (None, None),
    };
    Some(Op { call: Call::Swap(expected, new, done), start, end })
}

async fn work(mut clients: Vec<Client>, board: Arc<Board>, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    while !board.stop.load(Ordering::Relaxed) {
        let (to, on, kind) = (dice.random_range(0..clients.len()), dice.random_range(0..KEYS), dice.next_u64());
        if let Some(op) = call(&mut clients[to], &board, on, kind).await {
            let failed = op.end.is_none();
            board.ops.lock().unwrap().push((on, to, op));
            if failed {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Histories with long silences check little, and those with too many calls take for ever.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Watches everything from the first revision on, and goes on elsewhere when a site is lost.
async fn watch(clients: Vec<Client>, board: Arc<Board>, until: tokio::sync::watch::Receiver<i64>) -> Result<BTreeMap<i64, u64>> {
    let mut seen: BTreeMap<i64, u64> = BTreeMap::new();
    let mut next = 1;
    for client in clients.iter().cycle() {
        let create = WatchCreateRequest { key: "h/".into(), range_end: "h0".into(), start_revision: next, ..WatchCreateRequest::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let (requests, sent) = tokio::sync::mpsc::channel(1);
        requests.send(create).await?;
        let mut client = client.clone();
        let opened = tokio::time::timeout(Duration::from_secs(1), client.watch.watch(ReceiverStream::new(sent))).await;
        if let Ok(Ok(answers)) = opened {
            let mut answers = answers.into_inner();
            while let Ok(Ok(Some(answer))) = tokio::time::timeout(Duration::from_millis(700), answers.message()).await {
                for event in answer.events {
                    let kv = event.kv.context("an event has a key")?;
                    ensure!(kv.mod_revision >= next, "revision {} after {next}", kv.mod_revision);
                    ensure!(seen.insert(kv.mod_revision, number(&kv.value)).is_none(), "revision {} twice", kv.mod_revision);
                    next = kv.mod_revision;
                }
                next = seen.last_key_value().map_or(1, |(revision, _)| revision + 1);
            }
        }
        if board.stop.load(Ordering::Relaxed) && next > *until.borrow() && *until.borrow() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(seen)
}

async fn torment(cluster: &mut Cluster, dice: &mut StdRng) -> Result<()> {
    let leader = cluster.leader(Duration::from_secs(10)).await?;
    let victim = if dice.random_bool(0.6) { leader } else { (leader + 1) % cluster.sites.len() };
    let pause = Duration::from_millis(dice.random_range(300..1200));
    match dice.random_range(0..4) {
        0 => {
            cluster.kill(victim);
            tokio::time::sleep(pause).await;
            cluster.spawn(victim)?;
        }
        1 => {
            cluster.pause(victim);
            tokio::time::sleep(pause).await;
            cluster.resume(victim);
        }
        which => {
            cluster.links.isolate(victim, which == 2);
            tokio::time::sleep(pause).await;
            cluster.links.heal();
        }
    }
    tokio::time::sleep(Duration::from_millis(dice.random_range(200..800))).await;
    Ok(())
}

async fn run(make: Make, reads: &str) -> Result<()> {
    let length = std::env::var_os("COORDINATOR_CHAOS").and_then(|text| humantime::parse_duration(&text.to_string_lossy()).ok());
    let length = length.unwrap_or(Duration::from_secs(8));
    let seed = std::env::var_os("COORDINATOR_SEED").and_then(|text| text.to_string_lossy().parse().ok()).unwrap_or_else(rand::random);
    println!("COORDINATOR_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(make, 3, &[("READS", reads), ("SNAPSHOT_AFTER", "300")]).await?;
    #[expect(clippy::disallowed_methods, reason = "to be found in the sites' logs")]
    let began = humantime::format_rfc3339_micros(std::time::SystemTime::now());
    let board = Arc::new(Board {
        started: Instant::now(),
        stop: AtomicBool::new(false),
        values: AtomicU64::new(1),
        ops: Mutex::default(),
        written: Mutex::default(),
    });
    let clients = |cluster: &Cluster| (0..3).map(|index| cluster.client(index)).collect::<Vec<_>>();
    let (until, ends) = tokio::sync::watch::channel(0);
    let watcher = tokio::spawn(watch(clients(&cluster), board.clone(), ends));
    let workers: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(work(clients(&cluster), board.clone(), seed ^ client))).collect();
    while board.started.elapsed() < length {
        torment(&mut cluster, &mut dice).await?;
    }
    board.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await?;
    }
    let leader = cluster.leader(Duration::from_secs(10)).await?;
    let request = RangeRequest { key: "h/".into(), range_end: "h0".into(), ..RangeRequest::default() };
    let last = cluster.client(leader).range(request).await?.kvs.iter().map(|kv| kv.mod_revision).max().unwrap_or(0);
    until.send(last)?;
    let seen = tokio::time::timeout(Duration::from_secs(20), watcher).await.context("the watch catches up")???;

    let ops = std::mem::take(&mut *board.ops.lock().unwrap());
    let done = ops.iter().filter(|(.., op)| op.end.is_some()).count();
    let seconds = usize::try_from(board.started.elapsed().as_secs().max(1))?;
    println!("{done} calls done, {} of unknown outcome, {} events seen", ops.len() - done, seen.len());
    ensure!(done / seconds >= LEAST, "only {done} calls in {seconds} s");
    for on in 0..KEYS {
        let calls: Vec<(usize, Op)> = ops.iter().filter(|(key, ..)| *key == on).map(|(_, site, op)| (*site, *op)).collect();
        let register: Vec<Op> = calls.iter().map(|(_, op)| *op).collect();
        if !is_linearizable(&register) {
            let logs = (0..3).map(|site| cluster.log(site)).collect::<Vec<_>>().join("\n");
            bail!("register {on} is not linearizable; seed {seed}\n{}\nbegan {began}\n{logs}", explain(&calls));
        }
    }
    for (revision, value) in board.written.lock().unwrap().iter() {
        ensure!(seen.get(revision) == Some(value), "revision {revision} was acknowledged and not seen; seed {seed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_under_kills_pauses_and_partitions_are_linearizable() {
    run(Make::Coordinator, "index").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_are_with_lease_reads() {
    run(Make::Coordinator, "lease").await.unwrap();
}
