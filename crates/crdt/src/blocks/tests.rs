//! Against the standard library's map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Change {
    Insert(u8, u8),
    Remove(u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let insert = (0..64_u8, any::<u8>()).prop_map(|(key, value)| Change::Insert(key, value));
    let change = prop_oneof![3 => insert, 2 => (0..64_u8).prop_map(Change::Remove)];
    prop::collection::vec(change, 0..120)
}

/// Both maps after the changes, each step compared.
fn filled(changes: &[Change]) -> (Blocks<u8, u8>, BTreeMap<u8, u8>) {
    let (mut blocks, mut map) = (Blocks::default(), BTreeMap::new());
    for change in changes {
        match *change {
            Change::Insert(key, value) => assert_eq!(blocks.insert(key, value), map.insert(key, value)),
            Change::Remove(key) => assert_eq!(blocks.remove(&key), map.remove(&key)),
        }
        assert!(blocks.blocks.iter().all(|block| (1..=FULL).contains(&block.len())), "blocks of the right size: {blocks:?}");
    }
    (blocks, map)
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(changes in changes(), key in 0..70_u8) {
        let (blocks, map) = filled(&changes);
        prop_assert_eq!(blocks.len(), map.len());
        prop_assert!(blocks.iter().eq(map.iter()));
        prop_assert!(blocks.starting(|found| *found < key).eq(map.range(key..)));
        prop_assert_eq!(blocks.get(&key), map.get(&key));
        prop_assert_eq!(blocks.clone().get_mut(&key).copied(), map.get(&key).copied());
        prop_assert_eq!(blocks, map.into_iter().collect());
    }

    #[test]
    fn a_join_shows_every_key_once_with_both_sides(mine in changes(), theirs in changes()) {
        let ((mine, my_map), (theirs, their_map)) = (filled(&mine), filled(&theirs));
        let choose = |mine: Option<u8>, theirs: Option<u8>| mine.filter(|value| value % 2 == 0).or(theirs);
        let mut shown = Vec::new();
        let joined = mine.join(theirs, |mine, theirs| {
            shown.push((mine, theirs));
            choose(mine, theirs)
        });
        let keys: BTreeSet<u8> = my_map.keys().chain(their_map.keys()).copied().collect();
        let both = |key: &u8| (my_map.get(key).copied(), their_map.get(key).copied());
        prop_assert_eq!(shown, keys.iter().map(both).collect::<Vec<_>>());
        let kept = keys.iter().filter_map(|key| Some((*key, choose(my_map.get(key).copied(), their_map.get(key).copied())?)));
        prop_assert_eq!(joined, kept.collect());
    }

    #[test]
    fn what_is_retained_and_united_is_in_order(mine in changes(), theirs in changes(), parts in 1..9_u8) {
        let ((mut mine, my_map), (mut theirs, their_map)) = (filled(&mine), filled(&theirs));
        // Stretches of keys go to one side or the other.
        let is_mine = |key: &u8| (key / parts).is_multiple_of(2);
        mine.retain(is_mine);
        theirs.retain(|key| !is_mine(key));
        let united = mine.union(theirs);
        prop_assert!(united.blocks.iter().all(|block| (1..=FULL).contains(&block.len())));
        let mut expected: BTreeMap<u8, u8> = my_map.into_iter().filter(|(key, _)| is_mine(key)).collect();
        expected.extend(their_map.into_iter().filter(|(key, _)| !is_mine(key)));
        prop_assert_eq!(united.len(), expected.len());
        prop_assert_eq!(united, expected.into_iter().collect());
    }
}
