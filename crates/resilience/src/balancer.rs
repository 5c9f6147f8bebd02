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
        // Two different ones: whoever is drawn twice would win against itself.
        let one = draw(from.iter(), dice[1])?;
        let two = draw(from.iter().filter(|other| other.address != one.address), dice[2]).unwrap_or(one);
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
fn draw<'a>(from: impl Iterator<Item = &'a Usable> + Clone, dice: f64) -> Option<&'a Usable> {
    let mut left = from.clone().map(|usable| usable.weight).sum::<f64>() * dice;
    let mut last = None;
    for usable in from {
        last = Some(usable);
        left -= usable.weight;
        if left < 0.0 {
            break;
        }
    }
    last
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
mod tests;
