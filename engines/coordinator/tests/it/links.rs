//! The links between sites, which can be cut: what is sent over a cut link vanishes, and nobody is told.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Links by who calls and who is called.
type Cut = BTreeSet<(usize, usize)>;

#[derive(Debug)]
pub(crate) struct Links {
    cut: watch::Sender<Cut>,
    sites: usize,
}

/// Every site has an address of its own, so that a link knows who calls.
pub(crate) fn address(site: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 10 + u8::try_from(site).expect("few sites")).into()
}

fn site(address: IpAddr) -> Option<usize> {
    (0..200).find(|number| self::address(*number) == address)
}

impl Links {
    pub(crate) fn new(sites: usize) -> Self {
        Self { cut: watch::Sender::default(), sites }
    }

    /// Lays the links to a site that listens at `to`, and gives the address to call it by.
    pub(crate) fn lay(&self, target: usize, to: SocketAddr) -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        listener.set_nonblocking(true).expect("a listener can be polled");
        let own = listener.local_addr().expect("a listener has an address");
        let cut = self.cut.subscribe();
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener can be polled");
            while let Ok((stream, from)) = listener.accept().await {
                if let Some(source) = site(from.ip()) {
                    tokio::spawn(carry(stream, to, (source, target), cut.clone()));
                }
            }
        });
        own
    }

    /// Cuts a site off from all others, in both directions or only what it sends.
    pub(crate) fn isolate(&self, site: usize, both: bool) {
        let others = (0..self.sites).filter(|other| *other != site);
        let cut = others.flat_map(|other| if both { vec![(site, other), (other, site)] } else { vec![(site, other)] });
        self.cut.send_replace(cut.collect());
    }

    pub(crate) fn heal(&self) {
        self.cut.send_replace(Cut::new());
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, link: (usize, usize), mut cut: watch::Receiver<Cut>) {
    let mut ended = cut.clone();
    if !cut.borrow_and_update().contains(&link) {
        let Ok(mut to) = TcpStream::connect(to).await else { return };
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        tokio::select! {
            _ = copy_bidirectional(&mut from, &mut to) => return,
            _ = cut.wait_for(|cut| cut.contains(&link)) => {}
        }
    }
    // The connection stays, and is silent, for as long as the link is cut.
    let _ = ended.wait_for(|cut| !cut.contains(&link)).await;
}
