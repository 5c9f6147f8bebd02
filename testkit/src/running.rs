//! A service as a process, as it runs in the market: so that a test can also kill it.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::{eventually, free_port, keeper};

/// A service that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    program: PathBuf,
    env: Vec<(String, String)>,
    port: u16,
    log: PathBuf,
    process: Child,
}

impl Running {
    /// Brings the service's schema up to date, then starts it. `program` is `env!("CARGO_BIN_EXE_<service>")`; `env` is all that it sees
    /// besides its ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn migrated(program: &str, env: &[(&str, &str)]) -> Self {
        migrate(Path::new(program), env.iter().copied()).await;
        Self::start(program, env).await
    }

    /// Brings the service's schema up to date once more, beside it.
    ///
    /// # Panics
    /// When it cannot be done.
    pub async fn migrate(&self) {
        migrate(&self.program, self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))).await;
    }

    /// Starts the service and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(program: &str, env: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        env.push(("LISTEN_ADDR".to_owned(), format!("127.0.0.1:{port}")));
        env.push(("ADMIN_ADDR".to_owned(), format!("127.0.0.1:{}", free_port())));
        let program = PathBuf::from(program);
        let log = keeper::folder().join(format!("{}-{port}.log", name(&program)));
        let process = launch(&program, &env, &log);
        let mut this = Self { program, env, port, log, process };
        this.wait().await;
        this
    }

    async fn wait(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        eventually("the service takes connections", Duration::from_secs(20), async || {
            let ended = self.process.try_wait();
            assert!(matches!(ended, Ok(None)), "{} ended ({ended:?}):\n{}", self.program.display(), keeper::tail(&self.log));
            TcpStream::connect(&address).await.map(drop)
        })
        .await;
    }

    /// Base address of its API.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`, and start again on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn kill_and_restart(&mut self) {
        self.kill();
        self.process = launch(&self.program, &self.env, &self.log);
        self.wait().await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// What it logged last, for a failed assertion's text.
    #[must_use]
    pub fn log(&self) -> String {
        keeper::tail(&self.log)
    }
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "a failed test's own output")]
    fn drop(&mut self) {
        self.kill();
        // The folder of logs goes with the test process: what is not told here is gone.
        if std::thread::panicking() {
            eprintln!("{} logged last:\n{}\n", self.program.display(), self.log());
        }
    }
}

async fn migrate<'a>(program: &Path, env: impl Iterator<Item = (&'a str, &'a str)>) {
    let log = keeper::folder().join(format!("{}-migrate-{}.log", name(program), free_port()));
    let mut command = clean(program, env);
    command.arg("migrate");
    let waited = {
        let log = log.clone();
        tokio::task::spawn_blocking(move || keeper::spawn(command, &log).wait())
    };
    let status = waited.await.expect("waiting does not panic").expect("a child can be waited for");
    assert!(status.success(), "{} migrate failed:\n{}", program.display(), keeper::tail(&log));
}

fn name(program: &Path) -> Cow<'_, str> {
    program.file_name().unwrap_or_default().to_string_lossy()
}

fn clean<'a>(program: &Path, env: impl Iterator<Item = (&'a str, &'a str)>) -> Command {
    let mut command = keeper::program(program, false);
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(env);
    command
}

fn launch(program: &Path, env: &[(String, String)], log: &Path) -> Child {
    keeper::spawn(clean(program, env.iter().map(|(name, value)| (name.as_str(), value.as_str()))), log)
}
