//! Any sequence of commands keeps the money right.

use proptest::prelude::*;

use super::*;

fn charge(token: Token) -> Charge {
    let (state, decline_code) = token.authorize(Mood::Agrees);
    Charge {
        id: "ch_1".to_owned(),
        order_id: "o1".to_owned(),
        account: None,
        state,
        amount_minor: 1200,
        currency: "EUR".to_owned(),
        idempotency_key: "o1/authorize".to_owned(),
        decline_code,
        captured_at: None,
        refunded_minor: 0,
        refunds: Vec::new(),
        chargeback: None,
    }
}

fn refund(key: &str, amount_minor: Option<i64>) -> Command {
    Command::Refund { id: format!("re_{key}"), key: key.to_owned(), amount_minor }
}

fn tokens() -> impl Strategy<Value = Token> {
    prop::sample::select(vec![Token::Visa, Token::Mastercard, Token::Decline, Token::StepUp])
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let refund = (0..6, prop::option::of(1_i64..1300)).prop_map(|(key, amount)| refund(&format!("k{key}"), amount));
    let other = prop::sample::select(vec![
        Command::Approve,
        Command::Capture,
        Command::Void,
        Command::Expire,
        Command::ChargeBack { id: "cb_1".to_owned() },
    ]);
    prop::collection::vec(prop_oneof![refund, other], 0..24)
}

/// The events of a run with the sum of what they moved, and where it ends.
fn run(token: Token, commands: &[Command]) -> (Vec<Event>, i64, Charge) {
    let mut charge = charge(token);
    let (mut events, mut moved) = (Vec::new(), 0);
    for (command, now) in commands.iter().zip(1..) {
        if let Ok(Some(event)) = decide(&charge, command, now) {
            moved += charge.movement_of(&event).map_or(0, |movement| movement.amount_minor);
            charge = charge.after(&event);
            events.push(event);
        }
    }
    (events, moved, charge)
}

proptest! {
    #[test]
    fn a_charge_is_captured_at_most_once_and_never_after_it_ended(token in tokens(), commands in commands()) {
        let (events, _, _) = run(token, &commands);
        let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
        let captured = count(|event| matches!(event, Event::Captured { .. }));
        prop_assert!(captured + count(|event| matches!(event, Event::Voided | Event::Expired)) <= 1);
        if captured == 0 {
            prop_assert_eq!(count(|event| matches!(event, Event::Refunded(_) | Event::ChargedBack(_))), 0);
        }
    }

    #[test]
    fn what_is_left_is_what_was_moved_and_never_less_than_nothing(token in tokens(), commands in commands()) {
        for end in 0..=commands.len() {
            let (_, moved, charge) = run(token, &commands[..end]);
            prop_assert!((0..=charge.amount_minor).contains(&moved), "{moved}");
            prop_assert_eq!(charge.refunded_minor, charge.refunds.iter().map(|refund| refund.amount_minor).sum::<i64>());
            let expected = match charge.state {
                State::Captured => charge.left_minor(),
                _ => 0,
            };
            prop_assert_eq!(moved, expected, "{:?}", charge.state);
            prop_assert_eq!(charge.state == State::Refunded, charge.captured_at.is_some() && charge.left_minor() == 0);
        }
    }

    #[test]
    fn a_repeated_command_changes_nothing(token in tokens(), before in commands(), commands in commands()) {
        let (_, _, charge) = run(token, &before);
        for command in commands {
            if let Ok(Some(event)) = decide(&charge, &command, 1) {
                prop_assert_eq!(decide(&charge.after(&event), &command, 2), Ok(None));
            }
        }
    }

    #[test]
    fn a_refund_stays_repeatable_whatever_follows(before in commands(), after in commands(), amount in prop::option::of(1_i64..1200)) {
        let (_, _, mut charge) = run(Token::Visa, &before);
        let mine = refund("mine", amount);
        let Ok(Some(event)) = decide(&charge, &mine, 1) else { return Ok(()) };
        charge = charge.after(&event);
        for command in after {
            if let Ok(Some(event)) = decide(&charge, &command, 2) {
                charge = charge.after(&event);
            }
            prop_assert_eq!(decide(&charge, &mine, 3), Ok(None));
            prop_assert_eq!(decide(&charge, &refund("mine", Some(1201)), 3), Err(Refusal::KeyReused));
        }
    }

    #[test]
    fn what_is_final_never_moves(token in tokens(), before in commands(), after in commands()) {
        let (_, _, charge) = run(token, &before);
        if matches!(charge.state, State::Declined | State::Voided | State::Expired | State::Refunded | State::ChargedBack) {
            for command in after {
                prop_assert!(!matches!(decide(&charge, &command, 1), Ok(Some(_))));
            }
        }
    }

    #[test]
    fn what_has_no_answer_is_told_and_an_end_is_told_once(token in tokens(), commands in commands()) {
        let mut charge = charge(token);
        let mut ends = 0;
        for command in commands {
            if let Ok(Some(event)) = decide(&charge, &command, 1) {
                let is_told = charge.notice_of(&event).is_some();
                let is_news = matches!(event, Event::Approved | Event::Expired | Event::Refunded(_) | Event::ChargedBack(_));
                prop_assert!(is_told || !is_news, "{event:?} is news");
                ends += usize::from(matches!(event, Event::Expired | Event::ChargedBack(_)) && is_told);
                charge = charge.after(&event);
            }
        }
        prop_assert!(ends <= 1);
    }
}

#[test]
fn refunds_give_back_parts_until_all_is_given_back() {
    let mut charge = charge(Token::Visa);
    let mut step = |command: Command| {
        let outcome = decide(&charge, &command, 5);
        if let Ok(Some(event)) = &outcome {
            charge = charge.after(event);
        }
        outcome.map(|event| (event.is_some(), charge.state, charge.left_minor()))
    };
    assert_eq!(step(Command::Capture), Ok((true, State::Captured, 1200)));
    assert_eq!(step(refund("a", Some(500))), Ok((true, State::Captured, 700)));
    assert_eq!(step(refund("a", Some(500))), Ok((false, State::Captured, 700)));
    assert_eq!(step(refund("a", None)), Err(Refusal::KeyReused));
    assert_eq!(step(refund("b", Some(701))), Err(Refusal::TooMuch { id: "ch_1".to_owned(), asked: 701, left: 700 }));
    assert_eq!(step(refund("c", None)), Ok((true, State::Refunded, 0)));
    assert_eq!(step(refund("c", None)), Ok((false, State::Refunded, 0)));
    assert!(matches!(step(refund("d", Some(1))), Err(Refusal::State { .. })));
}

#[test]
fn a_charge_carries_a_limited_number_of_refunds() {
    let mut charge = Charge { state: State::Captured, ..charge(Token::Visa) };
    for key in 0..MAX_REFUNDS {
        let event = decide(&charge, &refund(&key.to_string(), Some(1)), 1).unwrap().unwrap();
        charge = charge.after(&event);
    }
    assert_eq!(decide(&charge, &refund("more", Some(1)), 1), Err(Refusal::TooMany { id: "ch_1".to_owned() }));
}

#[test]
fn moods_change_good_cards_only() {
    assert_eq!(Token::Visa.authorize(Mood::Declines), (State::Declined, Some(DeclineCode::InsufficientFunds)));
    assert_eq!(Token::Mastercard.authorize(Mood::AsksShopper), (State::RequiresAction, None));
    assert_eq!(Token::StepUp.authorize(Mood::Agrees), (State::RequiresAction, None));
    for mood in [Mood::Agrees, Mood::AsksShopper, Mood::Declines] {
        assert_eq!(Token::Decline.authorize(mood), (State::Declined, Some(DeclineCode::CardDeclined)));
    }
}

#[test]
fn states_are_written_as_they_are_named() {
    for state in State::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}
