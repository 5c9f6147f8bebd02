//! The command line.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory, Parser, Subcommand};
use config::Checkout;
use tokio::runtime::Runtime;

use crate::{
    bench, demo, doctor, down,
    exit::Exit,
    fetch::Installed,
    home::Home,
    link, logs,
    output::{line, problem},
    payments,
    plan::{MAX_SHIFT, Plan, Ports},
    psp, region, schema, spine, status, stock, up,
    verify::{self, Since},
};

/// Runs a two-region marketplace on this machine: fetches its engines, starts, watches and stops everything.
#[derive(Debug, Parser)]
#[command(name = "backbone", version, subcommand_required = true, arg_required_else_help = true, after_help = CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const CODES: &str = "\
Exit codes: 0 done; 1 failed, already running, or (verify) a promise is broken; 3 (status) nothing runs;
64 wrong command line; 69 something is missing or taken, nothing was started, or (verify) something
cannot be read; 130 Ctrl-C.

Examples:
  backbone doctor              what this machine lacks
  backbone up --detach         start everything and wait until the shop answers
  backbone status              what runs, and how much memory it takes
  backbone logs order -f       follow the order services of both regions
  backbone verify              no promise is broken, or which
  backbone down                stop everything, keep the data";

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the engines (PostgreSQL, Kafka, Temporal, NATS) and check them against backbone.lock.
    #[command(
        after_help = "Examples:\n  backbone fetch\n  backbone fetch --verify   # hash what is installed; fetch again what is damaged"
    )]
    Fetch {
        /// Hash all installed files and fetch again what is damaged.
        #[arg(long)]
        verify: bool,
        #[command(flatten)]
        cache: Cache,
    },
    /// Start everything.
    #[command(after_help = "Examples:\n  backbone up                          # until Ctrl-C\n  backbone up --detach\n  \
                            backbone up --detach --brokers 3     # three Kafka brokers in each region\n  \
                            backbone up --link-latency 150ms     # regions far apart, there and back\n  \
                            BACKBONE_PORT_SHIFT=100 backbone up  # every port 100 higher")]
    Up {
        /// Leave it running in the background; return when everything is ready.
        #[arg(long, short)]
        detach: bool,
        #[command(flatten)]
        start: Start,
    },
    /// What `up --detach` leaves running.
    #[command(hide = true)]
    Supervise {
        #[command(flatten)]
        start: Start,
    },
    /// Stop everything.
    #[command(after_help = "Examples:\n  backbone down\n  backbone down --purge   # and forget all data")]
    Down {
        /// Remove the home folder's content too: all data is lost.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show every process: state, uptime, memory (its share of shared pages included) and restarts.
    #[command(after_help = "Examples:\n  backbone status\n  backbone status --json | jq .rss_bytes")]
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show the parts' logs.
    #[command(
        after_help = "Examples:\n  backbone logs order --region eu -f\n  backbone logs kafka -n 20\n  backbone logs backbone   # the supervisor's own"
    )]
    Logs {
        /// Which part; all when absent.
        part: Option<String>,
        /// Only this region's: eu, us or global.
        #[arg(long)]
        region: Option<String>,
        /// Go on until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
        /// How many lines of each.
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: usize,
        #[command(flatten)]
        place: At,
    },
    /// Read both regions' databases, Kafka and the payment provider's own list, and report every broken promise (docs/promises.md).
    ///
    /// Only what happened before the first look is judged, so it works in traffic too. What is under way may settle while it waits; what has
    /// not settled then counts as broken.
    #[command(
        after_help = "Examples:\n  backbone verify\n  backbone verify --wait 2m --journal load.ndjson   # every acknowledged order is there, and ended\n  \
                            backbone verify --since 10m --json | jq .clean"
    )]
    Verify {
        /// How long what is under way may take to settle.
        #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
        wait: Duration,
        /// The load generator's journal: one JSON object a line with `order_id`, `idempotency_key` and, if known, `region`, `total` and `ends`.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Judge only what is younger: a duration or an RFC 3339 time.
        #[arg(long)]
        since: Option<Since>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show and set how the payment provider behaves: slow, declining, silent after the money moved, down; list its charges.
    #[command(after_help = "Examples:\n  backbone psp show\n  backbone psp set --latency 200ms --decline 5% --timeout-after 2%\n  \
                            backbone psp set --down\n  backbone psp reset\n  backbone psp charges --json\n  backbone psp chargeback ch_0193a0b0…")]
    Psp {
        #[command(subcommand)]
        action: psp::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show and set what lies between the regions: latency, jitter, loss, bandwidth, partitions, each way apart.
    #[command(after_help = "Examples:\n  backbone link list\n  backbone link set eu us --latency 150ms --loss 1%\n  \
                            backbone link set eu us --partition\n  backbone link set eu us --heal\n  backbone link reset")]
    Link {
        #[command(subcommand)]
        action: link::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Compare the ledgers of both regions with the payment provider's list, and show their balances.
    #[command(after_help = "Examples:\n  backbone payments reconcile\n  backbone payments balances --json")]
    Payments {
        #[command(subcommand)]
        action: payments::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show the stock of both regions, and move the right to sell between them.
    #[command(
        after_help = "Examples:\n  backbone stock show\n  backbone stock show MUG-STONEWARE-01\n  backbone stock move MUG-STONEWARE-01 50 --from eu"
    )]
    Stock {
        #[command(subcommand)]
        action: stock::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show who may write where, and move it: drain a region, have the other hold its home, give it back.
    #[command(after_help = "Examples:\n  backbone region status\n  backbone region drain eu\n  backbone region undrain eu\n  \
                            backbone region failover eu\n  backbone region failback eu")]
    Region {
        #[command(subcommand)]
        action: region::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Change a service's tables in both regions while traffic runs: expand before its programs are replaced, contract afterwards.
    #[command(after_help = "Examples:\n  backbone schema list\n  backbone schema apply order services/order/migrations --dry-run\n  \
                            backbone schema apply order services/order/migrations")]
    Schema {
        #[command(subcommand)]
        action: schema::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Look at the Kafka spine: topics, lag, events; replay or drop dead letters.
    #[command(after_help = "Examples:\n  backbone spine lag\n  backbone spine tail order.events --from-beginning -n 5\n  \
                            backbone spine dlq list\n  backbone spine dlq replay --all-of eu")]
    Spine {
        #[command(subcommand)]
        action: spine::Action,
        /// Print JSON.
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        place: At,
    },
    /// Show what this machine lacks, each with the line that installs it.
    #[command(after_help = "Examples:\n  backbone doctor\n  backbone doctor --json")]
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        start: Start,
    },
    /// Measure what the design costs, each figure beside a rival's, and hold the medians against their targets.
    #[command(
        after_help = "Each suite starts a market of its own in <home>/bench and removes it.\n\nExamples:\n  backbone bench                       # every suite\n  \
                            backbone bench place-order --rounds 3\n  backbone bench --write docs          # docs/benchmarks.md and its JSON\n  \
                            backbone bench sagas --against ../old/target/release   # beside another build"
    )]
    Bench {
        /// Which suites; all when none is named.
        suites: Vec<bench::Suite>,
        /// Rounds of each; a figure is the median over them.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
        rounds: u16,
        /// Measure `sagas` beside another build, round by round: the folder with its programs.
        #[arg(long, value_name = "FOLDER")]
        against: Option<PathBuf>,
        /// Requests a second of `failover`: 600 are what two cores carry with everything on them.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=20_000))]
        rate: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Write benchmarks.md and benchmarks/<suite>.json into this folder.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
        #[command(flatten)]
        start: Start,
    },
    /// Our outbox relay alone, as `bench spine` measures it.
    #[command(hide = true)]
    BenchRelay,
    /// Start everything, place an order in each region, show what to look at, and keep gentle shoppers going until Ctrl-C.
    #[command(after_help = "Examples:\n  backbone demo\n  backbone demo --once   # end after the table, leave everything running")]
    Demo {
        /// End after the table and leave everything running.
        #[arg(long)]
        once: bool,
        #[command(flatten)]
        start: Start,
    },
}

#[derive(Debug, Args)]
struct At {
    /// Where the state is kept.
    #[arg(long, env = "BACKBONE_HOME", default_value = ".backbone")]
    home: PathBuf,
}

#[derive(Debug, Args)]
struct Cache {
    /// Where downloads are kept [default: ~/.cache/backbone/parts].
    #[arg(long, env = "BACKBONE_CACHE")]
    cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Start {
    #[command(flatten)]
    place: At,
    #[command(flatten)]
    cache: Cache,
    /// Kafka brokers in each region, 1 or 3; fixed when the home is made.
    #[arg(long, default_value = "1", value_parser = brokers)]
    brokers: u16,
    /// Added to every port.
    #[arg(long, env = "BACKBONE_PORT_SHIFT", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=i64::from(MAX_SHIFT)))]
    port_shift: u16,
    /// Port of the shop [default: 8080 and the shift].
    #[arg(long, env = "BACKBONE_EDGE_PORT", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    edge_port: Option<u16>,
    /// Only PostgreSQL, Kafka, Temporal and NATS, with their databases and topics.
    #[arg(long)]
    engines_only: bool,
    /// How orders come to their end: saga, or, to compare with it, two-phase or choreography.
    #[arg(long, default_value_t = Checkout::Saga)]
    checkout: Checkout,
    /// How far apart the regions are, there and back, where `backbone link set` says nothing else.
    #[arg(long, env = "BACKBONE_LINK_LATENCY", value_name = "TIME", default_value = "40ms", value_parser = round_trip)]
    link_latency: Duration,
}

fn round_trip(text: &str) -> Result<Duration, String> {
    let latency = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = 2 * ::link::MAX_LATENCY;
    if latency <= most { Ok(latency) } else { Err(format!("{} at most", humantime::format_duration(most))) }
}

fn brokers(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}

impl Cache {
    fn path(self) -> Result<PathBuf> {
        if let Some(path) = self.cache {
            return Ok(path);
        }
        let caches = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        let caches = caches.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Ok(caches.context("neither HOME nor XDG_CACHE_HOME is set: say where downloads go with BACKBONE_CACHE")?.join("backbone/parts"))
    }
}

impl Start {
    fn options(self) -> Result<up::Options> {
        Ok(up::Options {
            home: self.place.home,
            cache: self.cache.path()?,
            ports: Ports { shift: self.port_shift, edge: self.edge_port },
            brokers: self.brokers,
            engines_only: self.engines_only,
            checkout: self.checkout,
            link_latency: self.link_latency,
        })
    }
}

/// Reads the command line, does what it says, and gives the exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { Exit::Ok.code() };
        }
    };
    let outcome = Runtime::new().context("start the runtime").and_then(|runtime| runtime.block_on(Box::pin(run(cli.command))));
    match outcome {
        Ok(exit) => exit.code(),
        Err(error) => {
            problem(format_args!("backbone: {error:#}"));
            Exit::Failed.code()
        }
    }
}

async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Fetch { verify, cache } => {
            let installed = Installed::new(&cache.path()?)?;
            up::fetch(&installed, verify).await?;
            line("all engines are here");
            Ok(Exit::Ok)
        }
        Command::Up { detach: true, start } => up::detached(&start.options()?).await,
        Command::Up { detach: false, start } => up::foreground(&start.options()?).await,
        Command::Supervise { start } => up::supervise(&start.options()?).await,
        Command::Down { purge, place } => down::down(&Home::at(&place.home)?, purge).await,
        Command::Status { json, place } => status::print(&Home::at(&place.home)?, json),
        Command::Logs { part, region, follow, lines, place } => {
            logs::show(&Home::at(&place.home)?, &logs::Selection { part, region, lines, follow }).await
        }
        Command::Verify { wait, journal, since, json, place } => {
            verify::run(&Home::at(&place.home)?, &verify::Options { wait, journal, since, json }).await
        }
        Command::Psp { action, json, place } => psp::run(&Home::at(&place.home)?, action, json).await,
        Command::Link { action, json, place } => link::run(&Home::at(&place.home)?, action, json).await,
        Command::Payments { action, json, place } => payments::run(&Home::at(&place.home)?, &action, json).await,
        Command::Stock { action, json, place } => stock::run(&Home::at(&place.home)?, action, json).await,
        Command::Region { action, json, place } => region::run(&Home::at(&place.home)?, action, json).await,
        Command::Schema { action, json, place } => schema::run(&Home::at(&place.home)?, action, json).await,
        Command::Spine { action, json, place } => spine::run(&Home::at(&place.home)?, action, json).await,
        Command::Doctor { json, start } => {
            let home = Home::at(&start.place.home)?;
            let options = start.options()?;
            let plan = Plan::new(options.ports, options.brokers, options.engines_only);
            let running = home.is_locked()?;
            doctor::print((!running).then_some(&plan), home.path(), json)
        }
        Command::Bench { suites, rounds, against, rate, json, write, start } => {
            let options = bench::Options { suites, rounds: rounds.into(), against, rate, json, write };
            Box::pin(bench::run(start.options()?, &options)).await
        }
        Command::BenchRelay => bench::relay().await,
        Command::Demo { once, start } => demo::run(&start.options()?, once).await,
    }
}

/// The command line's definition, for tests and generated pages.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        definition().debug_assert();
    }

    #[test]
    fn regions_are_as_far_apart_as_the_plan_says_unless_told_otherwise() {
        let latency = |arguments: &[&str]| match Cli::try_parse_from(arguments).unwrap().command {
            Command::Up { start, .. } => start.link_latency,
            other => panic!("{other:?}"),
        };
        assert_eq!(latency(&["backbone", "up"]), crate::plan::LINK_LATENCY);
        assert_eq!(latency(&["backbone", "up", "--link-latency", "1s500ms"]), Duration::from_millis(1500));
        assert!(Cli::try_parse_from(["backbone", "up", "--link-latency", "3m"]).is_err());
    }
}
