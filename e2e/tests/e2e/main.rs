//! Two whole regions, started as a user starts them and driven from outside only. One test after the other, on one market: the later
//! ones break what the earlier ones used.

mod browser;
mod calls;
mod carts;
mod cli;
mod collector;
mod crash;
mod faults;
mod links;
mod market;
mod orders;
mod promises;
mod refusals;
mod region;
mod schema;
mod shop;
mod shoppers;
mod spine;
mod stock;
mod tools;
mod wishes;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::market::Market;

/// A test: its name, which is a claim, and what proves it.
struct Test {
    name: &'static str,
    run: fn(&Runtime, &Market) -> Result<()>,
}

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |runtime, market| runtime.block_on($module::$name(market)),
        }),*]
    };
}

/// In this order.
const TESTS: [Test; 51] = tests![
    cli::up_tells_of_every_part_and_when_it_was_ready,
    cli::status_knows_every_process,
    cli::a_second_up_is_refused,
    cli::a_taken_port_is_named_and_nothing_is_started,
    cli::every_service_has_metrics_and_is_ready,
    tools::grpcurl_lists_and_calls_every_service,
    orders::an_order_is_shipped_and_read_in_both_regions,
    orders::the_same_shop_answers_at_each_region,
    orders::a_step_up_is_waited_for,
    orders::a_declined_card_cancels_and_gives_the_stock_back,
    orders::one_key_is_one_order_and_one_charge,
    orders::scarce_stock_is_sold_once,
    orders::search_finds_what_was_put_into_the_catalog,
    orders::an_order_tells_its_states_as_they_come,
    wishes::a_cancel_during_the_step_up_ends_the_order_without_a_charge,
    wishes::a_shipped_order_is_returned_and_refunded_once,
    wishes::the_order_page_cancels_and_returns_without_a_script,
    carts::a_cart_is_the_same_in_both_regions,
    carts::who_signs_in_has_one_cart_on_every_device,
    stock::an_order_gets_units_that_the_other_region_has,
    stock::an_operator_moves_units_once,
    region::each_region_holds_its_own_home,
    region::a_home_is_moved_and_given_back_by_hand,
    region::a_drained_region_holds_nothing,
    calls::a_request_that_is_given_up_stops_its_statement,
    schema::a_table_is_changed_in_both_regions_while_orders_come,
    refusals::bad_requests_get_a_problem_document_with_a_page,
    refusals::an_unknown_region_is_refused,
    tools::kcat_reads_the_order_events_with_their_headers,
    tools::one_trace_goes_from_the_request_to_the_event,
    browser::two_browsers_one_in_each_region_see_each_others_carts,
    browser::a_shopper_buys_and_sees_the_order_shipped_without_a_reload,
    browser::a_shopper_with_a_phone_and_a_keyboard_can_buy,
    links::what_cannot_be_set_is_refused_with_a_reason,
    links::a_change_takes_at_least_the_latency,
    links::a_partition_lets_nothing_through_and_after_it_both_regions_agree,
    links::a_one_way_partition_stops_one_direction_only,
    links::links_that_are_killed_come_back_as_they_were_set,
    spine::topics_lag_and_events_can_be_seen,
    spine::a_consumer_that_is_told_to_read_again_applies_nothing_twice,
    spine::every_event_comes_again_with_the_keys_in_reverse_and_nothing_changes,
    promises::verify_names_an_amount_held_behind_our_back,
    promises::verify_misses_an_order_that_only_the_journal_knows,
    faults::a_region_that_is_gone_is_served_by_the_other,
    carts::a_cart_goes_on_in_the_other_region_when_its_own_is_gone,
    faults::services_that_die_in_traffic_lose_no_order,
    region::a_region_that_is_kept_down_is_taken_over_and_gets_its_home_back,
    crash::every_promise_is_kept_whatever_dies,
    faults::after_a_kill_of_everything_every_order_ends,
    spine::a_poisoned_message_is_put_aside_replayed_and_dropped,
    faults::down_leaves_no_process_and_no_port,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let lists = arguments.list;
    let runtime = Arc::new(Runtime::new().expect("a runtime can be started"));
    let market = Arc::new(Market::new());
    let trials = TESTS
        .iter()
        .map(|test| {
            let (runtime, market) = (runtime.clone(), market.clone());
            Trial::test(test.name, move || (test.run)(&runtime, &market).map_err(|error| Failed::from(format!("{error:?}"))))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !lists {
        runtime.block_on(market.end(conclusion.has_failed()));
    }
    conclusion.exit_code()
}
