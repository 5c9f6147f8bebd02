//! A service as a process: arguments, settings, telemetry, run, drain, exit code.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware, serve::ListenerExt as _};
use config::{Reader, Source};
use futures::FutureExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use telemetry::Metrics;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Readiness, admin, gate::Gate, grpc::Health, observe::observe, readiness::Report, server::scoped};

/// Also for the C of our libraries: ADR 0002.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any error that ends a service.
pub type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// Settings that every service has.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where its admin port listens.
    pub admin: SocketAddr,
    /// How long running calls may take to end after a signal.
    pub drain_timeout: Duration,
    /// Which of the service's replicas in its region this is.
    pub instance: String,
}

/// What a service brings to be run as a process.
pub trait Service {
    /// Its settings.
    type Config: Send + 'static;
    /// Its name, as in the binary, the logs and the metrics.
    const NAME: &'static str;
    /// Its port when `LISTEN_ADDR` is not set; the admin port is 500 above.
    const PORT: u16;

    /// Reads its settings. Called once; errors stay in the reader.
    fn configure(reader: &mut Reader) -> Self::Config;

    /// Runs it until `process.shutdown` is cancelled.
    fn run(config: Self::Config, process: Process) -> impl Future<Output = Result<(), Fatal>> + Send;

    /// Brings its database schema up to date. Services without a database have nothing to do.
    fn migrate(config: Self::Config) -> impl Future<Output = Result<(), Fatal>> + Send {
        drop(config);
        async { Ok(()) }
    }
}

/// A running process, handed to [`Service::run`].
#[derive(Debug)]
pub struct Process {
    /// Cancelled when the process shall end.
    pub shutdown: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<AtomicBool>,
    base: Base,
    metrics: Metrics,
}

impl Process {
    /// Runs `work` beside the server. When it fails the whole process ends, so that whoever watches it starts it again in a clean state.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = Result<(), Fatal>> + Send + 'static) {
        let (shutdown, failed) = (self.shutdown.clone(), self.failed.clone());
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err("it panicked".into()));
            if let Err(error) = ended {
                tracing::error!(worker = name, error = %chain(&*error), "worker failed, ending the process");
                failed.store(true, Ordering::Release);
                shutdown.cancel();
            }
        });
    }

    /// Which of the service's replicas in its region this is: the same name after a restart.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.base.instance
    }

    /// Serves `router` and the admin port until shutdown, then drains.
    ///
    /// # Errors
    /// When a port cannot be bound or serving fails.
    pub async fn serve(self, router: Router, health: Option<Health>, readiness: Readiness) -> Result<(), Fatal> {
        let listener = bind(self.base.listen).await?;
        let admin_listener = bind(self.base.admin).await?;
        let (reports, mut seen) = watch::channel(Report::default());
        self.tasks.spawn(readiness.watch(reports, self.shutdown.clone()));
        self.tasks.spawn(upkeep(self.metrics.clone(), self.shutdown.clone()));
        if let Some(health) = health {
            let mut seen = seen.clone();
            self.tasks.spawn(async move {
                loop {
                    let ready = seen.borrow_and_update().is_ready();
                    health.set(ready).await;
                    if seen.changed().await.is_err() {
                        return health.set(false).await;
                    }
                }
            });
        }
        let admin = axum::serve(admin_listener, admin::router(self.metrics.clone(), seen.clone()));
        let admin = admin.with_graceful_shutdown(self.shutdown.clone().cancelled_owned());
        self.tasks.spawn(async move {
            if let Err(error) = admin.await {
                tracing::error!(%error, "admin port failed");
            }
        });
        tracing::info!(listen = %self.base.listen, admin = %self.base.admin, "serving");
        seen.mark_unchanged();
        let server = tokio::spawn(serve_on(listener, guarded(router), self.shutdown.clone().cancelled_owned()));
        self.shutdown.cancelled().await;
        tracing::info!("draining");
        self.tasks.close();
        let drained = async {
            let _ = server.await;
            self.tasks.wait().await;
        };
        if tokio::time::timeout(self.base.drain_timeout, drained).await.is_err() {
            tracing::warn!(timeout = ?self.base.drain_timeout, "calls still running were cut off");
        }
        if self.failed.load(Ordering::Acquire) { Err("a worker failed".into()) } else { Ok(()) }
    }
}

/// All that stands before a service's own routes: spans and metrics, the gate, the circumstances and the deadline of each call.
pub fn guarded(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(Gate::default(), scoped)).layer(middleware::from_fn(observe))
}

/// Serves until `shutdown`, and then what is under way.
///
/// # Errors
/// When serving fails.
pub async fn serve_on(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    // An answer must not wait until the client has acknowledged the one before, which it may take 40 ms for.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(shutdown).await
}

async fn upkeep(metrics: Metrics, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_secs(5))).await.is_some() {
        metrics.upkeep();
    }
}

/// Every connection takes a file, and shells allow few by default; what the machine allows is ours to take.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Fatal> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// An error and all its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

enum Command {
    Serve,
    Migrate,
    PrintConfig,
    Help,
}

fn command() -> Result<Command, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["serve"] => Ok(Command::Serve),
        ["migrate"] => Ok(Command::Migrate),
        ["--print-config"] => Ok(Command::PrintConfig),
        ["-h" | "--help" | "help"] => Ok(Command::Help),
        _ => Err(format!("unknown arguments: {}", arguments.join(" "))),
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [serve | migrate | --print-config | --help]\n\n  \
         serve           serve until SIGTERM or SIGINT, then drain (default)\n  \
         migrate         bring the database schema up to date and exit\n  \
         --print-config  print the settings in use, secrets masked\n\n\
         Settings are environment variables; --print-config lists them. Exit codes: 64 bad settings, 1 failed start.\n"
    )
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a process talks to whoever started it before there is a log")]
/// Runs service `S` as this process.
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    let command = match command() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{error}\n\n{}", usage(S::NAME));
            return ExitCode::from(64);
        }
    };
    if matches!(command, Command::Help) {
        print!("{}", usage(S::NAME));
        return ExitCode::SUCCESS;
    }
    let mut reader = Reader::new(Source::environment());
    let base = Base {
        listen: reader.parsed("LISTEN_ADDR", &format!("127.0.0.1:{}", S::PORT)),
        admin: reader.parsed("ADMIN_ADDR", &format!("127.0.0.1:{}", S::PORT + 500)),
        drain_timeout: reader.duration("DRAIN_TIMEOUT", "8s"),
        instance: reader.text("INSTANCE", "0"),
    };
    let telemetry = telemetry::Options {
        service: S::NAME,
        region: reader.text("REGION", "global"),
        otlp_endpoint: reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT"),
        filter: reader.text("RUST_LOG", telemetry::FILTER),
    };
    let config = S::configure(&mut reader);
    if matches!(command, Command::PrintConfig) {
        println!("{}", reader.shown());
    }
    if let Err(errors) = reader.finish() {
        eprintln!("{}: {errors}", S::NAME);
        return ExitCode::from(64);
    }
    if matches!(command, Command::PrintConfig) {
        return ExitCode::SUCCESS;
    }
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: cannot start the runtime: {error}", S::NAME);
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run::<S>(command, config, base, telemetry));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn run<S: Service>(command: Command, config: S::Config, base: Base, options: telemetry::Options) -> ExitCode {
    let telemetry = match telemetry::start(options) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            tracing::error!(%error, "cannot start telemetry");
            return ExitCode::FAILURE;
        }
    };
    let result = match command {
        Command::Migrate => S::migrate(config).await,
        _ => {
            let shutdown = CancellationToken::new();
            tokio::spawn(cancel_on_signal(shutdown.clone()));
            let process = Process { shutdown, tasks: TaskTracker::new(), failed: Arc::default(), base, metrics: telemetry.metrics() };
            S::run(config, process).await
        }
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %chain(&*error), "failed");
            ExitCode::FAILURE
        }
    };
    let _ = tokio::task::spawn_blocking(|| telemetry.shutdown()).await;
    code
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        _ => std::future::pending().await,
    }
    shutdown.cancel();
}
