//! The dots of one element: nearly always one.

use std::slice;

use crate::Dot;

/// Dots, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dots {
    /// The usual case, without an allocation.
    One(Dot),
    /// Concurrent adds: two or more. None only while a join is under way.
    Many(Vec<Dot>),
}

impl Dots {
    pub(super) fn none() -> Self {
        Self::Many(Vec::new())
    }

    pub(crate) fn as_slice(&self) -> &[Dot] {
        match self {
            Self::One(dot) => slice::from_ref(dot),
            Self::Many(dots) => dots,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    #[inline]
    pub(super) fn insert(&mut self, dot: Dot) {
        if self.is_empty() {
            *self = Self::One(dot);
        } else {
            self.insert_another(dot);
        }
    }

    fn insert_another(&mut self, dot: Dot) {
        match self {
            Self::One(held) if *held == dot => {}
            Self::One(held) => *self = Self::Many(vec![dot.min(*held), dot.max(*held)]),
            Self::Many(dots) => {
                if let Err(index) = dots.binary_search(&dot) {
                    dots.insert(index, dot);
                }
            }
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, dot: Dot) {
        match self {
            Self::One(held) if *held == dot => *self = Self::none(),
            Self::One(_) => {}
            Self::Many(_) => self.remove_one(dot),
        }
    }

    fn remove_one(&mut self, dot: Dot) {
        if let Self::Many(dots) = self {
            dots.retain(|held| *held != dot);
            if let [left] = **dots {
                *self = Self::One(left);
            }
        }
    }
}

impl AsRef<[Dot]> for Dots {
    fn as_ref(&self) -> &[Dot] {
        self.as_slice()
    }
}

/// Sorted dots.
impl From<&[Dot]> for Dots {
    fn from(dots: &[Dot]) -> Self {
        match *dots {
            [dot] => Self::One(dot),
            _ => Self::Many(dots.to_vec()),
        }
    }
}
