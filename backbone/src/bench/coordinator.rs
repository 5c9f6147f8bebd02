//! Our coordinator beside etcd: three sites each, the same clients, the same disk.
//!
//! ```text
//! round: ours, etcd, ours, etcd ...
//!        three new sites ─> memory at rest ─> 100,000 puts ─> memory ─> puts/s with 1, 64, 512 clients, to the leader and to all ─> kill -9
//! ```

mod cluster;
mod load;
mod rival;

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use self::{
    cluster::{Cluster, Make},
    load::{Load, VALUE},
};
use super::{
    bed::Bed,
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 64, 512];
/// Of one measurement, and what goes before it.
const LENGTH: Duration = Duration::from_secs(4);
const WARM: Duration = Duration::from_secs(1);
/// Puts whose history stays in memory, and the clients that make them.
const HISTORY: usize = 100_000;
const WRITERS: usize = 64;
/// New sites have come to rest after it.
const REST: Duration = Duration::from_secs(3);

/// One side's figures, once a round.
#[derive(Debug, Default)]
struct Figures {
    at_rest: Vec<f64>,
    with_history: Vec<f64>,
    next_write: Vec<f64>,
    loads: Vec<Vec<Load>>,
}

/// Where the clients of a load are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Leader,
    All,
}

/// All loads, in their order.
fn loads() -> impl Iterator<Item = (usize, To)> {
    CLIENTS.into_iter().flat_map(|clients| [(clients, To::Leader), (clients, To::All)])
}

/// Measures.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let etcd = rival::find(bed.cache()).await?;
    let version = rival::version(&etcd).await?;
    let ours = std::env::current_exe().context("find this program")?.with_file_name("coordinator");
    let folder = bed.home.path().with_file_name("bench-coordinator");
    let mut sides = [(Make::Ours(ours), Figures::default()), (Make::Etcd(etcd), Figures::default())];
    for round in 1..=rounds {
        for (make, figures) in &mut sides {
            one(make, &folder, figures).await.with_context(|| format!("{}, round {round}", make.name()))?;
            problem(format_args!("round {round}: {}: {}", make.name(), figures.last()));
        }
    }
    Ok(conclude(sides.map(|(_, figures)| figures), &version))
}

async fn one(make: &Make, folder: &std::path::Path, figures: &mut Figures) -> Result<()> {
    let mut cluster = Cluster::start(make, folder).await?;
    sleep(REST).await;
    figures.at_rest.push(cluster.memory());
    let leader = cluster.leader().await?;
    load::fill(&cluster, leader, WRITERS, HISTORY).await.context("make a history")?;
    figures.with_history.push(cluster.memory());
    let mut measured = Vec::new();
    for (clients, to) in loads() {
        let sites = if to == To::Leader { vec![cluster.leader().await?] } else { vec![0, 1, 2] };
        let put = async |length| load::put(&cluster, clients, length, &sites).await.with_context(|| described(clients, to));
        put(WARM).await?;
        measured.push(put(LENGTH).await?);
    }
    figures.loads.push(measured);
    figures.next_write.push(cluster.lose_leader().await?.as_secs_f64());
    Ok(())
}

impl Figures {
    fn last(&self) -> String {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        let loads: Vec<_> = self.loads.last().into_iter().flatten().map(ToString::to_string).collect();
        format!(
            "{:.0} and {:.0} MiB, next write after {:.2} s; {}",
            last(&self.at_rest),
            last(&self.with_history),
            last(&self.next_write),
            loads.join("; ")
        )
    }

    /// All of them as series, those of loads by load.
    fn series(&self, name: &str) -> Vec<Series> {
        let mut series = vec![
            Series::new(format!("{name}, memory of three sites at rest"), "MiB", self.at_rest.clone()),
            Series::new(format!("{name}, memory after {HISTORY} puts"), "MiB", self.with_history.clone()),
            Series::new(format!("{name}, next write after kill -9 of the leader"), "s", self.next_write.clone()),
        ];
        for (index, (clients, to)) in loads().enumerate() {
            let of = |figure: fn(&Load) -> f64| self.loads.iter().map(|loads| figure(&loads[index])).collect::<Vec<_>>();
            let what = format!("{name}, {}", described(clients, to));
            series.push(Series::new(&*what, "puts/s", of(|load| load.rate)));
            series.push(Series::new(format!("{what}, p99"), "ms", of(|load| load.p99)));
            series.push(Series::new(format!("{what}, per second of processor"), "puts", of(|load| load.per_cpu)));
        }
        series
    }
}

fn described(clients: usize, to: To) -> String {
    let clients = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    format!("{clients} to {}", if to == To::Leader { "the leader" } else { "all sites" })
}

fn conclude([ours, theirs]: [Figures; 2], version: &str) -> Report {
    let mut report =
        Report::new("coordinator", "Keys and leases for three sites: how many puts a second, how soon, and in how much memory?");
    let (ours, theirs) = (ours.series("ours"), theirs.series("etcd"));
    let ratio = |index: usize| ours[index].ratio_to(&theirs[index]);
    for (index, (clients, to)) in loads().enumerate() {
        let what = described(clients, to);
        let first = 3 + index * 3;
        report.claims.push(Claim::new(format!("puts/s / etcd's, {what}"), ratio(first), Target::AtLeast(1.0)));
        report.claims.push(Claim::new(format!("p99 / etcd's, {what}"), ratio(first + 1), Target::AtMost(1.0)));
    }
    report.claims.push(Claim::new("memory at rest / etcd's", ratio(0), Target::AtMost(0.5)));
    report.claims.push(Claim::new(format!("memory after {HISTORY} puts / etcd's"), ratio(1), Target::AtMost(0.5)));
    report.claims.push(Claim::new("next write after kill -9 of the leader, s", ours[2].median, Target::AtMost(1.0)));
    report.series = ours.into_iter().zip(theirs).flat_map(|(ours, theirs)| [ours, theirs]).collect();
    report.conditions = vec![
        format!(
            "three sites of each, new in each round, on loopback and one disk; {version}, heartbeats every 50 ms and an election timeout of 300 ms"
        ),
        format!(
            "values of {VALUE} bytes, fsync on; closed loop, up to {} clients on a connection, {} s after {} s of warming; nothing is compacted",
            load::SHARED,
            LENGTH.as_secs(),
            WARM.as_secs()
        ),
        "memory is what is resident; p99 is of the calls that were answered; sites and load share the machine's cores".to_owned(),
        "the next write is one through another site, tried again and again from the moment of the kill".to_owned(),
    ];
    report
}
