//! The reservation's rules as properties.

use super::*;
use proptest::prelude::*;

const SKUS: [&str; 3] = ["A", "B", "C"];

fn sku(name: &str) -> Sku {
    name.parse().unwrap()
}

fn lines(lines: &[(&str, u32)]) -> Lines {
    lines.iter().map(|(name, quantity)| (sku(name), *quantity)).collect()
}

fn shelf(on_hand: i64) -> Shelf {
    let stock = SKUS.iter().map(|name| (sku(name), Stock { on_hand, ..Stock::default() })).collect();
    Shelf { reservation: None, stock }
}

fn after(mut shelf: Shelf, command: Command) -> Shelf {
    for event in decide(&shelf, command).unwrap() {
        shelf = apply(shelf, &event);
    }
    shelf
}

#[test]
fn all_lines_are_reserved_or_none() {
    let wanted = lines(&[("A", 2), ("B", 3), ("C", 4)]);
    assert_eq!(decide(&shelf(2), Command::Reserve(wanted.clone())), Err(Refusal::OutOfStock(vec![sku("B"), sku("C")])));
    let unknown = Command::Reserve(lines(&[("A", 99), ("X", 1)]));
    assert_eq!(decide(&shelf(2), unknown), Err(Refusal::UnknownSku(vec![sku("X")])));
    let shelf = after(shelf(4), Command::Reserve(wanted));
    assert_eq!(shelf.stock[&sku("C")], Stock { on_hand: 0, reserved: 4, sold: 0 });
}

#[test]
fn a_release_that_comes_first_refuses_the_late_reserve() {
    let shelf = after(shelf(5), Command::Release);
    assert_eq!(decide(&shelf, Command::Reserve(lines(&[("A", 1)]))), Err(Refusal::Released));
    assert_eq!(decide(&shelf, Command::Release), Ok(vec![]));
}

#[test]
fn what_is_sold_is_not_given_back_and_what_was_given_back_is_not_sold() {
    let reserved = after(shelf(5), Command::Reserve(lines(&[("A", 1)])));
    assert_eq!(decide(&after(reserved.clone(), Command::Commit), Command::Release), Err(Refusal::Committed));
    assert_eq!(decide(&after(reserved, Command::Release), Command::Commit), Err(Refusal::Released));
    assert_eq!(decide(&shelf(5), Command::Commit), Err(Refusal::Missing));
}

#[test]
fn another_reserve_under_the_same_order_is_refused() {
    let reserved = after(shelf(5), Command::Reserve(lines(&[("A", 1)])));
    assert_eq!(decide(&reserved, Command::Reserve(lines(&[("A", 2)]))), Err(Refusal::Differs));
    assert_eq!(decide(&after(reserved, Command::Commit), Command::Reserve(lines(&[("A", 1)]))), Ok(vec![]));
}

fn commands() -> impl Strategy<Value = Command> {
    let wanted = prop::collection::btree_map(prop::sample::select(SKUS.to_vec()), 1..6_u32, 1..=SKUS.len());
    prop_oneof![
        wanted.prop_map(|wanted| Command::Reserve(wanted.into_iter().map(|(name, quantity)| (sku(name), quantity)).collect())),
        Just(Command::Release),
        Just(Command::Commit),
    ]
}

proptest! {
    /// STOCK-1: orders share the stock; whatever they do, no unit is made, lost or owed.
    #[test]
    fn any_commands_of_any_orders_keep_every_unit(
        on_hand in 0..12_i64,
        commands in prop::collection::vec((0..5_usize, commands()), 0..60),
    ) {
        let mut stock = shelf(on_hand).stock;
        let mut orders: [Option<Reservation>; 5] = Default::default();
        for (order, command) in commands {
            let mut shelf = Shelf { reservation: orders[order].take(), stock: stock.clone() };
            if let Ok(events) = decide(&shelf, command.clone()) {
                for event in &events {
                    shelf = apply(shelf, event);
                }
                prop_assert_eq!(decide(&shelf, command), Ok(vec![]), "a repeat changes nothing");
            }
            Shelf { reservation: orders[order], stock } = shelf;
            for (sku, stock) in &stock {
                prop_assert_eq!(stock.on_hand + stock.reserved + stock.sold, on_hand);
                prop_assert!(stock.on_hand >= 0 && stock.reserved >= 0 && stock.sold >= 0, "{:?}", stock);
                let held = |state| orders.iter().flatten().filter(|order| order.state == state).flat_map(|order| order.lines.iter())
                    .filter(|line| line.0 == sku).map(|line| i64::from(line.1)).sum::<i64>();
                prop_assert_eq!((held(State::Reserved), held(State::Committed)), (stock.reserved, stock.sold));
            }
        }
    }
}
