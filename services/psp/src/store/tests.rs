//! Group commit, and disks that fail.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use redb::{StorageBackend, backends::InMemoryBackend};

use super::*;
use crate::{
    behavior::Rate,
    domain::{Event, Kind, State, Token, decide},
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
    let (store, writer, effects) = assemble(database, Behavior::default()).unwrap();
    (disk, store, writer, effects)
}

fn request(key: usize, token: Token) -> Request {
    Request {
        idempotency_key: format!("k{key}"),
        order_id: "o1".to_owned(),
        account: None,
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
    tokio::time::timeout(Duration::from_secs(10), courier.deliver(*webhook)).await.unwrap();
    assert_eq!(Snapshot::of(&*store.database).unwrap().effects().unwrap(), []);
    drop(store);
    writer.await.unwrap().unwrap();
}

fn refund(key: &str, amount_minor: Option<i64>) -> Command {
    Command::Refund { id: format!("re_{key}"), key: key.to_owned(), amount_minor }
}

fn always() -> Period {
    Period { account: None, from: 0, to: i64::MAX }
}

#[tokio::test]
async fn a_key_names_one_charge_or_one_refund() {
    let (_disk, store, writer, _effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    let mut ids = Vec::new();
    for key in [1, 2] {
        let charge = store.charge(request(key, Token::Visa), None).await.unwrap().charge;
        store.command(charge.id.clone(), Command::Capture).await.unwrap();
        ids.push(charge.id);
    }
    assert!(store.command(ids[0].clone(), refund("r", Some(5))).await.unwrap().is_new);
    assert!(!store.command(ids[0].clone(), refund("r", Some(5))).await.unwrap().is_new);
    for (id, command) in [(0, refund("r", Some(6))), (1, refund("r", Some(5))), (0, refund("k1", None)), (1, refund("k1", None))] {
        let refused = store.command(ids[id].clone(), command).await.unwrap_err();
        assert_eq!(refused.reason(), "PSP_KEY_REUSED");
    }
    let mut taken = request(3, Token::Visa);
    taken.idempotency_key = "r".to_owned();
    assert_eq!(store.charge(taken, None).await.unwrap_err().reason(), "PSP_KEY_REUSED");
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_list_of_movements_is_whole_whatever_the_page_and_the_period() {
    let (_disk, store, writer, _effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    for key in 0..12 {
        let account = Some(if key % 3 == 0 { "us" } else { "eu" }.to_owned());
        let charge = store.charge(Request { account, ..request(key, Token::Visa) }, None).await.unwrap().charge;
        store.command(charge.id.clone(), Command::Capture).await.unwrap();
        if key % 2 == 0 {
            store.command(charge.id.clone(), refund(&format!("r{key}"), Some(200))).await.unwrap();
            store.command(charge.id, Command::ChargeBack { id: format!("cb_{key}") }).await.unwrap();
        }
    }
    let all = store.transactions(always(), None, 1000).await.unwrap();
    assert_eq!((all.transactions.len(), all.next), (24, None));
    assert_eq!(all.transactions.iter().map(|transaction| transaction.amount_minor).sum::<i64>(), 6 * 1200);
    assert!(all.transactions.is_sorted_by_key(|transaction| transaction.created));
    for (account, size) in [(None, 1), (None, 7), (None, 24), (Some("eu"), 3), (Some("us"), 1), (Some("none"), 5)] {
        let period = Period { account: account.map(str::to_owned), ..always() };
        let (mut seen, mut next) = (Vec::new(), None);
        loop {
            let page = store.transactions(period.clone(), next, size).await.unwrap();
            seen.extend(page.transactions);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let expected: Vec<_> =
            all.transactions.iter().filter(|transaction| account.is_none() || transaction.account.as_deref() == account).collect();
        assert!(seen.iter().eq(expected), "{account:?} by {size}");
    }
    let (first, last) = (all.transactions[0].created, all.transactions[23].created);
    for (from, to) in [(0, first), (last + 1, i64::MAX), (last, first), (i64::MAX, 0)] {
        assert!(store.transactions(Period { from, to, account: None }, None, 9).await.unwrap().transactions.is_empty(), "{from} to {to}");
    }
    assert!(store.transactions(Period { from: 0, to: first, account: None }, Some((last, 9)), 9).await.unwrap().transactions.is_empty());
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_authorization_ends_when_it_is_too_old_unless_it_was_captured() {
    let (_disk, store, writer, _effects) = store();
    let writer = tokio::task::spawn_blocking(|| writer.run());
    store.behave(Behavior { authorization_ttl_ms: 1, ..Behavior::default() }).await.unwrap();
    let mut charges = Vec::new();
    for (key, token) in [(1, Token::Visa), (2, Token::StepUp), (3, Token::Visa), (4, Token::Visa), (5, Token::Decline)] {
        charges.push(store.charge(request(key, token), None).await.unwrap().charge);
    }
    store.command(charges[2].id.clone(), Command::Capture).await.unwrap();
    store.command(charges[3].id.clone(), Command::Void).await.unwrap();
    testkit::eventually("they are too old", Duration::from_secs(5), async || {
        if store.has_expired().await.unwrap() { Ok(()) } else { Err("none is") }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!((store.expire(1).await.unwrap(), store.expire(9).await.unwrap(), store.expire(9).await.unwrap()), (1, 1, 0));
    let mut states = Vec::new();
    for charge in charges {
        states.push(store.get(charge.id).await.unwrap().state);
    }
    assert_eq!(states, [State::Expired, State::Expired, State::Captured, State::Voided, State::Declined]);
    assert!(!store.has_expired().await.unwrap());
    drop(store);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn how_it_behaves_is_kept_until_it_is_reset() {
    let disk = Disk(Arc::default());
    let initial = Behavior { step_up_delay_ms: 77, ..Behavior::default() };
    let set = Behavior { decline_rate: Rate::try_from(1.0).unwrap(), ..initial.clone() };
    for (before, after) in [(&initial, Some(&set)), (&set, None), (&initial, None)] {
        let database = Builder::new().create_with_backend(disk.clone()).unwrap();
        let (store, writer, _effects) = assemble(database, initial.clone()).unwrap();
        let writer = tokio::task::spawn_blocking(|| writer.run());
        assert_eq!(store.behavior(), *before);
        match after {
            Some(set) => {
                store.behave(set.clone()).await.unwrap();
                assert_eq!(store.charge(request(1, Token::Visa), None).await.unwrap().charge.state, State::Declined);
            }
            None => drop(store.reset().await.unwrap()),
        }
        drop(store);
        writer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_its_list_of_movements() {
    let disk = Disk(Arc::default());
    {
        let database = Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut charges = transaction.open_table(tables::CHARGES).unwrap();
        for (number, state) in ["authorized", "captured", "refunded", "voided"].iter().enumerate() {
            let row = format!(
                r#"{{"charge":{{"id":"ch_{number}","order_id":"o{number}","state":"{state}","amount_minor":1200,"currency":"EUR",
                    "idempotency_key":"o{number}/authorize"}},"token":"tok_visa","webhook_url":null,"created":{number},"traceparent":null}}"#
            );
            charges.insert(format!("ch_{number}").as_str(), row.as_bytes()).unwrap();
        }
        drop(charges);
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let database = Builder::new().create_with_backend(disk.clone()).unwrap();
        let (store, writer, _effects) = assemble(database, Behavior::default()).unwrap();
        let writer = tokio::task::spawn_blocking(|| writer.run());
        let listed = store.transactions(always(), None, 9).await.unwrap().transactions;
        let listed: Vec<_> = listed.iter().map(|row| (row.kind, row.source_id.as_str(), row.amount_minor, row.created)).collect();
        assert_eq!(
            listed,
            [(Kind::Capture, "ch_1", 1200, 1), (Kind::Capture, "ch_2", 1200, 2), (Kind::Refund, "re_2", -1200, 2)],
            "once, however often it is opened"
        );
        let refunded = store.get("ch_2".to_owned()).await.unwrap();
        assert_eq!((refunded.state, refunded.refunded_minor, refunded.refunds.len()), (State::Refunded, 1200, 1));
        let captured = store.get("ch_1".to_owned()).await.unwrap();
        assert!(matches!(decide(&captured, &refund("r", None), 9), Ok(Some(Event::Refunded(_)))));
        drop(store);
        writer.await.unwrap().unwrap();
    }
}
