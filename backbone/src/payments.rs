//! `backbone payments`: each region's ledger, and how it compares with the payment provider's list.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use ids::Region;
use proto::payment::v1::{
    Difference, GetBalancesRequest, ReconcileDayRequest, Reconciliation, payment_service_client::PaymentServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::{
    exit::Exit,
    home::Home,
    output::{line, table},
    state::State,
};

/// What can be done with the payments.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Compare each region's ledger with the provider's list of a day; exit code 1 when something differs.
    #[command(after_help = "Examples:\n  backbone payments reconcile\n  backbone payments reconcile --day 2026-11-20 --json")]
    Reconcile {
        /// The day in UTC, `YYYY-MM-DD` [default: today].
        #[arg(long)]
        day: Option<String>,
    },
    /// Show the accounts of each region's ledger.
    Balances,
}

/// Does it for both regions.
///
/// # Errors
/// When a region's payment service cannot be reached or fails.
pub async fn run(home: &Home, action: &Action, json: bool) -> Result<Exit> {
    let state = State::read(home).with_context(|| format!("nothing has ever run in {}", home.path().display()))?;
    let (mut answers, mut rows, mut differences) = (serde_json::Map::new(), Vec::new(), 0);
    for region in [Region::Eu, Region::Us] {
        let mut client = connect(&state, region).await?;
        let (answer, region_rows) = match action {
            Action::Reconcile { day } => {
                let request = ReconcileDayRequest { day: day.clone().unwrap_or_default() };
                let answered = client.reconcile_day(request).await.with_context(|| format!("reconcile {region}"))?;
                let run = answered.into_inner().reconciliation.context("the answer has no run")?;
                differences += run.differences.iter().filter(|difference| !difference.resolved).count();
                (run_json(&run), run_rows(region, &run))
            }
            Action::Balances => {
                let answered = client.get_balances(GetBalancesRequest {}).await.with_context(|| format!("read {region}'s ledger"))?;
                balances(region, answered.into_inner().balances)
            }
        };
        answers.insert(region.to_string(), answer);
        rows.extend(region_rows);
    }
    if json {
        line(serde_json::to_string_pretty(&answers)?);
    } else {
        let head = match action {
            Action::Reconcile { .. } => ["REGION", "DAY", "WHAT", "PROVIDER", "LEDGER", "OUTCOME"].map(str::to_owned).to_vec(),
            Action::Balances => ["REGION", "ACCOUNT", "KIND", "BALANCE"].map(str::to_owned).to_vec(),
        };
        rows.insert(0, head);
        line(table(&rows));
    }
    Ok(if differences == 0 { Exit::Ok } else { Exit::Failed })
}

async fn connect(state: &State, region: Region) -> Result<PaymentServiceClient<Channel>> {
    let part = state.parts.iter().find(|part| part.name == "payment" && part.region == region.as_str());
    let port = part.with_context(|| format!("there is no {region}/payment among what runs"))?.port;
    let address = format!("http://127.0.0.1:{port}");
    PaymentServiceClient::connect(address.clone()).await.with_context(|| format!("connect to {region}'s payment service at {address}"))
}

fn amount(money: Option<&proto::market::v1::Money>) -> String {
    money.map_or_else(|| "-".to_owned(), |money| format!("{} {}", money.amount_minor, money.currency))
}

fn what_differs(difference: &Difference) -> String {
    difference.kind().as_str_name().trim_start_matches("DIFFERENCE_KIND_").to_lowercase()
}

fn run_rows(region: Region, run: &Reconciliation) -> Vec<Vec<String>> {
    let row = |what: String, there: String, here: String, outcome: &str| {
        vec![region.to_string(), run.day.clone(), what, there, here, outcome.to_owned()]
    };
    let state = if run.settled { "settled" } else { "open" };
    let mut rows = Vec::new();
    if run.totals.is_empty() {
        rows.push(row("0 movements".to_owned(), "-".to_owned(), "-".to_owned(), state));
    }
    for total in &run.totals {
        let (there, here) = (amount(total.at_psp.as_ref()), amount(total.in_ledger.as_ref()));
        rows.push(row(format!("{} movements", run.movements), there, here, state));
    }
    for difference in &run.differences {
        let what = format!("{} {}", difference.cause, difference.source_id);
        let outcome = if difference.resolved { "caught up".to_owned() } else { what_differs(difference) };
        rows.push(row(what, amount(difference.at_psp.as_ref()), amount(difference.in_ledger.as_ref()), &outcome));
    }
    rows
}

fn run_json(run: &Reconciliation) -> Value {
    let money = |money: Option<&proto::market::v1::Money>| {
        money.map(|money| json!({ "amount_minor": money.amount_minor, "currency": money.currency }))
    };
    let difference = |difference: &Difference| {
        json!({
            "kind": what_differs(difference),
            "cause": difference.cause,
            "source_id": difference.source_id,
            "order_id": difference.order_id,
            "at_psp": money(difference.at_psp.as_ref()),
            "in_ledger": money(difference.in_ledger.as_ref()),
            "resolved": difference.resolved,
        })
    };
    let totals: Vec<_> = run
        .totals
        .iter()
        .map(|total| json!({ "at_psp": money(total.at_psp.as_ref()), "in_ledger": money(total.in_ledger.as_ref()) }))
        .collect();
    json!({
        "run_id": run.run_id,
        "day": run.day,
        "ended_at_ms": run.ended_at_ms,
        "movements": run.movements,
        "differences": run.differences.iter().map(difference).collect::<Vec<_>>(),
        "totals": totals,
        "settled": run.settled,
    })
}

fn balances(region: Region, balances: Vec<proto::payment::v1::Balance>) -> (Value, Vec<Vec<String>>) {
    let rows =
        balances.iter().map(|row| vec![region.to_string(), row.account.clone(), row.kind.clone(), amount(row.balance.as_ref())]).collect();
    let row = |row: proto::payment::v1::Balance| {
        let money = row.balance.unwrap_or_default();
        json!({ "account": row.account, "kind": row.kind, "balance_minor": money.amount_minor, "currency": money.currency })
    };
    (balances.into_iter().map(row).collect(), rows)
}
