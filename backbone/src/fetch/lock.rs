//! `backbone.lock`: versions and checksums, embedded in the program.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("../../../backbone.lock");

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    postgresql: PostgreSql,
    pub(super) kafka: Jars,
    pub(super) debezium: Jars,
    pub(super) temporal: GoModule,
    pub(super) nats_server: GoModule,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostgreSql {
    version: String,
    group: String,
    x86_64: Artifact,
    aarch64: Artifact,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Artifact {
    artifact: String,
    sha256: String,
}

/// PostgreSQL's jar for this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Jar {
    /// `group:artifact:version`.
    pub(super) coordinates: String,
    /// Its file name.
    pub(super) file: String,
    pub(super) sha256: String,
}

/// A Java program and all that it needs.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jars {
    version: String,
    /// `group:artifact:version` each.
    pub(super) dependencies: Vec<String>,
    /// File name to sha256.
    pub(super) jars: BTreeMap<String, String>,
}

/// A program built from a Go module.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoModule {
    pub(super) version: String,
    pub(super) module: String,
    pub(super) package: String,
    /// The module's `h1:` sum, as in go.sum.
    pub(super) sum: String,
}

impl Lock {
    /// The lock file of this build.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn embedded() -> Result<Self> {
        toml::from_str(TEXT).context("read backbone.lock")
    }

    pub(super) fn version(&self, part: &str) -> &str {
        match part {
            "postgresql" => &self.postgresql.version,
            "kafka" => &self.kafka.version,
            "debezium" => &self.debezium.version,
            "temporal" => &self.temporal.version,
            _ => &self.nats_server.version,
        }
    }

    pub(super) fn postgresql(&self) -> Jar {
        let PostgreSql { version, group, x86_64, aarch64 } = &self.postgresql;
        let Artifact { artifact, sha256 } = if cfg!(target_arch = "aarch64") { aarch64 } else { x86_64 };
        Jar { coordinates: format!("{group}:{artifact}:{version}"), file: format!("{artifact}-{version}.jar"), sha256: sha256.clone() }
    }

    /// Changes whenever the lines of a part change.
    pub(super) fn fingerprint(&self, part: &str) -> String {
        let text = match part {
            "postgresql" => serde_json::to_vec(&self.postgresql()),
            "kafka" => serde_json::to_vec(&self.kafka),
            "debezium" => serde_json::to_vec(&self.debezium),
            "temporal" => serde_json::to_vec(&self.temporal),
            _ => serde_json::to_vec(&self.nats_server),
        };
        super::tree::sha256(&text.expect("plain data is written as JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_is_whole() {
        let lock = Lock::embedded().unwrap();
        assert!(lock.kafka.jars.len() > 80 && lock.debezium.jars.len() > 50);
        assert!(lock.kafka.jars.values().chain(lock.debezium.jars.values()).chain([&lock.postgresql().sha256]).all(|sum| sum.len() == 64));
        assert!([&lock.temporal, &lock.nats_server].iter().all(|module| module.sum.starts_with("h1:")));
        assert_ne!(lock.fingerprint("temporal"), lock.fingerprint("nats-server"));
    }
}
