//! The formats, frozen. A test that fails here means that stored states and the other region can no longer be read: give the type a new
//! version byte, keep reading the old one, and add its bytes to those below.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frozen<T: Wire + PartialEq + Debug>(value: &T, expected: &str) {
    let bytes = value.encode();
    assert_eq!(hex(&bytes), expected);
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(value));
}

/// Bytes of the version before are read, and written as those of this one.
fn old<T: Wire + PartialEq + Debug>(value: &T, bytes: &str) {
    let bytes: Vec<u8> = (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(value));
}

fn context() -> Context {
    let counters = (1..=300).chain([305, 306, 900]).map(|counter| (EU, counter));
    counters.chain([(US, 2)]).map(|(replica, counter)| Dot::new(replica, counter).unwrap()).collect()
}

#[test]
fn a_context() {
    frozen(&Context::new(), "1100");
    frozen(&context(), "11020107ab020301d0040000020000");
}

#[test]
fn sets() {
    let (mut eu, mut us) = (OrSet::<String>::new(), OrSet::<String>::new());
    for sku in ["mug-blue", "mug-red", "a-name-that-is-longer-than-half-a-byte-tells", "tea", "café"] {
        eu.add(EU, sku.to_owned());
    }
    eu.remove("tea");
    us.add(US, "mug-red".to_owned());
    eu.merge(us);
    frozen(&OrSet::<String>::new(), "220000");
    old(&OrSet::<String>::new(), "210000");
    // Both versions write a context without gaps in the same way.
    let rest = "02010304000300040f1d612d6e616d652d746861742d69732d6c6f6e6765722d7468616e2d68616c662d612d627974652d74656c6c73f51d636166c3a9586d75672d626c75654372656484300a";
    frozen(&eu, &format!("22{rest}"));
    old(&eu, &format!("21{rest}"));
    let mut numbers = OrSet::<u64>::new();
    for number in [7, 8, 300, u64::MAX] {
        numbers.add(EU, number);
    }
    frozen(&numbers, "3201010303040700a302d2fdffffffffffffff01100d");
    old(&numbers, "3101010303040700a302d2fdffffffffffffff01100d");
    frozen(&numbers.remove(&8), "32010102000000");
    old(&numbers.remove(&300), "31010102010000");
}

#[test]
fn a_set_with_gaps_in_what_it_has_seen() {
    let mut numbers = OrSet::<u64>::new();
    for number in 0..100 {
        numbers.add(EU, number);
    }
    let mut gone = OrSet::new();
    for number in [3, 4, 5, 40, 41, 77, 99] {
        gone.merge(numbers.remove(&number));
    }
    gone.merge(numbers.add(US, 7));
    frozen(&gone, "3202010a02600ef5b21401000300010710");
    old(&gone, "3102010a020200001f0122001400000300010710");
}

#[test]
fn a_counter() {
    let mut counter = PnCounter::new();
    counter.add(EU, 300).unwrap();
    counter.add(EU, -1).unwrap();
    counter.add(US, -7).unwrap();
    frozen(&PnCounter::new(), "4100");
    frozen(&counter, "410201ac0201000007");
}

#[test]
fn registers() {
    let mut latest = LwwRegister::new();
    frozen(&latest, "5100");
    latest.set(EU, 1_700_000_000_000, "ring twice".to_owned());
    frozen(&latest, "510180d095ffbc31010a72696e67207477696365");
    let (mut eu, mut us) = (MvRegister::new(), MvRegister::new());
    frozen(&eu, "610000");
    eu.set(EU, "Main St 1".to_owned());
    us.set(US, "Elm St 2".to_owned());
    eu.merge(&us);
    frozen(&eu, "61020103000003000200094d61696e20537420310008456c6d2053742032");
}

#[test]
fn a_cart() {
    let (mut eu, mut us, mut phone) = (Cart::new(), Cart::new(), Cart::new());
    phone.change(EU, "TEA-1", 3);
    eu.change(EU, "MUG-1", 2);
    us.merge(&eu);
    eu.change(EU, "MUG-1", -1);
    eu.change(EU, "MUG-2", 1);
    us.change(US, "MUG-1", 5);
    us.set(US, "POT-7", 3);
    eu.merge(&us);
    frozen(&Cart::new(), "72000000");
    frozen(&eu, "72000201030200030103054d55472d31113255504f542d37d15316432303");
    frozen(&eu.change(EU, "MUG-2", 1), "7200010102020001054d55472d3206");
    eu.set_address(EU, "Main St 1".to_owned());
    us.set_address(US, "Elm St 2".to_owned());
    eu.set_note(EU, 1_700_000_000_000, "ring twice".to_owned());
    eu.absorb(SourceId(0x0190_5a2b_91f3), &phone);
    eu.merge(&us);
    frozen(
        &eu,
        "72070201030400030203054d55472d31113255504f542d37d1531a53dbcc0204094d61696e20537420310208456c6d205374203280d095ffbc31010a72696e67207477696365010000000000000000000001905a2b91f30101030001055445412d3132",
    );
}
