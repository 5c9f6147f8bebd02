//! Ports for what a test starts.

use std::{
    io,
    net::Ipv4Addr,
    sync::atomic::{AtomicU16, Ordering},
};

use tokio::net::TcpSocket;

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
        .find(|&port| is_free(port))
        .expect("a port is free")
}

/// Whether nobody listens there. Asked without listening: a process that another thread is starting holds, until it has become its program,
/// all that is open here, and a listener of ours that went on in it would keep from the port whoever it is for.
#[must_use]
pub fn is_free(port: u16) -> bool {
    let bind = || -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())
    };
    bind().is_ok()
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
    fn a_port_where_somebody_listens_is_not_free_and_asking_takes_nothing() {
        let port = free_port();
        assert!(is_free(port) && is_free(port));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        drop(listener);
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}
