//! How many calls a server takes on at once, found by itself: as many as it answers in about the time that it needs when it is idle.
//!
//! Windows of calls are compared with what calls took over a long time (Netflix's gradient): when the latency of a window is well above it, calls wait for one
//! another, and fewer are taken on; otherwise a few more. When there is less room than calls, those that matter least are refused first.

use std::time::Duration;

/// What a call is worth when not all can be taken on. The lowest are refused first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Can be done later, or not at all: prefetching, statistics.
    Sheddable,
    /// Somebody looks around.
    Browse,
    /// Somebody fills a cart, or asks after an order.
    #[default]
    Shop,
    /// Money is about to move, or an order to be settled.
    Checkout,
}

impl Priority {
    /// All, the lowest first.
    pub const ALL: [Self; 4] = [Self::Sheddable, Self::Browse, Self::Shop, Self::Checkout];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::Browse => "browse",
            Self::Shop => "shop",
            Self::Checkout => "checkout",
        }
    }

    /// How much of the room such calls may fill.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::Sheddable => 0.5,
            Self::Browse => 0.75,
            Self::Shop => 0.9,
            Self::Checkout => 1.0,
        }
    }
}

/// How the limit is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limiting {
    /// Where it begins.
    pub initial: u32,
    /// It is never less ..
    pub least: u32,
    /// .. and never more.
    pub most: u32,
    /// A window may take so many times what calls usually take.
    pub tolerance: f64,
    /// How long a window is, at least ..
    pub window: Duration,
    /// .. and how many calls.
    pub calls: u32,
}

impl Default for Limiting {
    fn default() -> Self {
        Self { initial: 32, least: 4, most: 1000, tolerance: 1.5, window: Duration::from_millis(250), calls: 20 }
    }
}

/// How much one window changes the limit.
const SMOOTHING: f64 = 0.2;
/// Windows over which it is found what calls usually take.
const LONG: f64 = 100.0;
/// Where calls were given up for lack of time, the room was too large.
const BACKOFF: f64 = 0.9;

/// The limit of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    limit: f64,
    under_way: u32,
    /// What calls usually take, seconds.
    usual: Option<f64>,
    window: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    began: Duration,
    calls: u32,
    took: f64,
    /// Most calls under way at once.
    peak: u32,
    gave_up: bool,
}

impl Window {
    fn new(began: Duration, under_way: u32) -> Self {
        Self { began, calls: 0, took: 0.0, peak: under_way, gave_up: false }
    }
}

impl Limit {
    /// Nothing is under way.
    #[must_use]
    pub fn new(limiting: &Limiting, now: Duration) -> Self {
        Self { limit: f64::from(limiting.initial), under_way: 0, usual: None, window: Window::new(now, 0) }
    }

    /// Takes a call on, if there is room for its like. Whoever is taken on must tell of the [`end`](Self::end).
    pub fn begin(&mut self, priority: Priority) -> bool {
        let room = (self.limit * priority.share()).floor().max(1.0);
        if f64::from(self.under_way) >= room {
            return false;
        }
        self.under_way += 1;
        self.window.peak = self.window.peak.max(self.under_way);
        true
    }

    /// A call has ended after so long; nothing when that says nothing of the server, as when it was refused at once or its caller went away.
    pub fn end(&mut self, limiting: &Limiting, now: Duration, took: Option<Duration>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(took) = took {
            self.window.calls += 1;
            self.window.took += took.as_secs_f64();
            self.turn(limiting, now);
        }
    }

    /// A call was given up because its time was over.
    pub fn give_up(&mut self, limiting: &Limiting, now: Duration) {
        self.window.gave_up = true;
        self.end(limiting, now, None);
        self.turn(limiting, now);
    }

    /// Calls that may be under way at once.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// Calls that are.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    fn turn(&mut self, limiting: &Limiting, now: Duration) {
        if now.saturating_sub(self.window.began) < limiting.window || (self.window.calls < limiting.calls && !self.window.gave_up) {
            return;
        }
        let window = std::mem::replace(&mut self.window, Window::new(now, self.under_way));
        let (least, most) = (f64::from(limiting.least), f64::from(limiting.most.max(limiting.least)));
        if window.gave_up {
            self.limit = (self.limit * BACKOFF).clamp(least, most);
            return;
        }
        let short = (window.took / f64::from(window.calls.max(1))).max(1e-6);
        let usual = self.usual.get_or_insert(short);
        // What is slow is believed slowly, or an overload would become what is usual; what is quick soon.
        *usual += (short - *usual) / if short > *usual { LONG } else { 5.0 };
        // A server that is not busy says nothing of how much more it could do.
        if f64::from(window.peak) < self.limit / 2.0 {
            return;
        }
        let gradient = (limiting.tolerance * *usual / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + self.limit.sqrt();
        self.limit = (self.limit + (wanted - self.limit) * SMOOTHING).clamp(least, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// A server of so many workers that each need 10 ms, and so many callers who ask again at once. The limit after a while, and the latency then.
    fn settled(workers: u32, callers: u32) -> (f64, Duration) {
        let limiting = Limiting::default();
        let mut limit = Limit::new(&limiting, Duration::ZERO);
        let (mut now, mut took) = (Duration::ZERO, MS * 10);
        for _ in 0..20_000 {
            while limit.under_way() < callers && limit.begin(Priority::Checkout) {}
            let under_way = limit.under_way();
            took = MS * 10 * under_way.div_ceil(workers).max(1);
            now += MS * 10 / workers;
            limit.end(&limiting, now, Some(took));
        }
        (limit.limit(), took)
    }

    #[test]
    fn it_finds_about_what_the_server_can_do() {
        let (limit, took) = settled(16, 500);
        assert!((10.0..80.0).contains(&limit), "{limit}");
        assert!(took <= MS * 50, "{took:?}");
    }

    #[test]
    fn a_server_that_is_not_busy_keeps_its_room() {
        let (limit, _) = settled(64, 8);
        assert!((limit - 32.0).abs() < 1e-9, "{limit}");
    }

    #[test]
    fn the_lowest_are_refused_first() {
        let limiting = Limiting { initial: 20, ..Limiting::default() };
        let mut limit = Limit::new(&limiting, Duration::ZERO);
        let mut room = |priority: Priority| std::iter::repeat_with(|| limit.begin(priority)).take_while(|begun| *begun).count();
        assert_eq!(Priority::ALL.map(&mut room), [10, 5, 3, 2]);
    }

    #[test]
    fn where_calls_are_given_up_it_shrinks_at_once() {
        let limiting = Limiting::default();
        let mut limit = Limit::new(&limiting, Duration::ZERO);
        assert!(limit.begin(Priority::Browse));
        limit.give_up(&limiting, MS * 250);
        assert!(limit.limit() < 29.0);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_and_counts_right(steps in prop::collection::vec((0u8..3, 1u32..2000, 0usize..4), 1..500)) {
            let limiting = Limiting { calls: 2, ..Limiting::default() };
            let mut limit = Limit::new(&limiting, Duration::ZERO);
            let (mut now, mut begun) = (Duration::ZERO, 0u32);
            for (what, ms, priority) in steps {
                now += MS * (ms / 10);
                match what {
                    0 => begun += u32::from(limit.begin(Priority::ALL[priority])),
                    1 if begun > 0 => { limit.end(&limiting, now, Some(MS * ms)); begun -= 1; }
                    2 if begun > 0 => { limit.give_up(&limiting, now); begun -= 1; }
                    _ => {}
                }
                prop_assert_eq!(limit.under_way(), begun);
                prop_assert!((4.0..=1000.0).contains(&limit.limit()));
            }
        }
    }
}
