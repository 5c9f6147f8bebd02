//! Names, help and label values of the service's own metrics.

use ids::Region;
use lease::{Mode, Note};

use crate::keeping::Standing;

const HOLDER: &str = "market_region_home_held";
const WRITABLE: &str = "market_region_home_writable_seconds";
const EPOCH: &str = "market_region_home_epoch";
const SOLO: &str = "market_region_home_solo";
const TAKEOVERS: &str = "market_region_takeovers_total";
const HANDOVERS: &str = "market_region_handovers_total";
const LEASES_LOST: &str = "market_region_leases_lost_total";
const REFUSED: &str = "market_region_refused_rows";
const LAG: &str = "market_region_mirror_lag_bytes";
const STREAMING: &str = "market_region_mirror_streaming";
const READY: &str = "market_region_ready";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_gauge!(HOLDER, "1 when this region holds the home");
    metrics::describe_gauge!(WRITABLE, "For how long this region may write the home, if nothing else happens");
    metrics::describe_gauge!(EPOCH, "The home's fencing token, as this region knows it");
    metrics::describe_gauge!(SOLO, "1 when this region holds the home and does not wait for the other one");
    metrics::describe_counter!(TAKEOVERS, "Homes taken from a holder that was gone; lossy when it may have had more");
    metrics::describe_counter!(HANDOVERS, "Planned handovers of a home to the other region, by how they ended");
    metrics::describe_counter!(LEASES_LOST, "Times this region's lease ended");
    metrics::describe_gauge!(REFUSED, "Replicated rows refused for an old epoch, not seen to yet");
    metrics::describe_gauge!(LAG, "Write-ahead log that the other region has not confirmed");
    metrics::describe_gauge!(STREAMING, "1 when the other region's subscription streams");
    metrics::describe_gauge!(READY, "1 when this region could take a home");
    metrics::counter!(LEASES_LOST).absolute(0);
    for home in Region::ALL {
        for kind in ["complete", "lossy"] {
            metrics::counter!(TAKEOVERS, "home" => home.as_str(), "kind" => kind).absolute(0);
        }
        for outcome in ["done", "given_up"] {
            metrics::counter!(HANDOVERS, "home" => home.as_str(), "outcome" => outcome).absolute(0);
        }
    }
}

/// Counts and logs what the keeper tells.
pub(crate) fn note(note: Note) {
    match note {
        Note::Held(home, epoch) => tracing::info!(%home, epoch, "the home is held"),
        Note::TookOver { home, epoch, lossy } => {
            tracing::warn!(%home, epoch, lossy, "the home is taken over: its holder is gone");
            let kind = if lossy { "lossy" } else { "complete" };
            metrics::counter!(TAKEOVERS, "home" => home.as_str(), "kind" => kind).increment(1);
        }
        Note::HandedOver(home, epoch) => {
            tracing::info!(%home, epoch, "the home is handed over");
            metrics::counter!(HANDOVERS, "home" => home.as_str(), "outcome" => "done").increment(1);
        }
        Note::HandoverGivenUp(home) => {
            tracing::warn!(%home, "the handover is given up, the home stays");
            metrics::counter!(HANDOVERS, "home" => home.as_str(), "outcome" => "given_up").increment(1);
        }
        Note::Lost(home) => tracing::warn!(%home, "the home is not held any more"),
        Note::LeaseLost => {
            tracing::warn!("the lease has ended");
            metrics::counter!(LEASES_LOST).increment(1);
        }
        Note::Mode(Mode::Solo) => tracing::warn!("solo: commits do not wait for the other region"),
        Note::Mode(Mode::Mirrored) => tracing::info!("mirrored: commits wait for the other region"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn show(standing: &Standing) {
    let flag = |on: bool| f64::from(u8::from(on));
    for home in standing.homes.iter().flatten() {
        let holds = home.record.holder == standing.region;
        metrics::gauge!(HOLDER, "home" => home.home.as_str()).set(flag(holds));
        metrics::gauge!(EPOCH, "home" => home.home.as_str()).set(home.record.epoch as f64);
        metrics::gauge!(SOLO, "home" => home.home.as_str()).set(flag(holds && home.record.mode == Mode::Solo));
        metrics::gauge!(WRITABLE, "home" => home.home.as_str()).set(standing.left(home.valid_until).as_secs_f64());
    }
    metrics::gauge!(READY).set(flag(standing.is_ready));
    if let Some(mirror) = &standing.mirror {
        metrics::gauge!(REFUSED).set(mirror.look.refused as f64);
        metrics::gauge!(LAG).set(mirror.lag as f64);
        metrics::gauge!(STREAMING).set(flag(mirror.look.streaming));
    }
}
