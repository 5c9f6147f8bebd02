//! Regions.

/// One of the two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// Europe.
    Eu,
    /// United States.
    Us,
}

impl Region {
    /// Both, in the order they are shown.
    pub const ALL: [Self; 2] = [Self::Eu, Self::Us];

    /// The name used in addresses, headers and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Us => "us",
        }
    }

    /// The other region.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Eu => Self::Us,
            Self::Us => Self::Eu,
        }
    }
}

impl std::str::FromStr for Region {
    type Err = crate::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|region| region.as_str() == text).ok_or(crate::InvalidId::Region)
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
