//! Charges on disk: redb, one writer thread, many requests in one durable commit.
//!
//! ```text
//! write ──> queue ──> writer: one batch ── commit ──> answers
//! read  <── the last commit                     └───> effects
//! ```
//! An answer comes only after its commit. When a commit fails, its end is unknown until the file is opened again: nobody of that batch
//! gets an answer, and the writer ends, which ends the process.

mod changes;
mod ledger;
mod record;
mod snapshot;
mod tables;
mod upgrade;
mod writer;

use std::{path::Path, sync::Arc};

use redb::{Builder, Database, DatabaseError};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::{
    changes::Charged,
    record::{Effect, Record, Request, StepUp, Transaction, Webhook, now_millis},
    snapshot::{Listing, Overview, Period, Statement},
    writer::Writer,
};
use self::{
    changes::{Changes, Outcome},
    snapshot::Snapshot,
    writer::Job,
};
use crate::{
    behavior::Behavior,
    domain::{Charge, Command},
    error::{Error, OpenError},
};

/// Most requests that wait for the writer.
const QUEUE: usize = 4096;
/// Pages that are kept in memory; redb's own 1 GiB is more than this service is worth.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// What is to be done outside, each after the commit that asks for it.
pub(crate) type Effects = mpsc::UnboundedReceiver<Effect>;

/// The charges. Cheap to clone; the writer ends when all clones are gone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Arc<Database>,
    queue: mpsc::Sender<Job>,
    /// How the provider behaves while nothing is set.
    initial: Arc<Behavior>,
    behavior: watch::Receiver<Behavior>,
}

/// Opens the store in `data_dir`, or makes it. `Effects` begin with those that an earlier process left. While nothing is set, the provider
/// behaves as `initial` says. Blocks on the disk.
pub(crate) fn open(data_dir: &Path, initial: Behavior) -> Result<(Store, Writer, Effects), OpenError> {
    std::fs::create_dir_all(data_dir).map_err(|source| OpenError::Folder { folder: data_dir.to_owned(), source })?;
    let file = data_dir.join("charges.redb");
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(&file).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(file.clone()),
        error => OpenError::File { file: file.clone(), source: error.into() },
    })?;
    assemble(database, initial).map_err(|source| OpenError::File { file, source })
}

fn assemble(database: Database, initial: Behavior) -> Result<(Store, Writer, Effects), redb::Error> {
    tables::make(&database)?;
    let (sender, effects) = mpsc::unbounded_channel();
    let snapshot = Snapshot::of(&database)?;
    for effect in snapshot.effects()? {
        let _ = sender.send(effect);
    }
    let (behavior, seen) = watch::channel(snapshot.behavior()?.unwrap_or_else(|| initial.clone()));
    let (queue, jobs) = mpsc::channel(QUEUE);
    let database = Arc::new(database);
    let writer = Writer::new(database.clone(), jobs, sender, behavior);
    Ok((Store { database, queue, initial: Arc::new(initial), behavior: seen }, writer, effects))
}

impl Store {
    /// Makes the charge that `request` asks for, or gives the one made for it before, as it stands now.
    pub(crate) async fn charge(&self, request: Request, traceparent: Option<String>) -> Result<Charged, Error> {
        self.write(move |changes| changes.charge(request, traceparent)).await
    }

    /// Does `command` to a charge, unless that was done before.
    pub(crate) async fn command(&self, id: String, command: Command) -> Result<Charged, Error> {
        self.write(move |changes| changes.command(&id, &command)).await
    }

    /// Ends up to `limit` charges that held their amount for too long. Tells how many.
    pub(crate) async fn expire(&self, limit: usize) -> Result<usize, Error> {
        self.write(move |changes| changes.expire(limit)).await
    }

    /// How the provider behaves.
    pub(crate) fn behavior(&self) -> Behavior {
        self.behavior.borrow().clone()
    }

    /// How the provider behaves, for whoever waits for a change.
    pub(crate) fn watch(&self) -> watch::Receiver<Behavior> {
        self.behavior.clone()
    }

    /// Lets the provider behave so from now on, also after a kill.
    pub(crate) async fn behave(&self, behavior: Behavior) -> Result<Behavior, Error> {
        let initial = self.initial.clone();
        self.write(move |changes| changes.behave(Some(behavior), &initial)).await
    }

    /// Lets the provider behave as its settings say.
    pub(crate) async fn reset(&self) -> Result<Behavior, Error> {
        let initial = self.initial.clone();
        self.write(move |changes| changes.behave(None, &initial)).await
    }

    /// Forgets a webhook that was taken or given up.
    pub(crate) async fn settle(&self, webhook_id: String) -> Result<(), Error> {
        self.write(move |changes| changes.settle(&webhook_id)).await
    }

    /// Queues `work` and waits for its commit.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&mut Changes<'_>) -> Outcome<T> + Send + 'static) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |changes| {
            let result = work(changes)?;
            Ok(Box::new(move || drop(answer.send(result))))
        });
        self.queue.try_send(job).map_err(|_| Error::Busy)?;
        answered.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// One charge.
    pub(crate) async fn get(&self, id: String) -> Result<Charge, Error> {
        let found = self.read(move |snapshot| Ok((snapshot.record(&id)?, id))).await?;
        match found {
            (Some(record), _) => Ok(record.charge),
            (None, id) => Err(Error::NoCharge(id)),
        }
    }

    /// The charge made under `key`, declined or not.
    pub(crate) async fn by_key(&self, key: String) -> Result<Listing, Error> {
        self.read(move |snapshot| snapshot.by_key(&key)).await
    }

    /// Charges of one order that were not declined, oldest first, beginning behind the charge `after`.
    pub(crate) async fn of_order(&self, order_id: String, after: Option<String>, limit: usize) -> Result<Listing, Error> {
        self.read(move |snapshot| snapshot.of_order(&order_id, after.as_deref(), limit)).await
    }

    /// Charges that were not declined, newest first, beginning behind the charge `after`.
    pub(crate) async fn newest(&self, after: Option<String>, limit: usize) -> Result<Listing, Error> {
        self.read(move |snapshot| snapshot.newest(after.as_deref(), limit)).await
    }

    /// What moved balances, oldest first, beginning behind the row `after`.
    pub(crate) async fn transactions(&self, period: Period, after: Option<(i64, u64)>, limit: usize) -> Result<Statement, Error> {
        self.read(move |snapshot| snapshot.transactions(&period, after, limit)).await
    }

    /// Whether a charge has held its amount for too long.
    pub(crate) async fn has_expired(&self) -> Result<bool, Error> {
        self.read(|snapshot| snapshot.has_expired(now_millis())).await
    }

    /// How many charges there are, and the newest `limit`.
    pub(crate) async fn overview(&self, limit: usize) -> Result<Overview, Error> {
        self.read(move |snapshot| snapshot.overview(limit)).await
    }

    /// Says why the store cannot be used now, if so.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        if self.queue.is_closed() {
            return Err("nothing is written any more".to_owned());
        }
        self.read(|snapshot| snapshot.newest(None, 1)).await.map(drop).map_err(|error| error.to_string())
    }

    /// Looks at the last commit, off the async threads.
    async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Snapshot) -> Result<T, redb::Error> + Send + 'static) -> Result<T, Error> {
        let database = self.database.clone();
        let looked = tokio::task::spawn_blocking(move || look(&Snapshot::of(&*database)?)).await;
        looked.map_err(|_| Error::Fault)?.map_err(|error| Error::Read(Box::new(error)))
    }
}

#[cfg(test)]
mod tests;
