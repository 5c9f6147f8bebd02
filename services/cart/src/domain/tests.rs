//! The cart's rules as properties.

use super::*;
use proptest::prelude::*;

fn sku(number: u32) -> Sku {
    format!("SKU-{number}").parse().unwrap()
}

fn order() -> OrderId {
    OrderId::from_uuid(uuid::Uuid::from_u128(1))
}

const EU: ReplicaId = ReplicaId(1);
const US: ReplicaId = ReplicaId(2);

fn cart(lines: &[(u32, u32)]) -> Cart {
    let mut cart = Cart::empty("s".parse().unwrap());
    for (number, quantity) in lines {
        cart.state.set(EU, sku(*number).as_str(), *quantity);
    }
    cart
}

/// Does `command` in the name of `replica`; what the other region is told.
fn act(cart: &mut Cart, replica: ReplicaId, command: Command) -> crdt::Cart {
    decide(cart, command).unwrap().map_or_else(crdt::Cart::new, |event| apply(cart, replica, &event))
}

fn check_out(lines: &[(u32, u32)]) -> Command {
    Command::CheckOut { order_id: order(), lines: lines.iter().map(|(number, quantity)| (sku(*number), *quantity)).collect() }
}

#[test]
fn what_was_added_since_the_order_stays() {
    let mut cart = cart(&[(1, 3), (2, 2), (3, 1)]);
    act(&mut cart, EU, check_out(&[(1, 2), (2, 5), (9, 1)]));
    assert_eq!(cart.lines(), BTreeMap::from([(sku(1), 1), (sku(3), 1)]));
}

#[test]
fn an_order_that_both_regions_take_out_leaves_once() {
    let mut eu = cart(&[(1, 3), (2, 2)]);
    let mut us = eu.clone();
    let told = [act(&mut eu, EU, check_out(&[(1, 2), (2, 2)])), act(&mut us, US, check_out(&[(1, 2), (2, 2)]))];
    for cart in [&mut eu, &mut us] {
        for delta in told.iter().rev() {
            cart.merge(delta);
        }
        assert_eq!(cart.lines(), BTreeMap::from([(sku(1), 1)]));
    }
    assert_eq!(eu.state, us.state);
    assert!(!eu.merge(&told[1]), "a repeat is no news");
}

#[test]
fn what_is_put_in_while_the_other_region_checks_out_stays() {
    let mut eu = cart(&[(1, 3), (2, 2)]);
    let mut us = eu.clone();
    let bought = act(&mut eu, EU, check_out(&[(1, 3), (2, 2)]));
    act(&mut us, US, Command::SetLine { sku: sku(2), quantity: 2 });
    act(&mut us, US, Command::SetLine { sku: sku(5), quantity: 1 });
    us.merge(&bought);
    assert_eq!(us.lines(), BTreeMap::from([(sku(2), 2), (sku(5), 1)]));
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
                apply(&mut cart, EU, &event);
                prop_assert_eq!(cart.version, before + 1);
                let shown = cart.lines();
                if is_set && let Ok(Some(again)) = decide(&cart, command) {
                    apply(&mut cart, EU, &again);
                    prop_assert_eq!(cart.lines(), shown, "a repeat shows the same");
                }
            }
            prop_assert!(cart.lines().len() <= MAX_LINES);
            prop_assert!(cart.lines().values().all(|quantity| (1..=MAX_QUANTITY).contains(quantity)));
        }
    }

    #[test]
    fn regions_that_hear_of_each_others_changes_show_the_same(commands in prop::collection::vec((any::<bool>(), any::<bool>(), commands()), 0..60)) {
        let (mut carts, mut unheard) = ([cart(&[]), cart(&[])], [Vec::new(), Vec::new()]);
        for (is_us, hears, command) in commands {
            let (here, there) = if is_us { (1, 0) } else { (0, 1) };
            if hears {
                // Backwards: Kafka keeps a cart's order, and nothing here depends on it.
                for delta in unheard[here].drain(..).rev() {
                    carts[here].merge(&delta);
                }
            }
            if let Ok(Some(event)) = decide(&carts[here], command) {
                let delta = apply(&mut carts[here], [EU, US][here], &event);
                unheard[there].push(delta);
            }
        }
        for (cart, unheard) in carts.iter_mut().zip(&unheard) {
            for delta in unheard {
                cart.merge(delta);
            }
        }
        prop_assert_eq!(&carts[0].state, &carts[1].state);
    }
}
