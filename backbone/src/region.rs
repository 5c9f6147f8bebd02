//! `backbone region`: who may write where, and moving it: drain, failover, failback.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use ids::Region;
use proto::region::v1::{
    DrainRequest, DurabilityMode, FailbackRequest, FailoverRequest, GetStatusRequest, GetStatusResponse, Home as Held, UndrainRequest,
    region_service_client::RegionServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::{
    exit::Exit,
    home::Home,
    output::{line, table},
    state::State,
};

/// What can be done with the regions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Show how each region stands: what it holds, its mirror, what is left to be seen to.
    #[command(after_help = "Examples:\n  backbone region status\n  backbone region status --json | jq '.[].homes'\n\n\
                            HOLDS is what the region may write now, with the epoch. COMMITS says whether they wait for the other region. LAG is what the\n\
                            other region has not confirmed. REFUSED are rows that came too late and are not seen to yet.")]
    Status,
    /// Send no new shoppers to a region, and hand over what it holds to the other one.
    #[command(after_help = "Examples:\n  backbone region drain eu\n  backbone region undrain eu")]
    Drain {
        /// Which region.
        region: Region,
    },
    /// End a drain: shoppers come again, and the region's home goes back to it.
    #[command(after_help = "Examples:\n  backbone region undrain eu")]
    Undrain {
        /// Which region.
        region: Region,
    },
    /// Have the other region hold a home: by a handover while its holder lives, else by a takeover. It stays there until `failback`.
    #[command(after_help = "Examples:\n  backbone region failover eu           # us takes eu's home\n  \
                      backbone region failover eu --force   # also when eu is gone and worked alone: orders that only eu has are lost")]
    Failover {
        /// Which home.
        home: Region,
        /// Also when its holder is gone and may have orders that are nowhere else: they are lost.
        #[arg(long)]
        force: bool,
    },
    /// Give a home back to its own region.
    #[command(after_help = "Examples:\n  backbone region failback eu")]
    Failback {
        /// Which home.
        home: Region,
    },
}

/// Does it.
///
/// # Errors
/// When a region service cannot be reached, or refuses.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let state = State::read(home).with_context(|| format!("nothing has ever run in {}", home.path().display()))?;
    let said = |answer: Value, text: String| line(if json { answer.to_string() } else { text });
    match action {
        Action::Status => status(&state, json).await?,
        Action::Drain { region } => {
            let answer = connect(&state, region).await?.drain(DrainRequest {}).await;
            answer.map_err(|status| refused(region, &status))?;
            said(json!({ "region": region.as_str(), "drained": true }), format!("{region} is drained: it gets no new shoppers"));
        }
        Action::Undrain { region } => {
            let answer = connect(&state, region).await?.undrain(UndrainRequest {}).await;
            answer.map_err(|status| refused(region, &status))?;
            said(json!({ "region": region.as_str(), "drained": false }), format!("{region} is not drained any more"));
        }
        Action::Failover { home, force } => {
            let to = home.peer();
            let request = FailoverRequest { home: wire(home), force };
            let answer = connect(&state, to).await?.failover(request).await.map_err(|status| refused(to, &status))?;
            moved(&answer.into_inner().home.unwrap_or_default(), &said)?;
        }
        Action::Failback { home } => {
            let request = FailbackRequest { home: wire(home) };
            let answer = connect(&state, home).await?.failback(request).await.map_err(|status| refused(home, &status))?;
            moved(&answer.into_inner().home.unwrap_or_default(), &said)?;
        }
    }
    Ok(Exit::Ok)
}

fn wire(region: Region) -> i32 {
    proto::market::v1::Region::from(region).into()
}

fn refused(region: Region, status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{region} does not do it: {}", status.message())
}

fn moved(held: &Held, said: &impl Fn(Value, String)) -> Result<()> {
    let (home, holder) = (Region::try_from(held.home())?, Region::try_from(held.holder())?);
    said(value(held)?, format!("{holder} holds {home}, epoch {}", held.epoch));
    Ok(())
}

async fn status(state: &State, json: bool) -> Result<()> {
    let mut rows = vec![["REGION", "HOLDS", "COMMITS", "MIRROR", "LAG", "REFUSED", "STATE"].map(str::to_owned).to_vec()];
    let (mut answers, mut unreached) = (Vec::new(), Vec::new());
    for region in Region::ALL {
        match ask(state, region).await {
            Ok(status) => {
                rows.push(row(region, &status)?);
                answers.push(answer(region, &status)?);
            }
            Err(error) => {
                let mut row = vec![region.to_string(), "?".to_owned()];
                row.resize(6, String::new());
                row.push("does not answer".to_owned());
                rows.push(row);
                answers.push(json!({ "region": region.as_str(), "error": format!("{error:#}") }));
                unreached.push(error);
            }
        }
    }
    if unreached.len() == Region::ALL.len() {
        bail!("no region service answers: {:#}", unreached[0]);
    }
    line(if json { serde_json::to_string_pretty(&answers)? } else { table(&rows) });
    Ok(())
}

async fn ask(state: &State, region: Region) -> Result<GetStatusResponse> {
    let answer = connect(state, region).await?.get_status(GetStatusRequest {}).await;
    Ok(answer.map_err(|status| refused(region, &status))?.into_inner())
}

async fn connect(state: &State, region: Region) -> Result<RegionServiceClient<Channel>> {
    let part = state.parts.iter().find(|part| part.name == "region" && part.region == region.as_str());
    let port = part.with_context(|| format!("there is no {region}/region among what runs"))?.port;
    let address = format!("http://127.0.0.1:{port}");
    RegionServiceClient::connect(address.clone()).await.with_context(|| format!("connect to {region}'s region service at {address}"))
}

fn row(region: Region, status: &GetStatusResponse) -> Result<Vec<String>> {
    let own: Vec<&Held> = status.homes.iter().filter(|held| held.holder() == proto::market::v1::Region::from(region)).collect();
    let mut holds = Vec::new();
    for held in &own {
        let writes = if held.valid_ms > 0 { "" } else { " (not now)" };
        holds.push(format!("{} {}{writes}", Region::try_from(held.home())?, held.epoch));
    }
    let commits = own.iter().map(|held| mode(held.mode())).next().unwrap_or("-");
    let mirror = status.mirror.unwrap_or_default();
    let flow = match (mirror.streaming, mirror.listening) {
        (true, true) => "streams",
        (false, true) => "silent",
        (_, false) => "listens no more",
    };
    let mut states = Vec::new();
    states.extend(status.drained.then_some("drained"));
    states.extend((!status.ready).then_some("not ready"));
    let state = if states.is_empty() { "ready".to_owned() } else { states.join(", ") };
    let holds = if holds.is_empty() { "-".to_owned() } else { holds.join(", ") };
    Ok(vec![
        region.to_string(),
        holds,
        commits.to_owned(),
        flow.to_owned(),
        format!("{} B", mirror.lag_bytes),
        status.refused_rows.to_string(),
        state,
    ])
}

fn mode(mode: DurabilityMode) -> &'static str {
    match mode {
        DurabilityMode::Mirrored => "mirrored",
        DurabilityMode::Solo => "solo",
        DurabilityMode::Unspecified => "-",
    }
}

fn value(held: &Held) -> Result<Value> {
    let (home, holder) = (Region::try_from(held.home())?, Region::try_from(held.holder())?);
    Ok(json!({
        "home": home.as_str(), "holder": holder.as_str(), "epoch": held.epoch, "mode": mode(held.mode()), "valid_ms": held.valid_ms,
        "alive": held.alive, "pinned": held.pinned,
    }))
}

fn answer(region: Region, status: &GetStatusResponse) -> Result<Value> {
    let mirror = status.mirror.unwrap_or_default();
    let homes = status.homes.iter().map(value).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "region": region.as_str(), "homes": homes, "refused_rows": status.refused_rows, "drained": status.drained, "ready": status.ready,
        "caught_up": status.caught_up,
        "mirror": { "streaming": mirror.streaming, "lag_bytes": mirror.lag_bytes, "confirmed": mirror.confirmed, "listening": mirror.listening },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(home: Region, holder: Region, valid_ms: u32) -> Held {
        Held { home: wire(home), holder: wire(holder), epoch: 7, mode: DurabilityMode::Solo.into(), valid_ms, alive: true, pinned: false }
    }

    #[test]
    fn a_row_shows_what_a_region_holds_itself() {
        let status = GetStatusResponse {
            homes: vec![held(Region::Eu, Region::Us, 900), held(Region::Us, Region::Us, 0)],
            ready: true,
            drained: true,
            ..GetStatusResponse::default()
        };
        assert_eq!(row(Region::Us, &status).unwrap(), ["us", "eu 7, us 7 (not now)", "solo", "listens no more", "0 B", "0", "drained"]);
        assert_eq!(row(Region::Eu, &status).unwrap()[1], "-");
        assert_eq!(answer(Region::Us, &status).unwrap()["homes"][0]["holder"], "us");
    }
}
