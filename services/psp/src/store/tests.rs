//! Group commit, and disks that fail.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::{
    domain::{State, Token},
    webhook::Courier,
};

/// A disk that counts its syncs and can be made to fail them.
#[derive(Debug, Clone)]
struct Disk(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    memory: InMemoryBackend,
    syncs: AtomicUsize,
    is_failing: AtomicBool,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        if self.0.is_failing.load(Ordering::Relaxed) { Err(io::Error::other("no space left")) } else { self.0.memory.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.memory.write(offset, data)
    }
}

fn store() -> (Disk, Store, Writer, Effects) {
    let disk = Disk(Arc::default());
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    let (store, writer, effects) = assemble(database, Duration::from_secs(2)).unwrap();
    (disk, store, writer, effects)
}

fn request(key: usize, token: Token) -> Request {
    Request {
        idempotency_key: format!("k{key}"),
        order_id: "o1".to_owned(),
        amount_minor: 1200,
        currency: "EUR".to_owned(),
        token,
        webhook_url: Some("http://127.0.0.1:1/".to_owned()),
    }
}

/// Queues a charge for each number; the answers come once a writer runs.
async fn queue(store: &Store, count: usize) -> tokio::task::JoinSet<Result<Charged, Error>> {
    let mut queued = tokio::task::JoinSet::new();
    for key in 0..count {
        let store = store.clone();
        queued.spawn(async move { store.charge(request(key, Token::Visa), None).await });
    }
    testkit::eventually("all are queued", Duration::from_secs(5), async || {
        let free = store.queue.capacity();
        if free == QUEUE.saturating_sub(count) { Ok(()) } else { Err(format!("room for {free}")) }
    })
    .await;
    queued
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let (disk, store, writer, _effects) = store();
    let queued = queue(&store, 100).await;
    let before = disk.0.syncs.load(Ordering::Relaxed);
    let writer = tokio::task::spawn_blocking(|| writer.run());
    let answers = queued.join_all().await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_new));
    let syncs = disk.0.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs <= 2, "100 charges took {syncs} syncs");
    assert_eq!(store.overview(7).await.unwrap().newest.len(), 7);
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_commit_leaves_the_outcome_unknown_and_ends_the_writer() {
    let (disk, store, writer, mut effects) = store();
    disk.0.is_failing.store(true, Ordering::Relaxed);
    let queued = queue(&store, 3).await;
    let stepped_up = store.charge(request(9, Token::StepUp), None);
    let (stepped_up, ended) = tokio::join!(stepped_up, tokio::task::spawn_blocking(|| writer.run()));
    assert!(ended.unwrap().is_err(), "the writer says why");
    assert!(matches!(stepped_up, Err(Error::OutcomeUnknown)));
    assert!(queued.join_all().await.into_iter().all(|answer| matches!(answer, Err(Error::OutcomeUnknown))));
    assert!(effects.recv().await.is_none(), "nothing follows what was not committed");
    assert!(matches!(store.charge(request(5, Token::Visa), None).await, Err(Error::Busy)), "and nothing more is taken");
    store.ping().await.unwrap_err();
}

#[tokio::test]
async fn a_full_queue_refuses_instead_of_waiting() {
    let (_disk, store, writer, _effects) = store();
    let queued = queue(&store, QUEUE).await;
    assert!(matches!(store.charge(request(QUEUE, Token::Visa), None).await, Err(Error::Busy)));
    let writer = tokio::task::spawn_blocking(|| writer.run());
    assert!(queued.join_all().await.into_iter().all(|answer| answer.is_ok()));
    store.charge(request(QUEUE, Token::Visa), None).await.unwrap();
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_step_up_is_followed_by_its_effects_and_nothing_else_is() {
    let (disk, store, writer, mut effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    store.charge(request(1, Token::Visa), None).await.unwrap();
    let charge = store.charge(request(2, Token::StepUp), None).await.unwrap().charge;
    let Some(Effect::StepUp(step_up)) = effects.recv().await else { panic!("a step-up follows") };
    assert_eq!(step_up.charge_id, charge.id);
    store.command(charge.id.clone(), Command::Approve).await.unwrap();
    let Some(Effect::Webhook(webhook)) = effects.recv().await else { panic!("a webhook follows") };
    assert_eq!((webhook.notice.kind.as_str(), webhook.notice.charge.state), ("charge.authorized", State::Authorized));
    store.command(charge.id, Command::Capture).await.unwrap();
    let syncs = disk.0.syncs.load(Ordering::Relaxed);
    assert!(!store.charge(request(1, Token::Visa), None).await.unwrap().is_new);
    assert_eq!(disk.0.syncs.load(Ordering::Relaxed), syncs, "a repeat needs no commit");
    assert_eq!(Snapshot::of(&*store.database).unwrap().effects().unwrap(), [Effect::Webhook(webhook.clone())]);
    store.settle(webhook.notice.id).await.unwrap();
    assert_eq!(Snapshot::of(&*store.database).unwrap().effects().unwrap(), []);
    drop(store);
    writer.await.unwrap().unwrap();
    assert!(effects.recv().await.is_none());
}

#[tokio::test]
async fn a_list_shows_every_charge_once_whatever_the_page() {
    let (_disk, store, writer, _effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    let mut made = Vec::new();
    for key in 0..20 {
        let token = if key % 4 == 3 { Token::Decline } else { Token::Visa };
        let charge = store.charge(Request { order_id: format!("o{}", key % 2), ..request(key, token) }, None).await.unwrap().charge;
        made.extend((token == Token::Visa).then_some(charge));
    }
    for size in [1, 2, 7, 15, 16] {
        let (mut all, mut of_order, mut next) = (Vec::new(), Vec::new(), None);
        loop {
            let page = store.newest(next, size).await.unwrap();
            assert!((1..=size).contains(&page.charges.len()), "no page is empty");
            all.extend(page.charges);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        loop {
            let page = store.of_order("o0".to_owned(), next, size).await.unwrap();
            of_order.extend(page.charges);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        all.reverse();
        assert_eq!(all, made, "newest first");
        assert_eq!(of_order, made.iter().filter(|charge| charge.order_id == "o0").cloned().collect::<Vec<_>>(), "oldest first");
    }
    let counts = store.overview(100).await.unwrap().counts;
    assert!(counts.contains(&(State::Authorized, 15)) && counts.contains(&(State::Declined, 5)), "{counts:?}");
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_webhook_that_nobody_takes_for_an_hour_is_given_up() {
    let (_disk, store, writer, mut effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    let charge = store.charge(request(1, Token::StepUp), None).await.unwrap().charge;
    store.command(charge.id, Command::Void).await.unwrap();
    let (Some(Effect::StepUp(_)), Some(Effect::Webhook(mut webhook))) = (effects.recv().await, effects.recv().await) else {
        panic!("a step-up, then its webhook")
    };
    webhook.notice.created -= 3600;
    let courier = Courier::new(store.clone(), config::Secret::new("key".to_owned())).unwrap();
    tokio::time::timeout(Duration::from_secs(10), courier.deliver(webhook)).await.unwrap();
    assert_eq!(Snapshot::of(&*store.database).unwrap().effects().unwrap(), []);
    drop(store);
    writer.await.unwrap().unwrap();
}
