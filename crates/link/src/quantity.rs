//! How much is lost, and how much fits through: parsed from what people write, within limits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which part of the packets is lost, at most [`Loss::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Loss(f64);

/// Not a loss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a loss is 0% to 90%, as in 1% or 0.01; a link that loses everything is partitioned")]
pub struct NoLoss;

impl Loss {
    /// Nothing is lost.
    pub const NONE: Self = Self(0.0);
    /// What loses more is a partition.
    pub const MOST: f64 = 0.9;

    /// As a part of one.
    #[must_use]
    pub const fn part(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Loss {
    type Error = NoLoss;

    fn try_from(part: f64) -> Result<Self, NoLoss> {
        if (0.0..=Self::MOST).contains(&part) { Ok(Self(part)) } else { Err(NoLoss) }
    }
}

impl From<Loss> for f64 {
    fn from(loss: Loss) -> Self {
        loss.0
    }
}

impl FromStr for Loss {
    type Err = NoLoss;

    /// `1%` or `0.01`.
    fn from_str(text: &str) -> Result<Self, NoLoss> {
        let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = number.parse::<f64>().ok().filter(|_| is_number).ok_or(NoLoss)?;
        Self::try_from(number / whole)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e6).round() / 1e4)
    }
}

/// How many bytes a second fit through, if that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bandwidth(Option<u64>);

/// Not a bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a bandwidth is 1kB/s to 100GB/s, as in 10MB/s, 512KiB/s or 1.5Mbit/s, or unlimited")]
pub struct NoBandwidth;

/// A unit and the eighths of a byte it stands for. Those before the first bit are what [`Bandwidth`] is shown in, the largest first.
const UNITS: [(&str, f64); 10] = [
    ("GB", 8e9),
    ("MB", 8e6),
    ("kB", 8e3),
    ("B", 8.0),
    ("GiB", 8_589_934_592.0),
    ("MiB", 8_388_608.0),
    ("KiB", 8192.0),
    ("Gbit", 1e9),
    ("Mbit", 1e6),
    ("kbit", 1e3),
];

impl Bandwidth {
    /// As much as comes.
    pub const UNLIMITED: Self = Self(None);
    /// Less is a partition in all but name.
    pub const LEAST: u64 = 1_000;
    /// More cannot be told from [`Bandwidth::UNLIMITED`] on one machine.
    pub const MOST: u64 = 100_000_000_000;

    /// So many bytes a second.
    ///
    /// # Errors
    /// When it is out of its limits.
    pub fn of(bytes: u64) -> Result<Self, NoBandwidth> {
        if (Self::LEAST..=Self::MOST).contains(&bytes) { Ok(Self(Some(bytes))) } else { Err(NoBandwidth) }
    }

    /// Bytes a second; `None` when it is not limited.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        self.0
    }
}

impl FromStr for Bandwidth {
    type Err = NoBandwidth;

    fn from_str(text: &str) -> Result<Self, NoBandwidth> {
        if text == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let text = text.strip_suffix("/s").ok_or(NoBandwidth)?;
        let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| NoBandwidth)?;
        let (_, bits) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(NoBandwidth)?;
        let bytes = (number * bits / 8.0).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and within limits or refused")]
        if (0.0..=1e12).contains(&bytes) { Self::of(bytes as u64) } else { Err(NoBandwidth) }
    }
}

impl TryFrom<String> for Bandwidth {
    type Error = NoBandwidth;

    fn try_from(text: String) -> Result<Self, NoBandwidth> {
        text.parse()
    }
}

impl From<Bandwidth> for String {
    fn from(bandwidth: Bandwidth) -> Self {
        bandwidth.to_string()
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("unlimited") };
        let (size, unit) = match bytes {
            bytes if bytes % 1_000_000_000 == 0 => (1_000_000_000, "GB"),
            bytes if bytes % 1_000_000 == 0 => (1_000_000, "MB"),
            bytes if bytes % 1_000 == 0 => (1_000, "kB"),
            _ => (1, "B"),
        };
        write!(f, "{}{unit}/s", bytes / size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for (text, part) in [("1%", 0.01), ("0.5%", 0.005), ("0.25", 0.25), ("0%", 0.0), ("90%", 0.9)] {
            assert_eq!(text.parse::<Loss>().unwrap().part(), part, "{text}");
        }
        for wrong in ["", "%", "91%", "-1%", "NaN", "inf", "1e-3", "1 %", "many", "1%%", "1.0.0%"] {
            assert_eq!(wrong.parse::<Loss>(), Err(NoLoss), "{wrong}");
        }
        for (text, bytes) in
            [("10MB/s", 10_000_000), ("512KiB/s", 524_288), ("1.5Mbit/s", 187_500), ("1000B/s", 1_000), ("1 GB/s", 1_000_000_000)]
        {
            assert_eq!(text.parse::<Bandwidth>().unwrap().bytes(), Some(bytes), "{text}");
        }
        assert_eq!("unlimited".parse(), Ok(Bandwidth::UNLIMITED));
        for wrong in ["", "/s", "10", "10MB", "MB/s", "999B/s", "1TB/s", "-1MB/s", "1e3MB/s", "NaNMB/s", "101GB/s", "10mb/s"] {
            assert_eq!(wrong.parse::<Bandwidth>(), Err(NoBandwidth), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes in Bandwidth::LEAST..=Bandwidth::MOST, hundredths in 0_u32..=9_000) {
            let bandwidth = Bandwidth::of(bytes).unwrap();
            prop_assert_eq!(bandwidth.to_string().parse(), Ok(bandwidth));
            let loss = Loss::try_from(f64::from(hundredths) / 10_000.0).unwrap();
            let back: Loss = loss.to_string().parse().unwrap();
            prop_assert!((back.part() - loss.part()).abs() < 1e-9);
        }

        #[test]
        fn no_text_makes_the_parsers_stumble(text in "\\PC{0,20}") {
            let _ = text.parse::<Loss>();
            let _ = text.parse::<Bandwidth>();
        }

        #[test]
        fn near_misses_stay_within_the_limits(text in "[0-9.]{0,20}(|%|k|M|G)(|B/s|bit/s|iB/s)") {
            if let Ok(loss) = text.parse::<Loss>() { prop_assert!((0.0..=Loss::MOST).contains(&loss.part())); }
            if let Ok(bandwidth) = text.parse::<Bandwidth>() {
                prop_assert!(bandwidth.bytes().is_none_or(|bytes| (Bandwidth::LEAST..=Bandwidth::MOST).contains(&bytes)));
            }
        }
    }
}
