//! `backbone spine dlq`.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail};
use ids::Region;
use serde_json::{Value, json};
use spine::{
    letters::{self, Action, Letter},
    topics,
};
use sqlx::{AssertSqlSafe, Connection as _};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{
    CONSUMERS,
    args::{Dlq, LetterName},
    payload::Messages,
    regions,
};
use crate::{
    output::{line, table},
    sources::Sources,
};

/// A letter, its name, and whether it waits.
struct Found {
    name: LetterName,
    letter: Letter,
    is_waiting: bool,
}

pub(super) async fn run(sources: &Sources, action: Dlq, as_json: bool) -> Result<()> {
    match action {
        Dlq::List { region, all } => {
            let mut found = Vec::new();
            for region in regions(region) {
                found.extend(find(sources, region).await?.into_iter().filter(|found| all || found.is_waiting));
            }
            list(&found, as_json);
        }
        Dlq::Show { letter } => show(&one(sources, &letter).await?, as_json)?,
        Dlq::Replay { letters, all_of } => {
            let found = match all_of {
                Some(region) => find(sources, region).await?.into_iter().filter(|found| found.is_waiting).collect(),
                None => each(sources, &letters).await?,
            };
            send(sources, &found, Action::Replay, as_json).await?;
        }
        Dlq::Drop { letters } => send(sources, &each(sources, &letters).await?, Action::Drop, as_json).await?,
    }
    Ok(())
}

/// All letters of a region, by topic and age.
async fn find(sources: &Sources, region: Region) -> Result<Vec<Found>> {
    let waiting = waiting(sources, region).await?;
    let mut found: Vec<Found> = Vec::new();
    for topic in topics::ALL {
        let letters =
            letters::read(sources.kafka(region), topic).await.with_context(|| format!("read the dead letters of {region}/{topic}"))?;
        for letter in letters {
            let name = LetterName { region, topic: letter.topic.clone(), offset: letter.offset };
            // A letter that came back has several places; the last one counts.
            let is_waiting = letter.event_id.is_some_and(|id| waiting.contains(&(letter.consumer.clone(), id)));
            if let Some(earlier) = found.iter_mut().find(|found| is_waiting && is_same(&found.letter, &letter)) {
                earlier.letter = letter;
                earlier.name = name;
            } else {
                found.push(Found { name, letter, is_waiting });
            }
        }
    }
    Ok(found)
}

fn is_same(one: &Letter, other: &Letter) -> bool {
    (one.event_id, &one.consumer) == (other.event_id, &other.consumer)
}

async fn waiting(sources: &Sources, region: Region) -> Result<HashSet<(String, Uuid)>> {
    let mut database = sources.connect(region).await?;
    let mut waiting = HashSet::new();
    for schema in CONSUMERS.iter().filter_map(|consumer| consumer.schema) {
        let sql = format!("SELECT consumer, event_id FROM \"{schema}\".dead_letters");
        let rows: Vec<(String, Uuid)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut database).await.context("read the dead letters")?;
        waiting.extend(rows);
    }
    let _ = database.close().await;
    Ok(waiting)
}

async fn one(sources: &Sources, name: &LetterName) -> Result<Found> {
    let found = find(sources, name.region).await?.into_iter().find(|found| found.name == *name);
    found.with_context(|| format!("there is no letter {name}; `backbone spine dlq list --all` shows those there are"))
}

async fn each(sources: &Sources, names: &[LetterName]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in names {
        let one = one(sources, name).await?;
        if !one.is_waiting {
            bail!("letter {name} does not wait: it was replayed or dropped before, or has no id to be applied by");
        }
        found.push(one);
    }
    Ok(found)
}

async fn send(sources: &Sources, found: &[Found], action: Action, as_json: bool) -> Result<()> {
    for Found { name, letter, .. } in found {
        letters::send_again(sources.kafka(name.region), letter, action).await.with_context(|| format!("send {name} again"))?;
    }
    let word = if action == Action::Replay { "replayed" } else { "dropped" };
    if as_json {
        let names: Vec<String> = found.iter().map(|found| found.name.to_string()).collect();
        line(json!({ word: names }));
    } else {
        line(format_args!("{} {word}; `backbone spine dlq list` shows what still waits in a moment", found.len()));
    }
    Ok(())
}

fn list(found: &[Found], as_json: bool) {
    if as_json {
        return line(json!({ "letters": found.iter().map(brief).collect::<Vec<_>>() }));
    }
    if found.is_empty() {
        return line("no dead letters");
    }
    let mut rows = vec![["LETTER", "CONSUMER", "TYPE", "KEY", "TRIED", "WAITS", "CAUSE"].map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|Found { name, letter, is_waiting }| {
        vec![
            name.to_string(),
            letter.consumer.clone(),
            letter.kind.clone(),
            letter.key.clone(),
            letter.attempts.to_string(),
            if *is_waiting { "yes" } else { "no" }.to_owned(),
            letter.cause.clone(),
        ]
    }));
    line(table(&rows));
}

fn brief(Found { name, letter, is_waiting }: &Found) -> Value {
    json!({
        "letter": name.to_string(), "consumer": letter.consumer, "type": letter.kind, "key": letter.key, "id": letter.event_id,
        "attempts": letter.attempts, "is_waiting": is_waiting, "cause": letter.cause, "origin": letter.origin,
        "at": letter.at.and_then(|at| at.format(&Rfc3339).ok()),
    })
}

fn show(found: &Found, as_json: bool) -> Result<()> {
    let mut all = brief(found);
    all["data"] = Messages::new()?.json(&found.letter.kind, &found.letter.payload).unwrap_or(Value::Null);
    all["bytes"] = found.letter.payload.len().into();
    line(if as_json { all.to_string() } else { serde_json::to_string_pretty(&all)? });
    Ok(())
}
