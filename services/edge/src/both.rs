//! A value for each region.

use std::ops::{Index, IndexMut};

use ids::Region;

/// One for eu, one for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Both<T> {
    pub(crate) eu: T,
    pub(crate) us: T,
}

impl<T> Index<Region> for Both<T> {
    type Output = T;

    fn index(&self, region: Region) -> &T {
        match region {
            Region::Eu => &self.eu,
            Region::Us => &self.us,
        }
    }
}

impl<T> IndexMut<Region> for Both<T> {
    fn index_mut(&mut self, region: Region) -> &mut T {
        match region {
            Region::Eu => &mut self.eu,
            Region::Us => &mut self.us,
        }
    }
}
