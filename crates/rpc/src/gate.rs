//! How many calls a server works on at once, and which it refuses when there are more.
//!
//! ```text
//! call ── room for its like? ── yes ──> worked on ── ends ──> the limit is judged anew, and whoever waits and matters most gets its place
//!              │ no                                                  ^
//!              └──> waits a moment, those that matter most first ────┘── too long, or the queue stands: refused
//! ```

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use resilience::{Codel, Limit, Limiting, Priority, Queueing};
use tokio::{sync::oneshot, time::timeout};

use crate::clock;

/// No call waits longer for its turn.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Calls that wait, as a multiple of those that are worked on.
const WAITING: u32 = 4;
/// What a gate begins with. Many calls wait for a commit and cost nothing meanwhile, so the limit is never small.
const LIMITING: Limiting = Limiting { initial: 128, least: 48, most: 1_024, tolerance: 2.0, window: Duration::from_millis(250), calls: 20 };

/// The gate of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limiting: Limiting,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    codel: Codel,
    /// Those that matter most first, and of these whoever came first.
    waiting: BTreeMap<(Reverse<Priority>, u64), Waiter>,
    came: u64,
}

#[derive(Debug)]
struct Waiter {
    since: Duration,
    turn: oneshot::Sender<Place>,
}

/// A call that is worked on.
#[derive(Debug)]
pub(crate) struct Place {
    /// None when it was given back otherwise.
    gate: Option<Gate>,
    begun: Duration,
    /// How it ended: nothing when that says nothing of the server.
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Cancelled,
    Answered,
    Late,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(LIMITING)
    }
}

impl Gate {
    fn new(limiting: Limiting) -> Self {
        let state = State { limit: Limit::new(&limiting, clock::now()), codel: Codel::default(), waiting: BTreeMap::new(), came: 0 };
        Self(Arc::new(Inner { limiting, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a call, perhaps after a moment; none when there are too many that matter as much.
    pub(crate) async fn enter(&self, priority: Priority) -> Option<Place> {
        let turn = {
            let mut state = self.state();
            if state.limit.begin(priority) {
                return Some(self.place());
            }
            let most = WAITING.saturating_mul(state.limit.under_way()).max(1);
            if u32::try_from(state.waiting.len()).unwrap_or(u32::MAX) >= most {
                // The last in the queue goes, if it matters less.
                match state.waiting.last_key_value() {
                    Some(((Reverse(last), _), _)) if *last < priority => drop(state.waiting.pop_last()),
                    _ => return None,
                }
            }
            let (send, turn) = oneshot::channel();
            state.came += 1;
            let key = (Reverse(priority), state.came);
            state.waiting.insert(key, Waiter { since: clock::now(), turn: send });
            turn
        };
        timeout(LONGEST_WAIT, turn).await.ok()?.ok()
    }

    fn place(&self) -> Place {
        Place { gate: Some(self.clone()), begun: clock::now(), outcome: Outcome::Cancelled }
    }

    /// Gives places to those who wait, as long as there is room. What does not get one is dropped after the lock is let go: a place that comes back asks
    /// for it again.
    fn call_in(&self) {
        loop {
            let mut state = self.state();
            let Some(entry) = state.waiting.first_key_value() else { return };
            let (key, now) = (*entry.0, clock::now());
            if !state.limit.begin(key.0.0) {
                return;
            }
            let Some(waiter) = state.waiting.remove(&key) else { return };
            let waited = now.saturating_sub(waiter.since);
            let is_dropped = waited > LONGEST_WAIT || state.codel.drops(&Queueing::default(), now, waited);
            if is_dropped {
                state.limit.end(&self.0.limiting, now, None);
                continue;
            }
            drop(state);
            if let Err(mut place) = waiter.turn.send(self.place()) {
                // Whoever waited went away. Its place goes to the next in this loop, and not from within its drop, deeper and deeper.
                place.gate = None;
                self.state().limit.end(&self.0.limiting, now, None);
            }
        }
    }
}

impl Place {
    /// It was answered.
    pub(crate) fn answered(mut self) {
        self.outcome = Outcome::Answered;
    }

    /// Its time was over.
    pub(crate) fn gave_up(mut self) {
        self.outcome = Outcome::Late;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let (now, limiting) = (clock::now(), &gate.0.limiting);
        {
            let mut state = gate.state();
            match self.outcome {
                Outcome::Answered => state.limit.end(limiting, now, Some(now.saturating_sub(self.begun))),
                Outcome::Cancelled => state.limit.end(limiting, now, None),
                Outcome::Late => state.limit.give_up(limiting, now),
            }
        }
        gate.call_in();
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn gate(limit: u32) -> Gate {
        Gate::new(Limiting { initial: limit, least: limit, most: limit, ..LIMITING })
    }

    #[tokio::test]
    async fn a_place_goes_to_whoever_matters_most() {
        let gate = gate(1);
        let held = gate.enter(Priority::Checkout).await.unwrap();
        let (browse, checkout) = (gate.enter(Priority::Browse), gate.enter(Priority::Checkout));
        let order = Mutex::new(Vec::new());
        let note = |name| order.lock().unwrap().push(name);
        let last = async {
            sleep(Duration::from_millis(5)).await;
            drop(held);
        };
        let looked = async {
            drop(browse.await);
            note("browse");
        };
        let paid = async {
            drop(checkout.await);
            note("checkout");
        };
        tokio::join!(looked, paid, last);
        assert_eq!(order.into_inner().unwrap(), ["checkout", "browse"]);
        assert_eq!(gate.state().limit.under_way(), 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_long() {
        let gate = gate(1);
        let _held = gate.enter(Priority::Checkout).await.unwrap();
        let begun = Instant::now();
        assert!(gate.enter(Priority::Checkout).await.is_none());
        assert!(begun.elapsed() < LONGEST_WAIT * 2);
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_place_along() {
        let gate = gate(2);
        let held = join_all((0..2).map(|_| gate.enter(Priority::Checkout))).await;
        let gone = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(Priority::Checkout).await.is_some() }
        });
        sleep(Duration::from_millis(5)).await;
        gone.abort();
        drop(gone.await);
        drop(held);
        assert_eq!(gate.state().limit.under_way(), 0);
        assert!(gate.enter(Priority::Checkout).await.is_some());
    }

    #[tokio::test]
    async fn a_full_queue_lets_those_go_that_matter_least() {
        let gate = gate(1);
        let held = gate.enter(Priority::Checkout).await.unwrap();
        let lookers = join_all((0..8).map(|_| gate.enter(Priority::Browse)));
        let payer = async {
            sleep(Duration::from_millis(5)).await;
            let paid = gate.enter(Priority::Checkout);
            let release = async {
                sleep(Duration::from_millis(5)).await;
                drop(held);
            };
            tokio::join!(paid, release).0.is_some()
        };
        let (looked, paid) = tokio::join!(lookers, payer);
        assert!(paid, "whoever pays is let in");
        assert!(looked.iter().flatten().count() < 8, "others are not");
    }
}
