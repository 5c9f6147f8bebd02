//! Accidents on purpose: each does what it says, survives a kill, and comes again with the same seed.

use std::time::{Duration, Instant};

use psp::domain::{Charge, DeclineCode, State};
use reqwest::Client;
use serde_json::{Value, json};

use super::{SOON, World, order, receiver::Receiver};

/// Waits no longer than a hurried merchant.
fn hurried() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().expect("a client")
}

/// A request for a charge from somebody who does not wait for long.
async fn ask(world: &World, key: &str) -> Result<Charge, reqwest::Error> {
    let request = hurried().post(world.url("/v1/charges")).header("idempotency-key", key).json(&order("o1", "tok_visa"));
    request.send().await?.json().await
}

#[tokio::test]
async fn what_is_set_is_shown_and_survives_a_kill() {
    let mut world = World::with_delay("77ms").await;
    let plain: Value = world.get("/v1/behavior").await.json().await.unwrap();
    assert_eq!((&plain["step_up_delay_ms"], &plain["down"]), (&json!(77), &json!("no")));
    let set = world.set(&json!({ "decline_rate": 0.05, "seed": 9 })).await;
    assert_eq!((&set["decline_rate"], &set["seed"], &set["step_up_delay_ms"]), (&json!(0.05), &json!(9), &json!(77)));
    world.service.kill_and_restart().await;
    assert_eq!(world.get("/v1/behavior").await.json::<Value>().await.unwrap(), set);
    let reset = world.http.delete(world.url("/v1/behavior")).send().await.unwrap();
    assert_eq!(reset.json::<Value>().await.unwrap(), plain);
    let bad = world.http.patch(world.url("/v1/behavior")).json(&json!({ "decline_rate": 5 })).send().await.unwrap();
    assert_eq!(bad.status(), 400);
    let replaced = world.http.put(world.url("/v1/behavior")).json(&json!({ "seed": 3 })).send().await.unwrap();
    let replaced: Value = replaced.json().await.unwrap();
    assert_eq!((&replaced["seed"], &replaced["decline_rate"]), (&json!(3), &json!(0.0)));
}

#[tokio::test]
async fn the_same_seed_declines_and_asks_the_same_in_any_order() {
    let mut runs = Vec::new();
    for is_backwards in [false, true] {
        let world = World::with_delay("1h").await;
        world.set(&json!({ "decline_rate": 0.3, "step_up_rate": 0.3 })).await;
        let mut keys: Vec<u32> = (0..60).collect();
        if is_backwards {
            keys.reverse();
        }
        let mut states = Vec::new();
        for key in keys {
            let (_, charge) = world.charge(&format!("k{key}"), &order("o1", "tok_visa")).await;
            assert_eq!(charge.decline_code, (charge.state == State::Declined).then_some(DeclineCode::InsufficientFunds));
            states.push((key, charge.state.as_str()));
        }
        states.sort_unstable();
        runs.push(states);
    }
    assert_eq!(runs[0], runs[1]);
    for state in ["declined", "requires_action", "authorized"] {
        let count = runs[0].iter().filter(|(_, seen)| *seen == state).count();
        assert!((8..40).contains(&count), "{count} of 60 {state}");
    }
}

#[tokio::test]
async fn a_timeout_after_the_money_moved_leaves_a_charge_and_one_before_leaves_none() {
    let world = World::new().await;
    for (field, key, is_done) in
        [("timeout_before_rate", "before", false), ("timeout_after_rate", "after", true), ("cut_after_rate", "cut", true)]
    {
        world.set(&json!({ field: 1.0 })).await;
        let lost = ask(&world, key).await.unwrap_err();
        assert_eq!(lost.is_timeout(), key != "cut", "{lost:?}");
        let charges = world.list(&format!("idempotency_key={key}")).await;
        assert_eq!(charges.len(), usize::from(is_done), "{key}");
        world.set(&json!({ field: 0.0 })).await;
        let (status, charge) = world.charge(key, &order("o1", "tok_visa")).await;
        assert_eq!((status, charge.state), (if is_done { 200 } else { 201 }, State::Authorized), "{key}");
    }
    assert_eq!(world.list("order_id=o1").await.len(), 3);
}

#[tokio::test]
async fn a_repeat_gets_through_where_the_first_was_lost() {
    let world = World::new().await;
    world.set(&json!({ "timeout_after_rate": 0.3, "cut_after_rate": 0.3, "timeout_before_rate": 0.2 })).await;
    let mut asked = 0;
    for key in 0..10 {
        let mut answer = None;
        while answer.is_none() {
            asked += 1;
            answer = ask(&world, &format!("k{key}")).await.ok();
        }
    }
    assert!((11..200).contains(&asked), "{asked} requests for 10 answers");
    world.set(&json!({ "timeout_after_rate": 0.0, "cut_after_rate": 0.0, "timeout_before_rate": 0.0 })).await;
    assert_eq!(world.list("order_id=o1").await.len(), 10);
}

#[tokio::test]
async fn answers_take_their_time() {
    let world = World::new().await;
    world.set(&json!({ "latency_min_ms": 150, "latency_max_ms": 200 })).await;
    let began = Instant::now();
    world.charge("k1", &order("o1", "tok_visa")).await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    let began = Instant::now();
    world.set(&json!({ "latency_min_ms": 0, "latency_max_ms": 0 })).await;
    assert!(began.elapsed() < Duration::from_millis(150), "whoever sets it does not wait");
}

#[tokio::test]
async fn a_provider_that_is_down_does_nothing_and_can_be_brought_back() {
    let world = World::new().await;
    world.set(&json!({ "down": "unavailable" })).await;
    let refused = world.post("k1", &order("o1", "tok_visa")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json::<Value>().await.unwrap()["reason"], "PSP_DOWN");
    assert_eq!(world.get("/").await.status(), 200, "the page shows what there is");
    world.set(&json!({ "down": "hang" })).await;
    assert!(ask(&world, "k1").await.unwrap_err().is_timeout());
    world.set(&json!({ "down": "no" })).await;
    assert_eq!(world.charge("k1", &order("o1", "tok_visa")).await.0, 201, "nothing was done before");
}

#[tokio::test]
async fn authorizations_end_by_themselves_and_that_is_told() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.take();
    world.set(&json!({ "authorization_ttl_ms": 200 })).await;
    let mut body = order("o1", "tok_visa");
    body["webhook_url"] = receiver.url().into();
    let (_, charge) = world.charge("k1", &body).await;
    world.comes_to(&charge.id, State::Expired).await;
    let heard = receiver.has_taken().await.json();
    assert_eq!((&heard["type"], &heard["charge"]["state"]), (&json!("charge.expired"), &json!("expired")));
    assert_eq!(world.command(&charge.id, "capture").await.0, 409);
}

#[tokio::test]
async fn webhooks_come_late_overtake_each_other_and_come_again() {
    let (world, receiver) = (World::with_delay("1ms").await, Receiver::start().await);
    receiver.take();
    world.set(&json!({ "webhook_delay_max_ms": 600, "duplicate_webhook_rate": 0.5 })).await;
    let body = |order_id: &str| {
        let mut body = order(order_id, "tok_3ds");
        body["webhook_url"] = receiver.url().into();
        body
    };
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(world.charge(&format!("k{number}"), &body(&format!("o{number}"))).await.1.id);
    }
    let heard = testkit::eventually("all are told", SOON, async || {
        let heard: Vec<Value> = receiver.heard().iter().map(|heard| heard.json()).collect();
        let all = ids.iter().all(|id| heard.iter().any(|notice| notice["charge"]["id"] == id.as_str()));
        let events: std::collections::BTreeSet<_> = heard.iter().map(|notice| notice["id"].to_string()).collect();
        if all && heard.len() >= events.len() + 4 { Ok(heard) } else { Err(format!("{} of {}", events.len(), heard.len())) }
    })
    .await;
    let mut firsts: Vec<&str> = Vec::new();
    for notice in &heard {
        let id = notice["charge"]["id"].as_str().unwrap();
        if !firsts.contains(&id) {
            firsts.push(id);
        }
    }
    assert_ne!(firsts, ids, "some overtook others");
}
