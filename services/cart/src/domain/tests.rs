//! The cart's rules as properties.

use super::*;
use proptest::prelude::*;

fn sku(number: u32) -> Sku {
    format!("SKU-{number}").parse().unwrap()
}

fn order() -> OrderId {
    OrderId::from_uuid(uuid::Uuid::from_u128(1))
}

fn cart(lines: &[(u32, u32)]) -> Cart {
    Cart { lines: lines.iter().map(|(number, quantity)| (sku(*number), *quantity)).collect(), ..Cart::empty("s".parse().unwrap()) }
}

fn after(cart: Cart, command: Command) -> Cart {
    match decide(&cart, command).unwrap() {
        Some(event) => apply(cart, &event),
        None => cart,
    }
}

fn check_out(lines: &[(u32, u32)]) -> Command {
    Command::CheckOut { order_id: order(), lines: lines.iter().map(|(number, quantity)| (sku(*number), *quantity)).collect() }
}

#[test]
fn what_was_added_since_the_order_stays() {
    let cart = after(cart(&[(1, 3), (2, 2), (3, 1)]), check_out(&[(1, 2), (2, 5), (9, 1)]));
    assert_eq!(cart.lines, BTreeMap::from([(sku(1), 1), (sku(3), 1)]));
}

#[test]
fn the_event_tells_what_left_and_nothing_else() {
    let event = decide(&cart(&[(1, 3), (2, 2)]), check_out(&[(1, 1), (1, 1), (2, 5), (9, 1)])).unwrap();
    assert_eq!(event, Some(Event::CheckedOut { order_id: order(), left: BTreeMap::from([(sku(1), 2), (sku(2), 2)]) }));
    assert_eq!(decide(&cart(&[(1, 3)]), check_out(&[(9, 1)])), Ok(None));
}

#[test]
fn a_full_cart_takes_no_other_line_but_its_own_may_change() {
    let full = cart(&(0..100).map(|number| (number, 1)).collect::<Vec<_>>());
    assert_eq!(decide(&full, Command::SetLine { sku: sku(100), quantity: 1 }), Err(Refusal::Full));
    assert!(decide(&full, Command::SetLine { sku: sku(7), quantity: 2 }).is_ok());
    assert_eq!(decide(&full, Command::SetLine { sku: sku(7), quantity: 0 }), Err(Refusal::Quantity));
    assert_eq!(decide(&full, Command::SetLine { sku: sku(7), quantity: 1000 }), Err(Refusal::Quantity));
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (0..120_u32, 0..1100_u32).prop_map(|(number, quantity)| Command::SetLine { sku: sku(number), quantity }),
        1 => (0..120_u32).prop_map(|number| Command::RemoveLine { sku: sku(number) }),
        1 => prop::collection::vec((0..120_u32, 0..u32::MAX), 0..8).prop_map(|lines| check_out(&lines)),
    ]
}

proptest! {
    #[test]
    fn any_commands_leave_a_cart_that_can_be_ordered(commands in prop::collection::vec(commands(), 0..300)) {
        let mut cart = cart(&[]);
        for command in commands {
            let is_set = !matches!(command, Command::CheckOut { .. });
            if let Ok(Some(event)) = decide(&cart, command.clone()) {
                let before = cart.version;
                cart = apply(cart, &event);
                prop_assert_eq!(cart.version, before + 1);
                if is_set { prop_assert_eq!(decide(&cart, command), Ok(None), "a repeat changes nothing"); }
            }
            prop_assert!(cart.lines.len() <= MAX_LINES);
            prop_assert!(cart.lines.values().all(|quantity| (1..=MAX_QUANTITY).contains(quantity)));
        }
    }
}
