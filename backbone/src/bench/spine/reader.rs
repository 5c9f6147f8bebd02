//! A process that reads the outbox and writes to Kafka: ours or the rival's. Both are told what to do on their standard input.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    super::bed::Bed,
    debezium::{self, Router},
    outbox::{OUR_SLOT, Outbox, RIVAL_PUBLICATION, RIVAL_SLOT, TABLE},
};
use crate::process::cpu_seconds;

/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(60);

/// A running process. Ends when dropped.
pub(super) struct Reader {
    pub(super) name: &'static str,
    pub(super) slot: &'static str,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    /// The relay as the services run it, in a process that does nothing else.
    pub(super) fn ours(outbox: &Outbox, kafka: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench-relay");
        Self::spawn("relay", OUR_SLOT, command, outbox, kafka)
    }

    /// Debezium's engine.
    pub(super) async fn debezium(bed: &Bed, router: Router, outbox: &Outbox, kafka: &str) -> Result<Self> {
        let mut command = debezium::program(bed, router).await?;
        command.env("SLOT", RIVAL_SLOT).env("PUBLICATION", RIVAL_PUBLICATION).env("TABLE", TABLE);
        Self::spawn(router.name(), RIVAL_SLOT, command, outbox, kafka)
    }

    fn spawn(name: &'static str, slot: &'static str, mut command: Command, outbox: &Outbox, kafka: &str) -> Result<Self> {
        command.env("DATABASE_URL", outbox.url.expose()).env("KAFKA_BOOTSTRAP_SERVERS", kafka);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let orders = child.stdin.take().context("its input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("its output is a pipe")?).lines();
        Ok(Self { name, slot, child, orders, answers })
    }

    /// Begins to read the slot.
    pub(super) async fn start(&mut self) -> Result<()> {
        self.orders.write_all(b"start\n").await.with_context(|| format!("{} has ended", self.name))
    }

    /// Ends that.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.orders.write_all(b"stop\n").await.with_context(|| format!("{} has ended", self.name))?;
        match tokio::time::timeout(STOP, self.answers.next_line()).await {
            Ok(Ok(Some(answer))) if answer == "stopped" => Ok(()),
            other => bail!("{} did not stop: {other:?}", self.name),
        }
    }

    /// What it has used so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        self.child.id().and_then(cpu_seconds).with_context(|| format!("{} has ended", self.name))
    }
}
