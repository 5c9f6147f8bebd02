//! The engines: for each, what to prepare before a start, the command, and one try at talking to it.

pub mod kafka;
pub mod nats;
pub mod postgres;
pub mod temporal;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    fetch::Installed,
    home::{Home, Settings},
    plan::{Kind, Part, Plan},
    probe,
    process::Launch,
};

/// What every start needs to know.
#[derive(Debug, Clone)]
pub struct Context {
    /// The home folder.
    pub home: Home,
    /// Its settings.
    pub settings: Settings,
    /// The plan.
    pub plan: Plan,
    /// Where the engines are installed.
    pub installed: Installed,
    /// Where our own binaries are.
    pub binaries: PathBuf,
    /// The `java` to use.
    pub java: PathBuf,
}

impl Context {
    /// Makes what a part needs before it can start. Safe to repeat.
    ///
    /// # Errors
    /// What could not be made.
    pub async fn prepare(&self, part: &Part) -> Result<()> {
        let data = self.home.data(part);
        std::fs::create_dir_all(data.parent().unwrap_or(&data)).with_context(|| format!("create {}", data.display()))?;
        match part.kind {
            Kind::Postgres => postgres::prepare(self, part).await,
            Kind::Kafka(node) => kafka::prepare(self, part, node).await,
            Kind::Temporal => temporal::prepare(self, part),
            Kind::Nats => nats::prepare(self, part),
            Kind::Service => std::fs::create_dir_all(&data).with_context(|| format!("create {}", data.display())),
        }
    }

    /// The command that runs a part.
    #[must_use]
    pub fn launch(&self, part: &Part) -> Launch {
        let launch = match part.kind {
            Kind::Postgres => postgres::launch(self, part),
            Kind::Kafka(_) => kafka::launch(self, part),
            Kind::Temporal => temporal::launch(self, part),
            Kind::Nats => nats::launch(self, part),
            Kind::Service => self.service(part),
        };
        Launch { nice: part.nice(), ..launch }
    }

    /// One of our own binaries with its settings.
    #[must_use]
    pub fn service(&self, part: &Part) -> Launch {
        let data = self.home.data(part).display().to_string();
        let mut launch = Launch::new(self.binaries.join(&part.name));
        launch.env = self.plan.environment(part, &self.settings.secrets, &data);
        launch
    }

    /// Talks to a part once, in its own protocol.
    ///
    /// # Errors
    /// Why it cannot be used yet.
    pub async fn probe(&self, part: &Part) -> Result<()> {
        let once = async {
            match part.kind {
                Kind::Postgres => postgres::probe(self, part).await,
                Kind::Kafka(_) => probe::kafka(part.port()).await,
                Kind::Temporal => probe::grpc_health(part.port(), temporal::SERVICE).await,
                Kind::Nats => probe::nats(part.port()).await,
                Kind::Service => probe::ready(part.admin()).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(5), once).await.context("no answer within 5 s")?
    }
}
