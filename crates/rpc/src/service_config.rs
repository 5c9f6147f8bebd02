//! How a service is to be called, as data: gRPC's service config, and under `backbone` what that has no word for.
//!
//! ```json
//! {
//!   "methodConfig": [
//!     { "name": [{ "service": "order.v1.OrderService" }], "timeout": "5s",
//!       "retryPolicy": { "maxAttempts": 3, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"] } },
//!     { "name": [{ "service": "order.v1.OrderService", "method": "GetOrder" }], "hedgingPolicy": { "maxAttempts": 2 } }
//!   ],
//!   "retryThrottling": { "maxTokens": 20, "tokenRatio": 0.1 },
//!   "backbone": { "bulkhead": 512, "breaker": { "share": 0.5 }, "outliers": { "consecutive": 5 } }
//! }
//! ```
//! Of the entries that fit a method the most exact one counts, as in gRPC. Without one, calls have 5 s, and those that may be repeated are, when the service
//! cannot be reached.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use proto::IdempotencyLevel;
use resilience::{Backoff, Breaking, Budgeting, Ejecting, Hedging};
use serde::Deserialize;
use tonic::Code;

use crate::methods;

/// Longer configs are refused.
pub const LONGEST: usize = 256 << 10;
/// As in gRPC: more tries are not made.
const MOST_ATTEMPTS: u32 = 5;
/// Longer ones are mistakes.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Why a config is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

/// How the methods of a service are called.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// By path: every method of the contract.
    policies: HashMap<&'static str, Policy>,
    /// Of all retries to the service together.
    pub budgeting: Budgeting,
    /// Of the service.
    pub breaking: Breaking,
    /// Of its endpoints.
    pub ejecting: Ejecting,
    /// Most calls under way at once.
    pub bulkhead: u32,
}

/// How one method is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Longest time for all tries together.
    pub timeout: Duration,
    /// Which calls that failed are made again.
    pub retries: Retries,
    /// Which reads are asked for twice.
    pub hedging: Option<Hedging>,
}

/// When a call is made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retries {
    /// With the first one.
    pub attempts: u32,
    /// Between two.
    pub backoff: Backoff,
    /// What must have happened.
    pub codes: Vec<Code>,
}

impl Default for Policy {
    fn default() -> Self {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1), multiplier: 2.0 };
        let retries = Retries { attempts: 3, backoff, codes: vec![Code::Unavailable] };
        Self { timeout: Duration::from_secs(5), retries, hedging: Some(Hedging::default()) }
    }
}

impl Default for ServiceConfig {
    fn default() -> Self {
        // A service that is started again is back within a second or two, and a probe of a neighbour costs nothing.
        let breaking = Breaking { pause: Duration::from_millis(250), longest_pause: Duration::from_secs(2), ..Breaking::default() };
        Self {
            policies: policies(&BTreeMap::new()),
            budgeting: Budgeting::default(),
            breaking,
            ejecting: Ejecting::default(),
            bulkhead: 1_024,
        }
    }
}

impl ServiceConfig {
    /// Reads and checks one.
    ///
    /// # Errors
    /// With the place and the reason, when it is none, names what the contract does not have, or sets what makes no sense.
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        if json.len() > LONGEST {
            return Err(Invalid(format!("it has {} bytes, more than {LONGEST}", json.len())));
        }
        let written: Written = serde_json::from_str(json).map_err(|error| Invalid(error.to_string()))?;
        written.checked()
    }

    /// For calls that ask whether somebody is there: each is made once, and none is held back because others failed.
    #[must_use]
    pub fn for_probes() -> Self {
        let mut config = Self::default();
        config.breaking.share = f64::INFINITY;
        config.policies.values_mut().for_each(|policy| policy.retries.attempts = 1);
        config
    }

    /// How the method at `path`, as in `/order.v1.OrderService/PlaceOrder`, is called; nothing when the contract does not have it.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<&Policy> {
        self.policies.get(path)
    }
}

/// By service and method; without a method for all of the service, without both for all.
type Entries = BTreeMap<(String, String), Policy>;

fn policies(entries: &Entries) -> HashMap<&'static str, Policy> {
    let resolve = |(path, level): (&'static str, IdempotencyLevel)| {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let places = [(service, method), (service, ""), ("", "")];
        let found = places.into_iter().find_map(|(service, method)| entries.get(&(service.to_owned(), method.to_owned())));
        let mut policy = found.cloned().unwrap_or_default();
        if level == IdempotencyLevel::IdempotencyUnknown {
            policy.retries.attempts = 1;
        }
        if level != IdempotencyLevel::NoSideEffects {
            policy.hedging = None;
        }
        (path, policy)
    };
    methods::all().map(resolve).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    method_config: Vec<MethodConfig>,
    retry_throttling: Option<Throttling>,
    #[serde(default)]
    backbone: Own,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MethodConfig {
    name: Vec<Name>,
    timeout: Option<String>,
    retry_policy: Option<RetryPolicy>,
    hedging_policy: Option<HedgingPolicy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    #[serde(default)]
    service: String,
    #[serde(default)]
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RetryPolicy {
    max_attempts: u32,
    initial_backoff: String,
    max_backoff: String,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HedgingPolicy {
    max_attempts: u32,
    /// Instead of gRPC's fixed `hedgingDelay`: the latency that this share of calls does not exceed.
    quantile: Option<f64>,
    /// At most this share of calls is hedged.
    share: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Throttling {
    max_tokens: f64,
    token_ratio: f64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Own {
    bulkhead: Option<u32>,
    #[serde(default)]
    breaker: Breaker,
    #[serde(default)]
    outliers: Outliers,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Breaker {
    share: Option<f64>,
    least: Option<u32>,
    window: Option<String>,
    pause: Option<String>,
    longest_pause: Option<String>,
    probes: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Outliers {
    consecutive: Option<u32>,
    share: Option<f64>,
    slowness: Option<f64>,
    least: Option<u32>,
    pause: Option<String>,
    longest_pause: Option<String>,
    most_out: Option<f64>,
}

impl Written {
    fn checked(self) -> Result<ServiceConfig, Invalid> {
        let mut config = ServiceConfig::default();
        let mut entries = Entries::new();
        for (number, entry) in self.method_config.into_iter().enumerate() {
            let place = format!("methodConfig[{number}]");
            let policy = entry.policy(&place)?;
            if entry.name.is_empty() {
                return Err(Invalid(format!("{place}.name is empty: it fits no method")));
            }
            for name in entry.name {
                name.check(&place)?;
                let (service, method) = (name.service, name.method);
                if entries.insert((service.clone(), method.clone()), policy.clone()).is_some() {
                    return Err(Invalid(format!("{place}.name has '{service}/{method}', which another entry has too")));
                }
            }
        }
        config.policies = policies(&entries);
        if let Some(Throttling { max_tokens, token_ratio }) = self.retry_throttling {
            within("retryThrottling.maxTokens", max_tokens, 0.0, 1_000.0)?;
            within("retryThrottling.tokenRatio", token_ratio, 0.0, 1_000.0)?;
            config.budgeting = Budgeting { max_tokens, token_ratio };
        }
        if let Some(bulkhead) = self.backbone.bulkhead {
            config.bulkhead = at_least_one("backbone.bulkhead", bulkhead)?;
        }
        self.backbone.breaker.apply(&mut config.breaking)?;
        self.backbone.outliers.apply(&mut config.ejecting)?;
        Ok(config)
    }
}

impl MethodConfig {
    fn policy(&self, place: &str) -> Result<Policy, Invalid> {
        let mut policy = Policy::default();
        if let Some(timeout) = &self.timeout {
            policy.timeout = duration(&format!("{place}.timeout"), timeout)?;
        }
        if self.retry_policy.is_some() && self.hedging_policy.is_some() {
            return Err(Invalid(format!("{place} has a retryPolicy and a hedgingPolicy; a method has one of them")));
        }
        if let Some(retry) = &self.retry_policy {
            policy.retries = retry.checked(&format!("{place}.retryPolicy"))?;
            policy.hedging = None;
        }
        if let Some(hedging) = &self.hedging_policy {
            policy.hedging = Some(hedging.checked(&format!("{place}.hedgingPolicy"))?);
        }
        Ok(policy)
    }
}

impl Name {
    fn check(&self, place: &str) -> Result<(), Invalid> {
        let Self { service, method } = self;
        if service.is_empty() && !method.is_empty() {
            return Err(Invalid(format!("{place}.name has method '{method}' without its service")));
        }
        let prefix = format!("/{service}/{method}");
        let is_known = methods::all().any(|(path, _)| if method.is_empty() { path.starts_with(&prefix) } else { path == prefix });
        if !service.is_empty() && !is_known {
            return Err(Invalid(format!("{place}.name: the contract has no '{service}/{method}'")));
        }
        Ok(())
    }
}

impl RetryPolicy {
    fn checked(&self, place: &str) -> Result<Retries, Invalid> {
        if self.max_attempts < 2 {
            return Err(Invalid(format!("{place}.maxAttempts is {}; it counts the first try, so it is at least 2", self.max_attempts)));
        }
        let backoff = Backoff {
            initial: duration(&format!("{place}.initialBackoff"), &self.initial_backoff)?,
            max: duration(&format!("{place}.maxBackoff"), &self.max_backoff)?,
            multiplier: within(&format!("{place}.backoffMultiplier"), self.backoff_multiplier, 0.0, 100.0)?,
        };
        let mut codes = Vec::new();
        for name in self.retryable_status_codes.iter().collect::<BTreeSet<_>>() {
            let found = CODES.iter().find(|(known, _)| known == name).map(|(_, code)| *code);
            codes.push(found.ok_or_else(|| Invalid(format!("{place}.retryableStatusCodes: '{name}' is no code that can be retried")))?);
        }
        if codes.is_empty() {
            return Err(Invalid(format!("{place}.retryableStatusCodes is empty")));
        }
        Ok(Retries { attempts: self.max_attempts.min(MOST_ATTEMPTS), backoff, codes })
    }
}

impl HedgingPolicy {
    fn checked(&self, place: &str) -> Result<Hedging, Invalid> {
        if self.max_attempts != 2 {
            return Err(Invalid(format!("{place}.maxAttempts is {}; a call is hedged once, so it is 2", self.max_attempts)));
        }
        let mut hedging = Hedging::default();
        if let Some(quantile) = self.quantile {
            hedging.quantile = within(&format!("{place}.quantile"), quantile, 0.0, 0.9999)?;
        }
        if let Some(share) = self.share {
            hedging.share = within(&format!("{place}.share"), share, 0.0, 1.0)?;
        }
        Ok(hedging)
    }
}

impl Breaker {
    fn apply(&self, breaking: &mut Breaking) -> Result<(), Invalid> {
        set(&mut breaking.share, self.share, |share| within("backbone.breaker.share", share, 0.0, 1.0))?;
        set(&mut breaking.least, self.least, |least| at_least_one("backbone.breaker.least", least))?;
        set(&mut breaking.window, self.window.as_deref(), |window| duration("backbone.breaker.window", window))?;
        set(&mut breaking.pause, self.pause.as_deref(), |pause| duration("backbone.breaker.pause", pause))?;
        set(&mut breaking.longest_pause, self.longest_pause.as_deref(), |pause| duration("backbone.breaker.longestPause", pause))?;
        set(&mut breaking.probes, self.probes, |probes| at_least_one("backbone.breaker.probes", probes))?;
        if breaking.longest_pause < breaking.pause {
            return Err(Invalid("backbone.breaker.longestPause is shorter than pause".to_owned()));
        }
        Ok(())
    }
}

impl Outliers {
    fn apply(&self, ejecting: &mut Ejecting) -> Result<(), Invalid> {
        set(&mut ejecting.consecutive, self.consecutive, |count| at_least_one("backbone.outliers.consecutive", count))?;
        set(&mut ejecting.share, self.share, |share| within("backbone.outliers.share", share, 0.0, 1.0))?;
        set(&mut ejecting.slowness, self.slowness, |times| within("backbone.outliers.slowness", times, 1.0, 1_000.0))?;
        set(&mut ejecting.least, self.least, |least| at_least_one("backbone.outliers.least", least))?;
        set(&mut ejecting.pause, self.pause.as_deref(), |pause| duration("backbone.outliers.pause", pause))?;
        set(&mut ejecting.longest_pause, self.longest_pause.as_deref(), |pause| duration("backbone.outliers.longestPause", pause))?;
        set(&mut ejecting.most_out, self.most_out, |share| within("backbone.outliers.mostOut", share, 0.0, 1.0))?;
        if ejecting.longest_pause < ejecting.pause {
            return Err(Invalid("backbone.outliers.longestPause is shorter than pause".to_owned()));
        }
        Ok(())
    }
}

/// Codes that can mean that nothing was done, or that a repeat can go better.
const CODES: [(&str, Code); 6] = [
    ("UNAVAILABLE", Code::Unavailable),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("ABORTED", Code::Aborted),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("INTERNAL", Code::Internal),
    ("UNKNOWN", Code::Unknown),
];

fn set<T, W>(place: &mut T, written: Option<W>, check: impl FnOnce(W) -> Result<T, Invalid>) -> Result<(), Invalid> {
    if let Some(written) = written {
        *place = check(written)?;
    }
    Ok(())
}

fn at_least_one(place: &str, count: u32) -> Result<u32, Invalid> {
    if count == 0 { Err(Invalid(format!("{place} is 0; it is at least 1"))) } else { Ok(count) }
}

/// Above `low` and no more than `high`.
fn within(place: &str, number: f64, low: f64, high: f64) -> Result<f64, Invalid> {
    if number > low && number <= high {
        Ok(number)
    } else {
        Err(Invalid(format!("{place} is {number}; it is above {low} and at most {high}")))
    }
}

/// As in the JSON of `google.protobuf.Duration`: seconds, with a fraction, and an `s`.
fn duration(place: &str, text: &str) -> Result<Duration, Invalid> {
    let is_plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.strip_suffix('s').filter(|digits| is_plain(digits)).and_then(|digits| digits.parse::<f64>().ok());
    let found = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match found {
        Some(duration) if !duration.is_zero() && duration <= LONGEST_TIMEOUT => Ok(duration),
        _ => Err(Invalid(format!("{place} is '{text}'; it is seconds with an s, as in 0.25s, above 0s and at most 3600s"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "/order.v1.OrderService/GetOrder";

    #[test]
    fn the_most_exact_entry_counts() {
        let config = ServiceConfig::parse(
            r#"{ "methodConfig": [
                { "name": [{}], "timeout": "4s" },
                { "name": [{ "service": "order.v1.OrderService" }], "timeout": "3s" },
                { "name": [{ "service": "order.v1.OrderService", "method": "GetOrder" }], "timeout": "0.25s", "hedgingPolicy": { "maxAttempts": 2, "quantile": 0.9 } }
            ], "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.5 }, "backbone": { "bulkhead": 7, "breaker": { "pause": "0.5s" } } }"#,
        )
        .unwrap();
        let timeout = |path: &str| config.of(path).unwrap().timeout.as_millis();
        assert_eq!(
            (timeout(GET), timeout("/order.v1.OrderService/PlaceOrder"), timeout("/cart.v1.CartService/GetCart")),
            (250, 3_000, 4_000)
        );
        assert_eq!(config.of(GET).unwrap().hedging.unwrap().quantile.to_string(), "0.9");
        assert_eq!(
            (config.bulkhead, config.breaking.pause.as_millis(), config.budgeting.max_tokens.to_string()),
            (7, 500, "10".to_owned())
        );
    }

    #[test]
    fn only_what_may_be_repeated_is_and_only_reads_are_hedged() {
        let config = ServiceConfig::default();
        let of = |path: &str| config.of(path).map(|policy| (policy.retries.attempts, policy.hedging.is_some()));
        assert_eq!(of(GET), Some((3, true)));
        assert_eq!(of("/order.v1.OrderService/PlaceOrder"), Some((3, false)));
        assert_eq!(of("/payment.v1.PaymentService/ReconcileDay"), Some((1, false)));
        assert_eq!(of("/somebody.v1.Elses/Method"), None);
    }

    #[test]
    fn a_bad_one_is_refused_with_its_place_and_the_reason() {
        let policy = |text: &str| format!(r#"{{ "methodConfig": [{{ "name": [{{}}], {text} }}] }}"#);
        let retry = |attempts: &str, initial: &str, max: &str, times: &str, codes: &str| {
            policy(&format!(
                r#""retryPolicy": {{ "maxAttempts": {attempts}, "initialBackoff": "{initial}", "maxBackoff": "{max}", "backoffMultiplier": {times}, "retryableStatusCodes": {codes} }}"#
            ))
        };
        let own = |text: &str| format!(r#"{{ "backbone": {{ {text} }} }}"#);
        let bad = [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid length"),
            ("{ \"methodConfig\": 1 }".to_owned(), "invalid type"),
            ("{ \"methodConfigs\": [] }".to_owned(), "unknown field"),
            ("{ \"methodConfig\": [{ \"name\": [] }] }".to_owned(), "name is empty"),
            ("{ \"methodConfig\": [{ \"name\": [{ \"service\": \"cart.v2.CartService\" }] }] }".to_owned(), "has no"),
            (
                "{ \"methodConfig\": [{ \"name\": [{ \"service\": \"cart.v1.CartService\", \"method\": \"Steal\" }] }] }".to_owned(),
                "has no",
            ),
            ("{ \"methodConfig\": [{ \"name\": [{ \"method\": \"GetCart\" }] }] }".to_owned(), "without its service"),
            ("{ \"methodConfig\": [{ \"name\": [{}, {}] }] }".to_owned(), "another entry has too"),
            (policy("\"timeout\": \"5\""), "seconds with an s"),
            (policy("\"timeout\": \"-5s\""), "seconds with an s"),
            (policy("\"timeout\": \"0s\""), "above 0s"),
            (policy("\"timeout\": \"1e9s\""), "seconds with an s"),
            (policy("\"timeout\": 5"), "invalid type"),
            (policy("\"waitForReady\": true"), "unknown field"),
            (retry("1", "0.1s", "1s", "2", "[\"UNAVAILABLE\"]"), "at least 2"),
            (retry("-1", "0.1s", "1s", "2", "[\"UNAVAILABLE\"]"), "invalid value"),
            (retry("3", "soon", "1s", "2", "[\"UNAVAILABLE\"]"), "initialBackoff"),
            (retry("3", "0.1s", "0s", "2", "[\"UNAVAILABLE\"]"), "maxBackoff"),
            (retry("3", "0.1s", "1s", "0", "[\"UNAVAILABLE\"]"), "backoffMultiplier"),
            (retry("3", "0.1s", "1s", "2", "[]"), "is empty"),
            (retry("3", "0.1s", "1s", "2", "[\"OK\"]"), "can be retried"),
            (policy("\"hedgingPolicy\": { \"maxAttempts\": 3 }"), "it is 2"),
            (policy("\"hedgingPolicy\": { \"maxAttempts\": 2, \"quantile\": 1.5 }"), "quantile"),
            ("{ \"retryThrottling\": { \"maxTokens\": 0, \"tokenRatio\": 0.1 } }".to_owned(), "maxTokens"),
            ("{ \"retryThrottling\": { \"maxTokens\": 2000, \"tokenRatio\": 0.1 } }".to_owned(), "maxTokens"),
            ("{ \"retryThrottling\": { \"maxTokens\": 10 } }".to_owned(), "missing field"),
            (own("\"bulkhead\": 0"), "bulkhead is 0"),
            (own("\"breaker\": { \"share\": 2 }"), "breaker.share"),
            (own("\"breaker\": { \"pause\": \"9s\", \"longestPause\": \"1s\" }"), "shorter than pause"),
            (own("\"outliers\": { \"consecutive\": 0 }"), "consecutive is 0"),
            (own("\"outliers\": { \"mostOut\": -0.5 }"), "mostOut"),
            (own("\"magic\": 1"), "unknown field"),
            (" ".repeat(LONGEST + 1), "bytes, more than"),
        ];
        for (json, reason) in bad {
            let said = ServiceConfig::parse(&json).unwrap_err().to_string();
            assert!(said.contains(reason), "{} was refused with: {said}", &json[..json.len().min(200)]);
        }
    }
}
