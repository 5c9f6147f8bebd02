//! Names, help and label values of the coordinator's own metrics.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use rpc::process::Fatal;
use tokio_util::sync::CancellationToken;

use crate::Node;

const LEADS: &str = "market_coordinator_is_leader";
const TERM: &str = "market_coordinator_raft_term";
const LEADER_CHANGES: &str = "market_coordinator_leader_changes_total";
const APPLIED: &str = "market_coordinator_applied_index";
const REVISION: &str = "market_coordinator_revision";
const SIZE: &str = "market_coordinator_size_bytes";
const LEASES: &str = "market_coordinator_leases";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_gauge!(LEADS, "1 while this site leads");
    metrics::describe_gauge!(TERM, "The term this site knows of");
    metrics::describe_counter!(LEADER_CHANGES, "Times this site learnt of another leader, or of none");
    metrics::describe_gauge!(APPLIED, "Index of the last entry of the log that has been applied");
    metrics::describe_gauge!(REVISION, "Revision of the keys");
    metrics::describe_gauge!(SIZE, "Bytes of keys and values with their versions");
    metrics::describe_gauge!(LEASES, "Leases that have been granted and are not over");
    metrics::counter!(LEADER_CHANGES).absolute(0);
}

/// Keeps the gauges up to date.
pub(crate) async fn watch(node: Node, shutdown: CancellationToken) -> Result<(), Fatal> {
    let mut last = None;
    let mut metrics = node.raft().server_metrics();
    loop {
        let (leader, term) = {
            let metrics = metrics.borrow_and_update();
            (metrics.current_leader, metrics.vote.leader_id().term)
        };
        if leader != last {
            metrics::counter!(LEADER_CHANGES).increment(1);
            tracing::info!(leader, term, leads = leader == Some(node.id()), "leader changed");
            last = leader;
        }
        show(&node, leader, term);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = metrics.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; what it loses nobody reads off a chart")]
fn show(node: &Node, leader: Option<u64>, term: u64) {
    let mvcc = node.state().mvcc();
    metrics::gauge!(LEADS).set(f64::from(u8::from(leader == Some(node.id()))));
    metrics::gauge!(TERM).set(term as f64);
    metrics::gauge!(APPLIED).set(node.state().applied().borrow().index as f64);
    metrics::gauge!(REVISION).set(mvcc.revision() as f64);
    metrics::gauge!(SIZE).set(mvcc.size() as f64);
    metrics::gauge!(LEASES).set(mvcc.leases().count() as f64);
}
