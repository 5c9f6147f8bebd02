//! Any sequence of commands keeps the money right.

use proptest::prelude::*;

use super::*;

fn charge(token: Token) -> Charge {
    let (state, decline_code) = token.authorize();
    Charge {
        id: "ch_1".to_owned(),
        order_id: "o1".to_owned(),
        state,
        amount_minor: 1200,
        currency: "EUR".to_owned(),
        idempotency_key: "o1/authorize".to_owned(),
        decline_code,
    }
}

fn tokens() -> impl Strategy<Value = Token> {
    prop::sample::select(vec![Token::Visa, Token::Mastercard, Token::Decline, Token::StepUp])
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(prop::sample::select(vec![Command::Approve, Command::Capture, Command::Void, Command::Refund]), 0..24)
}

/// The events of a run, and where it ends.
fn run(token: Token, commands: &[Command]) -> (Vec<Event>, Charge) {
    let mut charge = charge(token);
    let mut events = Vec::new();
    for command in commands {
        if let Ok(Some(event)) = decide(&charge, *command) {
            charge = charge.after(event);
            events.push(event);
        }
    }
    (events, charge)
}

proptest! {
    #[test]
    fn a_charge_is_captured_at_most_once_and_never_after_a_void(token in tokens(), commands in commands()) {
        let (events, _) = run(token, &commands);
        let count = |event| events.iter().filter(|seen| **seen == event).count();
        prop_assert!(count(Event::Captured) <= 1);
        prop_assert!(count(Event::Refunded) <= count(Event::Captured));
        prop_assert!(count(Event::Captured) + count(Event::Voided) <= 1);
    }

    #[test]
    fn refunded_is_final(token in tokens(), before in commands(), after in commands()) {
        let (_, charge) = run(token, &before);
        if charge.state == State::Refunded {
            for command in after {
                prop_assert!(!matches!(decide(&charge, command), Ok(Some(_))));
            }
        }
    }

    #[test]
    fn a_repeated_command_changes_nothing(token in tokens(), before in commands(), command in commands()) {
        let (_, charge) = run(token, &before);
        for command in command {
            if let Ok(Some(event)) = decide(&charge, command) {
                prop_assert_eq!(decide(&charge.after(event), command), Ok(None));
            }
        }
    }

    #[test]
    fn a_declined_charge_never_moves(commands in commands()) {
        let (events, charge) = run(Token::Decline, &commands);
        prop_assert!(events.is_empty());
        prop_assert_eq!(charge.state, State::Declined);
    }

    #[test]
    fn a_step_up_is_told_once_at_most_and_nothing_else_is(token in tokens(), commands in commands()) {
        let mut charge = charge(token);
        let mut told = 0;
        for command in commands {
            if let Ok(Some(event)) = decide(&charge, command) {
                told += usize::from(charge.notice_of(event).is_some());
                charge = charge.after(event);
            }
        }
        prop_assert!(told <= usize::from(token == Token::StepUp));
    }
}

#[test]
fn states_are_written_as_they_are_named() {
    for state in State::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}
