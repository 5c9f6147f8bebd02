//! Charges on disk: redb, one writer thread, many requests in one durable commit.
//!
//! ```text
//! write ──> queue ──> writer: one batch ── commit ──> answers
//! read  <── the last commit                     └───> effects
//! ```
//! An answer comes only after its commit. When a commit fails, its end is unknown until the file is opened again: nobody of that batch
//! gets an answer, and the writer ends, which ends the process.

mod changes;
mod record;
mod snapshot;
mod tables;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use redb::{Builder, Database, DatabaseError};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::{
    changes::Charged,
    record::{Effect, Record, Request, StepUp, Webhook, now_millis},
    snapshot::{Listing, Overview},
    writer::Writer,
};
use self::{
    changes::{Changes, Outcome},
    snapshot::Snapshot,
    writer::Job,
};
use crate::{
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
}

/// Opens the store in `data_dir`, or makes it. `Effects` begin with those that an earlier process left. Blocks on the disk.
pub(crate) fn open(data_dir: &Path, step_up_delay: Duration) -> Result<(Store, Writer, Effects), OpenError> {
    std::fs::create_dir_all(data_dir).map_err(|source| OpenError::Folder { folder: data_dir.to_owned(), source })?;
    let file = data_dir.join("charges.redb");
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(&file).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(file.clone()),
        error => OpenError::File { file: file.clone(), source: error.into() },
    })?;
    assemble(database, step_up_delay).map_err(|source| OpenError::File { file, source })
}

fn assemble(database: Database, step_up_delay: Duration) -> Result<(Store, Writer, Effects), redb::Error> {
    tables::make(&database)?;
    let (sender, effects) = mpsc::unbounded_channel();
    for effect in Snapshot::of(&database)?.effects()? {
        let _ = sender.send(effect);
    }
    let (queue, jobs) = mpsc::channel(QUEUE);
    let database = Arc::new(database);
    let writer = Writer::new(database.clone(), jobs, sender, step_up_delay);
    Ok((Store { database, queue }, writer, effects))
}

impl Store {
    /// Makes the charge that `request` asks for, or gives the one made for it before, as it stands now.
    pub(crate) async fn charge(&self, request: Request, traceparent: Option<String>) -> Result<Charged, Error> {
        self.write(move |changes| changes.charge(request, traceparent)).await
    }

    /// Does `command` to a charge, unless that was done before.
    pub(crate) async fn command(&self, id: String, command: Command) -> Result<Charge, Error> {
        self.write(move |changes| changes.command(&id, command)).await
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
