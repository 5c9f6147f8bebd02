//! One file for each promise that data can show: facts in, violations out. Pure, so each is tried with sound facts and with broken ones.

pub mod bus_1;
pub mod cart_1;
pub mod order_1;
pub mod order_2;
pub mod pay_1;
pub mod pay_2;
pub mod stock_1;
pub mod stock_2;

use super::{facts::Facts, finding::Findings};

/// Every check but that of the spine, which goes message by message.
pub fn run(facts: &Facts, findings: &mut Findings) {
    cart_1::check(facts, findings);
    order_1::check(facts, findings);
    order_2::check(facts, findings);
    pay_1::check(facts, findings);
    pay_2::check(facts, findings);
    stock_1::check(facts, findings);
    stock_2::check(facts, findings);
}

#[cfg(test)]
mod tests;
