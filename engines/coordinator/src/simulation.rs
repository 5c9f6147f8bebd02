//! Three sites in a simulation: one thread, a network and a time of their own, and accidents, calls and Raft's dice from one seed.
//!
//! ```text
//! chaos    sites crash and lose what was not synced, links stall, lose one or both directions, become slow ── clients call all sites
//! healing  everything is mended: every site must answer again, and all must hold the same
//! ```
//! Everything above the disk and the socket is what runs in production: the API, the relay, openraft, the log, the snapshots.
//! `COORDINATOR_SIMULATIONS=500` makes more of them. `COORDINATOR_SEED=7` repeats the accidents of one; what is ready at the same moment may come in
//! another order then, as tokio's `select!` throws dice that cannot be loaded, so a fault may take a few runs to show again.

#[path = "../tests/it/checker.rs"]
mod checker;
mod runtime;
mod wire;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use openraft::{ReadPolicy, async_runtime::watch::WatchReceiver as _};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use testkit::turmoil;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};

use self::checker::{Call, Op, explain, is_linearizable};
pub(crate) use self::{runtime::Loaded, wire::dial};
use crate::{
    Node, Options,
    api::Api,
    raft::Log,
    server,
    wal::{self, flaky::Flaky},
    wire::etcdserverpb::{
        Compare, PutRequest, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        kv_client::KvClient,
        kv_server::KvServer,
        request_op::Request,
    },
};

const SITES: usize = 3;
const CLIENTS: u64 = 4;
const KEYS: u64 = 3;
const PORT: u16 = 1;
/// How long accidents go on.
const CHAOS: Duration = Duration::from_secs(20);
/// Within that every site answers again. A connection that has lost a message is only given up after 3 s.
const HEALING: Duration = Duration::from_secs(8);
/// For so long it is then looked on.
const HEALTHY: Duration = Duration::from_secs(2);
/// A client gives a call up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest time of a message, but on a slow link.
const LATENCY: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(90);

/// What the simulated share.
#[derive(Default)]
struct Board {
    stop: Cell<bool>,
    values: Cell<u64>,
    /// Key, site, call.
    ops: RefCell<Vec<(u64, usize, Op)>>,
    nodes: RefCell<BTreeMap<usize, Node>>,
}

fn name(site: usize) -> String {
    format!("site{site}")
}

fn url(site: usize) -> String {
    format!("http://{}:{PORT}", name(site))
}

fn now() -> u64 {
    u64::try_from(turmoil::sim_elapsed().unwrap_or_default().as_nanos()).expect("a simulation is short")
}

fn options(site: usize, reads: ReadPolicy, folder: &std::path::Path) -> Options {
    Options {
        name: name(site),
        data: folder.join(name(site)),
        peer_url: url(site),
        client_urls: vec![url(site)],
        cluster: "simulated".to_owned(),
        initial: (0..SITES).map(url).collect(),
        source: None,
        routes: BTreeMap::new(),
        election_timeout: Duration::from_millis(200),
        reads,
        quota: 1 << 30,
        snapshot_after: 200,
        wal: wal::Options { segment: 64 << 10, batch: 16 << 10 },
    }
}

/// A site, from its start to its crash.
async fn site(number: usize, options: Options, disk: Flaky, board: Rc<Board>) -> turmoil::Result {
    let log = Log::open(disk, options.wal)?;
    let shutdown = CancellationToken::new();
    let node = Node::start_with(log, options, shutdown.clone()).await?;
    board.nodes.borrow_mut().insert(number, node.clone());
    let api = Api { node: node.clone(), shutdown };
    let served = Server::builder().add_service(server::peer(&node)).add_service(KvServer::new(api));
    Ok(served.serve_with_incoming(wire::listen(PORT).await?).await?)
}

fn key(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// Reads, writes and swaps at all sites until it is told to stop.
async fn client(board: Rc<Board>, mut dice: StdRng) -> turmoil::Result {
    let connect = |site| -> Result<KvClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url(site))?.http2_keep_alive_interval(PATIENCE / 4).keep_alive_timeout(PATIENCE / 4);
        Ok(KvClient::new(dial(&endpoint.keep_alive_while_idle(true))))
    };
    let mut sites = (0..SITES).map(connect).collect::<Result<Vec<_>, _>>()?;
    while !board.stop.get() {
        let (to, on, kind) = (dice.random_range(0..SITES), dice.random_range(0..KEYS), dice.random_range(0..10));
        let new = board.values.get() + 1;
        board.values.set(new);
        if let Some(op) = call(&mut sites[to], on, kind, new).await {
            board.ops.borrow_mut().push((on, to, op));
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(2..30))).await;
    }
    Ok(())
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, call).await.ok()?.ok().map(tonic::Response::into_inner)
}

/// One call. None when it has certainly changed nothing and seen nothing.
async fn call(site: &mut KvClient<Channel>, on: u64, kind: u32, new: u64) -> Option<Op> {
    let start = now();
    let put = PutRequest { key: key(on).into(), value: new.to_string().into(), ..PutRequest::default() };
    if (4..7).contains(&kind) {
        let end = within(site.put(put)).await.map(|_| now());
        return Some(Op { call: Call::Write(new), start, end });
    }
    let range = RangeRequest { key: key(on).into(), ..RangeRequest::default() };
    let kvs = within(site.range(range)).await?.kvs;
    let (seen, modified) = kvs.first().map_or((0, 0), |kv| (number(&kv.value), kv.mod_revision));
    if kind < 4 {
        return Some(Op { call: Call::Read(Some(seen)), start, end: Some(now()) });
    }
    let unchanged = Compare {
        key: key(on).into(),
        target: CompareTarget::Mod.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::ModRevision(modified)),
        ..Compare::default()
    };
    let success = vec![RequestOp { request: Some(Request::RequestPut(put)) }];
    let done = within(site.txn(TxnRequest { compare: vec![unchanged], success, failure: Vec::new() })).await;
    let (done, end) = done.map_or((None, None), |done| (Some(done.succeeded), Some(now())));
    Some(Op { call: Call::Swap(seen, new, done), start, end })
}

/// What befalls a site, and is to be mended.
#[derive(Debug, Clone, Copy)]
enum Accident {
    Crash,
    /// Messages wait, and all come when it is over: as on a link that loses packets, or with a site that stands still.
    Stall,
    Mute,
    Cut,
    Slow,
}

impl Accident {
    const ALL: [Self; 5] = [Self::Crash, Self::Stall, Self::Mute, Self::Cut, Self::Slow];

    fn begin(self, sim: &mut turmoil::Sim<'_>, site: usize) {
        for other in (0..SITES).filter(|other| *other != site) {
            match self {
                Self::Crash => {}
                Self::Stall => sim.hold(name(site), name(other)),
                Self::Mute => sim.partition_oneway(name(site), name(other)),
                Self::Cut => sim.partition(name(site), name(other)),
                Self::Slow => sim.set_link_max_message_latency(name(site), name(other), SLOW),
            }
        }
        if matches!(self, Self::Crash) {
            sim.crash(name(site));
        }
    }

    fn end(self, sim: &mut turmoil::Sim<'_>, site: usize) {
        for other in (0..SITES).filter(|other| *other != site) {
            match self {
                Self::Crash => {}
                Self::Stall => sim.release(name(site), name(other)),
                Self::Mute => sim.repair_oneway(name(site), name(other)),
                Self::Cut => sim.repair(name(site), name(other)),
                Self::Slow => sim.set_link_max_message_latency(name(site), name(other), LATENCY),
            }
        }
        if matches!(self, Self::Crash) {
            sim.bounce(name(site));
        }
    }
}

/// Goes on to the end, with accidents as the dice say.
fn torment(sim: &mut turmoil::Sim<'_>, board: &Board, dice: &mut StdRng) -> turmoil::Result {
    let mut next = Duration::from_secs(1);
    // One a site, by when it ends.
    let mut accidents: BTreeMap<usize, (Duration, Accident)> = BTreeMap::new();
    while !sim.step()? {
        let now = sim.elapsed();
        let over: Vec<usize> = accidents.iter().filter(|(_, (end, _))| *end <= now.min(CHAOS)).map(|(site, _)| *site).collect();
        for site in over {
            let accident = accidents.remove(&site).map(|(_, accident)| accident);
            accident.into_iter().for_each(|accident| accident.end(sim, site));
        }
        if now >= next && now < CHAOS {
            let (site, accident) = (dice.random_range(0..SITES), Accident::ALL[dice.random_range(0..Accident::ALL.len())]);
            let end = (now + Duration::from_millis(dice.random_range(50..1500))).min(CHAOS);
            accidents.entry(site).or_insert_with(|| {
                accident.begin(sim, site);
                (end, accident)
            });
            next = now + Duration::from_millis(dice.random_range(50..900));
        }
        board.stop.set(now >= CHAOS + HEALING + HEALTHY);
    }
    Ok(())
}

/// One simulation.
fn simulate(seed: u64) {
    runtime::load(seed);
    let mut dice = StdRng::seed_from_u64(seed);
    let reads = if seed.is_multiple_of(2) { ReadPolicy::ReadIndex } else { ReadPolicy::LeaseRead };
    let folder = std::env::temp_dir().join(format!("coordinator-simulation-{}-{seed}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let board = Rc::new(Board::default());
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(CHAOS + HEALING + HEALTHY + PATIENCE * 4)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(LATENCY)
        .tcp_capacity(1 << 16)
        .build();
    for number in 0..SITES {
        let (board, options) = (board.clone(), options(number, reads.clone(), &folder));
        let disk = RefCell::new(Flaky::default());
        let sectors = RefCell::new(StdRng::seed_from_u64(dice.next_u64()));
        sim.host(name(number), move || {
            let after = disk.borrow().crash(|| sectors.borrow_mut().random_bool(0.5));
            disk.replace(after.clone());
            site(number, options.clone(), after, board.clone())
        });
    }
    for number in 0..CLIENTS {
        sim.client(format!("client{number}"), client(board.clone(), StdRng::seed_from_u64(dice.next_u64())));
    }
    let ended = torment(&mut sim, &board, &mut dice);
    assert!(ended.is_ok(), "seed {seed}: {ended:?}");
    check(&board, seed);
    let _ = std::fs::remove_dir_all(&folder);
}

#[expect(clippy::print_stdout, reason = "a test says what it saw")]
fn check(board: &Board, seed: u64) {
    let ops = board.ops.borrow();
    for on in 0..KEYS {
        let calls: Vec<(usize, Op)> = ops.iter().filter(|(key, ..)| *key == on).map(|(_, site, op)| (*site, *op)).collect();
        let register: Vec<Op> = calls.iter().map(|(_, op)| *op).collect();
        assert!(is_linearizable(&register), "seed {seed}: key {on} is not linearizable\n{}", explain(&calls));
    }
    let healthy = u64::try_from((CHAOS + HEALING).as_nanos()).expect("a simulation is short");
    for site in 0..SITES {
        let answered = ops.iter().filter(|(_, at, op)| *at == site && op.start >= healthy && op.end.is_some()).count();
        assert!(answered > 10, "seed {seed}: site {site} answered {answered} calls {HEALING:?} after all was mended");
    }
    let nodes = board.nodes.borrow();
    let applied = nodes.values().map(|node| node.state().mvcc().revision()).min().expect("sites");
    let hashes: Vec<_> = nodes.values().map(|node| node.state().mvcc().hash(applied)).collect();
    assert!(hashes.windows(2).all(|two| two[0] == two[1]) && hashes[0].is_ok(), "seed {seed}: the sites hold {hashes:?} at {applied}");
    let terms: Vec<_> = nodes.values().map(|node| node.raft().metrics().borrow_watched().current_term).collect();
    println!("seed {seed}: {} calls, term {}, revision {applied}", ops.len(), terms.iter().max().unwrap_or(&0));
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test says which")]
fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_befalls_the_sites_every_read_and_write_is_explained_and_all_heals() {
    let simulations = number_of("COORDINATOR_SIMULATIONS").unwrap_or(12);
    match number_of("COORDINATOR_SEED") {
        Some(seed) => simulate(seed),
        None => (0..simulations).for_each(simulate),
    }
}
