//! The balancer with endpoints that are slow, fail and flap.

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
        let (mut under_way, mut were_out) = (Vec::new(), 0);
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
            // When healthy ones have left, more than half of the rest may be out, but no more than were before.
            let out = balancer.verdicts(now).iter().filter(|(_, verdict)| *verdict != Verdict::In).count();
            prop_assert!(out <= were_out || out * 2 <= there.len(), "{out} of {}", there.len());
            were_out = out;
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
