//! The consumer of both sides: a reader of the topic, which notes when each event of a run came first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ::spine::{Delivery, Tail};
use anyhow::{Result, bail, ensure};
use tokio::task::JoinHandle;

use super::outbox::{KEYS, TOPIC, tag};
use crate::output::problem;

const LOOK: Duration = Duration::from_millis(10);

/// A running consumer. Ends when dropped.
pub(super) struct Consumer {
    sheet: Arc<Mutex<Sheet>>,
    task: JoinHandle<()>,
}

/// What came of one run.
struct Sheet {
    run: u32,
    seen: Vec<Option<Instant>>,
    missing: usize,
    /// The last number of each key.
    last: Vec<Option<usize>>,
    /// Events that came after a younger one of their key.
    disordered: usize,
}

impl Consumer {
    /// Reads what comes after these offsets; the events of this run count.
    pub(super) async fn open(bootstrap: &str, from: BTreeMap<i32, i64>, run: u32, events: u32) -> Result<Self> {
        let mut tail = Tail::open(bootstrap.to_owned(), TOPIC, from).await?;
        let sheet = Arc::new(Mutex::new(Sheet::new(run, events)));
        let notes = sheet.clone();
        let task = tokio::spawn(async move {
            loop {
                match tail.next().await {
                    Ok(Some(delivery)) => lock(&notes).note(&delivery, Instant::now()),
                    Ok(None) => {}
                    Err(error) => problem(format_args!("the consumer: {error}")),
                }
            }
        });
        Ok(Self { sheet, task })
    }

    /// From now on only the events of this run count: numbers from 0.
    pub(super) fn expect(&self, run: u32, events: u32) {
        *lock(&self.sheet) = Sheet::new(run, events);
    }

    /// When each came, by its number, once all have.
    pub(super) async fn all(&self, patience: Duration) -> Result<Vec<Instant>> {
        let end = Instant::now() + patience;
        loop {
            {
                let sheet = lock(&self.sheet);
                if sheet.missing == 0 {
                    ensure!(sheet.disordered == 0, "{} events came after a younger one of their key", sheet.disordered);
                    return Ok(sheet.seen.iter().copied().flatten().collect());
                }
                if Instant::now() > end {
                    bail!("{} of {} events have not come in {patience:.0?}", sheet.missing, sheet.seen.len());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sheet {
    fn new(run: u32, events: u32) -> Self {
        let count = events as usize;
        Self { run, seen: vec![None; count], missing: count, last: vec![None; KEYS as usize], disordered: 0 }
    }

    fn note(&mut self, delivery: &Delivery, now: Instant) {
        let Some((_, number)) = tag(&delivery.payload).filter(|(run, _)| *run == self.run) else { return };
        let number = number as usize;
        let Some(seen @ None) = self.seen.get_mut(number) else { return };
        *seen = Some(now);
        self.missing -= 1;
        let last = &mut self.last[number % KEYS as usize];
        if last.replace(number).is_some_and(|last| last > number) {
            self.disordered += 1;
        }
    }
}

fn lock(sheet: &Mutex<Sheet>) -> MutexGuard<'_, Sheet> {
    sheet.lock().unwrap_or_else(PoisonError::into_inner)
}
