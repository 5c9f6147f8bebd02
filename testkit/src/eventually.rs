//! Waiting on a condition with a named deadline, instead of sleeping.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep};

/// Between two looks: a tenth of what was waited so far, so that a look that costs something does not slow down what it waits for.
fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(Duration::from_millis(25), Duration::from_secs(1))
}

/// Asks `probe` until it gives a value, and gives that.
///
/// ```
/// # tokio_test(async {
/// let mut looks = 0;
/// let seen = testkit::eventually("the third look", std::time::Duration::from_secs(1), async || {
///     looks += 1;
///     if looks < 3 { Err(format!("look {looks}")) } else { Ok(looks) }
/// });
/// assert_eq!(seen.await, 3);
/// # });
/// # fn tokio_test(test: impl Future) { tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test); }
/// ```
///
/// # Panics
/// After `within`, with `what` was awaited and what the last look said.
pub async fn eventually<T, E: Display>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    let deadline = begun + within;
    loop {
        let look = tokio::time::timeout_at(deadline, probe()).await;
        let last = match look {
            Ok(Ok(value)) => return value,
            Ok(Err(why)) => why.to_string(),
            Err(_) => "the look itself took too long".to_owned(),
        };
        let pause = pause(begun.elapsed());
        assert!(Instant::now() + pause < deadline, "not within {within:?}: {what}; at last: {last}");
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "not within 60ms: the moon is blue; at last: it is grey")]
    async fn the_deadline_has_a_name() {
        eventually("the moon is blue", Duration::from_millis(60), async || Err::<(), _>("it is grey")).await;
    }

    #[tokio::test]
    #[should_panic(expected = "took too long")]
    async fn a_look_that_hangs_ends_too() {
        eventually("an answer", Duration::from_millis(60), async || -> Result<(), String> { std::future::pending().await }).await;
    }
}
