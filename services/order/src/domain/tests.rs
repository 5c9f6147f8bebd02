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
    Request { session: "s".parse().unwrap(), key: "k".parse().unwrap(), lines, payment_token: "tok_visa".to_owned(), address }
}

fn order() -> Order {
    place(OrderId::from_uuid(uuid::Uuid::from_u128(1)), Region::Eu, request(vec![line("MUG-1", 2, 1250), line("PEN-1", 1, 99)])).unwrap()
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![Just(Command::Confirm), Just(Command::Ship), Just(Command::Cancel { reason: "X".to_owned() })]
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

proptest! {
    #[test]
    fn any_commands_in_any_order_end_at_most_one_way(commands in prop::collection::vec(commands(), 0..20)) {
        let mut order = order();
        let mut finals = Vec::new();
        for command in commands {
            let before = order.clone();
            if let Ok(Some(next)) = decide(&order, command.clone()) {
                prop_assert_eq!(next.version, before.version + 1);
                prop_assert_eq!(decide(&next, command), Ok(None), "a repeat changes nothing");
                order = next;
                if matches!(order.state, State::Shipped | State::Cancelled) { finals.push(order.state); }
            } else {
                prop_assert_eq!(&order, &before);
            }
        }
        prop_assert!(finals.len() <= 1, "a final state is final: {finals:?}");
    }
}
