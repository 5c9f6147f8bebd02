//! Planted violations.

use super::*;

fn member(folder: &str, dependencies: &[(&str, Use)]) -> Member {
    let name = folder.rsplit('/').next().unwrap().to_owned();
    let dependencies = dependencies.iter().map(|&(name, when)| Dependency { name: name.to_owned(), when, is_ours: true }).collect();
    Member { name, folder: folder.to_owned(), dependencies }
}

/// What is wrong when `folder` has these dependencies in an otherwise sound workspace.
fn wrong(folder: &str, dependencies: &[(&str, Use)]) -> Vec<String> {
    let mut members: Vec<Member> = [
        "crates/ids",
        "crates/money",
        "crates/proto",
        "crates/config",
        "crates/store",
        "crates/spine",
        "services/cart",
        "services/psp",
        "services/order",
        "backbone",
        "testkit",
        "e2e",
    ]
    .iter()
    .filter(|other| **other != folder)
    .map(|other| member(other, &[]))
    .collect();
    members.push(member(folder, dependencies));
    breaches(&members).into_iter().map(|breach| breach.what).collect()
}

#[test]
fn downwards_and_leftwards_is_fine() {
    assert_eq!(
        wrong("services/cart", &[("store", Use::Normal), ("proto", Use::Normal), ("ids", Use::Normal), ("tokio", Use::Normal)]),
        [""; 0]
    );
    assert_eq!(wrong("crates/spine", &[("store", Use::Normal), ("config", Use::Normal)]), [""; 0]);
    assert_eq!(wrong("crates/money", &[("ids", Use::Normal)]), [""; 0]);
    assert_eq!(wrong("e2e", &[("backbone", Use::Normal), ("testkit", Use::Normal)]), [""; 0]);
}

#[test]
fn upwards_is_refused() {
    assert_eq!(wrong("crates/store", &[("cart", Use::Normal)]), ["store (L2 mechanism) uses cart (L3 services), which is above it"]);
    assert_eq!(wrong("crates/ids", &[("proto", Use::Build)]).len(), 1);
    assert_eq!(wrong("crates/ids", &[("config", Use::Tests)]).len(), 1, "tests count too");
}

#[test]
fn rightwards_is_refused() {
    assert_eq!(
        wrong("crates/store", &[("spine", Use::Normal)]),
        ["store (L2 mechanism) uses spine (L2 mechanism), which stands to its right"]
    );
}

#[test]
fn services_never_use_one_another() {
    assert_eq!(wrong("services/cart", &[("order", Use::Normal)]).len(), 1);
    assert_eq!(wrong("engines/broker", &[("order", Use::Normal)]).len(), 1);
    assert_eq!(wrong("services/cart", &[("psp", Use::Tests)]).len(), 1);
    assert_eq!(wrong("services/payment", &[("psp", Use::Tests)]), [""; 0]);
    assert_eq!(wrong("services/payment", &[("psp", Use::Normal)]).len(), 1);
}

#[test]
fn a_crate_from_elsewhere_may_have_the_name_of_one_of_ours() {
    let mut store = member("crates/store", &[("cart", Use::Normal)]);
    store.dependencies[0].is_ours = false;
    assert_eq!(breaches(&[store, member("services/cart", &[])]), []);
}

#[test]
fn testkit_is_for_tests() {
    assert_eq!(wrong("services/cart", &[("testkit", Use::Tests)]), [""; 0]);
    assert_eq!(wrong("crates/ids", &[("testkit", Use::Tests)]), [""; 0]);
    assert_eq!(wrong("services/cart", &[("testkit", Use::Normal)]), ["cart (L3 services) uses testkit (L4 tools) outside its tests"]);
}

#[test]
fn pure_crates_neither_wait_nor_ask_the_clock() {
    assert_eq!(wrong("crates/money", &[("tokio", Use::Normal)]), ["a pure crate uses tokio"]);
    assert_eq!(wrong("crates/money", &[("time", Use::Normal), ("uuid", Use::Normal)]).len(), 1);
    assert_eq!(wrong("crates/money", &[("rand", Use::Tests)]), [""; 0], "its tests may roll dice");
    assert_eq!(wrong("crates/store", &[("time", Use::Normal)]), [""; 0]);
}

#[test]
fn an_unknown_crate_is_an_error() {
    assert_eq!(wrong("crates/commons", &[]), ["commons is in no layer"]);
    assert_eq!(wrong("services/cart/inner", &[]), ["inner is in no layer"]);
}

#[test]
fn the_line_of_a_dependency_is_found() {
    assert_eq!(line_of("[dependencies]\ntokio-util = 1\ntokio.workspace = true\n", "tokio"), 3);
    assert_eq!(line_of("[dependencies]\n", "tokio"), 1);
}
