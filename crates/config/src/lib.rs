//! Reads a service's settings from the environment: every value is parsed, every error is reported at once.
//!
//! A service's `config.rs` is the only place that uses this. Tests bring a map, never the process environment.
//!
//! ```
//! let mut reader = config::Reader::new(config::Source::of([("LISTEN_ADDR", "127.0.0.1:1")]));
//! let listen: std::net::SocketAddr = reader.parsed("LISTEN_ADDR", "127.0.0.1:21104");
//! let wait = reader.duration("DRAIN_TIMEOUT", "10s");
//! assert!(reader.finish().is_ok());
//! assert_eq!((listen.port(), wait.as_secs()), (1, 10));
//! ```

mod checkout;
mod secret;

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

pub use checkout::{Checkout, UnknownCheckout};
pub use secret::Secret;

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Source(BTreeMap<String, String>);

impl Source {
    /// The process's environment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn environment() -> Self {
        Self(std::env::vars().collect())
    }

    /// These pairs.
    #[must_use]
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Every setting that cannot be used, with why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad settings:\n{}", .0.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))]
pub struct Errors(pub Vec<String>);

/// Reads settings one by one and keeps the errors until [`Reader::finish`].
#[derive(Debug)]
pub struct Reader {
    source: Source,
    errors: Vec<String>,
    shown: Vec<String>,
}

impl Reader {
    /// Reads from `source`. An empty value counts as absent.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, errors: Vec::new(), shown: Vec::new() }
    }

    fn raw(&mut self, name: &str, default: &str) -> String {
        let value = self.source.0.get(name).filter(|value| !value.is_empty()).map_or(default, String::as_str).to_owned();
        self.show(name, &value);
        value
    }

    /// A value of any type that parses from text.
    ///
    /// # Panics
    /// When `default` itself does not parse.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, default: &str) -> T {
        let value = self.raw(name, default);
        value.parse().unwrap_or_else(|error| {
            self.errors.push(format!("{name}: cannot read '{value}': {error} (for example {name}={default})"));
            default.parse().unwrap_or_else(|_| panic!("the default of {name} parses"))
        })
    }

    /// A text.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.raw(name, default)
    }

    /// A text that may be absent.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        Some(self.raw(name, "")).filter(|value| !value.is_empty())
    }

    /// A duration such as `3s` or `250ms`.
    pub fn duration(&mut self, name: &str, default: &str) -> Duration {
        self.parsed::<humantime::Duration>(name, default).into()
    }

    /// A value that must be given and must not be shown.
    pub fn secret(&mut self, name: &str, example: &str) -> Secret {
        let value = self.source.0.get(name).cloned().unwrap_or_default();
        if value.is_empty() {
            self.errors.push(format!("{name}: must be set (for example {name}={example})"));
        }
        self.show(name, if value.is_empty() { "" } else { "***" });
        Secret::new(value)
    }

    /// A setting that is read twice is shown once.
    fn show(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}");
        if !self.shown.contains(&line) {
            self.shown.push(line);
        }
    }

    /// All settings read so far as `NAME=value` lines, secrets masked.
    #[must_use]
    pub fn shown(&self) -> String {
        self.shown.join("\n")
    }

    /// # Errors
    /// All settings that could not be read.
    pub fn finish(&self) -> Result<(), Errors> {
        if self.errors.is_empty() { Ok(()) } else { Err(Errors(self.errors.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_reported_at_once_and_secrets_stay_hidden() {
        let mut reader = Reader::new(Source::of([("PORT", "many"), ("WAIT", "soon"), ("TOKEN", "s3cret")]));
        let _: u16 = reader.parsed("PORT", "1");
        reader.duration("WAIT", "1s");
        reader.secret("TOKEN", "x");
        reader.secret("MISSING", "x");
        let errors = reader.finish().unwrap_err();
        assert_eq!(errors.0.len(), 3, "{errors}");
        assert!(reader.shown().contains("TOKEN=***"));
        assert!(!reader.shown().contains("s3cret"));
    }
}
