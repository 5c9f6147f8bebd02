//! Ports for what a test starts.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range that the kernel hands out by itself (32768) and apart from the ports of a running market (20110 and above).
const FIRST: u16 = 10_000;
const COUNT: u16 = 9_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 on which nobody listens. Each call gives another; test processes that run at once begin at different ones.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let start = std::process::id().wrapping_mul(37);
    (0..COUNT)
        .map(|_| {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            FIRST + u16::try_from(start.wrapping_add(step) % u32::from(COUNT)).expect("COUNT fits")
        })
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a port is free")
}

/// An address where nobody answers: for a part that the test at hand does without.
#[must_use]
pub fn nowhere() -> String {
    "127.0.0.1:9".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}
