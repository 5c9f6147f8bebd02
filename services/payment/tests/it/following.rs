//! What a call leaves open is settled without it: the provider is down, the caller goes away, the process dies, Temporal is away.

use std::{ops::Deref, time::Duration};

use proto::payment::v1::PaymentState::{Authorized, Captured, Pending, RequiresAction, Voided};
use serde_json::json;
use testkit::{Temporal, eventually};
use tokio::sync::Mutex;

use super::{Answer, World, new_order};

/// A service with a Temporal, which it may not have found yet.
struct Followed {
    world: World,
    temporal: Mutex<Temporal>,
}

impl Deref for Followed {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// So long that the sweeper has no part in a test.
const NEVER: &str = "1h";

impl Followed {
    async fn new(follow_after: &str) -> Self {
        let temporal = Temporal::start().await;
        let env =
            [("TEMPORAL_ADDRESS", temporal.address()), ("FOLLOW_AFTER", follow_after.to_owned()), ("STEP_UP_PATIENCE", "1s".to_owned())];
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        let world = World::with(&testkit::fresh_folder("psp"), "300ms", &env).await;
        Self { world, temporal: Mutex::new(temporal) }
    }

    /// An order that has come as far as `captured` or, if not that, authorized.
    async fn ordered(&self, is_captured: bool) -> String {
        let order = new_order();
        self.authorize(&order, 1250, "tok_visa").await.expect("the provider is there");
        if is_captured {
            self.capture(&order).await.expect("the provider is there");
        }
        order
    }

    async fn refunded(&self, order: &str, amount: i64) {
        eventually("the refund is made", Duration::from_secs(30), async || {
            let payment = self.payment(order).await.map_err(|failure| format!("{failure:?}"))?;
            let refunded = payment.refunded.as_ref().map_or(0, |refunded| refunded.amount_minor);
            if refunded == amount { Ok(()) } else { Err(format!("{payment:?}")) }
        })
        .await;
    }

    /// The state in the database: reading it through the service may ask the provider.
    async fn stored(&self, order: &str) -> String {
        sqlx::query_scalar("SELECT state FROM payments WHERE order_id = $1::uuid").bind(order).fetch_one(&self.pool()).await.expect("a row")
    }

    async fn is_wanted(&self, order: &str, wish: &str) -> bool {
        let wanted = sqlx::query_scalar("SELECT wanted FROM payments WHERE order_id = $1::uuid");
        let wanted: Option<String> = wanted.bind(order).fetch_one(&self.pool()).await.expect("a row");
        wanted.as_deref() == Some(wish)
    }

    /// A caller that leaves before there is an answer.
    async fn leave<T>(&self, call: impl Future<Output = T>) {
        assert!(tokio::time::timeout(Duration::from_millis(500), call).await.is_err(), "nobody answers so soon");
    }
}

fn fails(answer: &Answer) {
    assert!(answer.as_ref().is_err_and(|failure| failure.kind.is_retryable()), "{answer:?}");
}

#[tokio::test]
async fn what_the_provider_did_not_answer_is_settled_when_it_is_back_without_another_call() {
    let world = Followed::new(NEVER).await;
    let (held, captured, voided, refunded) =
        (new_order(), world.ordered(false).await, world.ordered(false).await, world.ordered(true).await);
    world.set(json!({ "down": "unavailable" })).await;
    fails(&world.authorize(&held, 1250, "tok_visa").await);
    fails(&world.capture(&captured).await);
    assert!(world.void(&voided).await.is_err());
    fails(&world.refund_part(&refunded, "r1", Some(200)).await);
    fails(&world.refund_part(&refunded, "r2", Some(50)).await);
    assert_eq!((world.stored(&held).await, world.stored(&captured).await), ("pending".to_owned(), "authorized".to_owned()));
    world.set(json!({ "down": "no" })).await;
    world.comes_to(&held, Authorized).await;
    world.comes_to(&captured, Captured).await;
    world.comes_to(&voided, Voided).await;
    world.refunded(&refunded, 250).await;
    for order in [&held, &captured, &voided, &refunded] {
        assert_eq!(world.charges(order).await.len(), 1);
    }
    assert_eq!(world.charges(&refunded).await[0]["refunds"].as_array().unwrap().len(), 2);
    assert_eq!(world.balances().await, (1250 + 1000, -1250 - 1000));
    assert_eq!(world.reconcile("").await.differences, []);
}

#[tokio::test]
async fn what_the_provider_did_and_did_not_say_is_found_out() {
    let world = Followed::new(NEVER).await;
    let (held, captured, refunded) = (new_order(), world.ordered(false).await, world.ordered(true).await);
    world.set(json!({ "cut_after_rate": 1.0 })).await;
    fails(&world.authorize(&held, 1250, "tok_visa").await);
    fails(&world.capture(&captured).await);
    fails(&world.refund_part(&refunded, "r1", Some(200)).await);
    assert_eq!(world.charges(&refunded).await[0]["refunded_minor"], 200);
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    world.comes_to(&held, Authorized).await;
    world.comes_to(&captured, Captured).await;
    world.refunded(&refunded, 200).await;
    assert_eq!(world.balances().await, (1250 + 1050, -1250 - 1050));
    assert_eq!(world.charges(&refunded).await[0]["refunded_minor"], 200, "given back once");
}

#[tokio::test]
async fn what_a_caller_left_behind_is_settled() {
    let world = Followed::new(NEVER).await;
    let (held, captured, voided, refunded) =
        (new_order(), world.ordered(false).await, world.ordered(false).await, world.ordered(true).await);
    world.set(json!({ "down": "hang" })).await;
    tokio::join!(
        world.leave(world.authorize(&held, 1250, "tok_visa")),
        world.leave(world.capture(&captured)),
        world.leave(world.void(&voided)),
        world.leave(world.refund(&refunded)),
    );
    world.set(json!({ "down": "no" })).await;
    world.comes_to(&held, Authorized).await;
    world.comes_to(&captured, Captured).await;
    world.comes_to(&voided, Voided).await;
    world.refunded(&refunded, 1250).await;
    assert_eq!(world.balances().await, (1250, -1250));
}

#[tokio::test]
async fn what_was_asked_when_the_process_died_is_settled_after_it() {
    let world = Followed::new("1s").await;
    let (held, captured, voided, refunded) =
        (new_order(), world.ordered(false).await, world.ordered(false).await, world.ordered(true).await);
    world.set(json!({ "down": "hang" })).await;
    let asked = async {
        tokio::join!(world.authorize(&held, 1250, "tok_visa"), world.capture(&captured), world.refund_part(&refunded, "r1", Some(200)))
    };
    let killed = async {
        eventually("everything is kept", Duration::from_secs(10), async || {
            let kept: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM payments WHERE state = 'pending' OR wanted = 'capture' AND state = 'authorized')
                      + (SELECT count(*) FROM refunds)",
            )
            .fetch_one(&world.pool())
            .await
            .expect("the database answers");
            if kept == 3 { Ok(()) } else { Err(kept) }
        })
        .await;
        world.service.lock().await.kill();
    };
    let (_, ()) = tokio::join!(asked, killed);
    // What is asked for now is kept by another process, and no call of it is ever handed over.
    sqlx::query("UPDATE payments SET wanted = 'void', wanted_at = now() WHERE order_id = $1::uuid")
        .bind(&voided)
        .execute(&world.pool())
        .await
        .unwrap();
    world.set(json!({ "down": "no" })).await;
    world.service.lock().await.kill_and_restart().await;
    world.comes_to(&held, Authorized).await;
    world.comes_to(&captured, Captured).await;
    world.comes_to(&voided, Voided).await;
    world.refunded(&refunded, 200).await;
    assert_eq!(world.balances().await, (1250 + 1050, -1250 - 1050));
}

#[tokio::test]
async fn a_workflow_goes_on_when_its_worker_was_killed() {
    let world = Followed::new(NEVER).await;
    let captured = world.ordered(false).await;
    world.set(json!({ "down": "hang" })).await;
    world.leave(world.capture(&captured)).await;
    // By now the workflow's own question hangs as well, whatever became of the call.
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.service.lock().await.kill_and_restart().await;
    world.set(json!({ "down": "no" })).await;
    eventually("the payment is captured", Duration::from_secs(60), async || match world.stored(&captured).await.as_str() {
        "captured" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;
    assert_eq!(world.balances().await, (1250, -1250));
}

/// Calls each of an order's steps once, whatever comes of it, and goes on when the payment can be seen to be there.
async fn shop_once(world: &World, number: i64) {
    let order = new_order();
    let _ = world.authorize(&order, 1000 + number, "tok_visa").await;
    // A try that dies with its process is given up after 15 s, the next comes up to 10 s later, and one in three comes to nothing here.
    let held = tokio::time::timeout(Duration::from_secs(150), async {
        loop {
            match world.payment(&order).await {
                Ok(payment) if payment.state() == Authorized => return true,
                // The call never came to the service.
                Err(failure) if failure.reason == "PAYMENT_NOT_FOUND" => return false,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    if !held.expect("an authorization that was asked for is settled") {
        return;
    }
    if number % 3 == 0 {
        let _ = world.void(&order).await;
    } else {
        let _ = world.capture(&order).await;
        let _ = world.refund_part(&order, "r1", Some(100)).await;
    }
}

#[tokio::test]
async fn kills_on_all_sides_and_nobody_who_repeats_a_call_leave_nothing_open() {
    let world = Followed::new("1s").await;
    world.set(json!({ "latency_max_ms": 60, "cut_after_rate": 0.3, "timeout_before_rate": 0.05 })).await;
    let shop = async |shopper: i64| {
        for number in 0..12 {
            shop_once(&world, shopper * 100 + number).await;
        }
    };
    let kill = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            world.service.lock().await.kill_and_restart().await;
            world.psp.lock().await.kill_and_restart().await;
            let mut temporal = world.temporal.lock().await;
            temporal.kill();
            temporal.restart().await;
        }
    };
    tokio::join!(futures::future::join_all((0..6).map(shop)), kill);
    world.set(json!({ "latency_max_ms": 0, "cut_after_rate": 0.0, "timeout_before_rate": 0.0 })).await;
    let pool = world.pool();
    let count = async |condition: &'static str| -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {condition}"))).fetch_one(&pool).await.expect("the database answers")
    };
    eventually("nothing is open", Duration::from_secs(90), async || {
        let open = count(
            "(SELECT count(*) FROM payments WHERE state IN ('pending', 'requires_action') OR state = 'authorized' AND wanted IS NOT NULL)
             + (SELECT count(*) FROM refunds WHERE refund_id IS NULL)",
        )
        .await;
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    let (captured, voided) = ("count(*) FROM payments WHERE wanted = 'capture'", "count(*) FROM payments WHERE wanted = 'void'");
    assert!(count(captured).await > 20 && count(voided).await > 10, "there was something to settle");
    assert_eq!(count("count(*) FROM payments WHERE wanted = 'capture' AND state <> 'captured'").await, 0);
    assert_eq!(count("count(*) FROM payments WHERE wanted = 'void' AND state <> 'voided'").await, 0);
    let kept = count(
        "coalesce(sum(amount_minor), 0)::bigint - (SELECT coalesce(sum(amount_minor), 0)::bigint FROM refunds)
         FROM payments WHERE state = 'captured'",
    )
    .await;
    assert_eq!(world.balances().await, (kept, -kept));
    let run = world.reconcile("").await;
    assert_eq!(run.differences, [], "PAY-2: the ledger is what the provider lists");
}

#[tokio::test]
async fn without_temporal_calls_are_answered_and_what_they_leave_open_waits_for_it() {
    let world = Followed::new("1s").await;
    for is_restarted in [true, false] {
        world.temporal.lock().await.kill();
        if is_restarted {
            world.service.lock().await.kill_and_restart().await;
        }
        let whole = world.ordered(true).await;
        assert_eq!(world.refund_part(&whole, "r1", Some(50)).await.unwrap().state(), Captured, "the provider is there");
        let open = world.ordered(false).await;
        world.set(json!({ "down": "unavailable" })).await;
        fails(&world.capture(&open).await);
        world.set(json!({ "down": "no" })).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(world.payment(&open).await.unwrap().state(), Authorized, "two sweeps later nobody could go on");
        world.temporal.lock().await.restart().await;
        eventually("the payment is captured", Duration::from_secs(60), async || match world.payment(&open).await {
            Ok(payment) if payment.state() == Captured => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    assert_eq!(world.reconcile("").await.differences, []);
}

#[tokio::test]
async fn what_is_left_open_before_temporal_is_found_is_followed_without_a_sweep() {
    let world = Followed::new(NEVER).await;
    world.temporal.lock().await.kill();
    world.service.lock().await.kill_and_restart().await;
    let order = world.ordered(false).await;
    world.set(json!({ "down": "unavailable" })).await;
    fails(&world.capture(&order).await);
    world.set(json!({ "down": "no" })).await;
    world.temporal.lock().await.restart().await;
    world.comes_to(&order, Captured).await;
}

#[tokio::test]
async fn an_authorization_that_a_void_has_overtaken_is_not_held() {
    let world = Followed::new(NEVER).await;
    let (asked, never_asked) = (new_order(), new_order());
    world.set(json!({ "down": "unavailable" })).await;
    fails(&world.authorize(&asked, 1250, "tok_visa").await);
    assert!(world.void(&asked).await.is_err());
    assert_eq!(world.void(&never_asked).await.unwrap(), None);
    assert!(world.is_wanted(&asked, "void").await);
    for order in [&asked, &never_asked] {
        assert_eq!(world.authorize(order, 1250, "tok_visa").await.unwrap_err().reason, "PAYMENT_VOIDED");
    }
    world.set(json!({ "down": "no" })).await;
    world.comes_to(&asked, Voided).await;
    assert!(world.charges(&asked).await.iter().all(|charge| charge["state"] == "voided"));
    assert_eq!(world.charges(&never_asked).await.len(), 0);
    assert_eq!(world.authorize(&asked, 1250, "tok_visa").await.unwrap_err().reason, "PAYMENT_VOIDED");
    assert_eq!(world.balances().await, (0, 0));
}

#[tokio::test]
async fn a_void_overtakes_a_capture_that_the_provider_never_made() {
    let world = Followed::new(NEVER).await;
    let order = world.ordered(false).await;
    world.set(json!({ "down": "unavailable" })).await;
    fails(&world.capture(&order).await);
    assert!(world.void(&order).await.is_err());
    assert_eq!(world.capture(&order).await.unwrap_err().reason, "PAYMENT_VOIDED");
    world.set(json!({ "down": "no" })).await;
    world.comes_to(&order, Voided).await;

    let taken = world.ordered(false).await;
    world.set(json!({ "cut_after_rate": 1.0 })).await;
    fails(&world.capture(&taken).await);
    assert!(world.void(&taken).await.is_err());
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    world.comes_to(&taken, Captured).await;
    assert_eq!(world.void(&taken).await.unwrap_err().reason, "PAYMENT_CAPTURED", "the money was there first");
    assert_eq!(world.balances().await, (1250, -1250));
}

#[tokio::test]
async fn a_step_up_whose_webhook_is_lost_is_asked_after() {
    let world = Followed::new(NEVER).await;
    world.set(json!({ "webhook_delay_min_ms": 3_600_000, "webhook_delay_max_ms": 3_600_000 })).await;
    let order = new_order();
    assert_eq!(world.authorize(&order, 1250, "tok_3ds").await.unwrap().state(), RequiresAction);
    eventually("the answer of the bank is known", Duration::from_secs(30), async || match world.stored(&order).await.as_str() {
        "authorized" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;
    assert_eq!(world.events_of(&order).await, ["payment.requires_action", "payment.authorized"]);
    assert_ne!(world.payment(&order).await.unwrap().state(), Pending);
}
