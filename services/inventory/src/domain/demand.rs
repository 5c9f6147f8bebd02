//! How fast each SKU is asked for: an exponentially weighted moving average. Time is an input.

use std::{collections::HashMap, time::Duration};

use ids::Sku;

/// Seconds after which what was asked for counts a third.
const WINDOW: f64 = 5.0;
/// Most SKUs that are followed; when there are more, those that nobody asks for are dropped.
const MOST: usize = 10_000;
/// Units per second below which nobody asks for a SKU.
const IDLE: f64 = 0.02;

#[derive(Debug, Clone, Copy)]
struct Rate {
    units_per_second: f64,
    at: Duration,
}

impl Rate {
    fn at(self, now: Duration) -> f64 {
        self.units_per_second * (-now.saturating_sub(self.at).as_secs_f64() / WINDOW).exp()
    }
}

/// The rates. Moments are told as the time since some common start.
#[derive(Debug, Default)]
pub struct Demand(HashMap<Sku, Rate>);

impl Demand {
    /// Notes that so many units were asked for.
    pub fn note(&mut self, sku: &Sku, units: u32, now: Duration) {
        if self.0.len() >= MOST && !self.0.contains_key(sku) {
            self.0.retain(|_, rate| rate.at(now) >= IDLE);
            if self.0.len() >= MOST {
                return;
            }
        }
        let rate = self.0.entry(sku.clone()).or_insert(Rate { units_per_second: 0.0, at: now });
        *rate = Rate { units_per_second: rate.at(now) + f64::from(units) / WINDOW, at: now };
    }

    /// Units per second.
    #[must_use]
    pub fn rate(&self, sku: &Sku, now: Duration) -> f64 {
        self.0.get(sku).map_or(0.0, |rate| rate.at(now))
    }

    /// What is asked for now, each with its rate.
    pub fn active(&self, now: Duration) -> impl Iterator<Item = (&Sku, f64)> {
        self.0.iter().map(move |(sku, rate)| (sku, rate.at(now))).filter(|(_, rate)| *rate >= IDLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let (mut demand, mug) = (Demand::default(), "MUG".parse().unwrap());
        for second in 0..60 {
            demand.note(&mug, 10, seconds(second));
        }
        let rate = demand.rate(&mug, seconds(59));
        assert!((9.0..=12.0).contains(&rate), "{rate}");
        assert_eq!(demand.active(seconds(60)).count(), 1);
        assert_eq!(demand.active(seconds(120)).count(), 0);
        assert!(demand.rate(&"OTHER".parse().unwrap(), seconds(59)).abs() < f64::EPSILON);
    }

    #[test]
    fn the_number_of_skus_is_bounded() {
        let mut demand = Demand::default();
        for number in 0..2 * MOST {
            demand.note(&format!("S-{number}").parse().unwrap(), 1, seconds(0));
        }
        assert_eq!(demand.0.len(), MOST);
        demand.note(&"LATE".parse().unwrap(), 1, seconds(3600));
        assert_eq!(demand.0.len(), 1);
    }
}
