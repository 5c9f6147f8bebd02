//! Any sequence of calls, lost answers and late webhooks keeps the money right.

use money::Currency;
use proptest::prelude::*;

use super::*;

fn terms() -> Terms {
    Terms { amount: Money::new(1250, Currency::EUR), token: "tok_visa".to_owned() }
}

fn charge(state: State) -> Charge {
    Charge { id: Some("ch_1".to_owned()), state, amount: terms().amount, decline_code: None }
}

/// A provider that keeps one charge, as the real one does.
#[derive(Default)]
struct Provider {
    state: Option<State>,
    captures: u32,
    refunds: u32,
}

impl Provider {
    fn answer(&mut self, question: &Question, asks_shopper: bool) -> Charge {
        let first = if asks_shopper { State::RequiresAction } else { State::Authorized };
        let now = *self.state.get_or_insert(first);
        let then = match (question, now) {
            (Question::Capture(_), State::Authorized) => {
                self.captures += 1;
                State::Captured
            }
            (Question::Void(_), State::Authorized | State::RequiresAction) => State::Voided,
            (Question::Refund(_), State::Captured) => {
                self.refunds += 1;
                State::Refunded
            }
            _ => now,
        };
        self.state = Some(then);
        charge(then)
    }
}

/// A call: what is wanted, after how many questions the process dies, and whether it dies before it hears the last answer.
#[derive(Debug, Clone)]
struct Call {
    command: Command,
    questions: u32,
    hears: bool,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let command = prop::sample::select(vec![Command::Authorize(terms()), Command::Capture, Command::Void, Command::Refund]);
    let call = (command, 0_u32..4, any::<bool>()).prop_map(|(command, questions, hears)| Call { command, questions, hears });
    prop::collection::vec(call, 1..24)
}

fn run(payment: &mut Option<Payment>, provider: &mut Provider, call: &Call, asks_shopper: bool, late: &mut Vec<Charge>) {
    let mut asked = 0;
    loop {
        match next(payment.as_ref(), &call.command) {
            Err(_) | Ok(Next::Done) => return,
            Ok(Next::Keep(kept)) => *payment = Some(kept),
            Ok(Next::Ask(question)) => {
                asked += 1;
                let answer = provider.answer(&question, asks_shopper);
                late.push(answer.clone());
                if asked > call.questions && !call.hears {
                    return;
                }
                let changes = learn(payment.as_ref().unwrap(), &answer).unwrap();
                *payment = changes.last().cloned().or_else(|| payment.take());
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_taken_twice_and_nothing_stays_held_behind_a_void(calls in calls(), asks_shopper: bool, approve_at in 0_usize..24) {
        let (mut payment, mut provider, mut late) = (None, Provider::default(), Vec::new());
        for (at, call) in calls.iter().enumerate() {
            if at == approve_at && provider.state == Some(State::RequiresAction) {
                provider.state = Some(State::Authorized);
                late.push(charge(State::Authorized));
            }
            run(&mut payment, &mut provider, call, asks_shopper, &mut late);
            // Old webhooks come again at any time.
            for charge in &late {
                if let Some(known) = &payment {
                    let changes = learn(known, charge).unwrap();
                    payment = changes.last().cloned().or_else(|| payment.take());
                }
            }
        }
        // Whoever asks once more, and is heard, learns the truth.
        run(&mut payment, &mut provider, &Call { command: Command::Void, questions: 9, hears: true }, asks_shopper, &mut late);
        prop_assert!(provider.captures <= 1 && provider.refunds <= provider.captures);
        let held = matches!(provider.state, Some(State::Authorized | State::RequiresAction));
        prop_assert!(!held, "something is held after a void");
        if let (Some(payment), Some(state)) = (&payment, provider.state) {
            prop_assert_eq!(payment.state, state);
        }
    }

    #[test]
    fn a_payment_never_goes_back(from in prop::sample::select(State::ALL.to_vec()), to in prop::sample::select(State::ALL[1..].to_vec())) {
        let payment = Payment { state: from, charge_id: None, ..Payment::open(terms()) };
        if let Ok(changes) = learn(&payment, &charge(to)) {
            for (at, change) in changes.iter().enumerate() {
                prop_assert_eq!(change.version, payment.version + 1 + at as u64);
                let ended = at + 1 == changes.len();
                prop_assert_eq!(change.state == to, ended);
            }
        }
    }
}

#[test]
fn a_captured_answer_to_an_open_question_passes_through_authorized() {
    let states: Vec<_> = learn(&Payment::open(terms()), &charge(State::Captured)).unwrap().iter().map(|change| change.state).collect();
    assert_eq!(states, [State::Authorized, State::Captured]);
}

#[test]
fn a_void_before_the_payment_refuses_the_late_authorize() {
    let Ok(Next::Keep(kept)) = next(None, &Command::Void) else { panic!("a tombstone is kept") };
    assert_eq!(next(Some(&kept), &Command::Authorize(terms())), Err(Refusal::Voided));
    assert_eq!(next(Some(&kept), &Command::Void), Ok(Next::Done));
}

#[test]
fn a_void_of_an_open_question_has_it_answered_first() {
    let pending = Payment::open(terms());
    assert_eq!(next(Some(&pending), &Command::Void), Ok(Next::Ask(Question::Charge(terms()))));
}

#[test]
fn another_amount_for_the_same_order_is_refused() {
    let other = Terms { amount: Money::new(1, Currency::EUR), ..terms() };
    assert_eq!(next(Some(&Payment::open(terms())), &Command::Authorize(other)), Err(Refusal::Differs));
}

#[test]
fn a_charge_about_something_else_is_a_contradiction() {
    let known = Payment { charge_id: Some("ch_1".to_owned()), state: State::Authorized, ..Payment::open(terms()) };
    assert_eq!(learn(&known, &Charge { id: Some("ch_2".to_owned()), ..charge(State::Captured) }), Err(Contradiction));
    assert_eq!(learn(&known, &Charge { amount: Money::new(1, Currency::EUR), ..charge(State::Captured) }), Err(Contradiction));
    let captured = Payment { state: State::Captured, ..known };
    assert_eq!(learn(&captured, &charge(State::Voided)), Err(Contradiction));
    assert_eq!(learn(&captured, &charge(State::Authorized)), Ok(Vec::new()));
}
