//! Sites: where links begin and end.

use std::{fmt, str::FromStr};

use ids::Region;
use serde::{Deserialize, Serialize};

/// A place that links connect. A further one needs a line here and its rows in the table of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// The region eu.
    Eu,
    /// The region us.
    Us,
    /// The third vote: no region, only a member of quorums.
    Witness,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eu, Self::Us, Self::Witness];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Us => "us",
            Self::Witness => "witness",
        }
    }
}

impl From<Region> for Site {
    fn from(region: Region) -> Self {
        match region {
            Region::Eu => Self::Eu,
            Region::Us => Self::Us,
        }
    }
}

/// Not a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a site is eu, us or witness")]
pub struct NoSite;

impl FromStr for Site {
    type Err = NoSite;

    fn from_str(text: &str) -> Result<Self, NoSite> {
        Self::ALL.into_iter().find(|site| site.as_str() == text).ok_or(NoSite)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
