//! Which endpoint gets the next call: of two that are drawn, the one where it would cost less.
//!
//! Endpoints of the own zone come first, and the others get what the own zone has no healthy endpoints for. Each is judged by its latency and what is
//! under way there ([`PeakEwma`]), and left out while it is an outlier ([`Outliers`]).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use crate::{
    ewma::PeakEwma,
    outliers::{Ejecting, Outliers, Verdict},
};

/// Where an endpoint is: endpoints of one zone are near one another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(pub String);

/// An endpoint as the registry tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where it is reached; its name here.
    pub address: String,
    /// Where it is.
    pub zone: Zone,
    /// Its share, compared with the others'; positive.
    pub weight: f64,
}

#[derive(Debug, Clone)]
struct Known {
    endpoint: Endpoint,
    ewma: PeakEwma,
    outliers: Outliers,
}

/// What a call to an endpoint that nothing is known of is thought to take.
const EXPECTED: Duration = Duration::from_millis(5);
/// The own zone gets everything while at least five of seven of its endpoints are healthy.
const OVERPROVISION: f64 = 1.4;
/// Between two looks for slow ones.
const LOOK: Duration = Duration::from_millis(100);

/// The endpoints of one service.
#[derive(Debug, Clone)]
pub struct Balancer {
    zone: Zone,
    known: BTreeMap<String, Known>,
    looked_at: Duration,
}

impl Balancer {
    /// None yet, for callers in `zone`.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self { zone, known: BTreeMap::new(), looked_at: Duration::ZERO }
    }

    /// Takes over what the registry tells. What is known of endpoints that stay is kept. The first set is not warmed up.
    pub fn update(&mut self, now: Duration, endpoints: impl IntoIterator<Item = Endpoint>) {
        let is_first = self.known.is_empty();
        let mut before = std::mem::take(&mut self.known);
        for endpoint in endpoints {
            let known = match before.remove(&endpoint.address) {
                Some(known) => Known { endpoint, ..known },
                None => {
                    let (ewma, outliers) = (PeakEwma::new(now, EXPECTED), Outliers::new(now, !is_first));
                    Known { endpoint, ewma, outliers }
                }
            };
            self.known.insert(known.endpoint.address.clone(), known);
        }
    }

    /// The endpoint for the next call, which has begun there with this; nothing when there is none. `dice` are three numbers in `[0, 1)`.
    pub fn pick(&mut self, now: Duration, ejecting: &Ejecting, dice: [f64; 3]) -> Option<String> {
        self.pick_other_than(now, ejecting, dice, None)
    }

    /// The same, and not `except` unless there is no other: a retry or a hedge goes elsewhere.
    pub fn pick_other_than(&mut self, now: Duration, ejecting: &Ejecting, dice: [f64; 3], except: Option<&str>) -> Option<String> {
        let usable = self.usable(now, ejecting);
        let others: Vec<_> = usable.iter().filter(|usable| Some(usable.address.as_str()) != except).cloned().collect();
        let usable = if others.is_empty() { usable } else { others };
        let (near, far): (Vec<_>, Vec<_>) = usable.into_iter().partition(|usable| usable.is_near);
        let from = if far.is_empty() || (!near.is_empty() && dice[0] < self.near_share(&near)) { &near } else { &far };
        let (one, two) = (draw(from, dice[1])?, draw(from, dice[2])?);
        let chosen = if one.load <= two.load { one } else { two }.address.clone();
        self.known.get_mut(&chosen)?.ewma.begin();
        Some(chosen)
    }

    /// A call there has ended.
    pub fn end(&mut self, now: Duration, ejecting: &Ejecting, address: &str, is_success: bool, took: Duration) {
        let Some(known) = self.known.get_mut(address) else { return };
        known.ewma.end(now, took);
        if known.outliers.end(ejecting, now, is_success, took) {
            self.eject(now, ejecting, address);
        }
        self.look(now, ejecting);
    }

    /// A call there was cancelled.
    pub fn abandon(&mut self, address: &str) {
        if let Some(known) = self.known.get_mut(address) {
            known.ewma.abandon();
        }
    }

    /// Each endpoint and what it gets.
    pub fn verdicts(&mut self, now: Duration) -> Vec<(Endpoint, Verdict)> {
        self.known.values_mut().map(|known| (known.endpoint.clone(), known.outliers.verdict(now))).collect()
    }

    fn usable(&mut self, now: Duration, ejecting: &Ejecting) -> Vec<Usable> {
        let zone = self.zone.clone();
        let usable = self.known.values_mut().filter_map(|known| {
            let verdict = known.outliers.verdict(now);
            if verdict == Verdict::Out || (verdict == Verdict::Probing && known.ewma.pending() > 0) {
                return None;
            }
            let weight = known.endpoint.weight * known.outliers.warmth(ejecting, now);
            // Before the probes are over its old latency says nothing.
            let load = known.ewma.load(now) / known.endpoint.weight;
            let (address, is_near) = (known.endpoint.address.clone(), known.endpoint.zone == zone);
            Some(Usable { address, weight, load, is_near, is_healthy: verdict == Verdict::In })
        });
        let usable: Vec<_> = usable.collect();
        if !usable.is_empty() {
            return usable;
        }
        // All are out or busy being probed: any is better than none.
        let all = self.known.values().map(|known| Usable {
            address: known.endpoint.address.clone(),
            weight: known.endpoint.weight,
            load: known.ewma.load(now),
            is_near: known.endpoint.zone == zone,
            is_healthy: false,
        });
        all.collect()
    }

    /// How much of all calls stays near.
    fn near_share(&self, near: &[Usable]) -> f64 {
        let all = self.known.values().filter(|known| known.endpoint.zone == self.zone).count();
        let healthy = near.iter().filter(|usable| usable.is_healthy).count();
        #[expect(clippy::cast_precision_loss, reason = "a number of endpoints")]
        let share = healthy as f64 / all.max(1) as f64;
        (share * OVERPROVISION).min(1.0)
    }

    /// Looks for endpoints that are slow beside their peers, now and then.
    fn look(&mut self, now: Duration, ejecting: &Ejecting) {
        if now.saturating_sub(self.looked_at) < LOOK {
            return;
        }
        self.looked_at = now;
        let mut means = Vec::new();
        for (address, known) in &mut self.known {
            if let (Verdict::In, Some(mean)) = (known.outliers.verdict(now), known.outliers.mean(ejecting, now)) {
                means.push((address.clone(), mean));
            }
        }
        for (index, (address, mean)) in means.iter().enumerate() {
            let mut peers: Vec<f64> = means.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, (_, mean))| *mean).collect();
            peers.sort_by(f64::total_cmp);
            if peers.get(peers.len() / 2).is_some_and(|median| Outliers::is_slow(ejecting, *mean, *median)) {
                self.eject(now, ejecting, address);
            }
        }
    }

    /// Unless too many are out already.
    fn eject(&mut self, now: Duration, ejecting: &Ejecting, address: &str) {
        let out = self.known.values_mut().filter_map(|known| (known.outliers.verdict(now) != Verdict::In).then_some(())).count();
        #[expect(clippy::cast_precision_loss, reason = "a number of endpoints")]
        let is_too_many = (out + 1) as f64 > self.known.len() as f64 * ejecting.most_out || out + 1 >= self.known.len();
        if !is_too_many && let Some(known) = self.known.get_mut(address) {
            known.outliers.eject(ejecting, now);
        }
    }
}

#[derive(Debug, Clone)]
struct Usable {
    address: String,
    weight: f64,
    load: f64,
    is_near: bool,
    is_healthy: bool,
}

/// One of them, by weight.
fn draw(from: &[Usable], dice: f64) -> Option<&Usable> {
    let mut left = from.iter().map(|usable| usable.weight).sum::<f64>() * dice;
    for usable in from {
        left -= usable.weight;
        if left < 0.0 {
            return Some(usable);
        }
    }
    from.last()
}

/// The `size` of `addresses` that `client` keeps connections to: others' fall evenly on all, and one more or less changes few (rendezvous hashing).
#[must_use]
pub fn subset(client: &str, addresses: &[String], size: usize) -> Vec<String> {
    let rank = |address: &String| {
        let mut hasher = DefaultHasher::new();
        (client, address).hash(&mut hasher);
        hasher.finish()
    };
    let mut ranked: Vec<_> = addresses.iter().map(|address| (rank(address), address)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(size).map(|(_, address)| address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn endpoint(address: &str, zone: &str) -> Endpoint {
        Endpoint { address: address.to_owned(), zone: Zone(zone.to_owned()), weight: 1.0 }
    }

    /// Dice that are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(self.0 >> 32).unwrap()) / 4_294_967_296.0
        }

        fn three(&mut self) -> [f64; 3] {
            [self.roll(), self.roll(), self.roll()]
        }
    }

    /// A call every millisecond for so long; how each ends is `how(address, at)`. The calls that each endpoint got in the last second, and all failures.
    fn run(balancer: &mut Balancer, from: u32, seconds: u32, how: impl Fn(&str, u32) -> (bool, Duration)) -> (BTreeMap<String, u32>, u32) {
        let (ejecting, mut dice) = (Ejecting::default(), Dice(u64::from(from) + 7));
        let (mut last, mut failed) = (BTreeMap::new(), 0);
        let mut under_way: BTreeMap<(Duration, u32), (String, bool, Duration)> = BTreeMap::new();
        for at in from..from + seconds * 1000 {
            let now = MS * at;
            while let Some(entry) = under_way.first_entry().filter(|entry| entry.key().0 <= now) {
                let (address, is_success, took) = entry.remove();
                balancer.end(now, &ejecting, &address, is_success, took);
            }
            let address = balancer.pick(now, &ejecting, dice.three()).unwrap();
            let (is_success, took) = how(&address, at);
            failed += u32::from(!is_success);
            if at >= from + (seconds - 1) * 1000 {
                *last.entry(address.clone()).or_default() += 1;
            }
            under_way.insert((now + took, at), (address, is_success, took));
        }
        for (address, is_success, took) in under_way.into_values() {
            balancer.end(MS * (from + seconds * 1000), &ejecting, &address, is_success, took);
        }
        (last, failed)
    }

    fn three() -> Balancer {
        let mut balancer = Balancer::new(Zone("eu".to_owned()));
        balancer.update(Duration::ZERO, ["a", "b", "c"].map(|name| endpoint(name, "eu")));
        balancer
    }

    #[test]
    fn equal_endpoints_get_equal_shares() {
        let (shares, _) = run(&mut three(), 0, 5, |_, _| (true, MS * 3));
        assert!(shares.values().all(|calls| (230..440).contains(calls)), "{shares:?}");
    }

    #[test]
    fn one_that_turns_slow_is_out_soon_and_comes_back() {
        let mut balancer = three();
        run(&mut balancer, 0, 5, |_, _| (true, MS * 3));
        let (shares, _) = run(&mut balancer, 5000, 3, |address, _| (true, if address == "b" { MS * 30 } else { MS * 3 }));
        assert!(shares.get("b").copied().unwrap_or(0) < 20, "{shares:?}");
        let (shares, _) = run(&mut balancer, 8000, 25, |_, _| (true, MS * 3));
        assert!(shares["b"] > 200, "{shares:?}");
    }

    #[test]
    fn one_that_fails_half_its_calls_is_out_soon_and_few_calls_fail() {
        let mut balancer = three();
        run(&mut balancer, 0, 5, |_, _| (true, MS * 3));
        let (shares, failed) = run(&mut balancer, 5000, 30, |address, at| (address != "b" || at % 2 == 0, MS * 3));
        assert!(shares.get("b").copied().unwrap_or(0) < 20, "{shares:?}");
        assert!(failed < 150, "{failed} of 30,000: 0.5 %");
    }

    #[test]
    fn not_all_can_be_out() {
        let mut balancer = three();
        run(&mut balancer, 0, 5, |_, _| (false, MS * 3));
        let verdicts = balancer.verdicts(MS * 5000);
        assert!(verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::In).count() >= 2, "{verdicts:?}");
    }

    #[test]
    fn the_own_zone_comes_first_and_the_others_get_what_it_cannot_do() {
        let mut balancer = Balancer::new(Zone("eu".to_owned()));
        let all = [endpoint("a", "eu"), endpoint("b", "eu"), endpoint("x", "us"), endpoint("y", "us")];
        balancer.update(Duration::ZERO, all);
        let (shares, _) = run(&mut balancer, 0, 3, |_, _| (true, MS * 3));
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["a", "b"]);
        let (shares, _) = run(&mut balancer, 3000, 3, |address, _| (address != "a", MS * 3));
        let far = shares.get("x").unwrap_or(&0) + shares.get("y").unwrap_or(&0);
        assert!((150..450).contains(&far), "half of eu is left, which counts for seven tenths: {shares:?}");
    }

    #[test]
    fn a_newcomer_is_warmed_up() {
        let mut balancer = three();
        run(&mut balancer, 0, 2, |_, _| (true, MS * 3));
        balancer.update(MS * 2000, ["a", "b", "c", "d"].map(|name| endpoint(name, "eu")));
        let (shares, _) = run(&mut balancer, 2000, 1, |_, _| (true, MS * 3));
        assert!((5..120).contains(&shares["d"]), "{shares:?}");
        let (shares, _) = run(&mut balancer, 3000, 6, |_, _| (true, MS * 3));
        assert!(shares["d"] > 180, "{shares:?}");
    }

    proptest! {
        /// Flapping endpoints, endpoints that come and go: whoever is there is picked, nobody else, and somebody whenever there is one.
        #[test]
        fn a_pick_is_always_one_of_those_that_are_there(steps in prop::collection::vec((0u8..4, 0usize..5, any::<bool>(), 0u32..500), 1..300)) {
            let names = ["a", "b", "c", "d", "e"];
            let (ejecting, mut dice, mut now) = (Ejecting { least: 3, ..Ejecting::default() }, Dice(1), Duration::ZERO);
            let mut balancer = three();
            let mut there: Vec<&str> = vec!["a", "b", "c"];
            let mut under_way = Vec::new();
            for (what, which, is_success, pause) in steps {
                now += MS * pause;
                match what {
                    0 => {
                        there = if there.contains(&names[which]) {
                            there.into_iter().filter(|name| *name != names[which]).collect()
                        } else {
                            there.into_iter().chain([names[which]]).collect()
                        };
                        balancer.update(now, there.iter().map(|name| endpoint(name, if *name < "c" { "eu" } else { "us" })));
                    }
                    1 if !under_way.is_empty() => {
                        let address: String = under_way.swap_remove(which % under_way.len());
                        balancer.end(now, &ejecting, &address, is_success, MS * (pause + 1));
                    }
                    2 if !under_way.is_empty() => balancer.abandon(&under_way.swap_remove(which % under_way.len())),
                    _ => match balancer.pick_other_than(now, &ejecting, dice.three(), Some(names[which])) {
                        Some(address) => {
                            prop_assert!(there.contains(&address.as_str()));
                            under_way.push(address);
                        }
                        None => prop_assert!(there.is_empty()),
                    },
                }
                let out = balancer.verdicts(now).iter().filter(|(_, verdict)| *verdict == Verdict::Out).count();
                prop_assert!(out == 0 || out < there.len().max(2), "{out} of {}", there.len());
            }
        }

        #[test]
        fn a_subset_changes_little(count in 5usize..40, size in 1usize..5, client in 0u8..20) {
            let all: Vec<String> = (0..count).map(|number| format!("10.0.0.{number}:80")).collect();
            let client = format!("client-{client}");
            let before = subset(&client, &all, size);
            let after = subset(&client, &all[1..], size);
            prop_assert_eq!(before.len(), size.min(count));
            let gone = before.iter().filter(|address| !after.contains(address)).count();
            prop_assert!(gone <= 1 && (gone == 0 || before.contains(&all[0])));
        }
    }
}
