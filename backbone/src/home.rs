//! The home folder (`.backbone/`): where everything of one market lives, and the settings made at its first `up`.
//!
//! ```text
//! lock             held by the supervisor while it runs
//! state.json       what runs now
//! settings.json    passwords and ids, readable by its owner only
//! config/ logs/    made anew at each start
//! data/<region>/   what must survive
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rand::{RngExt, distr::Alphanumeric};
use serde::{Deserialize, Serialize};

use crate::plan::{OWNERS, Part};

/// A home folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The home at `path`, which need not exist yet.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self(std::path::absolute(path).context("find the current folder")?))
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self) -> Result<()> {
        for folder in ["", "config", "logs", "data"] {
            let path = self.0.join(folder);
            // Open to other users for traversal only: postgres may run as another user.
            fs::DirBuilder::new().recursive(true).mode(0o711).create(&path).with_context(|| format!("create {}", path.display()))?;
        }
        Ok(())
    }

    /// What runs now.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// A part's log.
    #[must_use]
    pub fn log(&self, part: &Part) -> PathBuf {
        self.logs().join(format!("{}-{}.log", part.place, part.name))
    }

    /// All logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The supervisor's own log.
    #[must_use]
    pub fn own_log(&self) -> PathBuf {
        self.logs().join("backbone.log")
    }

    /// A part's generated configuration.
    #[must_use]
    pub fn config(&self, part: &Part) -> PathBuf {
        self.0.join("config").join(format!("{}-{}.conf", part.place, part.name))
    }

    /// A part's data.
    #[must_use]
    pub fn data(&self, part: &Part) -> PathBuf {
        self.0.join("data").join(part.place.as_str()).join(&part.name)
    }

    /// Takes the lock that one supervisor holds. `None` when another holds it.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn lock(&self) -> Result<Option<File>> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// True when a supervisor runs here.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn is_locked(&self) -> Result<bool> {
        Ok(self.0.join("lock").exists() && self.lock()?.is_none())
    }

    /// Reads the settings, making them at the first call.
    ///
    /// # Errors
    /// When they cannot be read or written, or say another number of brokers.
    pub fn settings(&self, brokers: u16) -> Result<Settings> {
        let path = self.0.join("settings.json");
        let Ok(mut file) = File::open(&path) else {
            let settings = Settings::generate(brokers);
            write_atomically(&path, 0o600, &serde_json::to_vec_pretty(&settings)?)?;
            return Ok(settings);
        };
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("read {}", path.display()))?;
        let mut settings: Settings = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        if settings.brokers != brokers {
            bail!(
                "{} was made with --brokers {}, and a Kafka cluster keeps its number of controllers: \
                 use --brokers {}, or `backbone down --purge` and start anew",
                self.0.display(),
                settings.brokers,
                settings.brokers
            );
        }
        // Made before a secret was added: the new one is kept too.
        for role in OWNERS {
            settings.secrets.roles.entry(role.to_owned()).or_insert_with(random_hex);
        }
        let whole = serde_json::to_vec_pretty(&settings)?;
        if whole != text.as_bytes() {
            write_atomically(&path, 0o600, &whole)?;
        }
        Ok(settings)
    }
}

/// Replaces a file in one step.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Made once per home.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Kafka brokers in each region.
    pub brokers: u16,
    /// Kafka's cluster id by region.
    pub kafka_clusters: BTreeMap<String, String>,
    /// Passwords.
    pub secrets: Secrets,
}

/// Passwords.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Secrets {
    /// PostgreSQL's superuser, `postgres`.
    pub superuser: String,
    /// The services' roles.
    pub roles: BTreeMap<String, String>,
    /// What the payment provider signs its webhooks with: 32 bytes in hex.
    pub psp_webhook: String,
    /// What sessions of shoppers who sign in are derived with: 32 bytes in hex.
    #[serde(default = "random_hex")]
    pub session: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(***)")
    }
}

impl Settings {
    fn generate(brokers: u16) -> Self {
        let secrets = Secrets {
            superuser: random_hex(),
            roles: OWNERS.iter().map(|role| ((*role).to_owned(), random_hex())).collect(),
            psp_webhook: random_hex(),
            session: random_hex(),
        };
        let kafka_clusters = ids::Region::ALL.iter().map(|region| (region.to_string(), cluster_id())).collect();
        Self { brokers, kafka_clusters, secrets }
    }
}

fn random_hex() -> String {
    use std::fmt::Write as _;
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A Kafka UUID: 16 bytes in base64 without padding, so the last of 22 characters carries two bits only.
fn cluster_id() -> String {
    let mut id: String = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from).collect();
    id.push('A');
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_the_same_and_another_number_of_brokers_is_refused() {
        let folder = std::env::temp_dir().join(format!("backbone-home-{}", std::process::id()));
        let home = Home::at(&folder).unwrap();
        home.create().unwrap();
        let first = home.settings(1).unwrap();
        assert_eq!(first.secrets.roles.len(), OWNERS.len());
        assert_eq!(home.settings(1).unwrap().secrets.superuser, first.secrets.superuser);
        assert!(home.settings(3).unwrap_err().to_string().contains("--brokers 1"));
        let held = home.lock().unwrap();
        assert!(held.is_some() && home.is_locked().unwrap());
        drop(held);
        assert!(!home.is_locked().unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn cluster_ids_have_the_form_that_kafka_reads() {
        assert_eq!(cluster_id().len(), 22);
        assert_eq!(random_hex().len(), 64);
    }
}
