//! `backbone psp`: how the payment provider behaves, what it lists, and what its bank does.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::{Client, Method};
use serde_json::{Map, Value, json};

use crate::{
    exit::Exit,
    home::Home,
    output::{line, table},
    state::State,
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done with the provider.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show how it behaves.
    Show,
    /// Change how it behaves; what is not named stays as it is. It is kept, also over a kill.
    #[command(after_help = "Examples:\n  backbone psp set --latency 200ms --decline 5% --timeout-after 2% --duplicate-webhooks 20%\n  \
                      backbone psp set --latency 50ms..2s --webhook-delay 0s..30s   # from .. to\n  \
                      backbone psp set --down                 # refuse everything\n  \
                      backbone psp set --down=hang            # take everything, answer nothing\n  \
                      backbone psp set --up --seed 7          # other accidents, as many\n  \
                      backbone psp set --authorization-ttl 1m # authorizations end soon")]
    Set(Box<Changes>),
    /// Let it behave well again.
    Reset,
    /// List charges, newest first, or those of one order.
    #[command(after_help = "Examples:\n  backbone psp charges\n  backbone psp charges --order 01a1fe0a-… --json | jq .charges")]
    Charges {
        /// Only this order's.
        #[arg(long)]
        order: Option<String>,
        /// How many at most.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// The shopper's bank takes back what is left of a captured charge.
    #[command(after_help = "Example:\n  backbone psp chargeback ch_0193a0b0…")]
    Chargeback {
        /// Id of the charge.
        charge: String,
    },
}

/// How down the provider is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Down {
    /// It refuses everything at once.
    Unavailable,
    /// It takes everything and never answers.
    Hang,
}

/// What to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// How long an answer takes: a time, or two as in 50ms..2s.
    #[arg(long, value_name = "TIME", value_parser = span)]
    latency: Option<Span>,
    /// How many good cards are declined, as in 5%.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    decline: Option<f64>,
    /// How many good cards ask the shopper first.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    step_up: Option<f64>,
    /// How long a shopper takes to approve.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    step_up_delay: Option<Duration>,
    /// How many changes are not made and never answered.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    timeout_before: Option<f64>,
    /// How many changes are made and never answered.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    timeout_after: Option<f64>,
    /// How many changes are made, and the connection breaks under the answer.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    cut_after: Option<f64>,
    /// How long webhooks are held back: a time, or two, so that later ones overtake earlier ones.
    #[arg(long, value_name = "TIME", value_parser = span)]
    webhook_delay: Option<Span>,
    /// How many webhooks come again although they were taken.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    duplicate_webhooks: Option<f64>,
    /// When an authorization that is neither captured nor voided ends.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    authorization_ttl: Option<Duration>,
    /// Accidents are drawn from it: the same seed and keys, the same accidents.
    #[arg(long)]
    seed: Option<u64>,
    /// Be down; unavailable when not said how.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "unavailable", conflicts_with = "up")]
    down: Option<Down>,
    /// Be there again.
    #[arg(long)]
    up: bool,
}

/// From a time to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    min: Duration,
    max: Duration,
}

fn span(text: &str) -> Result<Span, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let parse = |text| humantime::parse_duration(text).map_err(|error| error.to_string());
    let span = Span { min: parse(min)?, max: parse(max)? };
    if span.min <= span.max { Ok(span) } else { Err("from a time to a longer one, as in 50ms..2s".to_owned()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let rate = number.trim().parse::<f64>().map_err(|error| error.to_string())? / whole;
    if (0.0..=1.0).contains(&rate) { Ok(rate) } else { Err("0% to 100%".to_owned()) }
}

fn millis(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Changes {
    /// As the provider's API has them.
    fn fields(&self) -> Map<String, Value> {
        let down = self.down.map(|down| match down {
            Down::Unavailable => "unavailable",
            Down::Hang => "hang",
        });
        let fields = [
            ("latency_min_ms", self.latency.map(|span| millis(span.min))),
            ("latency_max_ms", self.latency.map(|span| millis(span.max))),
            ("decline_rate", self.decline.map(Value::from)),
            ("step_up_rate", self.step_up.map(Value::from)),
            ("step_up_delay_ms", self.step_up_delay.map(millis)),
            ("timeout_before_rate", self.timeout_before.map(Value::from)),
            ("timeout_after_rate", self.timeout_after.map(Value::from)),
            ("cut_after_rate", self.cut_after.map(Value::from)),
            ("webhook_delay_min_ms", self.webhook_delay.map(|span| millis(span.min))),
            ("webhook_delay_max_ms", self.webhook_delay.map(|span| millis(span.max))),
            ("duplicate_webhook_rate", self.duplicate_webhooks.map(Value::from)),
            ("authorization_ttl_ms", self.authorization_ttl.map(millis)),
            ("seed", self.seed.map(Value::from)),
            ("down", down.or_else(|| self.up.then_some("no")).map(Value::from)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Does it, and prints what the provider answers.
///
/// # Errors
/// When the provider cannot be reached or refuses.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let provider = Provider::of(home)?;
    let answer = match &action {
        Action::Show => provider.send(Method::GET, "/v1/behavior", &[], None).await?,
        Action::Set(changes) => provider.send(Method::PATCH, "/v1/behavior", &[], Some(&Value::Object(changes.fields()))).await?,
        Action::Reset => provider.send(Method::DELETE, "/v1/behavior", &[], None).await?,
        Action::Charges { order, limit } => {
            let mut query = vec![("page_size", limit.to_string())];
            query.extend(order.clone().map(|order| ("order_id", order)));
            provider.send(Method::GET, "/v1/charges", &query, None).await?
        }
        Action::Chargeback { charge } => provider.send(Method::POST, &format!("/v1/charges/{charge}/chargeback"), &[], None).await?,
    };
    if json {
        line(serde_json::to_string_pretty(&answer)?);
        return Ok(Exit::Ok);
    }
    match action {
        Action::Show | Action::Set(_) | Action::Reset => line(behavior(&answer)?),
        Action::Charges { .. } => line(charges(answer["charges"].as_array().context("the provider lists no charges")?)),
        Action::Chargeback { charge } => {
            let back = &answer["chargeback"];
            line(format_args!("{charge} is charged back: {} {}", back["amount_minor"], answer["currency"].as_str().unwrap_or_default()));
        }
    }
    Ok(Exit::Ok)
}

struct Provider {
    http: Client,
    address: String,
}

impl Provider {
    fn of(home: &Home) -> Result<Self> {
        let state = State::read(home).with_context(|| format!("nothing has ever run in {}", home.path().display()))?;
        let part = state.parts.iter().find(|part| part.name == "psp").context("there is no payment provider among what runs")?;
        let http = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { http, address: format!("http://127.0.0.1:{}", part.port) })
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<&Value>) -> Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.address))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("ask the payment provider at {}", self.address))?;
        let (status, answer) = (response.status(), response.json::<Value>().await?);
        if !status.is_success() {
            bail!("the payment provider says {status}: {}", answer["detail"].as_str().unwrap_or_default());
        }
        Ok(answer)
    }
}

/// One line for each thing that can be set.
fn behavior(answer: &Value) -> Result<String> {
    let fields: BTreeMap<String, Value> = serde_json::from_value(answer.clone())?;
    let rows: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| {
            let shown = match (name.strip_suffix("_rate"), name.strip_suffix("_ms"), &value) {
                (Some(_), ..) => format!("{} %", value.as_f64().unwrap_or_default() * 100.0),
                (_, Some(_), value) => humantime::format_duration(Duration::from_millis(value.as_u64().unwrap_or_default())).to_string(),
                (.., Value::String(word)) => word.clone(),
                (.., value) => value.to_string(),
            };
            let name = name.trim_end_matches("_rate").trim_end_matches("_ms").replace('_', " ");
            vec![name, shown]
        })
        .collect();
    Ok(table(&rows))
}

fn charges(charges: &[Value]) -> String {
    let head = ["CHARGE", "ORDER", "ACCOUNT", "STATE", "AMOUNT", "REFUNDED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(charges.iter().map(|charge| {
        let text = |field: &str| charge[field].as_str().unwrap_or("-").to_owned();
        let amount = |field: &str| format!("{} {}", charge[field], charge["currency"].as_str().unwrap_or_default());
        vec![text("id"), text("order_id"), text("account"), text("state"), amount("amount_minor"), amount("refunded_minor")]
    }));
    table(&rows)
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

    fn fields(arguments: &str) -> Result<Value, clap::Error> {
        let line = Line::try_parse_from(["psp", "set"].into_iter().chain(arguments.split_whitespace()))?;
        let Action::Set(changes) = line.action else { panic!("it is set") };
        Ok(Value::Object(changes.fields()))
    }

    #[test]
    fn what_is_said_is_set_and_nothing_else() {
        assert_eq!(fields("--decline 5%").unwrap(), json!({ "decline_rate": 0.05 }));
        assert_eq!(fields("--latency 200ms").unwrap(), json!({ "latency_min_ms": 200, "latency_max_ms": 200 }));
        assert_eq!(
            fields("--webhook-delay 0s..30s --duplicate-webhooks 0.2").unwrap(),
            json!({ "webhook_delay_min_ms": 0, "webhook_delay_max_ms": 30_000, "duplicate_webhook_rate": 0.2 })
        );
        assert_eq!(fields("--down").unwrap(), json!({ "down": "unavailable" }));
        assert_eq!(fields("--down=hang --seed 7").unwrap(), json!({ "down": "hang", "seed": 7 }));
        assert_eq!(fields("--up").unwrap(), json!({ "down": "no" }));
        for wrong in ["", "--up --down", "--decline 101%", "--decline many", "--latency 2s..1s", "--latency soon", "--down=often"] {
            assert!(fields(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_provider_says_is_shown_in_words() {
        let answer = json!({ "down": "no", "decline_rate": 0.05, "latency_max_ms": 1500, "seed": 3 });
        assert_eq!(behavior(&answer).unwrap(), "decline      5 %\ndown         no\nlatency max  1s 500ms\nseed         3");
    }
}
