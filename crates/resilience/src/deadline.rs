//! The time that a call may still take, shrinking hop by hop, and how gRPC writes it (`grpc-timeout`).

use std::time::Duration;

/// When a call's answer is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    /// The deadline of a call that may take `left` from `now` on.
    #[must_use]
    pub fn after(now: Duration, left: Duration) -> Self {
        Self(now.saturating_add(left))
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn left(self, now: Duration) -> Duration {
        self.0.saturating_sub(now)
    }

    /// The sooner of both.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        self.min(other)
    }

    /// What the next hop may take: less than what is left here by `margin`, in which its answer comes back and is passed on. Nothing when no more than
    /// the margin is left.
    #[must_use]
    pub fn for_next_hop(self, now: Duration, margin: Duration) -> Option<Duration> {
        self.left(now).checked_sub(margin).filter(|left| !left.is_zero())
    }
}

/// Whether a call with so much time left is worth beginning, when half of those like it take `usual` or longer.
#[must_use]
pub fn is_worth_it(left: Duration, usual: Option<Duration>) -> bool {
    !left.is_zero() && usual.is_none_or(|usual| left >= usual)
}

/// Not a `grpc-timeout`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout is 1 to 8 digits and one of H, M, S, m, u, n")]
pub struct InvalidTimeout;

/// Digits of a `grpc-timeout`.
const DIGITS: usize = 8;
/// The largest count that has so many.
const MOST: u128 = 99_999_999;

/// Reads a `grpc-timeout`, as in the gRPC protocol over HTTP/2.
///
/// # Errors
/// When it is none.
pub fn parse_timeout(text: &str) -> Result<Duration, InvalidTimeout> {
    let unit = text.chars().next_back().ok_or(InvalidTimeout)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTimeout);
    }
    let count: u64 = digits.parse().map_err(|_| InvalidTimeout)?;
    Ok(match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return Err(InvalidTimeout),
    })
}

/// Writes a `grpc-timeout`: never more than `timeout`, and as exact as eight digits are.
#[must_use]
pub fn format_timeout(timeout: Duration) -> String {
    let nanos = timeout.as_nanos();
    let units = [(1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S'), (60_000_000_000, 'M')];
    let fitting = units.into_iter().map(|(size, unit)| (nanos / size, unit)).find(|(count, _)| *count <= MOST);
    let (count, unit) = fitting.unwrap_or_else(|| ((nanos / 3_600_000_000_000).min(MOST), 'H'));
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_timeout_is_refused() {
        for text in ["", "S", "1", "-1S", "1.5S", "123456789m", "1 S", "1s", "1µ", "٣S", "99999999999999999999n"] {
            assert_eq!(parse_timeout(text), Err(InvalidTimeout), "{text:?}");
        }
        assert_eq!(parse_timeout("99999999H"), Ok(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(format_timeout(Duration::MAX), "99999999H");
        assert_eq!(format_timeout(Duration::from_millis(250)), "250000u");
    }

    #[test]
    fn a_call_that_cannot_be_answered_in_time_is_not_worth_it() {
        let second = Duration::from_secs(1);
        assert!(is_worth_it(second, None) && is_worth_it(second, Some(second)));
        assert!(!is_worth_it(second, Some(second * 2)) && !is_worth_it(Duration::ZERO, None));
    }

    proptest! {
        #[test]
        fn a_timeout_survives_the_wire_and_never_grows(nanos in 0u64..u64::MAX) {
            let timeout = Duration::from_nanos(nanos);
            let read = parse_timeout(&format_timeout(timeout)).unwrap();
            prop_assert!(read <= timeout);
            // Eight digits: at most one unit is lost, which is a ten-millionth and a bit, or a unit that is sixty times as large.
            prop_assert!(timeout - read <= timeout / 100_000 || timeout < Duration::from_nanos(100_000_000));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,12}") {
            let _ = parse_timeout(&text);
        }

        #[test]
        fn each_hop_has_strictly_less(left in 0u64..10_000, margin in 1u64..100, hops in 1usize..20, took in 0u64..50) {
            let ms = Duration::from_millis;
            let mut now = ms(5);
            let mut deadline = Deadline::after(now, ms(left));
            for _ in 0..hops {
                let before = deadline.left(now);
                now += ms(took);
                let Some(next) = deadline.for_next_hop(now, ms(margin)) else {
                    prop_assert!(deadline.left(now) <= ms(margin));
                    break;
                };
                prop_assert!(next < before && !next.is_zero());
                deadline = Deadline::after(now, next);
            }
        }
    }
}
