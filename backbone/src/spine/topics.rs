//! `backbone spine topics`.

use anyhow::{Context as _, Result};
use ids::Region;
use serde_json::json;

use crate::{
    output::{line, table},
    sources::Sources,
};

pub(super) async fn print(sources: &Sources, regions: &[Region], as_json: bool) -> Result<()> {
    let mut rows = vec![["REGION", "TOPIC", "PARTITIONS", "COPIES", "IN SYNC", "MESSAGES"].map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    for &region in regions {
        let topics = ::spine::inspect::topics(sources.kafka(region).to_owned()).await.with_context(|| format!("ask {region}/kafka"))?;
        for topic in topics {
            let partitions = &topic.partitions;
            let copies = partitions.iter().map(|partition| partition.replicas).min().unwrap_or_default();
            let in_sync = partitions.iter().map(|partition| partition.in_sync).min().unwrap_or_default();
            let messages: i64 = partitions.iter().map(|partition| partition.high - partition.low).sum();
            rows.push(vec![
                region.to_string(),
                topic.name.clone(),
                partitions.len().to_string(),
                copies.to_string(),
                in_sync.to_string(),
                messages.to_string(),
            ]);
            list.push(json!({
                "region": region.as_str(), "topic": topic.name, "partitions": partitions.len(),
                "copies": copies, "in_sync": in_sync, "messages": messages,
            }));
        }
    }
    if as_json {
        line(json!({ "topics": list }))
    } else {
        line(table(&rows))
    }
    Ok(())
}
