//! The same seed, the same accidents; and as many as were asked for.

use proptest::prelude::*;

use super::*;

fn rate(value: f64) -> Rate {
    Rate::try_from(value).unwrap()
}

/// Everything that is drawn for one request.
fn fate(behavior: &Behavior, name: &str, attempt: u32) -> (Mood, Duration, bool, Answer, u64, u32) {
    (
        behavior.mood(name),
        behavior.latency(name, attempt),
        behavior.is_lost(name, attempt),
        behavior.answer(name, attempt),
        behavior.webhook_delay_ms(name),
        behavior.webhook_copies(name),
    )
}

fn stormy(seed: u64) -> Behavior {
    Behavior {
        seed,
        latency_max_ms: 1000,
        decline_rate: rate(0.3),
        step_up_rate: rate(0.3),
        timeout_before_rate: rate(0.3),
        timeout_after_rate: rate(0.3),
        cut_after_rate: rate(0.3),
        webhook_delay_max_ms: 1000,
        duplicate_webhook_rate: rate(0.3),
        ..Behavior::default()
    }
}

proptest! {
    #[test]
    fn a_fate_hangs_on_seed_name_and_attempt_alone(seed: u64, names in prop::collection::vec("\\PC{0,20}", 1..20), attempt: u32) {
        let (one, other) = (stormy(seed), stormy(seed));
        let there: Vec<_> = names.iter().map(|name| fate(&one, name, attempt)).collect();
        let back: Vec<_> = names.iter().rev().map(|name| fate(&other, name, attempt)).collect();
        prop_assert!(there.iter().eq(back.iter().rev()));
    }

    #[test]
    fn times_stay_within_their_bounds(seed: u64, min in 0_u32..5000, more in 0_u32..5000, name in "\\PC{0,20}", attempt: u32) {
        let behavior = Behavior { seed, latency_min_ms: min, latency_max_ms: min + more, ..Behavior::default() };
        let latency = behavior.latency(&name, attempt).as_millis();
        prop_assert!((u128::from(min)..=u128::from(min + more)).contains(&latency));
    }

    #[test]
    fn no_body_panics_and_what_is_taken_is_sound(body: Vec<u8>, text in "\\PC{0,60}", rate in any::<f64>(), min: u32, max: u32) {
        let plain = Behavior::default();
        let _ = (plain.with(&body), plain.with(text.as_bytes()));
        let fields = serde_json::json!({ "decline_rate": rate, "latency_min_ms": min, "latency_max_ms": max });
        if let Ok(changed) = plain.with(fields.to_string().as_bytes()) {
            prop_assert!((0.0..=1.0).contains(&changed.decline_rate.0) && changed.latency_min_ms <= changed.latency_max_ms);
        }
    }
}

#[test]
fn accidents_come_as_often_as_asked() {
    let behavior = Behavior { decline_rate: rate(0.05), ..Behavior::default() };
    let declined = (0..20_000).filter(|key| behavior.mood(&format!("k{key}")) == Mood::Declines).count();
    assert!((850..1150).contains(&declined), "{declined} of 20000 at 5 %");
    let all = Behavior { timeout_after_rate: rate(1.0), ..Behavior::default() };
    assert!((0..1000).all(|attempt| all.answer("k", attempt) == Answer::Never));
    let other = Behavior { seed: 2, ..behavior.clone() };
    assert!((0..1000).any(|key| behavior.mood(&format!("k{key}")) != other.mood(&format!("k{key}"))), "another seed, other accidents");
    let half = Behavior { timeout_after_rate: rate(0.5), ..Behavior::default() };
    assert!((0..64).any(|attempt| half.answer("k", attempt) == Answer::Whole), "a repeat has another chance");
}

#[test]
fn the_same_seed_draws_the_same_on_every_machine() {
    // sha256 of seed 1 (8 bytes), attempt 0 (4 bytes), "decline", a zero byte and "o1/authorize" begins with these four bytes.
    assert_eq!(Behavior::default().bits(Draw::Decline, "o1/authorize", 0), 0xFEBB_606F);
}

#[test]
fn a_change_names_its_fields_and_leaves_the_others() {
    let plain = Behavior::default();
    let changed = plain.with(br#"{"decline_rate": 0.5, "down": "hang"}"#).unwrap();
    assert_eq!(changed, Behavior { decline_rate: rate(0.5), down: Down::Hang, ..plain.clone() });
    assert_eq!(plain.with(b"{}").unwrap(), plain);
    for bad in [
        r#"{"decline_rate": 1.1}"#,
        r#"{"decline_rate": -0.1}"#,
        r#"{"decline_rate": "5%"}"#,
        r#"{"decline_rates": 0.1}"#,
        r#"{"latency_min_ms": 5}"#,
        r#"{"webhook_delay_min_ms": 5}"#,
        r#"{"authorization_ttl_ms": 0}"#,
        r#"{"down": "yes"}"#,
        r#"{"seed": null}"#,
        "[]",
        "",
    ] {
        assert!(plain.with(bad.as_bytes()).is_err(), "{bad}");
    }
}
