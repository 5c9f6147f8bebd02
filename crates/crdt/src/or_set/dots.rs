//! The dots of one element: nearly always one.

use std::{mem, slice};

use crate::{Context, Dot};

/// One or more dots, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dots {
    /// The usual case, without an allocation.
    One(Dot),
    /// Concurrent adds: two or more.
    Many(Vec<Dot>),
}

impl Dots {
    /// The dots in `dots`, which are sorted; `None` when there are none.
    pub(crate) fn new(dots: Vec<Dot>) -> Option<Self> {
        match *dots {
            [] => None,
            [dot] => Some(Self::One(dot)),
            _ => Some(Self::Many(dots)),
        }
    }

    pub(crate) fn as_slice(&self) -> &[Dot] {
        match self {
            Self::One(dot) => slice::from_ref(dot),
            Self::Many(dots) => dots,
        }
    }

    pub(super) fn insert(&mut self, dot: Dot) {
        let mut dots = self.as_slice().to_vec();
        if let Err(index) = dots.binary_search(&dot) {
            dots.insert(index, dot);
            *self = Self::Many(dots);
        }
    }

    /// What is left without `dot`.
    pub(super) fn without(&mut self, dot: Dot) -> Option<Self> {
        match self {
            Self::One(held) => (*held != dot).then_some(Self::One(*held)),
            Self::Many(dots) => {
                dots.retain(|held| *held != dot);
                Self::new(mem::take(dots))
            }
        }
    }

    /// The dots of an element that both sides have: those that both hold, and those that one holds and the other has not seen.
    pub(super) fn join(self, seen: &Context, theirs: &Self, their_seen: &Context) -> Option<Self> {
        if let (Self::One(mine), Self::One(their)) = (&self, theirs) {
            let keeps_mine = mine == their || !their_seen.contains(*mine);
            let keeps_theirs = mine != their && !seen.contains(*their);
            return match (keeps_mine, keeps_theirs) {
                (true, true) => Some(Self::Many(vec![*mine.min(their), *mine.max(their)])),
                (true, false) => Some(Self::One(*mine)),
                (false, true) => Some(Self::One(*their)),
                (false, false) => None,
            };
        }
        let (mine, theirs) = (self.as_slice(), theirs.as_slice());
        let kept = mine.iter().filter(|dot| theirs.contains(dot) || !their_seen.contains(**dot));
        let fresh = theirs.iter().filter(|dot| !seen.contains(**dot));
        let mut dots: Vec<Dot> = kept.chain(fresh).copied().collect();
        dots.sort_unstable();
        Self::new(dots)
    }

    /// The dots of an element that the other side does not have: those that it has not seen.
    pub(super) fn unseen(self, their_seen: &Context) -> Option<Self> {
        match self {
            Self::One(dot) => (!their_seen.contains(dot)).then_some(Self::One(dot)),
            Self::Many(mut dots) => {
                dots.retain(|dot| !their_seen.contains(*dot));
                Self::new(dots)
            }
        }
    }
}
