//! How many sagas are begun and not at rest. More at once would only slow one another down: they wait here, and in the database, and not in
//! Temporal, where all would be begun and none ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ids::OrderId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// Twice what keeps two cores and the database's disk busy.
const AT_ONCE: usize = 16;
/// A saga that is not heard of for so long runs elsewhere, or rests. A short time would begin ever more of them where the machine is slow.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(20);
/// How often those are looked for while others wait.
const LOOK: Duration = Duration::from_millis(250);

/// The sagas under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    room: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<OrderId, (Instant, OwnedSemaphorePermit)>>>,
}

impl Default for Flow {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), under_way: Arc::default() }
    }
}

impl Flow {
    /// Waits until there is room for one more.
    pub(super) async fn enter(&self, id: OrderId) {
        loop {
            if let Ok(permit) = timeout(LOOK, self.room.clone().acquire_owned()).await {
                let entry = (Instant::now(), permit.expect("nobody closes it"));
                self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
                return;
            }
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (since, _)| since.elapsed() < FORGOTTEN_AFTER);
        }
    }

    /// It has ended, or rests: it waits for the shopper's bank, or for something that is away.
    pub(super) fn leave(&self, id: OrderId) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id() -> OrderId {
        OrderId::from_uuid(Uuid::now_v7())
    }

    #[tokio::test]
    async fn one_more_enters_when_one_has_left() {
        let (flow, first) = (Flow::default(), id());
        flow.enter(first).await;
        for _ in 1..AT_ONCE {
            flow.enter(id()).await;
        }
        let begun = Instant::now();
        flow.leave(first);
        flow.enter(id()).await;
        assert!(begun.elapsed() < LOOK, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_not_heard_of_make_room() {
        let flow = Flow::default();
        for _ in 0..AT_ONCE {
            flow.enter(id()).await;
        }
        let begun = Instant::now();
        flow.enter(id()).await;
        assert!((FORGOTTEN_AFTER - LOOK..FORGOTTEN_AFTER + 4 * LOOK).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
