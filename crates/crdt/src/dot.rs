//! Dots: the names of events. Source: Preguiça et al., "Dotted version vectors", 2010.

/// A writer: one incarnation of a region. A region that lost its state gets a new one, so that no dot is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u32);

/// The name of one event: the `counter`-th of its replica. Sorted by replica, then counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dot {
    replica: ReplicaId,
    counter: u64,
}

impl Dot {
    /// The last counter there is, 2^44 - 1: at a thousand events a second on one object, that of the year 557. With it a million replicas'
    /// dots can be counted in 64 bits.
    pub const LAST_COUNTER: u64 = (1 << 44) - 1;

    /// The dot of `replica`'s `counter`-th event, counted from 1; `None` for 0 and past [`Self::LAST_COUNTER`].
    #[must_use]
    pub fn new(replica: ReplicaId, counter: u64) -> Option<Self> {
        (1..=Self::LAST_COUNTER).contains(&counter).then_some(Self { replica, counter })
    }

    /// A dot out of a run of dots, which holds valid counters only.
    pub(crate) fn in_run(replica: ReplicaId, counter: u64) -> Self {
        Self { replica, counter }
    }

    /// Who made the event.
    #[must_use]
    pub fn replica(self) -> ReplicaId {
        self.replica
    }

    /// Which of its events it is, from 1.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.counter
    }
}
