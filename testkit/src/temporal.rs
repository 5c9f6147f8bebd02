//! A real Temporal dev server.

use std::{path::PathBuf, process::Child, time::Duration};

use tokio::net::TcpStream;

use crate::{eventually, free_port, keeper, parts};

/// A server of its own for each value, its state in a file: workflows of two tests never meet. Takes about 2 s to start. Ends when dropped.
#[derive(Debug)]
pub struct Temporal {
    port: u16,
    data: PathBuf,
    log: PathBuf,
    process: Child,
}

impl Temporal {
    /// Starts a server with the namespace `default`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        let port = free_port();
        let data = keeper::fresh_folder("temporal");
        let log = data.join("log");
        let process = launch(port, &data, &log);
        let mut this = Self { port, data, log, process };
        this.wait().await;
        this
    }

    async fn wait(&mut self) {
        let address = self.address();
        eventually("temporal takes connections", Duration::from_secs(30), async || {
            let ended = self.process.try_wait();
            assert!(matches!(ended, Ok(None)), "temporal ended ({ended:?}):\n{}", keeper::tail(&self.log));
            TcpStream::connect(&address).await.map(drop)
        })
        .await;
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `kill -9`. What it has acknowledged stays.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again on the same port with the same state.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.process = launch(self.port, &self.data, &self.log);
        self.wait().await;
    }
}

impl Drop for Temporal {
    fn drop(&mut self) {
        self.kill();
    }
}

/// As in a running market (`backbone/src/engine/temporal.rs`), without the pages.
fn launch(port: u16, data: &std::path::Path, log: &std::path::Path) -> Child {
    let mut command = keeper::program(&parts::folder("temporal").join("temporal"), false);
    command.args(["server", "start-dev", "--disable-config-file", "--disable-config-env", "--log-level", "warn", "--headless"]);
    command.args(["--ip", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=off", "--db-filename"]);
    command.arg(data.join("temporal.db"));
    keeper::spawn(command, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_comes_back_on_the_same_port() {
        let mut temporal = Temporal::start().await;
        temporal.kill();
        assert!(TcpStream::connect(temporal.address()).await.is_err());
        temporal.restart().await;
        TcpStream::connect(temporal.address()).await.unwrap();
    }
}
