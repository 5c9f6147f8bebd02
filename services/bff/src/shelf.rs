//! Items as they were a moment ago. Many look at the same ones at once, and one question answers all of them. What is ordered is priced afresh.

use std::{collections::HashMap, time::Duration};

use moka::future::Cache;

use crate::view::Item;

/// For so long an item is shown as it was: less than an order takes, so whoever has ordered sees what is left.
const FRESH: Duration = Duration::from_millis(100);
const MOST: u64 = 10_000;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(Cache<String, Item>);

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(FRESH).build())
    }

    /// One item. Of those who ask at once, one fetches it.
    ///
    /// # Errors
    /// Those of `fetch`, which are not kept.
    pub(crate) async fn item<E: Clone + Send + Sync + 'static>(
        &self,
        sku: &str,
        fetch: impl Future<Output = Result<Item, E>>,
    ) -> Result<Item, E> {
        self.0.try_get_with_by_ref(sku, fetch).await.map_err(|error| E::clone(&error))
    }

    /// Those of the items that there are; `fetch` gets those that are not at hand.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn items<E>(
        &self,
        skus: impl Iterator<Item = String>,
        fetch: impl AsyncFnOnce(Vec<String>) -> Result<Vec<Item>, E>,
    ) -> Result<HashMap<String, Item>, E> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for sku in skus {
            match self.0.get(&sku).await {
                Some(item) => drop(found.insert(sku, item)),
                None => missing.push(sku),
            }
        }
        if !missing.is_empty() {
            for item in fetch(missing).await? {
                self.0.insert(item.sku.clone(), item.clone()).await;
                found.insert(item.sku.clone(), item);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn item(sku: &str, in_stock: i64) -> Item {
        let text = String::new;
        let price = crate::view::Money { amount_minor: 100, currency: "EUR".to_owned() };
        Item { sku: sku.to_owned(), title: text(), description: text(), category: text(), price, in_stock, image: text() }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_are_one_question() {
        let (shelf, asked) = (Shelf::new(), AtomicU32::new(0));
        let ask = || {
            shelf.item("a", async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, String>(item("a", 7))
            })
        };
        let answers = futures::future::join_all((0..50).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|item| item.in_stock == 7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_old_is_asked_for_again_and_errors_are_not_kept() {
        let shelf = Shelf::new();
        assert_eq!(shelf.item("a", async { Err("away") }).await, Err("away"));
        assert_eq!(shelf.item("a", async { Ok::<_, ()>(item("a", 1)) }).await.unwrap().in_stock, 1);
        tokio::time::sleep(FRESH).await;
        assert_eq!(shelf.item("a", async { Ok::<_, ()>(item("a", 2)) }).await.unwrap().in_stock, 2);
    }

    #[tokio::test]
    async fn only_what_is_not_at_hand_is_fetched() {
        let shelf = Shelf::new();
        shelf.item("a", async { Ok::<_, ()>(item("a", 1)) }).await.unwrap();
        let fetch = async |missing: Vec<String>| {
            assert_eq!(missing, ["b", "gone"]);
            Ok::<_, ()>(vec![item("b", 2)])
        };
        let found = shelf.items(["a", "b", "gone"].map(str::to_owned).into_iter(), fetch).await.unwrap();
        assert_eq!((found.len(), found["a"].in_stock, found["b"].in_stock), (2, 1, 2));
        assert!(shelf.items(["b".to_owned()].into_iter(), async |_| Err("not asked")).await.is_ok());
    }
}
