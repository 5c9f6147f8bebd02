//! Names, help and label values of the service's own metrics.

const DOCUMENTS: &str = "market_search_documents";
const COMMITS: &str = "market_search_commits_total";
const SKIPPED: &str = "market_search_skipped_events_total";
const REBUILDS: &str = "market_search_rebuilds_total";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_gauge!(DOCUMENTS, "Items in the index");
    metrics::describe_counter!(COMMITS, "Commits of the index");
    metrics::describe_counter!(SKIPPED, "Item events that cannot be read");
    metrics::describe_counter!(REBUILDS, "Times the index was given up and built again from the topic");
    for counter in [COMMITS, SKIPPED, REBUILDS] {
        metrics::counter!(counter).absolute(0);
    }
}

/// Counts a commit.
pub(crate) fn count_commit() {
    metrics::counter!(COMMITS).increment(1);
}

/// Shows how many items can be found.
pub(crate) fn show_documents(documents: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(DOCUMENTS).set(documents as f64);
}

/// Counts an event that cannot be read.
pub(crate) fn count_skipped() {
    metrics::counter!(SKIPPED).increment(1);
}

/// Counts a new beginning.
pub(crate) fn count_rebuild() {
    metrics::counter!(REBUILDS).increment(1);
}
