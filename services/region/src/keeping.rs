//! Carries out what the keeper decides: one loop that hears events, and a task for each action.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ids::Region;
use lease::{Action, Etcd, Event, Keeper, Outcome, Record, Stand, Time, Timing, Txn, Watcher};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics,
    peer::Peer,
    store::{Database, Mirror},
};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(50);
/// What a call of the database may take; longer, and its outcome is unknown.
const CALL: Duration = Duration::from_millis(1500);
/// Longer work: two sides must agree.
const AGREE: Duration = Duration::from_millis(1800);
/// How long nothing may have been written here before those who wait for the peer are sent away.
const SHUT: Duration = Duration::from_secs(1);

/// One home, for whoever asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HomeStanding {
    pub(crate) home: Region,
    pub(crate) record: Record,
    pub(crate) stand: Stand,
    pub(crate) valid_until: Time,
    pub(crate) is_alive: bool,
}

/// How the region stands, for whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) region: Region,
    pub(crate) begun: Instant,
    /// When the coordinator was last seen.
    pub(crate) viewed: Option<Time>,
    pub(crate) homes: [Option<HomeStanding>; 2],
    pub(crate) drained: [bool; 2],
    pub(crate) mirror: Option<Mirror>,
    pub(crate) is_ready: bool,
    pub(crate) is_caught_up: bool,
}

impl Standing {
    /// What is left of a time.
    pub(crate) fn left(&self, until: Time) -> Duration {
        until.saturating_sub(self.begun.elapsed())
    }

    /// Whether the home may be written here now.
    pub(crate) fn writes(&self, home: Region) -> bool {
        self.homes[home as usize].is_some_and(|home| !self.left(home.valid_until).is_zero())
    }
}

/// What the keeper needs.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) region: Region,
    pub(crate) etcd: Etcd,
    pub(crate) database: Database,
    pub(crate) peer: Option<Peer>,
    pub(crate) timing: Timing,
    pub(crate) begun: Instant,
}

/// A handle on the running keeper. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    events: mpsc::UnboundedSender<Event>,
    pub(crate) standing: watch::Receiver<Arc<Standing>>,
}

impl Handle {
    /// Tells the keeper something.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) fn now(&self) -> Arc<Standing> {
        self.standing.borrow().clone()
    }

    /// Waits until it is so; false when it is not in time.
    pub(crate) async fn until(&self, within: Duration, is_so: impl Fn(&Standing) -> bool) -> bool {
        let mut standing = self.standing.clone();
        timeout(within, standing.wait_for(|standing| is_so(standing))).await.is_ok_and(|seen| seen.is_ok())
    }
}

/// Prepares the keeper: a handle, and the work to run.
pub(crate) fn prepare(world: World) -> (Handle, Work) {
    let (events, inbox) = mpsc::unbounded_channel();
    let keeper = Keeper::new(world.region, world.timing, Time::ZERO);
    let empty = Standing {
        region: world.region,
        begun: world.begun,
        viewed: None,
        homes: [None; 2],
        drained: [false; 2],
        mirror: None,
        is_ready: false,
        is_caught_up: false,
    };
    let (sender, standing) = watch::channel(Arc::new(empty));
    (
        Handle { events: events.clone(), standing },
        Work { world, keeper, inbox, events, standing: sender, mirrors: mpsc::unbounded_channel(), shut_since: Time::ZERO },
    )
}

/// The keeper with all that it works on.
pub(crate) struct Work {
    world: World,
    keeper: Keeper,
    inbox: mpsc::UnboundedReceiver<Event>,
    events: mpsc::UnboundedSender<Event>,
    standing: watch::Sender<Arc<Standing>>,
    mirrors: (mpsc::UnboundedSender<Mirror>, mpsc::UnboundedReceiver<Mirror>),
    /// Since when nothing may be written here, or since when that was last seen to.
    shut_since: Time,
}

impl Work {
    /// Works until `shutdown`. What is held then runs out by itself, so that a process that is started again at once goes on with it.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut doing = JoinSet::new();
        let events = self.events.clone();
        let watcher = Watcher::new(&self.world.etcd);
        let changed = move || {
            let _ = events.send(Event::Changed);
        };
        doing.spawn(watcher.run(changed));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut mirror = None;
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(event) = self.inbox.recv() => event,
                Some(seen) = self.mirrors.1.recv() => { mirror = Some(seen); continue }
                Some(_) = doing.join_next() => continue,
                _ = ticks.tick() => Event::Tick,
            };
            for action in self.keeper.on(event, self.world.begun.elapsed()) {
                if let Action::Note(note) = action {
                    metrics::note(note);
                    continue;
                }
                let (world, events, mirrors) = (self.world.clone(), self.events.clone(), self.mirrors.0.clone());
                doing.spawn(async move {
                    let event = world.carry_out(action, &mirrors).await;
                    let _ = events.send(event);
                });
            }
            self.publish(mirror);
            if self.is_shut_for_good() {
                let database = self.world.database.clone();
                let events = self.events.clone();
                doing.spawn(async move {
                    database.break_off().await;
                    let _ = events.send(Event::Tick);
                });
            }
        }
    }

    /// True now and then while nothing may be written here and the peer is silent. Who waits for it then must not wait until the server gives
    /// up waiting, as that looks like success.
    fn is_shut_for_good(&mut self) -> bool {
        let now = self.world.begun.elapsed();
        let standing = self.standing.borrow();
        let waits = standing.mirror.is_some_and(|mirror| mirror.look.names && !mirror.look.streaming);
        if !waits || Region::ALL.into_iter().any(|home| standing.writes(home)) {
            self.shut_since = now;
        }
        let is_due = now.saturating_sub(self.shut_since) > SHUT;
        if is_due {
            self.shut_since = now;
        }
        is_due
    }

    fn publish(&self, mirror: Option<Mirror>) {
        let keeper = &self.keeper;
        let home = |home: Region| {
            Some(HomeStanding {
                home,
                record: keeper.record(home)?,
                stand: keeper.stand(home),
                valid_until: keeper.valid_until(home),
                is_alive: keeper.is_held(home),
            })
        };
        let standing = Standing {
            region: self.world.region,
            begun: self.world.begun,
            viewed: keeper.view().map(|view| view.asked),
            homes: Region::ALL.map(home),
            drained: keeper.view().map_or([false; 2], |view| view.drained),
            mirror,
            is_ready: keeper.is_ready(self.world.begun.elapsed()),
            is_caught_up: keeper.is_caught_up(),
        };
        metrics::show(&standing);
        self.standing.send_replace(Arc::new(standing));
    }
}

/// Whether it was done in time; why not is logged.
async fn done<E: std::fmt::Display>(what: &'static str, within: Duration, work: impl Future<Output = Result<(), E>>) -> bool {
    match timeout(within, work).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, what, "not done");
            false
        }
        Err(_) => {
            tracing::warn!(what, within = ?within, "not done in time");
            false
        }
    }
}

impl World {
    fn now(&self) -> Time {
        self.begun.elapsed()
    }

    async fn carry_out(&self, action: Action, mirrors: &mpsc::UnboundedSender<Mirror>) -> Event {
        let (sent, database) = (self.now(), &self.database);
        match action {
            Action::Grant => Event::Granted { lease: self.etcd.grant(self.timing.ttl).await.ok(), sent },
            Action::Renew { lease } => {
                let alive = self.etcd.keep_alive(lease).await;
                if let Err(error) = &alive {
                    tracing::warn!(%error, "the lease is not renewed");
                }
                Event::Renewed { sent, alive: alive.ok() }
            }
            Action::View => Event::Viewed(self.etcd.view(sent).await.ok()),
            Action::Write(txn) => Event::Written(self.write(&txn).await),
            Action::Set { home, holder, epoch, until } => {
                let is_done = done("say who holds a home", CALL, database.set(home, holder, epoch, until)).await;
                Event::Set { home, done: is_done }
            }
            Action::Listen => Event::Listened { done: done("listen to the other region", CALL, database.listen()).await },
            Action::Silence { home } => {
                Event::Silenced { home, done: done("stop listening to the other region", AGREE, database.silence()).await }
            }
            Action::Settle { home } => {
                Event::Settled { home, done: done("give the rest to the other region", AGREE, database.confirm()).await }
            }
            Action::Names(on) => {
                let named = timeout(2 * AGREE, database.name(on)).await;
                if let Ok(Err(error)) = &named {
                    tracing::warn!(%error, on, "whether commits wait for the other region is not set");
                }
                Event::Named { done: named.ok().and_then(Result::ok) }
            }
            Action::Confirm => Event::Confirmed { done: done("see the other region confirm", AGREE, database.confirm()).await },
            Action::Look => {
                let look = timeout(CALL, database.look()).await.ok().and_then(Result::ok);
                if let Some(mirror) = look {
                    let _ = mirrors.send(mirror);
                }
                Event::Looked(look.map(|mirror| mirror.look))
            }
            Action::AskPeer => Event::PeerLooked(match &self.peer {
                Some(peer) => peer.look(sent).await.ok(),
                None => None,
            }),
            Action::CatchUp => Event::CaughtUp { done: self.catch_up().await },
            Action::Note(_) => Event::Tick,
        }
    }

    async fn write(&self, txn: &Txn) -> Outcome {
        match self.etcd.txn(txn).await {
            Ok(Some(revision)) => Outcome::Won(revision),
            Ok(None) | Err(lease::Error::Unreachable(_) | lease::Error::Refused(_)) => Outcome::Lost,
            Err(error @ lease::Error::Unknown(_)) => {
                tracing::warn!(%error, "the outcome of a change is not known");
                Outcome::Unknown
            }
        }
    }

    /// Both regions have all of each other, and nothing is left to be seen to.
    async fn catch_up(&self) -> bool {
        let Some(peer) = &self.peer else { return false };
        if !done("catch up with the other region", AGREE, peer.catch_up()).await {
            return false;
        }
        match timeout(4 * AGREE, self.database.heal()).await {
            Ok(Ok(0)) => done("see the other region catch up", AGREE, self.database.confirm()).await,
            Ok(Ok(rows)) => {
                tracing::warn!(rows, "rows that came too late were seen to");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "rows that came too late are not seen to");
                false
            }
            Err(_) => false,
        }
    }
}
