//! Moves the right to sell to where orders come: asks the other region for units when an order is short of them, and before that when they
//! run low by the rate at which they are asked for. A region that holds both homes takes them from the other one at once.
//!
//! What the other home gave is taken in when the giver's half is here: the mirror brings that, and `rights_moved` tells when to look. So units whose
//! giver fell silent before the other region had its half stay with the giver, and those that were on their way when its home was taken over arrive.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ids::{OrderId, Region, Sku};
use rpc::Process;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::{
    domain::{
        Demand, Lines,
        rights::{self, Hope, PATIENCE},
    },
    error::Error,
    metrics,
    store::{
        reservations::{Applied, Tried, Wish},
        rights::{self as rows, Transfer, Want},
        together::Reserver,
    },
};

/// How often what is asked for is compared with what is on hand.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most SKUs that are looked at each time.
const MOST: usize = 500;
/// An order that waits looks again after this long even when it heard of nothing: another process may have taken the units in.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often it is looked for units that were said to come. Mostly they are here by then.
const LOOK_FOR_SAID: Duration = Duration::from_millis(10);

/// What this region wants and hears of the other one. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pool: PgPool,
    reserver: Reserver,
    /// There is another region.
    has_peer: bool,
    start: Instant,
    demand: Arc<Mutex<Demand>>,
    /// Grows when units have come.
    arrivals: watch::Sender<u64>,
    /// Transfers that were said to come, and since when.
    said: Arc<Mutex<HashMap<Uuid, Instant>>>,
    is_said: Arc<Notify>,
}

impl Rights {
    pub(crate) fn new(pool: PgPool, has_peer: bool) -> Self {
        Self {
            reserver: Reserver::new(pool.clone()),
            pool,
            has_peer,
            start: Instant::now(),
            demand: Arc::default(),
            arrivals: watch::Sender::new(0),
            said: Arc::default(),
            is_said: Arc::default(),
        }
    }

    fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units of a SKU that this region wants on hand.
    pub(crate) fn need(&self, sku: &Sku) -> i64 {
        rights::need(self.demand().rate(sku, self.start.elapsed()))
    }

    fn said(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for these transfers, which are not taken in yet.
    pub(crate) fn come(&self, transfers: Vec<Uuid>) {
        if !transfers.is_empty() {
            let now = Instant::now();
            self.said().extend(transfers.into_iter().map(|id| (id, now)));
            self.is_said.notify_one();
        }
    }

    /// Reserves; when the order's home is short, after asking the other one, for as long as there is hope.
    pub(crate) async fn reserve(&self, id: OrderId, home: Region, lines: Lines) -> Result<Applied, Error> {
        let now = self.start.elapsed();
        lines.iter().for_each(|(sku, quantity)| self.demand().note(sku, quantity, now));
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut is_enough = None;
        loop {
            let mut arrivals = self.arrivals.subscribe();
            let may_wait = is_enough.unwrap_or_else(|| tokio::time::Instant::now() < until);
            let wish = Wish { id, home, lines: lines.clone(), may_wait, has_peer: self.has_peer };
            let skus = match self.reserver.try_to_reserve(wish).await? {
                Tried::Applied(applied) => return Ok(applied),
                Tried::Short(skus) => skus,
            };
            let held = rows::held_in(&mut *self.pool.acquire().await?).await?;
            if held.contains(&home.peer()) {
                is_enough = Some(self.pull(home, &lines, &skus).await?);
                continue;
            }
            is_enough = None;
            self.ask(home, &lines, &skus).await?;
            metrics::count_wait();
            let again = until.min(tokio::time::Instant::now() + LOOK_AGAIN);
            let _ = tokio::time::timeout_at(again, arrivals.changed()).await;
        }
    }

    /// Takes what an order is short of from the other home, which this region holds too. False when there is not enough.
    async fn pull(&self, home: Region, lines: &Lines, skus: &[Sku]) -> Result<bool, Error> {
        let short = lines.iter().filter(|(sku, _)| skus.contains(sku));
        let want = |(sku, quantity): (&Sku, u32)| Want { sku: sku.clone(), least: quantity.into(), wanted: self.need(sku) };
        rows::pull(&self.pool, home, &short.map(want).collect::<Vec<_>>()).await
    }

    /// Asks for what an order is short of, where nobody has.
    async fn ask(&self, home: Region, lines: &Lines, skus: &[Sku]) -> Result<(), Error> {
        let asked = rows::asked_in(&mut *self.pool.acquire().await?, home, skus).await?;
        for (sku, quantity) in lines.iter().filter(|(sku, _)| skus.contains(sku)) {
            let last = asked.get(sku).copied();
            if rights::hope(last.map(|ask| ask.asked)) == Hope::Ask {
                let quantity = self.need(sku).max(i64::from(quantity));
                let wanted = Transfer { id: Uuid::now_v7(), from: home.peer(), sku: sku.clone(), quantity };
                rows::ask(&self.pool, &wanted, true, last).await?;
                metrics::count_ask(true);
            }
        }
        Ok(())
    }

    /// Takes in what was given, when it was said to come and now and then, until shutdown.
    pub(crate) fn take(&self, process: &Process) {
        let (rights, shutdown) = (self.clone(), process.shutdown.clone());
        process.spawn("units that come", async move {
            loop {
                let patience = if rights.said().is_empty() { LOOK_EVERY } else { LOOK_FOR_SAID };
                let wait = tokio::time::timeout(patience, rights.is_said.notified());
                if shutdown.run_until_cancelled(wait).await.is_none() {
                    return Ok(());
                }
                if let Err(error) = rights.take_in().await {
                    tracing::warn!(%error, "cannot take in what was given");
                }
            }
        });
    }

    async fn take_in(&self) -> Result<(), Error> {
        let taken = rows::take(&self.pool).await?;
        // What does not come soon is found now and then.
        self.said().retain(|id, since| !taken.contains_key(id) && since.elapsed() < PATIENCE);
        if !taken.is_empty() {
            metrics::count_moved(0, taken.values().sum());
            self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(())
    }

    /// Asks for what runs low, now and then, until shutdown.
    pub(crate) fn restock(&self, process: &Process) {
        if !self.has_peer {
            return;
        }
        let (rights, shutdown) = (self.clone(), process.shutdown.clone());
        process.spawn("restock", async move {
            let mut tick = tokio::time::interval(LOOK_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
                if let Err(error) = rights.look().await {
                    tracing::warn!(%error, "cannot look for what runs low");
                }
            }
            Ok(())
        });
    }

    async fn look(&self) -> Result<(), Error> {
        let now = self.start.elapsed();
        let needs: Vec<(Sku, i64)> = self.demand().active(now).take(MOST).map(|(sku, rate)| (sku.clone(), rights::need(rate))).collect();
        if needs.is_empty() {
            return Ok(());
        }
        let mut connection = self.pool.acquire().await?;
        let held = rows::held_in(&mut connection).await?;
        // Who holds both homes has nobody to ask, and who holds none nothing to sell.
        let [home] = held[..] else { return Ok(()) };
        let skus: Vec<Sku> = needs.iter().map(|(sku, _)| sku.clone()).collect();
        let on_hand = rows::on_hand_in(&mut connection, home, &skus).await?;
        let asked = rows::asked_in(&mut connection, home, &skus).await?;
        drop(connection);
        for (sku, need) in needs {
            let Some(&on_hand) = on_hand.get(&sku) else { continue };
            let last = asked.get(&sku).copied();
            if on_hand < need && rights::is_time_to_restock(last.map(|ask| ask.asked)) {
                let wanted = Transfer { id: Uuid::now_v7(), from: home.peer(), sku, quantity: 2 * need - on_hand };
                rows::ask(&self.pool, &wanted, false, last).await?;
                metrics::count_ask(false);
            }
        }
        Ok(())
    }
}
