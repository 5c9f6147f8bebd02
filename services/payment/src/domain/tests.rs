//! Any sequence of calls, lost answers, late, repeated and reordered webhooks keeps the money right. The provider is the real one's own
//! domain, and what it says passes through its JSON.

use std::collections::BTreeSet;

use money::Currency;
use proptest::prelude::*;
use psp::{behavior::Mood, domain as provider};

use super::*;
use crate::{
    ledger::{Account, Cause, Posting},
    psp::WireCharge,
};

const ORDER: &str = "0197a3c0-5c00-7abc-8def-0123456789ab";

fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::EUR)
}

fn terms() -> Terms {
    Terms { amount: eur(1250), token: "tok_visa".to_owned() }
}

/// A provider that keeps one charge, and everything it ever said of it.
struct Provider {
    mood: Mood,
    charge: Option<provider::Charge>,
    said: Vec<provider::Charge>,
    clock: i64,
    refunds: u32,
}

impl Provider {
    fn new(mood: Mood) -> Self {
        Self { mood, charge: None, said: Vec::new(), clock: 1_760_000_000_000, refunds: 0 }
    }

    fn open(&mut self, terms: &Terms) {
        let (state, decline_code) = provider::Token::Visa.authorize(self.mood);
        self.charge.get_or_insert_with(|| provider::Charge {
            id: "ch_1".to_owned(),
            order_id: ORDER.to_owned(),
            account: None,
            state,
            amount_minor: terms.amount.amount_minor,
            currency: terms.amount.currency.to_string(),
            idempotency_key: format!("{ORDER}/authorize"),
            decline_code,
            captured_at: None,
            refunded_minor: 0,
            refunds: Vec::new(),
            chargeback: None,
        });
    }

    /// Does what it is told, and says how the charge stands then, whether or not it could.
    fn command(&mut self, command: &provider::Command) {
        self.clock += 1;
        let Some(charge) = &self.charge else { return };
        if let Ok(Some(event)) = provider::decide(charge, command, self.clock) {
            let changed = charge.after(&event);
            self.said.push(changed.clone());
            self.charge = Some(changed);
        }
    }

    fn refund(&mut self, key: &str, amount_minor: i64) {
        self.refunds += 1;
        let (id, key) = (format!("re_{}", self.refunds), key.to_owned());
        self.command(&provider::Command::Refund { id, key, amount_minor: Some(amount_minor) });
    }

    fn answer(&mut self, question: &Question) -> Charge {
        match question {
            Question::Charge(terms) => self.open(terms),
            Question::Capture(_) => self.command(&provider::Command::Capture),
            Question::Void(_) => self.command(&provider::Command::Void),
            Question::Refund { key, amount_minor, .. } => self.refund(key, *amount_minor),
        }
        let charge = self.charge.clone().expect("it was asked for");
        self.said.push(charge.clone());
        heard(&charge)
    }
}

/// What this service understands of what the provider says.
fn heard(charge: &provider::Charge) -> Charge {
    let wire: WireCharge = serde_json::from_value(serde_json::to_value(charge).unwrap()).unwrap();
    wire.read().unwrap().1
}

/// This service: a payment, and all that was posted.
#[derive(Default)]
struct Here {
    payment: Option<Payment>,
    postings: Vec<Posting>,
}

impl Here {
    fn learn(&mut self, charge: &Charge) {
        let Some(payment) = &self.payment else { return };
        let changes = learn(payment, charge).expect("the provider does not contradict itself");
        for (change, version) in changes.iter().zip(payment.version + 1..) {
            assert_eq!(change.payment.version, version, "each change has its own version");
        }
        self.postings.extend(changes.iter().filter_map(|change| change.posting.clone()));
        self.payment = changes.into_iter().last().map(|change| change.payment).or_else(|| self.payment.take());
    }

    /// Follows a command until it is done or refused, or the process dies: after `answers`, the last of them heard or not.
    fn follow(&mut self, provider: &mut Provider, command: &Command, answers: u32, hears: bool) -> Result<(), Refusal> {
        let mut heard = 0;
        loop {
            match next(self.payment.as_ref(), command)? {
                Next::Done => return Ok(()),
                Next::Keep(kept) => self.payment = Some(kept),
                Next::Want(wish) => self.payment.as_mut().unwrap().wanted = Some(wish),
                Next::KeepRefund(refund) => self.payment.as_mut().unwrap().refunds.push(refund),
                Next::Ask(question) => {
                    heard += 1;
                    let answer = provider.answer(&question);
                    if heard > answers && !hears {
                        return Ok(());
                    }
                    assert!(heard < 9, "{command:?} does not settle");
                    self.learn(&answer);
                }
            }
        }
    }

    fn owed(&self) -> i64 {
        let entries = self.postings.iter().flat_map(Posting::entries);
        entries.filter(|(account, _)| *account == Account::PspReceivable).map(|(_, amount)| amount).sum()
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A call: how many answers are heard, and whether the last one is.
    Call(Command, u32, bool),
    /// A workflow goes on with what may be open, in the same way.
    Resume(Intent, u32, bool),
    /// The shopper, the clock or the bank does something.
    World(provider::Command),
    /// Somebody refunds at the provider, past this service.
    Elsewhere(u8, i64),
    /// A webhook comes about something that was said, the how-manieth.
    Webhook(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let refund = (0_u8..4, prop::option::of(1_i64..1400))
        .prop_map(|(key, amount)| Command::Refund { key: format!("{ORDER}/r{key}"), amount: amount.map(eur) });
    let command = prop_oneof![
        Just(Command::Authorize(terms())),
        Just(Command::Capture),
        Just(Command::Capture),
        Just(Command::Void),
        refund.clone(),
        refund
    ];
    let world = prop::sample::select(vec![
        provider::Command::Approve,
        provider::Command::Expire,
        provider::Command::ChargeBack { id: "cb_1".to_owned() },
    ]);
    let step = prop_oneof![
        6 => (command, 0_u32..4, any::<bool>()).prop_map(|(command, answers, hears)| Step::Call(command, answers, hears)),
        3 => (intents(), 0_u32..4, any::<bool>()).prop_map(|(intent, answers, hears)| Step::Resume(intent, answers, hears)),
        1 => world.prop_map(Step::World),
        1 => (0_u8..2, 1_i64..700).prop_map(|(key, amount)| Step::Elsewhere(key, amount)),
        4 => any::<prop::sample::Index>().prop_map(Step::Webhook),
    ];
    prop::collection::vec(step, 1..40)
}

fn intents() -> impl Strategy<Value = Intent> {
    prop_oneof![
        Just(Intent::Authorization),
        Just(Intent::Capture),
        Just(Intent::Void),
        (0_u8..4).prop_map(|key| Intent::Refund(format!("{ORDER}/r{key}"))),
    ]
}

fn moods() -> impl Strategy<Value = Mood> {
    prop_oneof![4 => Just(Mood::Agrees), 2 => Just(Mood::AsksShopper), 1 => Just(Mood::Declines)]
}

fn live(here: &mut Here, provider: &mut Provider, step: &Step) {
    match step {
        // A refusal is an answer too.
        Step::Call(command, answers, hears) => drop(here.follow(provider, command, *answers, *hears)),
        Step::Resume(intent, answers, hears) => drop(here.follow(provider, &Command::Resume(intent.clone()), *answers, *hears)),
        Step::World(command) => provider.command(command),
        Step::Elsewhere(key, amount) => provider.refund(&format!("desk-{key}"), *amount),
        Step::Webhook(_) if provider.said.is_empty() => {}
        Step::Webhook(which) => {
            let charge = heard(which.get(&provider.said));
            here.learn(&charge);
        }
    }
}

/// PAY-1 and PAY-2, whatever happened.
fn check(here: &Here, provider: &Provider) -> Result<(), TestCaseError> {
    let names: BTreeSet<_> = here.postings.iter().map(|posting| (posting.cause, posting.source_id.as_str())).collect();
    prop_assert_eq!(names.len(), here.postings.len(), "nothing is posted twice");
    let captures = here.postings.iter().filter(|posting| posting.cause == Cause::Capture).count();
    prop_assert!(captures <= 1, "an order is captured once");
    prop_assert!((0..=1250).contains(&here.owed()), "{} is owed", here.owed());
    if let Some(payment) = &here.payment {
        prop_assert!(payment.promised_minor() <= 1250 || payment.refunds.iter().any(|refund| refund.id.is_none()));
        prop_assert!(payment.refunded_minor() <= 1250);
        prop_assert_eq!(payment.state == State::Refunded, payment.state.was_captured() && payment.refunded_minor() == 1250);
    }
    if let Some(charge) = &provider.charge {
        prop_assert!(charge.refunded_minor <= charge.amount_minor);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_ledger_is_what_the_provider_moved(steps in steps(), mood in moods()) {
        let (mut here, mut provider) = (Here::default(), Provider::new(mood));
        for step in &steps {
            live(&mut here, &mut provider, step);
            check(&here, &provider)?;
        }
        // Whoever looks the charge up learns the truth, and old webhooks change nothing after that.
        let Some(charge) = provider.charge.clone() else { return Ok(()) };
        here.learn(&heard(&charge));
        let settled = (here.payment.clone(), here.postings.clone());
        for said in &provider.said {
            here.learn(&heard(said));
        }
        prop_assert_eq!(&(here.payment.clone(), here.postings.clone()), &settled);
        check(&here, &provider)?;
        let back = charge.chargeback.as_ref().map_or(0, |chargeback| chargeback.amount_minor);
        let kept = charge.captured_at.map_or(0, |_| charge.left_minor() - back);
        prop_assert_eq!(here.owed(), kept, "the ledger agrees with the provider");
        let payment = here.payment.unwrap();
        prop_assert_eq!(payment.state.as_str(), charge.state.as_str());
        prop_assert_eq!(payment.refunded_minor(), charge.refunded_minor);
    }

    #[test]
    fn nothing_stays_held_behind_a_void_that_is_heard(steps in steps(), mood in moods()) {
        let (mut here, mut provider) = (Here::default(), Provider::new(mood));
        for step in &steps {
            live(&mut here, &mut provider, step);
        }
        let _ = here.follow(&mut provider, &Command::Void, 9, true);
        let held = provider.charge.as_ref().is_some_and(|charge| {
            matches!(charge.state, provider::State::Authorized | provider::State::RequiresAction)
        });
        prop_assert!(!held, "something is held after a void");
    }

    #[test]
    fn what_calls_leave_open_is_settled_without_them_and_nothing_else_is_done(steps in steps(), mood in moods()) {
        let (mut here, mut provider) = (Here::default(), Provider::new(mood));
        for step in &steps {
            live(&mut here, &mut provider, step);
        }
        let Some(before) = here.payment.clone() else { return Ok(()) };
        let wanted = (before.wanted, before.terms.clone());
        let keys: Vec<_> = before.refunds.iter().map(|refund| refund.key.clone()).collect();
        let intents = || [Intent::Authorization, Intent::Capture, Intent::Void].into_iter().chain(keys.iter().cloned().map(Intent::Refund));
        // One may open the next: a capture that is wanted may come with the answer to the authorization.
        for intent in intents().chain(intents()) {
            let was_open = here.payment.as_ref().unwrap().is_open(&intent);
            let charge = provider.charge.clone();
            let _ = here.follow(&mut provider, &Command::Resume(intent.clone()), 9, true);
            prop_assert!(was_open || provider.charge == charge, "{intent:?} was not open, and the provider was told to do something");
            check(&here, &provider)?;
        }
        let after = here.payment.as_ref().unwrap();
        for intent in intents() {
            let waits = intent == Intent::Authorization && after.state == State::RequiresAction;
            prop_assert!(waits || !after.is_open(&intent), "{intent:?} is still open: {after:?}");
        }
        prop_assert_eq!((after.wanted, after.terms.clone()), wanted, "nobody asked for more");
        prop_assert!(after.refunds.iter().all(|refund| !refund.key.starts_with(ORDER) || keys.contains(&refund.key)));
    }

    #[test]
    fn once_a_void_is_wanted_nothing_is_authorized_or_captured_by_us(steps in steps(), mood in moods(), hears: bool) {
        let (mut here, mut provider) = (Here::default(), Provider::new(mood));
        for step in &steps {
            live(&mut here, &mut provider, step);
        }
        let _ = here.follow(&mut provider, &Command::Void, 0, hears);
        let was_captured = provider.charge.as_ref().is_some_and(|charge| charge.captured_at.is_some());
        for command in [Command::Authorize(terms()), Command::Capture, Command::Resume(Intent::Capture), Command::Resume(Intent::Authorization)] {
            let answer = here.follow(&mut provider, &command, 9, true);
            let is_held = here.payment.as_ref().unwrap().state == State::Authorized;
            prop_assert!(!is_held || answer.is_err() || matches!(command, Command::Resume(_)), "{command:?} is answered as if it stood");
        }
        prop_assert_eq!(provider.charge.as_ref().is_some_and(|charge| charge.captured_at.is_some()), was_captured);
    }

    #[test]
    fn a_refund_that_is_heard_is_made_once_and_its_repeat_changes_nothing(
        steps in steps(), amount in prop::option::of(1_i64..1250), hears_first: bool,
    ) {
        let (mut here, mut provider) = (Here::default(), Provider::new(Mood::Agrees));
        for step in &steps {
            live(&mut here, &mut provider, step);
        }
        let mine = Command::Refund { key: format!("{ORDER}/mine"), amount: amount.map(eur) };
        let _ = here.follow(&mut provider, &mine, 0, hears_first);
        let outcome = here.follow(&mut provider, &mine, 9, true);
        let made = |provider: &Provider| {
            let refunds = provider.charge.iter().flat_map(|charge| &charge.refunds);
            refunds.filter(|refund| refund.idempotency_key == format!("{ORDER}/mine")).count()
        };
        prop_assert!(made(&provider) <= 1);
        if outcome.is_ok() && amount.is_some() {
            prop_assert_eq!(made(&provider), 1);
        }
        let before = (provider.charge.clone(), here.postings.len());
        prop_assert_eq!(here.follow(&mut provider, &mine, 9, true), outcome);
        prop_assert_eq!(&(provider.charge.clone(), here.postings.len()), &before);
        check(&here, &provider)?;
    }
}

fn charge(state: State) -> Charge {
    let refunds = if state == State::Refunded {
        vec![ChargeRefund { id: "re_1".to_owned(), key: "r1".to_owned(), amount_minor: 1250, at: 2 }]
    } else {
        Vec::new()
    };
    let chargeback = (state == State::ChargedBack).then(|| Chargeback { id: "cb_1".to_owned(), amount_minor: 1250, at: 2 });
    let captured_at = state.was_captured().then_some(1);
    Charge { id: Some("ch_1".to_owned()), state, amount: terms().amount, decline_code: None, captured_at, refunds, chargeback }
}

fn states(changes: &[Change]) -> Vec<State> {
    changes.iter().map(|change| change.payment.state).collect()
}

#[test]
fn what_was_missed_is_made_up_for_step_by_step() {
    let caught_up = |to| states(&learn(&Payment::open(terms()), &charge(to)).unwrap());
    assert_eq!(caught_up(State::Refunded), [State::Authorized, State::Captured, State::Refunded]);
    assert_eq!(caught_up(State::ChargedBack), [State::Authorized, State::Captured, State::ChargedBack]);
    assert_eq!(caught_up(State::Expired), [State::Expired]);
}

#[test]
fn a_payment_never_goes_back() {
    for from in State::ALL {
        for to in &State::ALL[1..] {
            let before = learn(&Payment::open(terms()), &charge(from)).unwrap();
            let Some(before) = before.last().map(|change| change.payment.clone()) else { continue };
            if let Ok(changes) = learn(&before, &charge(*to)) {
                assert!(changes.last().is_none_or(|last| last.payment.state == *to), "{from:?} {to:?}");
                assert!(changes.is_empty() || !from.is_final(), "{from:?} is final");
            }
        }
    }
}

#[test]
fn a_void_before_the_payment_refuses_the_late_authorize() {
    let Ok(Next::Keep(kept)) = next(None, &Command::Void) else { panic!("a tombstone is kept") };
    assert_eq!(next(Some(&kept), &Command::Authorize(terms())), Err(Refusal::Voided));
    assert_eq!(next(Some(&kept), &Command::Void), Ok(Next::Done));
}

#[test]
fn a_void_of_an_open_question_has_it_answered_first() {
    let pending = Payment { wanted: Some(Wish::Void), ..Payment::open(terms()) };
    assert_eq!(next(Some(&pending), &Command::Void), Ok(Next::Ask(Question::Charge(terms()))));
}

#[test]
fn what_is_wanted_is_kept_before_the_provider_is_asked() {
    let held = learn(&Payment::open(terms()), &charge(State::Authorized)).unwrap().pop().unwrap().payment;
    assert_eq!(next(Some(&held), &Command::Capture), Ok(Next::Want(Wish::Capture)));
    assert_eq!(next(Some(&held), &Command::Resume(Intent::Capture)), Ok(Next::Done), "nobody wants it");
    let to_be_taken = Payment { wanted: Some(Wish::Capture), ..held };
    for command in [Command::Capture, Command::Resume(Intent::Capture)] {
        assert_eq!(next(Some(&to_be_taken), &command), Ok(Next::Ask(Question::Capture("ch_1".to_owned()))));
    }
    assert_eq!(next(Some(&to_be_taken), &Command::Void), Ok(Next::Want(Wish::Void)), "a void overtakes a capture that is not made");
    let to_be_undone = Payment { wanted: Some(Wish::Void), ..to_be_taken };
    assert_eq!(next(Some(&to_be_undone), &Command::Capture), Err(Refusal::Voided));
    assert_eq!(next(Some(&to_be_undone), &Command::Authorize(terms())), Err(Refusal::Voided));
    assert_eq!(next(Some(&to_be_undone), &Command::Resume(Intent::Capture)), Ok(Next::Done));
    assert_eq!(next(Some(&to_be_undone), &Command::Resume(Intent::Void)), Ok(Next::Ask(Question::Void("ch_1".to_owned()))));
}

#[test]
fn a_refund_that_was_forgotten_is_not_made_by_its_workflow() {
    let captured = learn(&Payment::open(terms()), &charge(State::Captured)).unwrap().pop().unwrap().payment;
    assert_eq!(next(Some(&captured), &Command::Resume(Intent::Refund("a".to_owned()))), Ok(Next::Done));
}

#[test]
fn another_amount_for_the_same_order_is_refused() {
    let other = Terms { amount: eur(1), ..terms() };
    assert_eq!(next(Some(&Payment::open(terms())), &Command::Authorize(other)), Err(Refusal::Differs));
}

fn refunding(key: &str, amount: Option<i64>) -> Command {
    Command::Refund { key: key.to_owned(), amount: amount.map(eur) }
}

#[test]
fn a_refund_that_is_asked_for_is_spoken_for() {
    let mut captured = learn(&Payment::open(terms()), &charge(State::Captured)).unwrap().pop().unwrap().payment;
    captured.refunds.push(Refund { key: "a".to_owned(), amount_minor: 1000, id: None });
    let asked = next(Some(&captured), &refunding("a", Some(1000))).unwrap();
    assert_eq!(asked, Next::Ask(Question::Refund { charge_id: "ch_1".to_owned(), key: "a".to_owned(), amount_minor: 1000 }));
    assert_eq!(next(Some(&captured), &refunding("a", None)).unwrap(), asked, "a repeat need not name the amount");
    assert_eq!(next(Some(&captured), &refunding("a", Some(999))), Err(Refusal::RefundDiffers));
    assert_eq!(next(Some(&captured), &refunding("b", Some(251))), Err(Refusal::RefundTooLarge { left: 250 }));
    let rest = Refund { key: "b".to_owned(), amount_minor: 250, id: None };
    assert_eq!(next(Some(&captured), &refunding("b", None)), Ok(Next::KeepRefund(rest)));
    let dollars = Command::Refund { key: "c".to_owned(), amount: Some(Money::new(1, "USD".parse().unwrap())) };
    assert_eq!(next(Some(&captured), &dollars), Err(Refusal::Differs));
}

#[test]
fn a_refund_that_can_never_be_made_is_forgotten() {
    let mut captured = learn(&Payment::open(terms()), &charge(State::Captured)).unwrap().pop().unwrap().payment;
    captured.refunds.push(Refund { key: "a".to_owned(), amount_minor: 1000, id: None });
    let back = learn(&captured, &charge(State::ChargedBack)).unwrap().pop().unwrap();
    assert_eq!((back.payment.state, back.payment.refunds.len()), (State::ChargedBack, 0));
    assert_eq!(next(Some(&back.payment), &refunding("a", Some(1000))), Err(Refusal::ChargedBack));
    assert_eq!(back.posting.unwrap().amount, eur(1250));
}

#[test]
fn a_charge_about_something_else_is_a_contradiction() {
    let known = Payment { charge_id: Some("ch_1".to_owned()), state: State::Authorized, ..Payment::open(terms()) };
    assert_eq!(learn(&known, &Charge { id: Some("ch_2".to_owned()), ..charge(State::Captured) }), Err(Contradiction));
    assert_eq!(learn(&known, &Charge { amount: eur(1), ..charge(State::Captured) }), Err(Contradiction));
    assert_eq!(learn(&known, &Charge { captured_at: None, ..charge(State::Captured) }), Err(Contradiction));
    let captured = Payment { state: State::Captured, ..known };
    assert_eq!(learn(&captured, &charge(State::Voided)), Err(Contradiction));
    assert_eq!(learn(&captured, &charge(State::Authorized)), Ok(Vec::new()));
    assert_eq!(learn(&captured, &Charge { refunds: Vec::new(), ..charge(State::Refunded) }), Err(Contradiction));
    assert_eq!(learn(&captured, &Charge { chargeback: None, ..charge(State::ChargedBack) }), Err(Contradiction));
    let too_much = ChargeRefund { id: "re_1".to_owned(), key: "r1".to_owned(), amount_minor: 1251, at: 2 };
    assert_eq!(learn(&captured, &Charge { refunds: vec![too_much], ..charge(State::Captured) }), Err(Contradiction));
}
