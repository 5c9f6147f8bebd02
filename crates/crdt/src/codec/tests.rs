//! What is written is read; what is not written in the one form is refused; the formats are frozen.

use std::{fmt::Debug, sync::Arc};

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{Cart, Context, Dot, LwwRegister, MvRegister, OrSet, PnCounter, ReplicaId, SourceId, laws};

mod frozen;

const EU: ReplicaId = ReplicaId(1);
const US: ReplicaId = ReplicaId(2);

fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    T::decode(bytes, Limits::default())
}

/// Contexts with gaps and far counters.
fn contexts() -> impl Strategy<Value = Context> {
    let counter = prop_oneof![6 => 1..40_u64, 1 => 1..=Dot::LAST_COUNTER, 1 => Just(Dot::LAST_COUNTER)];
    let dot = (prop_oneof![0..4_u32, any::<u32>()], counter).prop_map(|(replica, counter)| Dot::new(ReplicaId(replica), counter).unwrap());
    prop::collection::vec(dot, 0..60).prop_map(Context::from_iter)
}

/// Sets of texts that share prefixes, short and long, split characters included; some elements with several dots.
fn texts() -> impl Strategy<Value = OrSet<String>> {
    let text = prop_oneof!["sku-[0-9]{1,4}", "[éèa]{0,40}", "(ab){0,20}"];
    let op = (0..3_u32, prop::bool::weighted(0.7), text);
    (prop::collection::vec(op, 0..60), any::<Index>()).prop_map(|(ops, cut)| {
        let mut sets: [OrSet<String>; 3] = Default::default();
        for (replica, is_add, text) in &ops {
            let set = &mut sets[usize::try_from(*replica).unwrap()];
            if *is_add {
                set.add(ReplicaId(*replica), text.clone())
            } else {
                set.remove(text)
            };
        }
        let [mut one, two, three] = sets;
        if cut.index(2) == 0 {
            one.merge(two);
        }
        one.merge(three);
        one
    })
}

/// Bytes near valid ones.
fn bent(mut bytes: Vec<u8>, changes: &[(u8, Index, u8)]) -> Vec<u8> {
    for (kind, at, byte) in changes {
        let at = at.index(bytes.len() + 1);
        match kind % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            _ if at < bytes.len() => bytes[at] = *byte,
            _ => {}
        }
    }
    bytes
}

/// Whatever the bytes are, they are refused or have one form, which those of an older version become.
fn refused_or_one_form<T: Wire + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode::<T>(bytes) {
        prop_assert!(value.encode() == bytes || bytes.first().copied() == T::OLD_VERSION);
        prop_assert_eq!(decode::<T>(&value.encode()), Ok(value));
    }
    Ok(())
}

fn changes() -> impl Strategy<Value = Vec<(u8, Index, u8)>> {
    prop::collection::vec((any::<u8>(), any::<Index>(), any::<u8>()), 1..4)
}

fn survives<T: Wire + PartialEq + Debug>(value: &T, changes: &[(u8, Index, u8)]) -> Result<(), TestCaseError> {
    let bytes = value.encode();
    let decoded = decode::<T>(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(value));
    for cut in 0..bytes.len() {
        prop_assert!(decode::<T>(&bytes[..cut]).is_err(), "cut short at {cut}");
    }
    refused_or_one_form::<T>(&bent(bytes, changes))
}

/// A round trip, and bent bytes, for each type.
macro_rules! round_trips {
    ($($name:ident: $values:expr;)*) => {
        proptest! {
            $(
                #[test]
                fn $name(value in $values, changes in changes()) {
                    survives(&value, &changes)?;
                }
            )*
        }
    };
}

round_trips! {
    a_context: contexts();
    a_set_of_numbers: laws::values::<OrSet<u64>>();
    a_set_of_texts: texts();
    a_counter: laws::values::<PnCounter>();
    a_register_of_one_value: laws::values::<LwwRegister<String>>();
    a_register_of_many_values: laws::values::<MvRegister<String>>();
    a_cart: laws::values::<Cart>();
}

/// Random bytes behind the right first one.
fn any_bytes<T: Wire + PartialEq + Debug>(bytes: &[u8]) -> Result<(), TestCaseError> {
    refused_or_one_form::<T>(&[&[T::VERSION], bytes].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_break_a_decoder(bytes in prop::collection::vec(prop_oneof![0..6_u8, any::<u8>()], 0..60)) {
        any_bytes::<Context>(&bytes)?;
        any_bytes::<OrSet<u64>>(&bytes)?;
        any_bytes::<OrSet<String>>(&bytes)?;
        any_bytes::<PnCounter>(&bytes)?;
        any_bytes::<LwwRegister<String>>(&bytes)?;
        any_bytes::<MvRegister<String>>(&bytes)?;
        any_bytes::<Cart>(&bytes)?;
    }

    #[test]
    fn amounts_of_any_size_are_kept(amounts in prop::collection::vec(prop_oneof![any::<i32>(), Just(i32::MIN), Just(i32::MAX)], 1..9)) {
        let mut cart = Cart::new();
        for amount in amounts {
            cart.change(EU, "mug", amount);
            cart.set(EU, "tea", amount.unsigned_abs());
            cart.set(US, "pot", u32::MAX - amount.unsigned_abs());
        }
        prop_assert_eq!(decode(&cart.encode()), Ok(cart));
    }
}

#[test]
fn both_kinds_of_text_have_the_same_bytes() {
    let mut texts: OrSet<String> = OrSet::new();
    let mut shared: OrSet<Arc<str>> = OrSet::new();
    for text in ["mug", "mug-2", "tea"] {
        texts.add(EU, text.to_owned());
        shared.add(EU, text.into());
    }
    assert_eq!(texts.encode(), shared.encode());
    assert_eq!(decode(&texts.encode()), Ok(shared));
}

#[test]
fn limits_are_kept() {
    let mut set: OrSet<String> = OrSet::new();
    for number in 0..100 {
        set.add(EU, format!("{number:0>200}"));
    }
    let bytes = set.encode();
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        OrSet::<String>::decode(&bytes, limits).map(|set| set.len())
    };
    assert_eq!(with(|_| {}), Ok(100));
    assert_eq!(with(|limits| limits.bytes = 400), Err(Malformed::TooManyBytes), "of the input");
    assert!(bytes.len() < 1000, "{}", bytes.len());
    assert_eq!(with(|limits| limits.bytes = 1000), Err(Malformed::TooManyBytes), "of the texts spelled out");
    assert_eq!(with(|limits| limits.entries = 201), Err(Malformed::TooManyEntries));
    assert_eq!(with(|limits| limits.entries = 202), Ok(100), "one replica, one run, 100 elements, 100 dots");
    assert_eq!(with(|limits| limits.text = 199), Err(Malformed::TextTooLong));
}

#[test]
fn a_count_that_promises_more_than_there_is_takes_no_memory() {
    let mut bytes = vec![OrSet::<u64>::VERSION, 0];
    put_number(&mut bytes, u64::MAX);
    assert_eq!(decode::<OrSet<u64>>(&bytes), Err(Malformed::TooManyEntries));
    assert_eq!(decode::<OrSet<u64>>(&[OrSet::<u64>::VERSION, 0, 200, 1]), Err(Malformed::Short));
}

/// `bytes` behind the version of `T`.
fn refusal<T: Wire + Debug>(bytes: &[u8]) -> Malformed {
    decode::<T>(&[&[T::VERSION], bytes].concat()).unwrap_err()
}

#[test]
fn other_forms_are_refused() {
    assert_eq!(decode::<Context>(&[0x12, 0]), Err(Malformed::Version(0x12)));
    assert_eq!(decode::<Context>(&[]), Err(Malformed::Short));
    assert_eq!(refusal::<Context>(&[0, 0]), Malformed::Trailing);
    assert_eq!(refusal::<Context>(&[0x80, 0]), Malformed::Number, "an overlong zero");
    assert_eq!(
        refusal::<PnCounter>(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0]),
        Malformed::Number,
        "over 64 bits"
    );
    assert_eq!(refusal::<PnCounter>(&[1, 1, 0, 0]), Malformed::Form, "no change");
    assert_eq!(refusal::<Context>(&[1, 1, 1]), Malformed::Form, "a replica without a run");
    assert_eq!(refusal::<Context>(&[1, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Malformed::Number, "past the last counter");
    // A set of numbers whose context is eu 1..2.
    let set = |rest: &[u8]| refusal::<OrSet<u64>>(&[&[1, 1, 3, 1], rest].concat());
    assert_eq!(set(&[1, 7]), Malformed::Short, "no dots");
    assert_eq!(set(&[2, 7, 0, 0b00_00]), Malformed::Dot, "one dot for two elements");
    assert_eq!(set(&[1, 7, 0b0_11]), Malformed::Order, "dots out of order");
    assert_eq!(set(&[1, 7, 0b0100]), Malformed::Form, "padding that is not zero");
    assert_eq!(refusal::<OrSet<u64>>(&[0, 1, 7, 0]), Malformed::Dot, "no dot to have");
    // A set of texts whose context is eu 1..2.
    let set = |rest: &[u8]| refusal::<OrSet<String>>(&[&[1, 1, 3, 1], rest].concat());
    assert_eq!(set(&[2, 0x01, b'b', 0x11, b'a', 0b10_00]), Malformed::Order, "not sorted");
    assert_eq!(set(&[2, 0x01, b'b', 0x11, b'b', 0b10_00]), Malformed::Order, "a prefix shorter than what is shared");
    assert_eq!(set(&[2, 0x01, b'b', 0x00, 0b10_00]), Malformed::Order, "twice the same");
    assert_eq!(set(&[1, 0x10, 0]), Malformed::Order, "nothing to drop");
    assert_eq!(set(&[1, 0x01, 0xff, 0]), Malformed::Text);
    assert_eq!(refusal::<LwwRegister<String>>(&[2]), Malformed::Form);
    assert_eq!(refusal::<Cart>(&[8, 0, 0]), Malformed::Form, "an unknown flag");
    assert_eq!(refusal::<Cart>(&[1, 0, 0, 0]), Malformed::Form, "an address that is not there");
    assert_eq!(
        refusal::<Cart>(&[1, 1, 1, 3, 0, 1, 0x01, b'a', 0b100, 1, 0, 1, b'x']),
        Malformed::Dot,
        "one dot for a line and the address"
    );
}
