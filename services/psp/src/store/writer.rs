//! The one thread that writes: all that waits goes into one commit.

use std::sync::Arc;

use redb::Database;
use tokio::sync::{mpsc, watch};

use super::{
    changes::{After, Changes},
    record::{Effect, now_millis},
};
use crate::{behavior::Behavior, metrics};

/// Most requests of one commit: enough to spread the cost of a sync over, few enough for the first not to wait long.
const BATCH: usize = 512;

/// One request: changes the tables, and gives what answers it once that is committed. Dropped unanswered, its end is unknown.
pub(super) type Job = Box<dyn FnOnce(&mut Changes<'_>) -> Result<Reply, redb::Error> + Send>;
type Reply = Box<dyn FnOnce() + Send>;

/// Writes what is queued.
#[derive(Debug)]
pub(crate) struct Writer {
    database: Arc<Database>,
    jobs: mpsc::Receiver<Job>,
    effects: mpsc::UnboundedSender<Effect>,
    behavior: watch::Sender<Behavior>,
}

impl Writer {
    pub(super) fn new(
        database: Arc<Database>,
        jobs: mpsc::Receiver<Job>,
        effects: mpsc::UnboundedSender<Effect>,
        behavior: watch::Sender<Behavior>,
    ) -> Self {
        Self { database, jobs, effects, behavior }
    }

    /// Writes until every [`super::Store`] is gone and its requests are answered. Blocks on the disk.
    ///
    /// # Errors
    /// When a batch cannot be committed. The database is not to be used after that.
    pub(crate) fn run(mut self) -> Result<(), redb::Error> {
        let mut batch = Vec::with_capacity(BATCH);
        while self.jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            self.commit(batch.drain(..))?;
        }
        Ok(())
    }

    fn commit(&self, batch: impl Iterator<Item = Job>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut changes = Changes::new(&transaction, self.behavior.borrow().clone(), now_millis())?;
        let replies = batch.map(|job| job(&mut changes)).collect::<Result<Vec<Reply>, _>>()?;
        let After { effects, states, behavior, is_changed } = changes.finish();
        if is_changed {
            transaction.commit()?;
            metrics::count_commit();
        } else {
            transaction.abort()?;
        }
        if let Some(behavior) = behavior {
            self.behavior.send_replace(behavior);
        }
        states.into_iter().for_each(metrics::count_charge);
        replies.into_iter().for_each(|reply| reply());
        for effect in effects {
            // Nobody listens any more while the process ends; the effect stays in its table.
            let _ = self.effects.send(effect);
        }
        Ok(())
    }
}
