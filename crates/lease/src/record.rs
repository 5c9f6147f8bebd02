//! What the coordinator keeps about a home, and under which keys.

use ids::Region;
use serde::{Deserialize, Serialize};

/// How far a commit has gone when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Both regions have it.
    Mirrored,
    /// The holder alone has it for certain.
    Solo,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirrored => "mirrored",
            Self::Solo => "solo",
        }
    }
}

mod region {
    use ids::Region;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(region: &Region, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(region.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Region, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The permanent record of a home. Changed only by transactions that compare its revision, so a change that comes late changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The one region that may write the home's rows.
    #[serde(with = "region")]
    pub holder: Region,
    /// Fencing token: grows with each change of holder.
    pub epoch: u64,
    /// How far the holder's commits go.
    pub mode: Mode,
    /// An operator wants it to stay with the holder: it is not given back by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// It was taken over, and the holder may still be listening to the one before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopting: bool,
}

/// A key of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The record of a home.
    Record(Region),
    /// Is there while the holder of a home lives.
    Lease(Region),
    /// Is there while a region shall get no new shoppers.
    Drained(Region),
}

impl Key {
    /// What all keys begin with.
    pub const PREFIX: &str = "/market/";

    /// The key as text.
    #[must_use]
    pub fn path(self) -> String {
        let (folder, name) = match self {
            Self::Record(home) => ("homes", home),
            Self::Lease(home) => ("leases", home),
            Self::Drained(region) => ("drained", region),
        };
        format!("{}{folder}/{name}", Self::PREFIX)
    }

    /// The key that a text is; None for one that is none of these.
    #[must_use]
    pub fn parse(path: &[u8]) -> Option<Self> {
        let (folder, name) = std::str::from_utf8(path).ok()?.strip_prefix(Self::PREFIX)?.split_once('/')?;
        let region = name.parse().ok()?;
        match folder {
            "homes" => Some(Self::Record(region)),
            "leases" => Some(Self::Lease(region)),
            "drained" => Some(Self::Drained(region)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_the_design_says() {
        let record = Record { holder: Region::Eu, epoch: 7, mode: Mode::Mirrored, pinned: false, adopting: false };
        let text = r#"{"holder":"eu","epoch":7,"mode":"mirrored"}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
        let pinned = Record { pinned: true, ..record };
        assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&pinned).unwrap()).unwrap(), pinned);
    }

    #[test]
    fn keys_are_read_back() {
        for region in Region::ALL {
            for key in [Key::Record(region), Key::Lease(region), Key::Drained(region)] {
                assert_eq!(Key::parse(key.path().as_bytes()), Some(key));
            }
        }
        assert_eq!(Key::Record(Region::Eu).path(), "/market/homes/eu");
        for other in ["/market/homes/mars", "/market/other/eu", "/else", ""] {
            assert_eq!(Key::parse(other.as_bytes()), None, "{other}");
        }
    }
}
