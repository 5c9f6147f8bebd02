//! The outbox relay against Debezium's engine: the same rows, the same slot plug-in, the same topic, the same consumer.
//!
//! ```text
//! writer ──> outbox ──> WAL ──> slot ──> relay | engine, a process each ──> Kafka ──> one consumer, in the writer's process
//! ```
//! Each round and side has two parts. Pace: events are committed one by one at a steady rate, and each is timed from its commit to the
//! consumer. Backlog: events are committed while nobody reads the slot, then the reader starts and the consumer's clock gives its rate.

mod consumer;
mod debezium;
mod outbox;
mod reader;
mod serve;
mod writer;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ids::Region;

pub use self::serve::serve;
use self::{consumer::Consumer, outbox::Outbox, reader::Reader};
use super::{
    bed::Bed,
    measure::Latencies,
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

const REGION: Region = Region::Eu;
/// Events a second of the first part.
const PACE: u32 = 1_000;
/// What of it counts, and what goes before so that both are warm.
const COUNTED: u32 = 10 * PACE;
const WARM: u32 = 3 * PACE;
/// Events of the second part; the first fifth does not count.
const BACKLOG: u32 = 250_000;
/// Events of one transaction of the backlog.
const PER_TRANSACTION: u32 = 10;
/// Longest time until the last event must have come.
const PATIENCE: Duration = Duration::from_secs(120);
/// When more than one event in a hundred is begun later than this the writer has not kept its pace, and the part is void.
const LATE: Duration = Duration::from_millis(10);
/// How often a part that was void is done again.
const TRIES: usize = 5;

/// One side's figures, once a round.
#[derive(Debug, Default)]
struct Figures {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    intended_p99: Vec<f64>,
    backlog_cpu: Vec<f64>,
    pace_cpu: Vec<f64>,
}

/// Measures.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let mut report = Report::new("spine", "How soon after its commit is an event with its consumer, and how fast does a backlog go out?");
    let outbox = Outbox::make(bed, REGION).await?;
    let kafka = format!("127.0.0.1:{}", bed.ports.kafka(REGION, 1).0);
    let consumer = Consumer::open(&kafka).await?;
    let sides = [Reader::ours(&outbox, &kafka)?, Reader::debezium(bed, &outbox, &kafka).await?];
    let mut bench = Bench { outbox, consumer, runs: 0 };
    let [mut ours, mut theirs] = [Figures::default(), Figures::default()];
    let [mut relay, mut engine] = sides;
    for round in 1..=rounds {
        for (reader, figures) in [(&mut relay, &mut ours), (&mut engine, &mut theirs)] {
            bench.keep_pace(reader, figures).await.with_context(|| format!("{} at a steady pace", reader.name))?;
            bench.backlog(reader, figures).await.with_context(|| format!("{} with a backlog", reader.name))?;
            problem(format_args!("round {round}: {}", figures.last(reader.name)));
        }
    }
    conclude(&mut report, ours, theirs);
    Ok(report)
}

fn conclude(report: &mut Report, ours: Figures, theirs: Figures) {
    let series = |figures: Figures, name: &str| {
        [
            Series::new(format!("{name}, backlog"), "events/s", figures.rates),
            Series::new(format!("{name}, commit to consumer, p50"), "ms", figures.p50),
            Series::new(format!("{name}, commit to consumer, p99"), "ms", figures.p99),
            Series::new(format!("{name}, intended start to consumer, p99"), "ms", figures.intended_p99),
            Series::new(format!("{name}, backlog, CPU of the process"), "s/1,000 events", figures.backlog_cpu),
            Series::new(format!("{name}, {PACE} events/s, CPU of the process"), "s/1,000 events", figures.pace_cpu),
        ]
    };
    let (ours, theirs) = (series(ours, "relay"), series(theirs, "Debezium"));
    let ratio = |figure: usize| ours[figure].ratio_to(&theirs[figure]);
    report.claims = vec![
        Claim::new(format!("commit to consumer at {PACE} events/s, p50, ms"), ours[1].median, Target::AtMost(5.0)),
        Claim::new(format!("commit to consumer at {PACE} events/s, p99, ms"), ours[2].median, Target::AtMost(25.0)),
        Claim::new("backlog, events/s", ours[0].median, Target::AtLeast(20_000.0)),
        Claim::new("backlog rate / Debezium's", ratio(0), Target::AtLeast(3.0)),
        Claim::new("commit to consumer, p50 / Debezium's", ratio(1), Target::AtMost(1.0 / 3.0)),
    ];
    report.series = ours.into_iter().zip(theirs).flat_map(|(ours, theirs)| [ours, theirs]).collect();
    report.conditions = vec![
        format!(
            "pace: {PACE} transactions/s of one event, open loop, {} s counted after {} s of warming; from the moment COMMIT has returned to the \
             moment the consumer has the event, one process and one clock",
            COUNTED / PACE,
            WARM / PACE
        ),
        format!(
            "backlog: {BACKLOG} events in transactions of {PER_TRANSACTION}, committed before the reader starts; the rate is the consumer's, \
             without the first fifth"
        ),
        format!("payloads of {} bytes; fsync on; one broker, six partitions, acks=all, idempotent producers, no compression", outbox::PAYLOAD),
        "Debezium engine 3.6.1.Final in one warm JVM with 512 MB of heap; the same headers; a position is confirmed after Kafka's acknowledgement"
            .to_owned(),
    ];
}

/// What both sides share.
struct Bench {
    outbox: Outbox,
    consumer: Consumer,
    runs: u32,
}

impl Bench {
    /// A number for the events of one part, so that nothing of another is counted.
    fn next_run(&mut self, events: u32) -> u32 {
        self.runs += 1;
        self.consumer.expect(self.runs, events);
        self.runs
    }

    async fn keep_pace(&mut self, reader: &mut Reader, figures: &mut Figures) -> Result<()> {
        for _ in 0..TRIES {
            let late = self.pace(reader, figures).await?;
            if late < LATE {
                return Ok(());
            }
            problem(format_args!("void, and done again: the writer was {late:.0?} behind its pace (99th percentile)"));
            figures.forget_pace();
        }
        bail!("the writer does not keep its pace on this machine")
    }

    /// How late the writer was, at the 99th percentile.
    async fn pace(&mut self, reader: &mut Reader, figures: &mut Figures) -> Result<Duration> {
        self.outbox.empty(reader.slot).await?;
        reader.start().await?;
        let first = self.next_run(1);
        self.outbox.append(first, 0).await?;
        self.consumer.all(PATIENCE).await.context("the first event")?;

        let run = self.next_run(WARM + COUNTED);
        let used = reader.cpu_seconds()?;
        let written = writer::write(&self.outbox, run, PACE, WARM + COUNTED).await?;
        let seen = self.consumer.all(PATIENCE).await?;
        figures.pace_cpu.push((reader.cpu_seconds()? - used) / f64::from(WARM + COUNTED) * 1e3);
        reader.stop().await?;

        let [mut latencies, mut intended, mut late] = <[Latencies; 3]>::default();
        for (written, seen) in written.iter().zip(&seen).skip(WARM as usize) {
            late.extend([written.started.duration_since(written.intended)]);
            latencies.extend([seen.saturating_duration_since(written.committed)]);
            intended.extend([seen.duration_since(written.intended)]);
        }
        figures.p50.push(latencies.ms(0.5));
        figures.p99.push(latencies.ms(0.99));
        figures.intended_p99.push(intended.ms(0.99));
        Ok(Duration::from_secs_f64(late.ms(0.99) / 1e3))
    }

    async fn backlog(&mut self, reader: &mut Reader, figures: &mut Figures) -> Result<()> {
        self.outbox.empty(reader.slot).await?;
        let run = self.next_run(BACKLOG);
        self.outbox.fill(run, BACKLOG, PER_TRANSACTION).await?;
        let used = reader.cpu_seconds()?;
        reader.start().await?;
        let mut seen = self.consumer.all(PATIENCE).await?;
        figures.backlog_cpu.push((reader.cpu_seconds()? - used) / f64::from(BACKLOG) * 1e3);
        reader.stop().await?;
        seen.sort_unstable();
        figures.rates.push(rate(&seen[seen.len() / 5..]));
        Ok(())
    }
}

/// Events a second after the first.
#[expect(clippy::cast_precision_loss, reason = "a count of events in memory")]
fn rate(seen: &[Instant]) -> f64 {
    match seen {
        [first, .., last] => (seen.len() - 1) as f64 / last.duration_since(*first).as_secs_f64(),
        _ => f64::NAN,
    }
}

impl Figures {
    fn forget_pace(&mut self) {
        for figures in [&mut self.p50, &mut self.p99, &mut self.intended_p99, &mut self.pace_cpu] {
            figures.pop();
        }
    }

    fn last(&self, name: &str) -> String {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        format!(
            "{name}: {:.0} events/s, p50 {:.2} ms, p99 {:.2} ms, from the intended start {:.2} ms; CPU seconds per 1,000 events {:.3}, at the pace {:.3}",
            last(&self.rates),
            last(&self.p50),
            last(&self.p99),
            last(&self.intended_p99),
            last(&self.backlog_cpu),
            last(&self.pace_cpu)
        )
    }
}
