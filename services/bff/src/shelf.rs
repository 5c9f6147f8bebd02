//! Items as they were a moment ago. What is ordered is priced afresh.
//!
//! ```text
//! a look ── all at hand and fresh? ──> shown
//!              │ no: one after the other
//!              v
//!           one question: what is looked at now, and whatever was looked at lately and is ageing ──> all is fresh
//! ```
//! So a shop in which many look around asks some ten questions a second for what many look at, and a short one for what nobody has looked at
//! lately.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rpc::{Context, Failure};
use tokio::time::Instant;

use crate::view::Item;

/// For so long an item is shown as it was: less than an order takes, so whoever has ordered sees what is left.
const FRESH: Duration = Duration::from_millis(100);
/// What was looked at within this time is fetched along ..
const WARM: Duration = Duration::from_secs(1);
/// .. if it is as old as this.
const AGEING: Duration = Duration::from_millis(50);
/// Items in one question, as the inventory service allows.
const TOGETHER: usize = 200;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    places: Mutex<HashMap<String, Place>>,
    /// Whoever asks holds it; the last failure, with the moment of the question.
    failed: tokio::sync::Mutex<Option<(Instant, Failure)>>,
}

/// What is known of one item.
#[derive(Debug)]
struct Place {
    /// None: there is no such item.
    item: Option<Item>,
    asked: Instant,
    looked_at: Instant,
}

impl Shelf {
    /// One item, if there is one.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn item<Items: Future<Output = Result<Vec<Item>, Failure>>>(
        &self,
        sku: &str,
        fetch: impl Fn(Vec<String>) -> Items,
    ) -> Result<Option<Item>, Failure> {
        Ok(self.items(vec![sku.to_owned()], fetch).await?.remove(sku))
    }

    /// Those of the items that there are. `fetch` gets what is not at hand; of those who ask at once, one does, and all get its answer.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn items<Items: Future<Output = Result<Vec<Item>, Failure>>>(
        &self,
        skus: Vec<String>,
        fetch: impl Fn(Vec<String>) -> Items,
    ) -> Result<HashMap<String, Item>, Failure> {
        let came = Instant::now();
        if let Some(found) = self.at_hand(&skus, came) {
            return Ok(found);
        }
        let mut failed = self.0.failed.lock().await;
        if let Some((asked, failure)) = &*failed
            && *asked >= came
        {
            return Err(failure.clone());
        }
        if let Some(found) = self.at_hand(&skus, came) {
            return Ok(found);
        }
        let asked = Instant::now();
        for batch in batches(skus.clone(), self.warm(asked)) {
            // All who wait get the answer, so it is not this one's deadline that counts.
            match Context::default().scope(fetch(batch.clone())).await {
                Ok(items) => self.put(batch, items, asked),
                Err(failure) => {
                    *failed = Some((asked, failure.clone()));
                    return Err(failure);
                }
            }
        }
        Ok(self.at_hand(&skus, asked).unwrap_or_default())
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items, if all of them are known as they were shortly before `now`.
    fn at_hand(&self, skus: &[String], now: Instant) -> Option<HashMap<String, Item>> {
        let (mut places, mut found, mut is_all) = (self.places(), HashMap::new(), true);
        for sku in skus {
            let place = places.get_mut(sku);
            is_all &= place.as_ref().is_some_and(|place| now.saturating_duration_since(place.asked) < FRESH);
            if let Some(place) = place {
                place.looked_at = place.looked_at.max(now);
                found.extend(place.item.clone().map(|item| (sku.clone(), item)));
            }
        }
        is_all.then_some(found)
    }

    /// What was looked at lately and soon is too old; what was not looked at is forgotten.
    fn warm(&self, now: Instant) -> Vec<String> {
        let mut places = self.places();
        places.retain(|_, place| now.saturating_duration_since(place.looked_at) < WARM);
        let is_ageing = |place: &Place| now.saturating_duration_since(place.asked) >= AGEING;
        places.iter().filter(|(_, place)| is_ageing(place)).map(|(sku, _)| sku.clone()).collect()
    }

    /// Keeps the answer to a question for `skus`.
    fn put(&self, skus: Vec<String>, items: Vec<Item>, asked: Instant) {
        let mut items: HashMap<String, Item> = items.into_iter().map(|item| (item.sku.clone(), item)).collect();
        let mut places = self.places();
        for sku in skus {
            let item = items.remove(&sku);
            let place = places.entry(sku).or_insert_with(|| Place { item: None, asked, looked_at: asked });
            (place.item, place.asked) = (item, asked);
        }
    }
}

/// All that is wanted in as few questions as can be, and of what is warm as much as fits into these.
fn batches(mut wanted: Vec<String>, warm: Vec<String>) -> Vec<Vec<String>> {
    wanted.sort_unstable();
    wanted.dedup();
    let room = wanted.len().next_multiple_of(TOGETHER) - wanted.len();
    let others: Vec<_> = warm.into_iter().filter(|sku| wanted.binary_search(sku).is_err()).take(room).collect();
    wanted.extend(others);
    wanted.chunks(TOGETHER).map(<[String]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::future::join_all;
    use rpc::Kind;
    use tokio::time::{advance, sleep};

    use super::*;

    fn item(sku: &str, in_stock: i64) -> Item {
        let text = String::new;
        let price = crate::view::Money { amount_minor: 100, currency: "EUR".to_owned() };
        Item { sku: sku.to_owned(), title: text(), description: text(), category: text(), price, in_stock, image: text() }
    }

    fn failure() -> Failure {
        Failure::new(Kind::Unavailable, "AWAY", "away")
    }

    /// Notes what it is asked; there is all but `gone`, and as much of it as questions were asked.
    #[derive(Default)]
    struct Inventory {
        asked: RefCell<Vec<Vec<String>>>,
        is_away: bool,
    }

    impl Inventory {
        async fn fetch(&self, mut skus: Vec<String>) -> Result<Vec<Item>, Failure> {
            skus.sort_unstable();
            self.asked.borrow_mut().push(skus.clone());
            let count = i64::try_from(self.asked.borrow().len()).unwrap();
            sleep(Duration::from_millis(5)).await;
            let there = skus.iter().filter(|sku| *sku != "gone").map(|sku| item(sku, count)).collect();
            if self.is_away { Err(failure()) } else { Ok(there) }
        }

        async fn look(&self, shelf: &Shelf, sku: &str) -> Result<Option<i64>, Failure> {
            Ok(shelf.item(sku, |skus| self.fetch(skus)).await?.map(|item| item.in_stock))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_are_one_question() {
        let (shelf, inventory) = (Shelf::default(), Inventory::default());
        let answers = join_all((0..50).map(|_| inventory.look(&shelf, "a"))).await;
        assert!(answers.iter().all(|answer| *answer == Ok(Some(1))));
        assert_eq!(*inventory.asked.borrow(), [["a"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_looked_at_lately_is_asked_for_along_and_then_forgotten() {
        let (shelf, inventory) = (Shelf::default(), Inventory::default());
        assert_eq!(inventory.look(&shelf, "a").await, Ok(Some(1)));
        assert_eq!(inventory.look(&shelf, "b").await, Ok(Some(2)));
        assert_eq!(inventory.look(&shelf, "a").await, Ok(Some(1)), "fresh enough not to be asked for along with b");
        advance(FRESH).await;
        assert_eq!(inventory.look(&shelf, "b").await, Ok(Some(3)));
        advance(WARM).await;
        assert_eq!(inventory.look(&shelf, "gone").await, Ok(None));
        assert_eq!(inventory.look(&shelf, "gone").await, Ok(None));
        let asked = inventory.asked.borrow();
        assert_eq!(*asked, [vec!["a"], vec!["b"], vec!["a", "b"], vec!["gone"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_for_those_who_wait_and_is_not_kept() {
        let (shelf, mut inventory) = (Shelf::default(), Inventory { is_away: true, ..Inventory::default() });
        let answers = join_all(["a", "b", "c"].map(|sku| inventory.look(&shelf, sku))).await;
        assert!(answers.iter().all(|answer| *answer == Err(failure())));
        assert_eq!(*inventory.asked.borrow(), [["a"]]);
        inventory.is_away = false;
        assert_eq!(inventory.look(&shelf, "a").await, Ok(Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_keeps_nobody_waiting() {
        let (shelf, inventory) = (Shelf::default(), Inventory::default());
        let impatient = tokio::time::timeout(Duration::from_millis(1), inventory.look(&shelf, "a"));
        let (gone, answer) = tokio::join!(impatient, inventory.look(&shelf, "a"));
        assert!(gone.is_err());
        assert_eq!(answer, Ok(Some(2)));
    }

    #[test]
    fn a_question_has_as_many_items_as_it_may() {
        let names = |range: std::ops::Range<usize>| range.map(|number| format!("{number:04}")).collect::<Vec<_>>();
        let counts = |batches: Vec<Vec<String>>| batches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts(batches(names(0..1), names(0..900))), [200]);
        assert_eq!(counts(batches(names(0..250), names(200..260))), [200, 60]);
        assert_eq!(counts(batches(names(0..400), names(400..900))), [200, 200]);
        assert_eq!(batches(vec!["b".to_owned(), "a".to_owned(), "b".to_owned()], Vec::new()), [["a", "b"]]);
        assert!(batches(Vec::new(), Vec::new()).is_empty());
    }
}
