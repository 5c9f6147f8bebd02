//! What clients of etcd rely on. Each behaviour is asked of the coordinator, and of etcd itself when there is one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use coordinator::wire::{
    etcdserverpb::{
        AlarmRequest, Compare, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
        LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberListRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp,
        SnapshotRequest, TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
        watch_create_request::FilterType,
        watch_request::RequestUnion,
    },
    mvccpb::event::EventType,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::cluster::{Client, Cluster, Make};

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) -> Result<()> {
    let status = result.err().context("it was not refused")?;
    ensure!(
        status.code() == code && status.message() == text,
        "refused with {:?} {:?}, not {code:?} {text:?}",
        status.code(),
        status.message()
    );
    Ok(())
}

fn range(key: &str, end: &[u8]) -> RangeRequest {
    RangeRequest { key: Bytes::from(key.to_owned()), range_end: end.to_vec().into(), ..RangeRequest::default() }
}

fn keys(response: &coordinator::wire::etcdserverpb::RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

fn revision(header: Option<coordinator::wire::etcdserverpb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

async fn puts_and_ranges(client: &mut Client) -> Result<()> {
    let first = revision(client.put(b"r/a", b"1").await?.header);
    let request = PutRequest { key: "r/a".into(), value: "2".into(), prev_kv: true, ..PutRequest::default() };
    let second = client.put_with(request).await?;
    ensure!(revision(second.header) == first + 1);
    let before = second.prev_kv.context("it was asked for")?;
    ensure!(before.value == "1" && before.version == 1 && before.create_revision == first);
    for (key, value) in [("r/b", "9"), ("r/c", "5"), ("r/d", "7")] {
        client.put(key.as_bytes(), value.as_bytes()).await?;
    }
    let all = client.range(range("r/", b"r0")).await?;
    ensure!(keys(&all) == ["r/a", "r/b", "r/c", "r/d"] && all.count == 4 && !all.more);
    let limited = client.range(RangeRequest { limit: 2, ..range("r/", b"r0") }).await?;
    ensure!(keys(&limited) == ["r/a", "r/b"] && limited.count == 4 && limited.more);
    let by_value =
        RangeRequest { sort_target: SortTarget::Value.into(), sort_order: SortOrder::Descend.into(), limit: 3, ..range("r/", b"r0") };
    let sorted = client.range(by_value).await?;
    ensure!(keys(&sorted) == ["r/b", "r/d", "r/c"] && sorted.more, "{:?}", keys(&sorted));
    let counted = client.range(RangeRequest { count_only: true, ..range("r/", b"r0") }).await?;
    ensure!(counted.count == 4 && counted.kvs.is_empty());
    let only = client.range(RangeRequest { keys_only: true, ..range("r/b", b"") }).await?;
    ensure!(keys(&only) == ["r/b"] && only.kvs[0].value.is_empty());
    let old = client.range(RangeRequest { revision: first, ..range("r/", &[0]) }).await?;
    ensure!(keys(&old) == ["r/a"] && old.kvs[0].value == "1" && revision(old.header) >= first + 4);
    let recent = client.range(RangeRequest { min_mod_revision: first + 3, ..range("r/", b"r0") }).await?;
    ensure!(keys(&recent) == ["r/c", "r/d"], "{:?}", keys(&recent));
    let early = client.range(RangeRequest { max_create_revision: first + 2, ..range("r/", b"r0") }).await?;
    ensure!(keys(&early) == ["r/a", "r/b"]);
    let nothing = client.delete(b"r/x", b"").await?;
    ensure!(nothing.deleted == 0 && revision(nothing.header) == first + 4, "what changes nothing has no revision");
    let gone = client.delete(b"r/b", b"r/d").await?;
    ensure!(gone.deleted == 2 && gone.prev_kvs.len() == 2 && revision(gone.header) == first + 5);
    client.put(b"r/b", b"again").await?;
    let again = client.get(b"r/b").await?;
    ensure!(again.kvs[0].version == 1 && again.kvs[0].create_revision == first + 6);
    Ok(())
}

async fn refusals(client: &mut Client) -> Result<()> {
    refused(client.put(b"", b"x").await, Code::InvalidArgument, "etcdserver: key is not provided")?;
    refused(client.range(range("", b"")).await, Code::InvalidArgument, "etcdserver: key is not provided")?;
    let ignore = PutRequest { key: "none".into(), ignore_value: true, ..PutRequest::default() };
    refused(client.put_with(ignore.clone()).await, Code::InvalidArgument, "etcdserver: key not found")?;
    let both = PutRequest { value: "x".into(), ..ignore };
    refused(client.put_with(both).await, Code::InvalidArgument, "etcdserver: value is provided")?;
    let both = PutRequest { key: "none".into(), lease: 5, ignore_lease: true, ..PutRequest::default() };
    refused(client.put_with(both).await, Code::InvalidArgument, "etcdserver: lease is provided")?;
    let unknown = PutRequest { key: "none".into(), lease: 5, ..PutRequest::default() };
    refused(client.put_with(unknown).await, Code::NotFound, "etcdserver: requested lease not found")?;
    let future = RangeRequest { revision: 1 << 40, ..range("none", b"") };
    refused(client.range(future).await, Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")?;
    let huge = vec![b'x'; (3 << 19) + 1];
    refused(client.put(b"huge", &huge).await, Code::InvalidArgument, "etcdserver: request is too large")?;
    let many = TxnRequest { success: vec![put_op("k", "v", 0); 129], ..TxnRequest::default() };
    refused(client.txn(many).await, Code::InvalidArgument, "etcdserver: too many operations in txn request")?;
    let twice = TxnRequest { success: vec![put_op("k", "v", 0), put_op("k", "w", 0)], ..TxnRequest::default() };
    refused(client.txn(twice).await, Code::InvalidArgument, "etcdserver: duplicate key given in txn request")?;
    let nameless = Compare { target: CompareTarget::Mod.into(), ..Compare::default() };
    let nameless = TxnRequest { compare: vec![nameless], ..TxnRequest::default() };
    refused(client.txn(nameless).await, Code::InvalidArgument, "etcdserver: key is not provided")
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put_op(key: &str, value: &str, lease: i64) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), lease, ..PutRequest::default() }))
}

fn get_op(key: &str) -> RequestOp {
    op(Request::RequestRange(range(key, b"")))
}

fn compare(key: &str, target: CompareTarget, result: CompareResult, wanted: TargetUnion) -> Compare {
    Compare { key: key.to_owned().into(), target: target.into(), result: result.into(), target_union: Some(wanted), ..Compare::default() }
}

async fn transactions(client: &mut Client) -> Result<()> {
    let absent = compare("t/a", CompareTarget::Create, CompareResult::Equal, TargetUnion::CreateRevision(0));
    let delete = op(Request::RequestDeleteRange(DeleteRangeRequest { key: "t/z".into(), ..DeleteRangeRequest::default() }));
    let create = TxnRequest {
        compare: vec![absent],
        success: vec![put_op("t/a", "1", 0), get_op("t/a"), put_op("t/b", "2", 0), delete],
        failure: vec![get_op("t/a")],
    };
    let made = client.txn(create.clone()).await?;
    let at = revision(made.header);
    ensure!(made.succeeded && made.responses.len() == 4);
    let Some(Response::ResponseRange(read)) = &made.responses[1].response else { anyhow::bail!("the second answer is a read") };
    ensure!(read.kvs[0].value == "1" && read.kvs[0].mod_revision == at, "a transaction reads its own writes");
    ensure!(revision(read.header) == at, "{:?}", read.header);
    let again = client.txn(create).await?;
    ensure!(!again.succeeded && revision(again.header) == at, "a transaction that writes nothing has no revision");
    let both = client.range(range("t/", b"t0")).await?;
    ensure!(both.kvs.iter().all(|kv| kv.mod_revision == at), "what is written together has one revision");

    let values = |result, wanted: &'static str| compare("t/a", CompareTarget::Value, result, TargetUnion::Value(wanted.into()));
    for (condition, expected) in [
        (values(CompareResult::Equal, "1"), true),
        (values(CompareResult::Greater, "0"), true),
        (values(CompareResult::Less, "1"), false),
        (values(CompareResult::NotEqual, "1"), false),
        (compare("t/none", CompareTarget::Value, CompareResult::NotEqual, TargetUnion::Value("1".into())), false),
        (compare("t/none", CompareTarget::Version, CompareResult::Equal, TargetUnion::Version(0)), true),
        (compare("t/a", CompareTarget::Lease, CompareResult::Equal, TargetUnion::Lease(0)), true),
        (compare("t/a", CompareTarget::Mod, CompareResult::Less, TargetUnion::ModRevision(at + 1)), true),
        (Compare { range_end: "t0".into(), ..compare("t/", CompareTarget::Mod, CompareResult::Equal, TargetUnion::ModRevision(at)) }, true),
        (
            Compare { range_end: "t0".into(), ..compare("t/", CompareTarget::Value, CompareResult::Equal, TargetUnion::Value("1".into())) },
            false,
        ),
    ] {
        let asked = TxnRequest { compare: vec![condition.clone()], ..TxnRequest::default() };
        ensure!(client.txn(asked).await?.succeeded == expected, "{condition:?}");
    }
    let nested = TxnRequest {
        compare: vec![values(CompareResult::Equal, "1")],
        success: vec![put_op("t/c", "3", 0), get_op("t/c")],
        failure: Vec::new(),
    };
    let outer = TxnRequest { success: vec![put_op("t/d", "4", 0), op(Request::RequestTxn(nested))], ..TxnRequest::default() };
    let outer = client.txn(outer).await?;
    let Some(Response::ResponseTxn(inner)) = &outer.responses[1].response else { anyhow::bail!("the second answer is a transaction's") };
    ensure!(inner.succeeded && inner.responses.len() == 2);
    let bad = TxnRequest { success: vec![put_op("t/e", "5", 0), put_op("t/f", "6", 4711)], ..TxnRequest::default() };
    refused(client.txn(bad).await, Code::NotFound, "etcdserver: requested lease not found")?;
    ensure!(client.get(b"t/e").await?.kvs.is_empty(), "all or nothing");
    Ok(())
}

async fn compaction(client: &mut Client) -> Result<()> {
    let first = revision(client.put(b"c/a", b"1").await?.header);
    client.put(b"c/a", b"2").await?;
    let third = revision(client.put(b"c/a", b"3").await?.header);
    client.compact(third - 1).await?;
    let old = RangeRequest { revision: first, ..range("c/a", b"") };
    refused(client.range(old).await, Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")?;
    let kept = client.range(RangeRequest { revision: third - 1, ..range("c/a", b"") }).await?;
    ensure!(kept.kvs[0].value == "2", "the compacted revision itself can be read");
    refused(client.compact(third - 1).await, Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")?;
    refused(client.compact(third + 100).await, Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")
}

struct Watching {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watching {
    /// etcd answers nothing, not even that it listens, before it is asked for a watch.
    async fn open(client: &mut Client, first: WatchCreateRequest) -> Result<(Self, WatchResponse)> {
        let (requests, sent) = mpsc::channel(8);
        requests.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(first)) }).await?;
        let answers = client.watch.watch(ReceiverStream::new(sent)).await?.into_inner();
        let mut watching = Self { requests, answers };
        let created = watching.next().await?;
        Ok((watching, created))
    }

    async fn ask(&self, union: RequestUnion) -> Result<()> {
        Ok(self.requests.send(WatchRequest { request_union: Some(union) }).await?)
    }

    async fn next(&mut self) -> Result<WatchResponse> {
        let answer = tokio::time::timeout(Duration::from_secs(5), self.answers.message()).await.context("no answer of the watch")?;
        answer?.context("the watch ended")
    }

    async fn create(&mut self, request: WatchCreateRequest) -> Result<WatchResponse> {
        self.ask(RequestUnion::CreateRequest(request)).await?;
        self.next().await
    }
}

fn watch_range(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), ..WatchCreateRequest::default() }
}

async fn watches(client: &mut Client) -> Result<()> {
    let first = revision(client.put(b"w/a", b"1").await?.header);
    client.put(b"w/b", b"2").await?;
    client.delete(b"w/a", b"").await?;
    let request = WatchCreateRequest { start_revision: first, prev_kv: true, ..watch_range("w/", "w0") };
    let (mut watching, created) = Watching::open(client, request).await?;
    ensure!(created.created && created.watch_id == 0 && !created.canceled);
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(watching.next().await?.events);
    }
    let seen: Vec<_> = events.iter().map(|event| (event.r#type(), event.kv.as_ref().map_or(0, |kv| kv.mod_revision))).collect();
    ensure!(seen == [(EventType::Put, first), (EventType::Put, first + 1), (EventType::Delete, first + 2)], "{seen:?}");
    ensure!(events[2].prev_kv.as_ref().is_some_and(|kv| kv.value == "1"));

    let both = TxnRequest { success: vec![put_op("w/c", "3", 0), put_op("w/d", "4", 0)], ..TxnRequest::default() };
    client.txn(both).await?;
    let atomic = watching.next().await?;
    ensure!(atomic.events.len() == 2, "a revision comes whole");

    let filters = vec![FilterType::Noput.into()];
    let filtered = watching.create(WatchCreateRequest { watch_id: 7, filters, ..watch_range("w/", "w0") }).await?;
    ensure!(filtered.watch_id == 7 && filtered.created);
    let twice = watching.create(WatchCreateRequest { watch_id: 7, ..watch_range("w/", "w0") }).await?;
    ensure!(twice.canceled && twice.created, "{twice:?}");
    client.put(b"w/e", b"5").await?;
    ensure!(watching.next().await?.watch_id == 0, "puts are filtered out");
    client.delete(b"w/e", b"").await?;
    let (one, other) = (watching.next().await?, watching.next().await?);
    ensure!(one.watch_id + other.watch_id == 7 && one.events.len() == 1 && other.events.len() == 1);

    watching.ask(RequestUnion::ProgressRequest(WatchProgressRequest {})).await?;
    let progress = watching.next().await?;
    ensure!(progress.watch_id == -1 && progress.events.is_empty() && revision(progress.header) >= first + 5, "{progress:?}");
    watching.ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 })).await?;
    let canceled = watching.next().await?;
    ensure!(canceled.canceled && canceled.watch_id == 7);

    let now = revision(client.put(b"w/f", b"6").await?.header);
    client.compact(now).await?;
    let (mut late, _) = Watching::open(client, WatchCreateRequest { start_revision: first, ..watch_range("w/", "w0") }).await?;
    let lost = late.next().await?;
    ensure!(lost.canceled && lost.compact_revision == now, "{lost:?}");
    Ok(())
}

async fn leases(client: &mut Client) -> Result<()> {
    let granted = client.grant(0, 60).await?;
    ensure!(granted.id != 0 && granted.ttl == 60);
    refused(client.grant(granted.id, 60).await, Code::FailedPrecondition, "etcdserver: lease already exists")?;
    refused(client.grant(0, 9_000_000_001).await, Code::OutOfRange, "etcdserver: too large lease TTL")?;
    for key in ["l/b", "l/a"] {
        client.put_with(PutRequest { key: key.into(), lease: granted.id, ..PutRequest::default() }).await?;
    }
    let asked = LeaseTimeToLiveRequest { id: granted.id, keys: true };
    let left = client.lease.lease_time_to_live(asked).await?.into_inner();
    ensure!(left.granted_ttl == 60 && (50..=60).contains(&left.ttl) && left.keys.len() == 2, "{left:?}");
    let (asks, asked) = mpsc::channel(2);
    asks.send(LeaseKeepAliveRequest { id: granted.id }).await?;
    asks.send(LeaseKeepAliveRequest { id: 4711 }).await?;
    let mut alive = client.lease.lease_keep_alive(ReceiverStream::new(asked)).await?.into_inner();
    let (one, other) = (alive.message().await?.context("an answer")?, alive.message().await?.context("an answer")?);
    ensure!((one.id, one.ttl, other.ttl) == (granted.id, 60, 0), "{one:?} {other:?}");
    let leases = client.lease.lease_leases(LeaseLeasesRequest {}).await?.into_inner();
    ensure!(leases.leases.iter().any(|lease| lease.id == granted.id));
    client.lease.lease_revoke(LeaseRevokeRequest { id: granted.id }).await?;
    ensure!(client.range(range("l/", b"l0")).await?.kvs.is_empty(), "its keys go with it");
    let again = client.lease.lease_revoke(LeaseRevokeRequest { id: granted.id }).await;
    refused(again, Code::NotFound, "etcdserver: requested lease not found")?;
    let left = client.lease.lease_time_to_live(LeaseTimeToLiveRequest { id: granted.id, keys: true }).await?.into_inner();
    ensure!(left.ttl == -1);

    let short = client.lease.lease_grant(LeaseGrantRequest { id: 99, ttl: 2 }).await?.into_inner();
    let started = Instant::now();
    client.put_with(PutRequest { key: "l/short".into(), lease: 99, ..PutRequest::default() }).await?;
    while !client.get(b"l/short").await?.kvs.is_empty() {
        ensure!(started.elapsed() < Duration::from_secs(10), "a lease of {} s does not end", short.ttl);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ttl = Duration::from_secs(u64::try_from(short.ttl)?);
    ensure!(started.elapsed() + Duration::from_millis(100) > ttl, "a lease of {ttl:?} ended after {:?}", started.elapsed());
    Ok(())
}

async fn upkeep(cluster: &Cluster) -> Result<()> {
    let mut hashes = BTreeMap::new();
    let leader = cluster.leader(Duration::from_secs(5)).await?;
    let at = revision(cluster.client(leader).put(b"u/a", b"1").await?.header);
    for index in 0..cluster.sites.len() {
        let mut client = cluster.client(index);
        client.get(b"u/a").await?;
        let status = client.status().await?;
        ensure!(status.leader != 0 && status.raft_term > 0 && status.db_size > 0 && !status.version.is_empty());
        let hash = client.maintenance.hash_kv(HashKvRequest { revision: at }).await?.into_inner();
        hashes.insert(hash.hash, index);
        let members = client.cluster.member_list(MemberListRequest { linearizable: true }).await?.into_inner().members;
        ensure!(
            members.len() == cluster.sites.len()
                && members.iter().all(|member| !member.peer_ur_ls.is_empty() && !member.client_ur_ls.is_empty()),
            "{members:?}"
        );
        ensure!(client.maintenance.alarm(AlarmRequest::default()).await?.into_inner().alarms.is_empty());
    }
    ensure!(hashes.len() == 1, "all sites hold the same");
    let mut client = cluster.client(leader);
    let mut snapshot = client.maintenance.snapshot(SnapshotRequest {}).await?.into_inner();
    let (mut bytes, mut remaining) = (0, 1);
    while let Some(part) = snapshot.message().await? {
        bytes += part.blob.len();
        remaining = part.remaining_bytes;
    }
    ensure!(bytes > 100 && remaining == 0);
    if cluster.sites.len() > 1 {
        let other = (leader + 1) % cluster.sites.len();
        let target_id = cluster.client(other).status().await?.header.map_or(0, |header| header.member_id);
        client.maintenance.move_leader(MoveLeaderRequest { target_id }).await?;
        ensure!(cluster.leader(Duration::from_secs(5)).await? == other, "leadership was handed over");
    }
    Ok(())
}

async fn all(make: Make) -> Result<()> {
    let cluster = Cluster::start(make, 3, &[]).await?;
    let leader = cluster.leader(Duration::from_secs(5)).await?;
    // One that leads and one that does not.
    for index in [leader, (leader + 1) % 3] {
        let mut client = cluster.client(index);
        client.delete(&[0], &[0]).await?;
        within("puts and ranges", puts_and_ranges(&mut client)).await?;
        within("refusals", refusals(&mut client)).await?;
        within("transactions", transactions(&mut client)).await?;
        within("compaction", compaction(&mut client)).await?;
        within("watches", watches(&mut client)).await?;
        within("leases", leases(&mut client)).await?;
    }
    within("upkeep", upkeep(&cluster)).await
}

async fn within(what: &'static str, check: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(Duration::from_secs(20), check).await.context("it hangs").and_then(|result| result).context(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_etcd_find_what_they_rely_on() {
    all(Make::Coordinator).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_itself_passes_the_same_suite() {
    if let Some(etcd) = Make::etcd() {
        all(etcd).await.unwrap();
    }
}
