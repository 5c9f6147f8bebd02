//! `backbone link`: what lies between the sites, and setting it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use link::{Bandwidth, Change, Loss, MAX_LATENCY, Site};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    home::Home,
    output::{line, table},
    state::{PartEntry, State},
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done with the links.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show each direction of each protocol: what it is like, and what it carried.
    List,
    /// Change what lies between two sites; what is not named stays as it is. It is kept, also over a kill.
    ///
    /// Both directions are changed, and --latency is the round trip: half of it is spent each way. With --one-way only the direction from
    /// the first site to the second is changed, and --latency is what that direction takes by itself.
    #[command(after_help = "Examples:\n  backbone link set eu us --latency 150ms               # 75 ms there, 75 ms back\n  \
                      backbone link set eu us --partition                   # nothing crosses, nothing is reset\n  \
                      backbone link set eu us --heal                        # what was held crosses now\n  \
                      backbone link set eu us --partition --one-way         # us is heard in eu, eu is not heard in us\n  \
                      backbone link set eu us --latency 100ms --one-way     # 100 ms from eu to us; the way back as it was\n  \
                      backbone link set eu us --jitter 10ms --loss 1% --bandwidth 10MB/s\n  \
                      backbone link set eu us --protocol kafka --partition  # only what is spoken to Kafka")]
    Set(Box<Wish>),
    /// Forget all that was set: every link is as `up --link-latency` says.
    Reset,
}

/// What to set, and where.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Wish {
    /// A site: eu, us or witness.
    from: Site,
    /// Another site.
    to: Site,
    /// How long there and back takes; with --one-way, how long this direction takes.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, group = "change")]
    latency: Option<Duration>,
    /// Up to how much longer it takes now and then, each way.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, group = "change")]
    jitter: Option<Duration>,
    /// How many packets are lost each way, as in 1%. TCP sends them again; the connection stalls meanwhile.
    #[arg(long, value_name = "RATE", group = "change")]
    loss: Option<Loss>,
    /// How much fits through each way, as in 10MB/s, 512KiB/s, 100Mbit/s or unlimited; all connections share it.
    #[arg(long, value_name = "RATE", group = "change")]
    bandwidth: Option<Bandwidth>,
    /// Let nothing through: connections hang, nothing is reset.
    #[arg(long, group = "change", conflicts_with = "heal")]
    partition: bool,
    /// End a partition.
    #[arg(long, group = "change")]
    heal: bool,
    /// Change only the direction from the first site to the second.
    #[arg(long)]
    one_way: bool,
    /// Change only this protocol: postgres, kafka, nats, cart, region, coordinator (its clients) or raft (its sites).
    #[arg(long)]
    protocol: Option<String>,
}

impl Wish {
    /// As the links' API has it.
    fn body(&self) -> Result<Value> {
        let Self { from, to, one_way, protocol, .. } = self;
        if from == to {
            bail!("there is no link from {from} to itself: name two sites");
        }
        let change = Change {
            latency_us: self.latency.map(|latency| micros("latency", if *one_way { latency } else { latency / 2 })).transpose()?,
            jitter_us: self.jitter.map(|jitter| micros("jitter", jitter)).transpose()?,
            loss: self.loss,
            bandwidth: self.bandwidth,
            partitioned: (self.partition || self.heal).then_some(self.partition),
        };
        Ok(json!({ "from": from, "to": to, "one_way": one_way, "protocol": protocol, "change": change }))
    }
}

fn micros(what: &str, duration: Duration) -> Result<u64> {
    if duration > MAX_LATENCY {
        bail!("a {what} is at most {} each way", humantime::format_duration(MAX_LATENCY));
    }
    Ok(u64::try_from(duration.as_micros())?)
}

/// Does it, and prints what the links are like then.
///
/// # Errors
/// When the market is not up or the links refuse.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let answer = match action {
        Action::List => send(home, Method::GET, "/links", None).await?,
        Action::Set(wish) => send(home, Method::PATCH, "/shapes", Some(&wish.body()?)).await?,
        Action::Reset => send(home, Method::DELETE, "/shapes", None).await?,
    };
    line(if json { serde_json::to_string_pretty(&answer)? } else { shown(&answer)? });
    Ok(Exit::Ok)
}

async fn send(home: &Home, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let folder = home.path().display();
    let parts = State::read(home).with_context(|| format!("nothing runs in {folder}: `backbone up --detach` starts it"))?.parts;
    let part = parts
        .iter()
        .find(|part| part.name == "links")
        .context("there are no links among what runs: an `--engines-only` market has none")?;
    if part.living().is_none() {
        bail!("the links in {folder} do not run now: `backbone status` shows what does, `backbone up --detach` starts all of it");
    }
    ask(part, method, path, body).await
}

async fn ask(part: &PartEntry, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let address = format!("http://127.0.0.1:{}{path}", part.port);
    let mut request = Client::builder().no_proxy().timeout(TIMEOUT).build()?.request(method, &address);
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await.with_context(|| format!("ask the links at {address}"))?;
    let (status, answer) = (response.status(), response.json::<Value>().await?);
    if !status.is_success() {
        bail!("{}", answer["detail"].as_str().map_or_else(|| format!("the links say {status}"), str::to_owned));
    }
    Ok(answer)
}

/// A line for each direction of each protocol.
fn shown(answer: &Value) -> Result<String> {
    let (flows, links) = (list(answer, "flows")?, list(answer, "links")?);
    let head = ["FROM", "TO", "PROTOCOL", "LATENCY", "JITTER", "LOSS", "BANDWIDTH", "STATE", "DIALLED", "CARRIED", "HELD"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for flow in flows {
        let text = |field: &str| flow[field].as_str().unwrap_or_default().to_owned();
        let time = |field: &str| humantime::format_duration(Duration::from_micros(flow[field].as_u64().unwrap_or_default())).to_string();
        let is_same = |link: &&Value| ["from", "to", "protocol"].iter().all(|field| link[field] == flow[field]);
        let dialled: u64 = links.iter().filter(is_same).filter_map(|link| link["connections"].as_u64()).sum();
        let state = if flow["partitioned"] == true { "partitioned" } else { "open" };
        let loss = flow["loss"].as_f64().and_then(|part| Loss::try_from(part).ok()).unwrap_or_default();
        rows.push(vec![
            text("from"),
            text("to"),
            text("protocol"),
            time("latency_us"),
            time("jitter_us"),
            loss.to_string(),
            text("bandwidth"),
            state.to_owned(),
            dialled.to_string(),
            bytes(flow["bytes"].as_u64().unwrap_or_default()),
            bytes(flow["held_bytes"].as_u64().unwrap_or_default()),
        ]);
    }
    Ok(table(&rows))
}

fn list<'a>(answer: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    answer[name].as_array().with_context(|| format!("the links list no {name}"))
}

/// `317 B`, `24 kB`, `3 MB`.
fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", count / 1_000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        action: Action,
    }

    fn body(arguments: &str) -> Result<Value> {
        let line = Line::try_parse_from(["link", "set"].into_iter().chain(arguments.split_whitespace()))?;
        let Action::Set(wish) = line.action else { panic!("it is set") };
        wish.body()
    }

    #[test]
    fn a_latency_is_a_round_trip_unless_it_is_one_way() {
        assert_eq!(
            body("eu us --latency 40ms").unwrap(),
            json!({ "from": "eu", "to": "us", "one_way": false, "protocol": null, "change": { "latency_us": 20_000 } })
        );
        assert_eq!(
            body("us eu --latency 40ms --one-way --protocol nats").unwrap(),
            json!({ "from": "us", "to": "eu", "one_way": true, "protocol": "nats", "change": { "latency_us": 40_000 } })
        );
    }

    #[test]
    fn what_is_said_is_set_and_nothing_else() {
        let change = |arguments| body(arguments).unwrap()["change"].clone();
        assert_eq!(change("eu us --partition"), json!({ "partitioned": true }));
        assert_eq!(change("eu us --heal --loss 1%"), json!({ "partitioned": false, "loss": 0.01 }));
        assert_eq!(change("eu us --jitter 5ms --bandwidth 10MB/s"), json!({ "jitter_us": 5_000, "bandwidth": "10MB/s" }));
        for wrong in [
            "",
            "eu",
            "eu us",
            "eu us --one-way",
            "eu mars --heal",
            "eu eu --heal",
            "eu us --partition --heal",
            "eu us --loss 101%",
            "eu us --loss many",
            "eu us --bandwidth 10",
            "eu us --latency soon",
            "eu us --latency 3m",
            "eu us --jitter 61s",
            "eu us --protocol nats",
        ] {
            assert!(body(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_direction_has_a_line() {
        let answer = json!({
            "flows": [{ "from": "eu", "to": "us", "protocol": "cart", "latency_us": 20_500, "jitter_us": 0, "loss": 0.01, "bandwidth": "unlimited",
                        "partitioned": true, "bytes": 1_700, "held_bytes": 12 }],
            "links": [{ "from": "eu", "to": "us", "protocol": "cart", "connections": 2 }, { "from": "us", "to": "eu", "protocol": "cart", "connections": 9 }],
        });
        let text = shown(&answer).unwrap();
        let cells: Vec<_> = text.lines().last().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["eu", "us", "cart", "20ms 500us", "0s", "1%", "unlimited", "partitioned", "2", "1 kB", "12 B"]);
    }
}
