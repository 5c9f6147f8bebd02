//! What happens to sites: they are killed, stopped, damaged, added and removed.

use std::{
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use coordinator::wire::etcdserverpb::{
    LeaseTimeToLiveRequest, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, PutRequest, SnapshotRequest,
};

use crate::cluster::{Cluster, Make};

async fn three() -> Cluster {
    Cluster::start(Make::Coordinator, 3, &[]).await.unwrap()
}

/// Writes through the sites that are up until one write is done.
async fn next_write(cluster: &Cluster, within: Duration) -> Result<Duration> {
    let started = Instant::now();
    let mut clients: Vec<_> = (0..cluster.sites.len()).filter(|index| cluster.is_up(*index)).map(|index| cluster.client(index)).collect();
    while started.elapsed() < within {
        for client in &mut clients {
            let request = PutRequest { key: "after".into(), value: "x".into(), ..PutRequest::default() };
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_millis(1500));
            if client.kv.put(request).await.is_ok() {
                return Ok(started.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("no write within {within:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_replaced_within_a_second() {
    let mut cluster = three().await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
        next_write(&cluster, Duration::from_secs(5)).await.unwrap();
        cluster.kill(leader);
        times.push(next_write(&cluster, Duration::from_secs(5)).await.unwrap());
        cluster.spawn(leader).unwrap();
    }
    times.sort();
    println!("from the leader's end to the next write: {times:?}");
    assert!(times[times.len() / 2] < Duration::from_secs(1), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_hands_over_first() {
    let mut cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    next_write(&cluster, Duration::from_secs(5)).await.unwrap();
    let status = cluster.stop(leader);
    assert!(status.is_some_and(|status| status.success()), "{}", cluster.log(leader));
    let gap = next_write(&cluster, Duration::from_secs(5)).await.unwrap();
    println!("from a stopped leader's end to the next write: {gap:?}");
    assert!(gap < Duration::from_millis(500), "{gap:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_end_of_all_sites() {
    let mut cluster = Cluster::start(Make::Coordinator, 3, &[("SNAPSHOT_AFTER", "100")]).await.unwrap();
    for round in 0..3u32 {
        let leader = cluster.leader(Duration::from_secs(20)).await.unwrap();
        let mut client = cluster.client(leader);
        for number in 0..120u32 {
            client.put(format!("s/{round}/{number}").as_bytes(), &number.to_le_bytes()).await.unwrap();
        }
        for index in 0..3 {
            cluster.kill(index);
        }
        for index in 0..3 {
            cluster.spawn(index).unwrap();
        }
        let leader = cluster.leader(Duration::from_secs(20)).await.unwrap();
        let mut client = cluster.client(leader);
        for number in 0..120u32 {
            let read = client.get(format!("s/{round}/{number}").as_bytes()).await.unwrap();
            assert_eq!(read.kvs[0].value, number.to_le_bytes().as_slice());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_was_away_too_long_is_given_a_snapshot() {
    let mut cluster = Cluster::start(Make::Coordinator, 3, &[("SNAPSHOT_AFTER", "100")]).await.unwrap();
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let away = (leader + 1) % 3;
    cluster.kill(away);
    let mut client = cluster.client(leader);
    for number in 0..500u32 {
        client.put(format!("n/{number}").as_bytes(), b"x").await.unwrap();
    }
    cluster.spawn(away).unwrap();
    let mut back = cluster.client(away);
    let started = Instant::now();
    while back.get(b"n/499").await.map_or(0, |read| read.count) == 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", cluster.log(away));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(back.get(b"n/0").await.unwrap().count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_with_a_flipped_bit_in_its_log_does_not_start_and_the_others_go_on() {
    let mut cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let mut client = cluster.client(leader);
    for number in 0..20u32 {
        client.put(format!("f/{number}").as_bytes(), &[7; 300]).await.unwrap();
    }
    let victim = (leader + 1) % 3;
    // What it answers from is in its log: a majority may have acknowledged all of it without this site.
    assert_eq!(cluster.client(victim).get(b"f/19").await.unwrap().kvs.len(), 1);
    cluster.kill(victim);
    let segment = cluster.segments(victim).pop().unwrap();
    // Between batches there may be bytes that nobody looks at; this one is of a value.
    let content = std::fs::read(&segment).unwrap();
    let place = content.windows(16).position(|bytes| bytes == [7; 16]).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.write_all_at(&[content[place] ^ 0x10], place as u64).unwrap();
    cluster.spawn(victim).unwrap();
    let status = cluster.ended(victim, Duration::from_secs(10)).unwrap();
    cluster.kill(victim);
    assert_eq!(status.code(), Some(1));
    assert!(cluster.log(victim).contains("damaged"), "{}", cluster.log(victim));
    client.put(b"f/more", b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_its_leader_and_still_ends() {
    let mut cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let granted = cluster.client(leader).grant(5, 2).await.unwrap();
    let put = PutRequest { key: "lease".into(), lease: granted.id, ..PutRequest::default() };
    cluster.client(leader).put_with(put).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.kill(leader);
    let lost = Instant::now();
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let mut client = cluster.client(leader);
    let asked = LeaseTimeToLiveRequest { id: 5, keys: true };
    let left = client.lease.lease_time_to_live(asked).await.unwrap().into_inner();
    assert!(left.ttl >= 1 && left.keys.len() == 1, "{left:?}");
    while client.get(b"lease").await.unwrap().count == 1 {
        assert!(lost.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(lost.elapsed() > Duration::from_secs(2), "the new leader gives it its whole TTL: {:?}", lost.elapsed());
}

/// A fourth site joins as a learner, votes, and the first leader leaves for good.
async fn change_members(cluster: &mut Cluster, fourth: &mut Cluster) -> Result<()> {
    let leader = cluster.leader(Duration::from_secs(10)).await?;
    let mut client = cluster.client(leader);
    client.put(b"m/a", b"1").await?;
    let peer = fourth.sites[0].peer_url.clone();
    let added = client.cluster.member_add(MemberAddRequest { peer_ur_ls: vec![peer.clone()], is_learner: true }).await?.into_inner();
    let id = added.member.map_or(0, |member| member.id);
    ensure!(added.members.len() == 4 && added.members.iter().filter(|member| member.is_learner).count() == 1);
    let again = client.cluster.member_add(MemberAddRequest { peer_ur_ls: vec![peer], is_learner: true }).await;
    ensure!(again.is_err_and(|status| status.message() == "etcdserver: Peer URLs already exists"));
    fourth.spawn(0)?;
    let started = Instant::now();
    while let Err(status) = client.cluster.member_promote(MemberPromoteRequest { id }).await {
        ensure!(status.message() == "etcdserver: can only promote a learner member which is in sync with leader", "{status:?}");
        ensure!(started.elapsed() < Duration::from_secs(10), "{}", fourth.log(0));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let own = client.status().await?.header.map_or(0, |header| header.member_id);
    let mut other = fourth.client(0);
    let left = other.cluster.member_remove(MemberRemoveRequest { id: own }).await?.into_inner().members;
    ensure!(left.len() == 3 && left.iter().all(|member| !member.is_learner && member.id != own), "{left:?}");
    cluster.kill(leader);
    let started = Instant::now();
    while other.put(b"m/b", b"2").await.is_err() {
        ensure!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(other.get(b"m/a").await?.kvs[0].value == "1");
    let members = other.cluster.member_list(MemberListRequest { linearizable: true }).await?.into_inner().members;
    ensure!(members.len() == 3, "{members:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_join_as_learners_and_leave() {
    let mut cluster = three().await;
    let mut fourth = Cluster::prepared(1, &[("JOIN", "true")]);
    change_members(&mut cluster, &mut fourth).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_answers_nothing_and_is_replaced() {
    let cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    cluster.client(leader).put(b"p", b"before").await.unwrap();
    cluster.links.isolate(leader, true);
    let mut other = cluster.client((leader + 1) % 3);
    let started = Instant::now();
    while other.put(b"p", b"after").await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    println!("from the cut to the next write: {:?}", started.elapsed());
    assert!(cluster.client(leader).get(b"p").await.is_err(), "it must not answer with what it had");
    cluster.links.heal();
    let started = Instant::now();
    while cluster.client(leader).get(b"p").await.map_or(true, |read| read.kvs[0].value != "after") {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_tells_its_clients_soon() {
    let cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let mut client = cluster.client(leader);
    client.put(b"q", b"before").await.unwrap();
    cluster.links.isolate(leader, true);
    let mut waits = Vec::new();
    for number in 0..4u8 {
        let asked = Instant::now();
        let (refused, what) = if number == 3 {
            (client.get(b"q").await.unwrap_err(), "a read")
        } else {
            (client.put(b"q", &[number]).await.unwrap_err(), "a write")
        };
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{what}: {refused:?}");
        waits.push(asked.elapsed());
    }
    println!("what a leader that is cut off lets its clients wait: {waits:?}");
    assert!(waits.iter().all(|wait| *wait < Duration::from_secs(1)), "{waits:?}");
    cluster.links.heal();
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let value = cluster.client(leader).get(b"q").await.unwrap().kvs[0].value.clone();
    // What it had proposed may have been carried out; what it was asked later was not even begun.
    assert!(value == "before" || value == [0].as_slice(), "{value:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_all_starts_empty_sites() {
    let mut cluster = three().await;
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let mut client = cluster.client(leader);
    client.put(b"b", b"kept").await.unwrap();
    let mut parts = client.maintenance.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let mut snapshot = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        snapshot.extend_from_slice(&part.blob);
    }
    for index in 0..3 {
        cluster.kill(index);
        std::fs::remove_dir_all(&cluster.sites[index].data).unwrap();
        let folder = cluster.sites[index].data.join("snapshot");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("state.snapshot"), &snapshot).unwrap();
    }
    for index in 0..3 {
        cluster.spawn(index).unwrap();
    }
    let leader = cluster.leader(Duration::from_secs(10)).await.unwrap();
    let mut client = cluster.client(leader);
    assert_eq!(client.get(b"b").await.unwrap().kvs[0].value, "kept");
    client.put(b"b", b"and goes on").await.unwrap();
}
