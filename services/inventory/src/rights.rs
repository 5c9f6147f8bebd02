//! Moves the right to sell to where orders come: asks the other region for units when an order is short of them, and before that when they
//! run low by the rate at which they are asked for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ids::{OrderId, Sku};
use rpc::Process;
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{
        Demand, Lines,
        rights::{self, Hope, PATIENCE},
    },
    error::Error,
    metrics,
    store::{
        reservations::{Applied, Tried},
        rights::{self as rows, Transfer},
        together::Reserver,
    },
};

/// How often what is asked for is compared with what is on hand.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most SKUs that are looked at each time.
const MOST: usize = 500;
/// An order that waits looks again after this long even when it heard of nothing: another process may have taken the units in.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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
        }
    }

    fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units of a SKU that this region wants on hand.
    pub(crate) fn need(&self, sku: &Sku) -> i64 {
        rights::need(self.demand().rate(sku, self.start.elapsed()))
    }

    /// Tells orders that wait that units have come.
    pub(crate) fn arrived(&self) {
        self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Reserves; when this region is short, after asking the other one, for as long as there is hope.
    pub(crate) async fn reserve(&self, id: OrderId, lines: Lines) -> Result<Applied, Error> {
        let now = self.start.elapsed();
        lines.iter().for_each(|(sku, quantity)| self.demand().note(sku, quantity, now));
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut arrivals = self.arrivals.subscribe();
            let may_wait = self.has_peer && tokio::time::Instant::now() < until;
            match self.reserver.try_to_reserve(id, lines.clone(), may_wait).await? {
                Tried::Applied(applied) => return Ok(applied),
                Tried::Short(skus) => self.ask(&lines, &skus).await?,
            }
            metrics::count_wait();
            let again = until.min(tokio::time::Instant::now() + LOOK_AGAIN);
            let _ = tokio::time::timeout_at(again, arrivals.changed()).await;
        }
    }

    /// Asks for what an order is short of, where nobody has.
    async fn ask(&self, lines: &Lines, skus: &[Sku]) -> Result<(), Error> {
        let asked = rows::asked_in(&mut *self.pool.acquire().await?, skus).await?;
        for (sku, quantity) in lines.iter().filter(|(sku, _)| skus.contains(sku)) {
            let last = asked.get(sku).copied();
            if rights::hope(last.map(|ask| ask.asked)) == Hope::Ask {
                let wanted = self.need(sku).max(i64::from(quantity));
                rows::ask(&self.pool, &Transfer { id: Uuid::now_v7(), sku: sku.clone(), quantity: wanted }, true, last).await?;
                metrics::count_ask(true);
            }
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
        let skus: Vec<Sku> = needs.iter().map(|(sku, _)| sku.clone()).collect();
        let mut connection = self.pool.acquire().await?;
        let on_hand = rows::on_hand_in(&mut connection, &skus).await?;
        let asked = rows::asked_in(&mut connection, &skus).await?;
        drop(connection);
        for (sku, need) in needs {
            let Some(&on_hand) = on_hand.get(&sku) else { continue };
            let last = asked.get(&sku).copied();
            if on_hand < need && rights::is_time_to_restock(last.map(|ask| ask.asked)) {
                rows::ask(&self.pool, &Transfer { id: Uuid::now_v7(), sku, quantity: 2 * need - on_hand }, false, last).await?;
                metrics::count_ask(false);
            }
        }
        Ok(())
    }
}
