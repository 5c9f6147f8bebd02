//! The order's rules as properties.

use super::*;
use proptest::prelude::*;

fn line(sku: &str, quantity: u32, unit_minor: i64) -> Line {
    Line { sku: sku.parse().unwrap(), quantity, title: sku.to_owned(), unit_price: Money::new(unit_minor, money::Currency::EUR) }
}

fn request(lines: Vec<Line>) -> Request {
    let address = Address {
        name: "Ada".to_owned(),
        line1: "Main Street 1".to_owned(),
        city: "Berlin".to_owned(),
        country: "DE".to_owned(),
        postal_code: "10115".to_owned(),
    };
    let (session, key) = ("s".parse().unwrap(), "k".parse().unwrap());
    Request { session, key, lines, from_cart: false, payment_token: "tok_visa".to_owned(), address }
}

fn order() -> Order {
    place(OrderId::from_uuid(uuid::Uuid::from_u128(1)), Region::Eu, request(vec![line("MUG-1", 2, 1250), line("PEN-1", 1, 99)])).unwrap()
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::RequestCancel),
        Just(Command::PassPivot),
        Just(Command::Confirm),
        Just(Command::Ship),
        Just(Command::Cancel { reason: "X".to_owned() }),
        Just(Command::RequestReturn),
        Just(Command::Return),
    ]
}

#[test]
fn an_order_costs_the_sum_of_its_lines() {
    assert_eq!(order().total, Money::new(2599, money::Currency::EUR));
}

#[test]
fn what_cannot_be_sold_is_refused() {
    let place = |lines| place(OrderId::from_uuid(uuid::Uuid::from_u128(1)), Region::Eu, request(lines));
    assert_eq!(place(vec![]), Err(Refusal::Empty));
    assert!(matches!(place(vec![line("A", 0, 1)]), Err(Refusal::Invalid(_))));
    assert!(matches!(place(vec![line("A", 1000, 1)]), Err(Refusal::Invalid(_))));
    assert!(matches!(place(vec![line("A", 1, 1), line("A", 1, 1)]), Err(Refusal::Invalid(_))));
    assert!(matches!(place(vec![line("A", 999, i64::MAX)]), Err(Refusal::Invalid(_))));
    let mut bad = request(vec![line("A", 1, 1)]);
    bad.address.country = "Germany".to_owned();
    assert!(matches!(super::place(OrderId::from_uuid(uuid::Uuid::from_u128(1)), Region::Eu, bad), Err(Refusal::Invalid(_))));
}

#[test]
fn a_cancel_and_the_pivot_exclude_each_other() {
    let passed = decide(&order(), Command::PassPivot).unwrap().unwrap();
    assert_eq!(decide(&passed, Command::RequestCancel), Err(Refusal::TooLate));
    let cancelling = decide(&order(), Command::RequestCancel).unwrap().unwrap();
    assert_eq!(decide(&cancelling, Command::PassPivot), Err(Refusal::CancelRequested));
    assert_eq!((passed.version, cancelling.version), (1, 1), "neither is an event");
}

#[test]
fn only_a_shipped_order_goes_back() {
    let mut order = order();
    for (command, state) in [(Command::PassPivot, State::Placed), (Command::Confirm, State::Confirmed), (Command::Ship, State::Shipped)] {
        assert_eq!(decide(&order, Command::RequestReturn), Err(Refusal::NotShipped));
        order = decide(&order, command).unwrap().unwrap();
        assert_eq!(order.state, state);
    }
    assert_eq!(decide(&order, Command::Return), Err(Refusal::NotReturning), "nobody asked");
    order = decide(&order, Command::RequestReturn).unwrap().unwrap();
    order = decide(&order, Command::Return).unwrap().unwrap();
    assert_eq!((order.state, order.version), (State::Returned, 4));
    assert_eq!(decide(&order, Command::RequestReturn), Ok(None), "what is returned needs no return");
}

proptest! {
    #[test]
    fn any_commands_in_any_order_end_at_most_one_way(commands in prop::collection::vec(commands(), 0..20)) {
        let mut order = order();
        let mut states = vec![order.state];
        for command in commands {
            let before = order.clone();
            if let Ok(Some(next)) = decide(&order, command.clone()) {
                let has_moved = next.state != before.state;
                prop_assert_eq!(next.version, before.version + u64::from(has_moved), "a version for each event");
                prop_assert_eq!(decide(&next, command), Ok(None), "a repeat changes nothing");
                order = next;
                if has_moved { states.push(order.state); }
            } else {
                prop_assert_eq!(&order, &before);
            }
        }
        let forward = [State::Placed, State::Confirmed, State::Shipped, State::Returned];
        let is_forward = forward.starts_with(&states);
        prop_assert!(is_forward || states == [State::Placed, State::Cancelled], "a final state is final: {states:?}");
    }
}

mod model;
