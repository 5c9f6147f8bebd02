//! One library through the whole workload, with each part timed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    library::{Replica, Watch, cpu_time},
    workload::{Change, REPLICAS, Workload},
};

/// How often two whole states are merged; the middle one counts.
const STATES: usize = 5;

/// What one library took; all times are CPU times.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Taking in what came over the wire, decoding included.
    pub(crate) merge: Duration,
    pub(crate) change: Duration,
    pub(crate) encode: Duration,
    /// Bytes of all messages, once for each replica that gets them.
    pub(crate) wire: usize,
    /// Bytes of one replica's whole state at the end.
    pub(crate) state: usize,
    /// Merging the bytes of a whole state into another one, and the same from memory where that can be done.
    pub(crate) merge_state: Duration,
    pub(crate) merge_memory: Option<Duration>,
    /// Members that are there and not in the model, or the other way round.
    pub(crate) strange: usize,
}

/// Runs one library; fails if its replicas do not end with the same members.
pub(crate) fn run<R: Replica>(workload: &Workload) -> Result<Outcome> {
    let mut replicas: [R; REPLICAS] = [1, 2, 3].map(R::new);
    let (mut merge, mut change, mut encode) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut wire = 0;
    for round in &workload.rounds {
        let mut messages = Vec::with_capacity(REPLICAS);
        for (replica, changes) in replicas.iter_mut().zip(round) {
            let mut watch = Watch::start();
            messages.push(replica.act(changes, &mut watch)?);
            let (changing, encoding) = watch.stop();
            change += changing;
            encode += encoding;
        }
        let others = |to: usize| [messages[(to + 1) % REPLICAS].clone(), messages[(to + 2) % REPLICAS].clone()];
        let heard: [[Vec<u8>; 2]; REPLICAS] = [others(0), others(1), others(2)];
        wire += heard.iter().flatten().map(Vec::len).sum::<usize>();
        let start = cpu_time();
        for (replica, heard) in replicas.iter_mut().zip(&heard) {
            replica.hear(heard)?;
        }
        merge += cpu_time() - start;
    }
    let members = replicas[0].members();
    ensure!(replicas.iter().all(|replica| replica.members() == members), "the replicas have different members at the end");
    let state = replicas[0].state()?.len();
    let (merge_state, merge_memory, strange_apart) = merge_apart(replicas, workload)?;
    let strange = strange(&members, &workload.members) + strange_apart;
    Ok(Outcome { merge, change, encode, wire, state, merge_state, merge_memory, strange })
}

/// Two replicas go on apart, and then merge whole states.
fn merge_apart<R: Replica>(replicas: [R; REPLICAS], workload: &Workload) -> Result<(Duration, Option<Duration>, usize)> {
    let [first, second, _] = replicas;
    let go_on = |mut replica: R, changes: &[Change]| -> Result<Vec<u8>> {
        replica.act(changes, &mut Watch::start())?;
        replica.state()
    };
    let (first, second) = (go_on(first, &workload.apart[0])?, go_on(second, &workload.apart[1])?);
    let (mut from_bytes, mut from_memory) = (Vec::new(), Vec::new());
    let mut members = BTreeSet::new();
    for _ in 0..STATES {
        let mut replica = R::load(1, &first)?;
        let start = cpu_time();
        replica.merge_state(&second)?;
        from_bytes.push(cpu_time() - start);
        members = replica.members();
        let (mut replica, other) = (R::load(1, &first)?, R::load(2, &second)?);
        let start = cpu_time();
        if let Some(merged) = replica.merge(other) {
            from_memory.push(cpu_time() - start);
            merged?;
            ensure!(replica.members() == members, "a merge in memory and one of bytes have different members");
        }
    }
    let strange = strange(&members, &workload.members_apart);
    Ok((middle(from_bytes).context("no state was merged")?, middle(from_memory), strange))
}

/// The bytes that one more key takes: as a message, and as a whole state. The set has `held` keys before.
pub(crate) fn one_more<R: Replica>(held: usize) -> Result<(usize, usize)> {
    let add = |key: usize| Change::Add(format!("SKU-{key:05}").into());
    let mut replica = R::new(1);
    for key in 0..held {
        replica.act(&[add(key)], &mut Watch::start())?;
    }
    let message = replica.act(&[add(held)], &mut Watch::start())?;
    Ok((message.len(), replica.state()?.len()))
}

fn strange(members: &BTreeSet<Arc<str>>, expected: &BTreeSet<Arc<str>>) -> usize {
    members.symmetric_difference(expected).count()
}

fn middle(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
