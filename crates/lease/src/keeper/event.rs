//! What a keeper hears and says.

use std::time::Duration;

use ids::Region;

use crate::{Mode, Time, Txn, View};

/// The keeper's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the lease lasts without a renewal.
    pub ttl: Duration,
    /// How much earlier this region stops writing.
    pub margin: Duration,
    /// Between two renewals.
    pub renew: Duration,
    /// Between two looks at the database.
    pub look: Duration,
    /// A mirror that is silent for longer is broken.
    pub broken: Duration,
    /// A mirror that has been well for this long may be waited for.
    pub steady: Duration,
    /// How long a holder must have been gone before its home is taken over.
    pub patience: Duration,
    /// A process younger than this takes nothing over by itself: the other region may be on its way up.
    pub warm_up: Duration,
    /// A region whose database is silent for longer lets its lease go.
    pub fit: Duration,
    /// What the peer said is believed for this long.
    pub peer: Duration,
    /// A handover that takes longer is given up, and the holder writes on.
    pub handover: Duration,
    /// How long the regions must have agreed before a home goes back.
    pub caught_up: Duration,
    /// Whether a home goes back by itself.
    pub gives_back: bool,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            ttl: ms(3000),
            margin: ms(1000),
            renew: ms(500),
            look: ms(250),
            broken: ms(2000),
            steady: ms(500),
            patience: ms(1500),
            warm_up: ms(10_000),
            fit: ms(5000),
            peer: ms(3000),
            handover: ms(2000),
            caught_up: ms(5000),
            gives_back: true,
        }
    }
}

impl Timing {
    /// How long after its sending a renewal lets this region write.
    #[must_use]
    pub fn valid(&self) -> Duration {
        self.ttl.saturating_sub(self.margin)
    }
}

/// What the region's database looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When it was asked.
    pub at: Time,
    /// Whether commits wait for the peer (`synchronous_standby_names`).
    pub names: bool,
    /// Whether the peer's subscription streams from here and has answered a moment ago.
    pub streaming: bool,
    /// Whether the subscription to the peer is switched on.
    pub listening: bool,
    /// Replicated rows that were refused here and not seen to yet.
    pub refused: u64,
    /// Holder and epoch of each home as the database has them, as in [`Region::ALL`].
    pub rows: [Option<(Region, u64)>; 2],
}

/// What the peer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLook {
    /// When it was asked.
    pub at: Time,
    /// Whether it could take a home now.
    pub is_ready: bool,
    /// Holder and epoch of each home as its database has them.
    pub rows: [Option<(Region, u64)>; 2],
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, at this revision.
    Won(i64),
    /// A check did not hold, or it was refused: nothing was done, nor will be.
    Lost,
    /// It may have been done, or may be done later.
    Unknown,
}

/// What a keeper hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Something has changed at the coordinator.
    Changed,
    /// Answers [`Action::Grant`]: the lease, or None when nobody answered.
    Granted {
        /// Its id.
        lease: Option<i64>,
        /// When it was asked for.
        sent: Time,
    },
    /// Answers [`Action::Renew`].
    Renewed {
        /// When it was asked for.
        sent: Time,
        /// Whether there is such a lease; None when nobody answered.
        alive: Option<bool>,
    },
    /// Answers [`Action::View`].
    Viewed(Option<View>),
    /// Answers [`Action::Write`].
    Written(Outcome),
    /// Answers [`Action::Set`].
    Set {
        /// Which home.
        home: Region,
        /// False when it may have been done, or may be done later.
        done: bool,
    },
    /// Answers [`Action::Listen`].
    Listened {
        /// Whether it is so.
        done: bool,
    },
    /// Answers [`Action::Silence`].
    Silenced {
        /// Which home waits for it.
        home: Region,
        /// Whether it is so.
        done: bool,
    },
    /// Answers [`Action::Settle`].
    Settled {
        /// Which home.
        home: Region,
        /// Whether the peer has everything.
        done: bool,
    },
    /// Answers [`Action::Names`].
    Named {
        /// What holds now; None when that is not known.
        done: Option<bool>,
    },
    /// Answers [`Action::Confirm`].
    Confirmed {
        /// Whether the peer has everything.
        done: bool,
    },
    /// Answers [`Action::Look`]: None when the database does not answer.
    Looked(Option<Look>),
    /// Answers [`Action::AskPeer`]: None when it does not answer.
    PeerLooked(Option<PeerLook>),
    /// Answers [`Action::CatchUp`].
    CaughtUp {
        /// Whether nothing was left to be seen to.
        done: bool,
    },
    /// The peer or an operator wants a home to go over.
    Yield {
        /// Which home.
        home: Region,
        /// It shall stay there.
        pinned: bool,
    },
    /// An operator wants this region to take a home whose holder is gone.
    Take {
        /// Which home.
        home: Region,
        /// Also when the holder may have had more than is here.
        force: bool,
    },
}

/// What a keeper wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Get a lease.
    Grant,
    /// Keep the lease alive.
    Renew {
        /// Which.
        lease: i64,
    },
    /// Read the keys of all homes.
    View,
    /// Carry a transaction out.
    Write(Txn),
    /// Tell the database who holds a home, and until when it may be written here, if it is. When another holds it, commits of it that still
    /// wait for the peer here are broken off: their outcome stays unknown to whoever asked for them.
    Set {
        /// Which home.
        home: Region,
        /// Who holds it.
        holder: Region,
        /// The fencing token.
        epoch: u64,
        /// Until when; zero for not at all.
        until: Time,
    },
    /// Switch the subscription to the peer on.
    Listen,
    /// Switch it off, and wait until its worker has gone, which has then applied all that it confirmed.
    Silence {
        /// Which home waits for it.
        home: Region,
    },
    /// Wait until all commits of before have ended, take a position, and wait until the peer has confirmed it.
    Settle {
        /// Which home waits for it.
        home: Region,
    },
    /// Have commits wait for the peer, or not. Whatever of this kind was begun before must have no effect any more when it begins.
    Names(bool),
    /// Take a position and wait until the peer has confirmed it.
    Confirm,
    /// Look at the database.
    Look,
    /// Ask the peer about itself.
    AskPeer,
    /// See to refused rows, and whether both regions have applied what the other has written up to now.
    CatchUp,
    /// Tell people.
    Note(Note),
}

/// What people and metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The home is held here, as it was before or for the first time.
    Held(Region, u64),
    /// The home was taken from a holder that is gone. Forced: what only that holder had is lost.
    TookOver {
        /// Which home.
        home: Region,
        /// The new epoch.
        epoch: u64,
        /// The record did not say that everything is here.
        lossy: bool,
    },
    /// The home went to the peer.
    HandedOver(Region, u64),
    /// A handover was given up; the home is written here on.
    HandoverGivenUp(Region),
    /// The home is not held here any more.
    Lost(Region),
    /// The lease has ended.
    LeaseLost,
    /// The durability mode of what is held here.
    Mode(Mode),
}
