//! Whether a region can be sent requests, from what its probes found. Pure.

/// Failed probes in a row that make a region unhealthy: one may be an accident.
const FAILURES: u32 = 2;

/// Whether a region can be sent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// Not asked often enough yet.
    #[default]
    Unknown,
    /// It has what it needs.
    Healthy,
    /// It has what it needs, and holds no home: it can read, and change carts.
    Fenced,
    /// It has what it needs, and an operator wants no new shoppers there.
    Drained,
    /// It answers that something is missing.
    Unready,
    /// It does not answer.
    Down,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Fenced => "fenced",
            Self::Drained => "drained",
            Self::Unready => "unready",
            Self::Down => "down",
        }
    }

    /// Whether its last probes were good, whatever it may write.
    pub(crate) fn is_well(self) -> bool {
        matches!(self, Self::Healthy | Self::Fenced | Self::Drained)
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Ready,
    Unready,
    Silent,
}

/// Health, and the failed probes that led there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Opinion {
    pub(crate) health: Health,
    failures: u32,
}

impl Opinion {
    pub(crate) fn after(self, probe: Probe) -> Self {
        let failures = self.failures.saturating_add(1);
        match probe {
            Probe::Ready => Self { health: Health::Healthy, failures: 0 },
            Probe::Unready if failures >= FAILURES => Self { health: Health::Unready, failures },
            Probe::Silent if failures >= FAILURES => Self { health: Health::Down, failures },
            Probe::Unready | Probe::Silent => Self { failures, ..self },
        }
    }

    /// After a connection that was refused.
    pub(crate) fn after_refusal(self) -> Self {
        Self { health: Health::Down, failures: self.failures.max(FAILURES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opinion(probes: &[Probe]) -> Opinion {
        probes.iter().fold(Opinion::default(), |opinion, probe| opinion.after(*probe))
    }

    #[test]
    fn one_good_probe_heals_and_two_bad_ones_are_needed() {
        use Probe::{Ready, Silent, Unready};
        assert_eq!(opinion(&[]).health, Health::Unknown);
        assert_eq!(opinion(&[Silent]).health, Health::Unknown);
        assert_eq!(opinion(&[Ready, Silent]).health, Health::Healthy);
        assert_eq!(opinion(&[Ready, Silent, Silent]).health, Health::Down);
        assert_eq!(opinion(&[Ready, Silent, Unready]).health, Health::Unready);
        assert_eq!(opinion(&[Ready, Silent, Ready, Silent]).health, Health::Healthy);
        assert_eq!(opinion(&[Silent, Silent, Silent, Ready]).health, Health::Healthy);
    }

    #[test]
    fn a_refused_connection_counts_at_once_until_the_next_good_probe() {
        let refused = opinion(&[Probe::Ready]).after_refusal();
        assert_eq!(refused.health, Health::Down);
        assert_eq!(refused.after(Probe::Unready).health, Health::Unready);
        assert_eq!(refused.after(Probe::Ready).health, Health::Healthy);
    }

    proptest! {
        #[test]
        fn a_region_is_healthy_exactly_when_its_last_good_probe_is_near(probes in prop::collection::vec(
            prop::sample::select(vec![Probe::Ready, Probe::Unready, Probe::Silent]), 0..12,
        )) {
            let failed = probes.iter().rev().take_while(|probe| **probe != Probe::Ready).count();
            let was_ready = failed < probes.len();
            prop_assert_eq!(opinion(&probes).health == Health::Healthy, was_ready && failed < FAILURES as usize);
        }
    }
}
