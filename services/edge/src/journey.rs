//! One request's way through the regions: where to next, after what was tried. Pure.
//!
//! ```text
//!                 not sent, fenced            broken, down, late
//!                 (nothing was done)          (it may have been done)
//! a read          the other region            the other region, once
//! sets a cart     the other region            the other region, once
//! order, keyed    the other region            the same region, or the one that holds its home by then, until the time is up
//! all else        the other region            nowhere: its outcome is unknown
//! ```
//! A pinned request stays in its region. An order whose key came before begins at the third column. After a fence both regions are asked in
//! turn, with pauses, until the time is up: a handover takes a moment. An order stays for some seconds with a region whose lease goes on.

use std::time::Duration;

use ids::Region;

use crate::{
    error::Error,
    health::Health,
    regions::Sight,
    route::{self, Choice, Repeat},
};

/// How often a region whose lease goes on may refuse an order before the other one is asked: some seconds.
const PATIENCE: usize = 40;

/// How an attempt ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// There was no connection: nothing was done.
    NotSent,
    /// The region holds no home for it: nothing was done.
    Fenced,
    /// The connection broke.
    Broken,
    /// The region was found down meanwhile, or its home in the other one. Not waited for are only requests that may be repeated.
    Left,
    /// The time of the attempt was up.
    Late,
}

impl Loss {
    /// Whether it may have been done.
    pub(crate) fn is_doubtful(self) -> bool {
        matches!(self, Self::Broken | Self::Left | Self::Late)
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send it there.
    To(Region),
    /// Rest a moment, and ask again.
    Pause,
    /// Ask again when a region has changed.
    Wait,
    /// There is nothing more to do.
    End,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct Journey {
    choice: Choice,
    repeat: Repeat,
    /// The region that may have done it.
    doubt: Option<Region>,
    lost: Vec<(Region, Loss)>,
    has_rested: bool,
}

impl Journey {
    /// A request that `had_by` may have done, as its key is known from there.
    pub(crate) fn new(choice: Choice, repeat: Repeat, had_by: Option<Region>) -> Self {
        Self { choice, repeat, doubt: had_by, lost: Vec::new(), has_rested: false }
    }

    /// Whether it was sent before.
    pub(crate) fn is_repeated(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether the answer of `region` is wanted only while it holds its home.
    pub(crate) fn is_bound_to(&self, region: Region) -> bool {
        self.repeat == Repeat::AtHome && !self.choice.is_pinned && self.doubt.is_none_or(|doubt| doubt == region)
    }

    /// It was not done here, but another request with its key may have been done there.
    pub(crate) fn learn(&mut self, had_by: Option<Region>) {
        if !self.choice.is_pinned {
            self.doubt = had_by.or(self.doubt);
        }
    }

    /// An attempt was lost.
    pub(crate) fn lose(&mut self, region: Region, loss: Loss) {
        if loss.is_doubtful() {
            self.doubt = Some(region);
        }
        self.lost.push((region, loss));
        self.has_rested = false;
    }

    /// A moment has passed since the last step.
    pub(crate) fn rest(&mut self) {
        self.has_rested = true;
    }

    /// Where to, as the regions are now.
    pub(crate) fn next(&self, sight: &Sight) -> Step {
        match (self.repeat, self.doubt) {
            (Repeat::AtHome, Some(region)) => self.follow(region, sight),
            (Repeat::Never, Some(_)) => Step::End,
            _ => self.search(sight),
        }
    }

    /// To whoever goes on with what `region` may have done.
    fn follow(&self, region: Region, sight: &Sight) -> Step {
        let at = if self.choice.is_pinned { self.choice.region } else { sight.heir(region) };
        match (self.lost.last(), sight.health[at]) {
            (_, Health::Down) => Step::Wait,
            (None, _) => Step::To(at),
            // It would answer for what it lacks, and not for what it did.
            (_, Health::Unready) => Step::Wait,
            // A connection may break at its region's restart.
            (Some((tried, Loss::Broken)), _) if *tried == at && self.lost.len() == 1 => Step::To(at),
            (Some((tried, _)), _) if *tried == at => self.rested(at),
            _ => Step::To(at),
        }
    }

    /// To whoever can do what nobody has done, or what may be done twice.
    fn search(&self, sight: &Sight) -> Step {
        let Some(&(tried, loss)) = self.lost.last() else {
            return route::first(self.choice, sight).map_or(Step::End, Step::To);
        };
        let is_pinned = self.choice.is_pinned;
        if loss == Loss::Fenced {
            // Its lease goes on, so it will write again in a moment; the other region may not have what the order is made of.
            let goes_on = self.repeat == Repeat::AtHome && sight.holder[tried] == Some(tried);
            return match sight.health[tried] {
                // It says so itself, and will for long.
                Health::Fenced if is_pinned => Step::End,
                _ if is_pinned => self.rested(tried),
                Health::Healthy if goes_on && self.fences(tried) < PATIENCE => self.rested(tried),
                _ => {
                    let at = if sight.health[tried.peer()] == Health::Healthy { tried.peer() } else { tried };
                    if self.was_fenced(at) { self.rested(at) } else { Step::To(at) }
                }
            };
        }
        let is_second = self.lost.iter().filter(|(_, loss)| *loss != Loss::Fenced).count() > 1;
        match loss {
            _ if is_second => Step::End,
            Loss::Left | Loss::Late if is_pinned => Step::End,
            _ if is_pinned => Step::To(tried),
            _ if self.was_fenced(tried.peer()) => self.rested(tried.peer()),
            _ => Step::To(tried.peer()),
        }
    }

    fn fences(&self, region: Region) -> usize {
        self.lost.iter().filter(|lost| **lost == (region, Loss::Fenced)).count()
    }

    fn was_fenced(&self, region: Region) -> bool {
        self.fences(region) > 0
    }

    fn rested(&self, region: Region) -> Step {
        if self.has_rested { Step::To(region) } else { Step::Pause }
    }

    /// Whether the last answer, that it was not done, is the whole truth.
    pub(crate) fn was_not_done(&self) -> bool {
        let is_refused = matches!(self.lost.last(), Some((_, Loss::Fenced)));
        is_refused && (self.doubt.is_none() || self.repeat == Repeat::Read)
    }

    /// What the client is told when all attempts were lost; `limit` is the time that they had.
    pub(crate) fn verdict(&self, limit: Duration) -> Error {
        let late = self.lost.iter().find(|(_, loss)| *loss == Loss::Late);
        match (self.repeat, self.doubt, late) {
            (Repeat::Anywhere | Repeat::AtHome | Repeat::Never, Some(region), _) => {
                Error::OutcomeUnknown { region, has_key: self.repeat != Repeat::Never }
            }
            (_, _, Some(&(region, _))) => Error::Timeout { region, limit },
            _ => Error::RegionDown { pinned: self.choice.is_pinned.then_some(self.choice.region) },
        }
    }
}

#[cfg(test)]
mod tests;
