//! The thread that reads the server's messages.
//!
//! The server sends each message by itself, and whoever waits for it is woken each time: with a backlog the two then take turns on the
//! processor, message by message, which was measured at five times the price. So the reader has a thread of its own, and when much comes it
//! sleeps for a moment instead of waiting, as a network card does with its interrupts: what has come meanwhile is read at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use pgwire_replication::{Lsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{Event, Row, STATUS_INTERVAL, moment};
use crate::{
    Error,
    pgoutput::{self, Change, Relation},
};

/// Most events that are handed over at a time, and most messages that wait to be decoded.
pub(super) const MOST: usize = 2048;
/// Batches that wait to be taken.
const BATCHES: usize = 2;
/// So many events within [`WINDOW`] are much.
const MUCH: usize = 64;
const WINDOW: Duration = Duration::from_millis(2);
/// How long the thread sleeps then.
const PAUSE: Duration = Duration::from_micros(250);

type Batches = mpsc::Sender<Result<Vec<Event>, Error>>;

/// Connects, and reads until the receiver is dropped or the stream ends.
pub(super) async fn start(
    config: ReplicationConfig,
    confirmed: Arc<AtomicU64>,
) -> Result<mpsc::Receiver<Result<Vec<Event>, Error>>, Error> {
    let (batches, receiver) = mpsc::channel(BATCHES);
    let (connected, is_connected) = oneshot::channel();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| PgWireError::Io(Arc::new(error)))?;
    let read = async move {
        match ReplicationClient::connect(config).await {
            Ok(client) => {
                if connected.send(Ok(())).is_ok() {
                    read(client, &batches, &confirmed).await;
                }
            }
            Err(error) => drop(connected.send(Err(error))),
        }
    };
    let thread = thread::Builder::new().name("wal reader".to_owned());
    thread.spawn(move || runtime.block_on(tokio::task::unconstrained(read))).map_err(|error| PgWireError::Io(Arc::new(error)))?;
    is_connected.await.map_err(|_| Error::Ended)??;
    Ok(receiver)
}

async fn read(mut client: ReplicationClient, batches: &Batches, confirmed: &AtomicU64) {
    let mut relations = HashMap::new();
    let (mut since, mut count) = (Instant::now(), 0);
    let mut idle = Idle::default();
    loop {
        client.update_applied_lsn(Lsn::from_u64(confirmed.load(Ordering::Acquire)));
        let first = tokio::select! {
            first = tokio::time::timeout(STATUS_INTERVAL, client.recv()) => first,
            () = batches.closed() => return,
        };
        let batch = match first {
            Ok(first) => collect(&mut client, first, &mut relations).await,
            Err(_) => Ok(Vec::new()),
        };
        let batch = batch.map(|events| idle.hold_back(events));
        let (is_over, events) = (batch.is_err(), batch.as_ref().map_or(0, Vec::len));
        if events > 0 || is_over {
            let handed_over = batches.send(batch).await;
            if handed_over.is_err() || is_over {
                return;
            }
        }
        if since.elapsed() > WINDOW {
            (since, count) = (Instant::now(), 0);
        }
        count += events;
        if count >= MUCH && events < MOST {
            thread::sleep(PAUSE);
            (since, count) = (Instant::now(), events);
        }
    }
}

/// Positions without changes of ours. The server tells of one after each commit of whoever else writes to it, and again only the last is worth
/// to wake somebody.
#[derive(Default)]
struct Idle {
    held: Option<Event>,
    told: Option<Instant>,
}

impl Idle {
    /// Takes out of `events` what is nothing but such positions, until it is time to tell the last one.
    fn hold_back(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        if events.iter().any(|event| !matches!(event, Event::Idle { .. })) {
            // What is held lies before all of these.
            self.held = None;
            return events;
        }
        if let Some(last) = events.pop() {
            self.held = Some(last);
        }
        events.clear();
        if self.told.is_none_or(|told| told.elapsed() >= STATUS_INTERVAL)
            && let Some(held) = self.held.take()
        {
            self.told = Some(Instant::now());
            events.push(held);
        }
        events
    }
}

type Received = Result<Option<ReplicationEvent>, PgWireError>;

/// Decodes what is there.
async fn collect(
    client: &mut ReplicationClient,
    first: Received,
    relations: &mut HashMap<u32, Arc<Relation>>,
) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    let mut received = Some(first);
    while let Some(message) = received {
        // What came before the end is lost with it, and given again: nothing of it was confirmed.
        events.extend(decode(message?.ok_or(Error::Ended)?, relations)?);
        received = if events.len() < MOST { ready(client).await } else { None };
    }
    Ok(events)
}

/// What has been received already. The client's task reads the socket on this thread, and gives way after some hundred messages although there
/// are more: it is let on once before nothing counts as nothing.
async fn ready(client: &mut ReplicationClient) -> Option<Received> {
    if let Some(received) = client.recv().now_or_never() {
        return Some(received);
    }
    tokio::task::yield_now().await;
    client.recv().now_or_never()
}

fn decode(message: ReplicationEvent, relations: &mut HashMap<u32, Arc<Relation>>) -> Result<Option<Event>, Error> {
    Ok(match message {
        ReplicationEvent::Begin { final_lsn, commit_time_micros, .. } => {
            Some(Event::Begin { lsn: final_lsn, at: moment(commit_time_micros) })
        }
        ReplicationEvent::Commit { end_lsn, commit_time_micros, .. } => {
            Some(Event::Commit { lsn: end_lsn, at: moment(commit_time_micros) })
        }
        ReplicationEvent::KeepAlive { wal_end, server_time_micros, .. } => {
            Some(Event::Idle { lsn: wal_end, at: moment(server_time_micros) })
        }
        ReplicationEvent::XLogData { data, .. } => match pgoutput::decode(data)? {
            Change::Relation(relation) => {
                relations.insert(relation.id, Arc::new(relation));
                None
            }
            Change::Insert { relation, new } => {
                let relation = relations.get(&relation).ok_or(Error::UnknownTable(relation))?.clone();
                Some(Event::Insert(Row { relation, values: new }))
            }
            Change::Update { .. } | Change::Delete { .. } | Change::Truncate { .. } | Change::Other => None,
        },
        ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn idle(lsn: u64) -> Event {
        Event::Idle { lsn: Lsn::from_u64(lsn), at: OffsetDateTime::UNIX_EPOCH }
    }

    fn told(events: &[Event]) -> Vec<u64> {
        let lsn = |event: &Event| if let Event::Idle { lsn, .. } = event { lsn.as_u64() } else { 0 };
        events.iter().map(lsn).collect()
    }

    #[test]
    fn of_positions_without_changes_only_the_last_is_told_and_seldom() {
        let mut held = Idle::default();
        assert_eq!(told(&held.hold_back(vec![idle(1), idle(2)])), [2]);
        assert!(held.hold_back(vec![idle(3)]).is_empty());
        assert!(held.hold_back(vec![idle(4)]).is_empty());
        held.told = Instant::now().checked_sub(STATUS_INTERVAL);
        assert_eq!(told(&held.hold_back(Vec::new())), [4], "also when nothing else comes");
        held.told = Instant::now().checked_sub(STATUS_INTERVAL);
        assert!(held.hold_back(Vec::new()).is_empty());
    }

    #[test]
    fn changes_wait_for_nothing_and_take_the_place_of_what_was_held() {
        let mut held = Idle::default();
        held.hold_back(vec![idle(1)]);
        held.hold_back(vec![idle(2)]);
        let begin = Event::Begin { lsn: Lsn::from_u64(3), at: OffsetDateTime::UNIX_EPOCH };
        assert_eq!(held.hold_back(vec![begin, idle(3)]).len(), 2);
        held.told = None;
        assert!(held.hold_back(Vec::new()).is_empty());
    }
}
