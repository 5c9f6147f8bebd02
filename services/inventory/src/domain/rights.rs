//! The right to sell as a bounded counter over both homes (STOCK-1): each sells only what it has the right to, and rights move to where
//! orders come.
//!
//! ```text
//!   short of a SKU ── ask ──> rights_wanted ──> the other region spares what it can ──> rights_moved ──> taken in, and the order goes on
//! ```
//! Source: Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants" (2015).

use std::time::Duration;

/// How long an order waits for the other region's answer, and how long an ask may be open before that region is taken to be away.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long "none to spare" holds. What is given back meanwhile is asked for after it.
const DRY_FOR: Duration = Duration::from_millis(500);
/// How long an answer to an ask that was not urgent holds.
const SETTLED_FOR: Duration = Duration::from_secs(5);
/// For how long a region wants to have enough on hand.
const HORIZON: f64 = 5.0;

/// What was last asked of the other region for a SKU. Times are how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Since it was asked.
    pub age: Duration,
    /// An order waits for it.
    pub is_urgent: bool,
    /// Units that came, and since when they are here.
    pub answer: Option<(i64, Duration)>,
}

/// What an order that is short of a SKU can hope for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hope {
    /// The other region has not been asked, or may have some by now.
    Ask,
    /// It has been asked a moment ago.
    Wait,
    /// It has none, or is away.
    None,
}

/// What an order can hope for after what was last asked.
#[must_use]
pub fn hope(asked: Option<Asked>) -> Hope {
    match asked {
        Some(Asked { age, answer: None, .. }) => {
            if age < PATIENCE {
                Hope::Wait
            } else {
                Hope::None
            }
        }
        Some(Asked { is_urgent: true, answer: Some((0, since)), .. }) if since < DRY_FOR => Hope::None,
        _ => Hope::Ask,
    }
}

/// Whether to ask for units that no order waits for yet.
#[must_use]
pub fn is_time_to_restock(asked: Option<Asked>) -> bool {
    match asked {
        None => true,
        Some(Asked { answer, .. }) => answer.is_some_and(|(_, since)| since >= SETTLED_FOR),
    }
}

/// Units wanted on hand at this rate of sale, in units per second.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the largest integer")]
pub fn need(rate: f64) -> i64 {
    (rate * HORIZON).ceil() as i64
}

/// Units to give of `on_hand`, when the own orders need so many. An order that waits gets at least half, so that only who has none gives none:
/// nobody is refused while the other region keeps units for orders that may never come.
#[must_use]
pub fn spare(on_hand: i64, need: i64, wanted: i64, is_urgent: bool) -> i64 {
    let half = if is_urgent { on_hand - on_hand / 2 } else { 0 };
    (on_hand - need).max(half).min(wanted).max(0)
}

/// Units to take of the other home's `on_hand` by a region that holds both, for an order that is `short` of no more than that: half of them, as many as
/// are wanted, and all that the order needs.
#[must_use]
pub fn share(on_hand: i64, short: i64, wanted: i64) -> i64 {
    (on_hand - on_hand / 2).min(wanted).max(short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOON: Duration = Duration::from_millis(10);
    const LATER: Duration = Duration::from_secs(60);

    fn asked(age: Duration, is_urgent: bool, answer: Option<(i64, Duration)>) -> Option<Asked> {
        Some(Asked { age, is_urgent, answer })
    }

    #[test]
    fn who_was_never_asked_is_asked() {
        assert_eq!(hope(None), Hope::Ask);
        assert!(is_time_to_restock(None));
    }

    #[test]
    fn an_answer_is_awaited_for_a_while() {
        assert_eq!(hope(asked(SOON, true, None)), Hope::Wait);
        assert_eq!(hope(asked(LATER, true, None)), Hope::None);
        assert!(!is_time_to_restock(asked(LATER, false, None)));
    }

    #[test]
    fn only_an_urgent_ask_tells_that_there_is_nothing() {
        assert_eq!(hope(asked(SOON, true, Some((0, SOON)))), Hope::None);
        assert_eq!(hope(asked(SOON, false, Some((0, SOON)))), Hope::Ask);
        assert_eq!(hope(asked(LATER, true, Some((0, LATER)))), Hope::Ask);
        assert_eq!(hope(asked(SOON, true, Some((1, SOON)))), Hope::Ask);
    }

    proptest! {
        #[test]
        fn what_is_given_is_on_hand_and_wanted(on_hand in 0..1000_i64, need in 0..2000_i64, wanted in 1..2000_i64, is_urgent: bool) {
            let given = spare(on_hand, need, wanted, is_urgent);
            prop_assert!((0..=on_hand.min(wanted)).contains(&given));
            prop_assert!(is_urgent || given == 0 || on_hand - given >= need);
            prop_assert!(!is_urgent || given > 0 || on_hand == 0);
        }

        #[test]
        fn what_is_shared_is_on_hand_and_enough(on_hand in 1..1000_i64, part in 0.0..1.0_f64, wanted in 1..2000_i64) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a part of a small number")]
            let short = ((on_hand as f64 * part) as i64).max(1);
            prop_assert!((short..=on_hand).contains(&share(on_hand, short, wanted)));
        }
    }
}
