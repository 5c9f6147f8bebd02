//! What a call takes with all its behaviours, beside the same call of bare tonic.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};
use proto::search::v1::{SearchRequest, search_service_client::SearchServiceClient};
use tonic::Status;

use super::echo::{Server, ask, client, open_loop};
use crate::bench::measure::percentile;

pub(super) const CONDITION: &str = "latency: unary calls of 1 KiB each way, 5,000 a second, open loop, from the moment when each was due; three turns of 3 s each, bare and ours";

const RATE: u32 = 5_000;
const TURN: Duration = Duration::from_secs(3);
const TURNS: usize = 3;
const BYTES: usize = 1_024;

/// p50 and p99, microseconds.
pub(super) struct Added {
    pub(super) bare: (f64, f64),
    pub(super) ours: (f64, f64),
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bare, ours } = self;
        write!(f, "p50 {:.0} us and p99 {:.0} us, bare {:.0} and {:.0}", ours.0, ours.1, bare.0, bare.1)
    }
}

pub(super) async fn run() -> Result<Added> {
    let (bare, ours) = (Server::bare().await?, Server::ours(|| async { Ok(()) }).await?);
    let (channel, client) = (bare.endpoint()?.connect().await?, client(&[&ours], "{}")?);
    let query = "x".repeat(BYTES);
    let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        of_bare.extend(
            turn(|| {
                let (mut client, query) = (SearchServiceClient::new(channel.clone()), query.clone());
                async move { client.search(SearchRequest { query, ..SearchRequest::default() }).await.map(drop) }
            })
            .await?,
        );
        of_ours.extend(turn(|| ask(client.clone(), query.clone())).await?);
    }
    Ok(Added { bare: figures(of_bare), ours: figures(of_ours) })
}

async fn turn<F: Future<Output = Result<(), Status>> + Send + 'static>(mut call: impl FnMut() -> F) -> Result<Vec<Duration>> {
    let answers = open_loop(RATE, TURN, |_| call()).await;
    let failed = answers.iter().filter(|(_, _, answer)| answer.is_err()).count();
    ensure!(
        failed == 0,
        "{failed} of {} calls failed: {:?}",
        answers.len(),
        answers.iter().find_map(|(_, _, answer)| answer.as_ref().err())
    );
    // The first half second makes the connection.
    Ok(answers.into_iter().filter(|(due, ..)| *due >= Duration::from_millis(500)).map(|(_, took, _)| took).collect())
}

fn figures(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share| percentile(&times, share).map_or(f64::NAN, |time: Duration| time.as_secs_f64() * 1e6);
    (at(0.5), at(0.99))
}
