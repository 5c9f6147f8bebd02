//! The outbox relay against Debezium's engine: the same rows, the same slot plug-in, the same topic, the same consumer.
//!
//! ```text
//! writer ──> outbox ──> WAL ──> slot ──> relay | engine, a process each ──> Kafka ──> one consumer, in the writer's process
//! ```
//! Each round and side has two parts. Pace: events are committed one by one at a steady rate, and each is timed from its commit to the
//! consumer. Backlog: events are committed while nobody reads the slot, then the reader starts and the ends of Kafka's logs give its rate;
//! the consumer reads them afterwards and sees to it that all are there, each key's in order.

mod consumer;
mod debezium;
mod outbox;
mod reader;
mod serve;
mod writer;

use std::time::{Duration, Instant};

use ::spine::inspect::Ends;
use anyhow::{Context as _, Result, bail, ensure};
use ids::Region;

pub use self::serve::serve;
use self::{consumer::Consumer, debezium::Router, outbox::Outbox, reader::Reader};
use super::{
    bed::Bed,
    measure::{Cpu, Latencies},
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

const REGION: Region = Region::Eu;
/// Events a second of the first part.
const PACE: u32 = 1_000;
/// What of it counts, and what goes before so that both are warm.
const COUNTED: u32 = 10 * PACE;
const WARM: u32 = 3 * PACE;
/// Events of the second part.
const BACKLOG: u32 = 250_000;
/// Events of one transaction of the backlog.
const PER_TRANSACTION: u32 = 10;
/// How often the topic's ends are looked at. The first fifth of the events and what comes after the last look before the end do not count.
const LOOK: Duration = Duration::from_millis(100);
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
    engines_cpu: Vec<f64>,
    pace_cpu: Vec<f64>,
}

/// Measures.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let mut report = Report::new("spine", "How soon after its commit is an event with its consumer, and how fast does a backlog go out?");
    let outbox = Outbox::make(bed, REGION).await?;
    let kafka = format!("127.0.0.1:{}", bed.ports.kafka(REGION, 1).0);
    let ends = Ends::of(kafka.clone(), outbox::TOPIC).await?;
    let mut sides = vec![(Reader::ours(&outbox, &kafka)?, Figures::default())];
    for router in [Router::OutboxEvents, Router::ByHand] {
        sides.push((Reader::debezium(bed, router, &outbox, &kafka).await?, Figures::default()));
    }
    let engines = ["postgres", "kafka"].map(|engine| format!("{REGION}/{engine}"));
    let engines = bed.processes().into_iter().filter(|(name, _)| engines.contains(name)).collect();
    let mut bench = Bench { outbox, kafka, ends, engines, runs: 0 };
    for round in 1..=rounds {
        for (reader, figures) in &mut sides {
            bench.keep_pace(reader, figures).await.with_context(|| format!("{} at a steady pace", reader.name))?;
            bench.backlog(reader, figures).await.with_context(|| format!("{} with a backlog", reader.name))?;
            problem(format_args!("round {round}: {}", figures.last(reader.name)));
        }
    }
    conclude(&mut report, sides.into_iter().map(|(reader, figures)| (reader.name, figures)));
    Ok(report)
}

fn conclude(report: &mut Report, sides: impl Iterator<Item = (&'static str, Figures)>) {
    let series = |(name, figures): (&str, Figures)| {
        [
            Series::new(format!("{name}, backlog"), "events/s", figures.rates),
            Series::new(format!("{name}, commit to consumer, p50"), "ms", figures.p50),
            Series::new(format!("{name}, commit to consumer, p99"), "ms", figures.p99),
            Series::new(format!("{name}, intended start to consumer, p99"), "ms", figures.intended_p99),
            Series::new(format!("{name}, backlog, CPU of the process"), "ms/1,000 events", figures.backlog_cpu),
            Series::new(format!("{name}, {PACE} events/s, CPU of the process"), "ms/1,000 events", figures.pace_cpu),
            Series::new(format!("{name}, backlog, CPU of PostgreSQL and Kafka"), "ms/1,000 events", figures.engines_cpu),
        ]
    };
    let sides: Vec<_> = sides.map(series).collect();
    let ours = &sides[0];
    let ratio = |figure: usize, rival: usize| ours[figure].ratio_to(&sides[rival][figure]);
    report.claims = vec![
        Claim::new(format!("commit to consumer at {PACE} events/s, p50, ms"), ours[1].median, Target::AtMost(5.0)),
        Claim::new(format!("commit to consumer at {PACE} events/s, p99, ms"), ours[2].median, Target::AtMost(25.0)),
        Claim::new("backlog, events/s", ours[0].median, Target::AtLeast(20_000.0)),
        Claim::new("backlog rate / Debezium's", ratio(0, 1), Target::AtLeast(3.0)),
        Claim::new("backlog, CPU / Debezium's", ratio(4, 1), Target::AtMost(1.0 / 3.0)),
        Claim::new("commit to consumer, p50 / Debezium's", ratio(1, 1), Target::AtMost(1.0 / 3.0)),
    ];
    report.conditions.push(format!(
        "against Debezium routed by hand: {:.2} times its backlog rate, {:.2} of its p50, {:.2} and {:.2} of its CPU (backlog, pace)",
        ratio(0, 2),
        ratio(1, 2),
        ratio(4, 2),
        ratio(5, 2)
    ));
    report.series = (0..ours.len()).flat_map(|figure| sides.iter().map(move |side| side[figure].clone())).collect();
    report.conditions.extend([
        format!(
            "pace: {PACE} transactions/s of one event, open loop, {} s counted after {} s of warming; from the moment COMMIT has returned to the \
             moment the consumer has the event, one process and one clock",
            COUNTED / PACE,
            WARM / PACE
        ),
        format!(
            "backlog: {BACKLOG} events in transactions of {PER_TRANSACTION}, committed before the reader starts; the rate is that of Kafka's log ends, \
             without the first fifth; no consumer reads meanwhile, then one finds all of them there, each key's in order"
        ),
        format!("payloads of {} bytes; fsync on; one broker, six partitions, acks=all, idempotent producers, no compression", outbox::PAYLOAD),
        "Debezium engine 3.6.1.Final in one warm JVM with 512 MB of heap; the same headers; a position is confirmed after Kafka's acknowledgement"
            .to_owned(),
        "Debezium with its Outbox Event Router, as its manual says for an outbox; routed by hand: the same without it".to_owned(),
    ]);
}

/// What both sides share.
struct Bench {
    outbox: Outbox,
    kafka: String,
    ends: Ends,
    /// PostgreSQL and Kafka.
    engines: Vec<(String, u32)>,
    runs: u32,
}

impl Bench {
    /// A number for the events of one part, so that nothing of another is counted.
    fn next_run(&mut self) -> u32 {
        self.runs += 1;
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
        let first = self.next_run();
        let consumer = Consumer::open(&self.kafka, self.ends.look().await?, first, 1).await?;
        reader.start().await?;
        self.outbox.append(first, 0).await?;
        consumer.all(PATIENCE).await.context("the first event")?;

        let run = self.next_run();
        consumer.expect(run, WARM + COUNTED);
        let used = reader.cpu_seconds()?;
        let written = writer::write(&self.outbox, run, PACE, WARM + COUNTED).await?;
        let seen = consumer.all(PATIENCE).await?;
        figures.pace_cpu.push((reader.cpu_seconds()? - used) / f64::from(WARM + COUNTED) * 1e6);
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
        let run = self.next_run();
        self.outbox.fill(run, BACKLOG, PER_TRANSACTION).await?;
        let (before, used, by_engines) = (self.ends.look().await?, reader.cpu_seconds()?, Cpu::of(&self.engines));
        reader.start().await?;
        figures.rates.push(self.drain(before.values().sum()).await?);
        figures.backlog_cpu.push((reader.cpu_seconds()? - used) / f64::from(BACKLOG) * 1e6);
        let by_engines: f64 = Cpu::of(&self.engines).since(&by_engines).iter().map(|(_, seconds)| seconds).sum();
        figures.engines_cpu.push(by_engines / f64::from(BACKLOG) * 1e6);
        reader.stop().await?;
        Consumer::open(&self.kafka, before, run, BACKLOG).await?.all(PATIENCE).await?;
        Ok(())
    }

    /// Waits until the backlog is in the topic, which ended at `before`; events a second.
    async fn drain(&self, before: i64) -> Result<f64> {
        let (end, mut looks) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let come = self.ends.look().await?.values().sum::<i64>() - before;
            let come = u32::try_from(come).context("a topic grows")?;
            if come >= BACKLOG {
                break;
            }
            ensure!(Instant::now() < end, "{come} of {BACKLOG} events have come in {PATIENCE:.0?}");
            if come >= BACKLOG / 5 {
                looks.push((Instant::now(), come));
            }
            tokio::time::sleep(LOOK).await;
        }
        let [(first, few), .., (last, many)] = looks[..] else { bail!("{BACKLOG} events are too few to see how fast they come") };
        Ok(f64::from(many - few) / last.duration_since(first).as_secs_f64())
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
            "{name}: {:.0} events/s, p50 {:.2} ms, p99 {:.2} ms, from the intended start {:.2} ms; CPU ms per 1,000 events {:.1}, at the pace {:.1}",
            last(&self.rates),
            last(&self.p50),
            last(&self.p99),
            last(&self.intended_p99),
            last(&self.backlog_cpu),
            last(&self.pace_cpu)
        )
    }
}
