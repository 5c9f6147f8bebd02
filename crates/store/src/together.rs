//! Requests that come at the same time share one transaction.
//!
//! ```text
//! request ──> waiting ──┐
//! request ──> waiting ──┼── whoever gets a turn takes all that wait ──> one transaction ──> each its own answer
//! request ──> waiting ──┘
//! ```
//! Nobody waits for company: a request that comes alone is a batch of one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Waiting<A, R> {
    /// What is asked.
    pub asked: A,
    answer: oneshot::Sender<R>,
}

impl<A, R> Waiting<A, R> {
    /// Answers it. Nobody may listen any more.
    pub fn answer(self, answer: R) {
        let _ = self.answer.send(answer);
    }

    /// Ends when nobody listens any more.
    pub async fn given_up(&mut self) {
        self.answer.closed().await;
    }
}

/// A batch, and the turn that it has: dropping the turn lets the next batch begin.
#[derive(Debug)]
pub struct Batch<A, R> {
    /// All that waited, and still do.
    pub waiting: Vec<Waiting<A, R>>,
    /// Held while others must not begin.
    pub turn: OwnedSemaphorePermit,
}

/// Those that wait. Cheap to clone.
#[derive(Debug)]
pub struct Together<A, R> {
    waiting: Arc<Mutex<Vec<Waiting<A, R>>>>,
    turns: Arc<Semaphore>,
    most: usize,
}

impl<A, R> Clone for Together<A, R> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone(), turns: self.turns.clone(), most: self.most }
    }
}

impl<A: Send + 'static, R: Send + 'static> Together<A, R> {
    /// So many batches at once, of at most so many requests each.
    #[must_use]
    pub fn new(turns: usize, most: usize) -> Self {
        Self { waiting: Arc::default(), turns: Arc::new(Semaphore::new(turns)), most }
    }

    /// Asks, alone or with others: `work` is what does a batch. `None` when the batch panicked, so that nobody knows what became of it.
    pub async fn ask<W, F>(&self, asked: A, work: W) -> Option<R>
    where
        W: FnOnce(Batch<A, R>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { asked, answer });
        tokio::select! {
            biased;
            answer = &mut answered => return answer.ok(),
            turn = self.turns.clone().acquire_owned() => {
                let batch = Batch { waiting: self.take(), turn: turn.expect("nobody closes it") };
                // On its own: a caller that goes away must not take the others' answers along.
                drop(tokio::spawn(work(batch)));
            }
        }
        answered.await.ok()
    }

    fn take(&self) -> Vec<Waiting<A, R>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(self.most);
        waiting.drain(..count).filter(|one| !one.answer.is_closed()).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn those_that_come_together_share_a_batch_and_each_gets_its_own_answer() {
        let together: Together<u32, (u32, usize)> = Together::new(1, 8);
        let work = |batch: Batch<u32, (u32, usize)>| async move {
            let size = batch.waiting.len();
            tokio::task::yield_now().await;
            batch.waiting.into_iter().for_each(|one| {
                let asked = one.asked;
                one.answer((asked, size));
            });
        };
        let answers = join_all((0..20).map(|number| together.ask(number, work))).await;
        for (number, answer) in (0..).zip(answers) {
            let (asked, size) = answer.unwrap();
            assert_eq!(asked, number);
            assert!((1..=8).contains(&size));
        }
    }

    #[tokio::test]
    async fn a_batch_that_panics_leaves_no_answer_and_frees_its_turn() {
        let together: Together<u32, u32> = Together::new(1, 8);
        let broken = |batch: Batch<u32, u32>| async move { assert!(batch.waiting.is_empty(), "broken on purpose") };
        assert_eq!(together.ask(1, broken).await, None);
        let sound = |batch: Batch<u32, u32>| async move { batch.waiting.into_iter().for_each(|one| one.answer(7)) };
        assert_eq!(together.ask(2, sound).await, Some(7));
    }
}
