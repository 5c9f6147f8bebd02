//! A server that is asked three times as much as it can do, and then as much as it can do again.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures::future::join_all;
use rpc::{Client, Context, Priority};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tonic::Status;

use super::echo::{Server, ask, client, open_loop};

pub(super) const CONDITION: &str = "overload: a server that does four things at once, 10 ms each; its peak is what 16 callers get; then three times that for 8 s, \
     80 % looks, 18 % carts, 2 % checkouts, each worth something for 0.5 s only; then 80 % of the peak";

const AT_ONCE: usize = 4;
const WORK: Duration = Duration::from_millis(10);
const WORTH: Duration = Duration::from_millis(500);
const CALLERS: usize = 16;
const PEAK: Duration = Duration::from_secs(3);
const FLOOD: Duration = Duration::from_secs(8);
const AFTER: Duration = Duration::from_secs(8);
/// The flood's first seconds do not count: whoever floods finds all queues empty.
const SETTLING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);

/// Answers a second at the peak and in the flood, the shares of checkouts and of looks that were answered in it, and the seconds after it until all were again.
pub(super) struct Flood {
    pub(super) peak: f64,
    pub(super) goodput: f64,
    pub(super) checkout: f64,
    pub(super) browse: f64,
    pub(super) recovered: f64,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peak, goodput, checkout, browse, recovered } = self;
        let (checkout, browse) = (checkout * 100.0, browse * 100.0);
        write!(
            f,
            "peak {peak:.0}/s, {goodput:.0}/s in the flood with {checkout:.0} % of checkouts and {browse:.0} % of looks, well again after {recovered:.1} s"
        )
    }
}

type Answers = Vec<(Duration, Duration, (Priority, Result<(), Status>))>;

pub(super) async fn run() -> Result<Flood> {
    let hands = Arc::new(Semaphore::new(AT_ONCE));
    let server = Server::ours(move || {
        let hands = hands.clone();
        async move {
            let _hand = hands.acquire().await;
            sleep(WORK).await;
            Ok(())
        }
    })
    .await?;
    let client = client(&[&server], "{}")?;
    let peak = peak(&client).await;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
    let (flood, usual) = ((peak * 3.0) as u32, (peak * 0.8) as u32);
    let flooded = offer(&client, flood, FLOOD).await;
    let after = offer(&client, usual, AFTER).await;
    let counted: Answers = flooded.into_iter().filter(|(due, ..)| *due >= SETTLING).collect();
    let of = |wanted: Priority| share(counted.iter().filter(|(_, _, (priority, _))| *priority == wanted));
    #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
    let goodput = counted.iter().filter(|(_, _, (_, answer))| answer.is_ok()).count() as f64 / (FLOOD - SETTLING).as_secs_f64();
    Ok(Flood { peak, goodput, checkout: of(Priority::Checkout), browse: of(Priority::Browse), recovered: recovered(&after)? })
}

/// Answers a second when as many callers as are good for it ask one after the other.
async fn peak(client: &Client) -> f64 {
    let begun = Instant::now();
    let caller = async || {
        let mut answers = 0;
        while begun.elapsed() < PEAK {
            answers += u32::from(ask(client.clone(), String::new()).await.is_ok());
        }
        answers
    };
    let answers: u32 = join_all((0..CALLERS).map(|_| caller())).await.into_iter().sum();
    f64::from(answers) / begun.elapsed().as_secs_f64()
}

async fn offer(client: &Client, rate: u32, length: Duration) -> Answers {
    open_loop(rate, length, |number| {
        let priority = match number % 50 {
            0 => Priority::Checkout,
            1..10 => Priority::Shop,
            _ => Priority::Browse,
        };
        let call = Context::default().with_priority(priority).with_time(WORTH).scope(ask(client.clone(), String::new()));
        async move { (priority, call.await) }
    })
    .await
}

fn share<'a>(answers: impl Iterator<Item = &'a (Duration, Duration, (Priority, Result<(), Status>))>) -> f64 {
    let (mut all, mut good) = (0, 0);
    for (_, _, (_, answer)) in answers {
        all += 1;
        good += u32::from(answer.is_ok());
    }
    f64::from(good) / f64::from(all)
}

/// From when on 99 % of the calls of each half second were answered.
fn recovered(after: &Answers) -> Result<f64> {
    let (mut since, mut at, mut shares) = (Duration::ZERO, Duration::ZERO, Vec::new());
    while at < AFTER {
        let end = at + LOOK;
        let share = share(after.iter().filter(|(due, ..)| (at..end).contains(due)));
        if share < 0.99 {
            since = end;
        }
        shares.push(format!("{:.0}", share * 100.0));
        at = end;
    }
    let refused = after.iter().rev().find_map(|(_, _, (_, answer))| answer.as_ref().err());
    ensure!(
        since < AFTER,
        "it did not recover: {} % of the calls were answered in each half second; at last {refused:?}",
        shares.join(", ")
    );
    Ok(since.as_secs_f64())
}
