//! Settings of a site.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use config::Reader;
use openraft::ReadPolicy;

use crate::node;

/// How a read makes sure that it sees everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// A majority confirms the leader for each round of reads.
    Index,
    /// The leader answers by itself as long as a majority has heard of it recently: clocks must run at about one speed.
    Lease,
}

impl std::str::FromStr for Reads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "index" => Ok(Self::Index),
            "lease" => Ok(Self::Lease),
            _ => Err("it is index or lease".to_owned()),
        }
    }
}

/// Settings of a site.
#[derive(Debug)]
pub struct Config {
    /// Where it listens for the other sites.
    pub peer_listen: SocketAddr,
    /// What the node needs to know.
    pub node: node::Options,
}

/// `http://a:1=http://b:2, ...`: who is called `http://a:1` is reached at `http://b:2`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Routes(BTreeMap<String, String>);

impl std::str::FromStr for Routes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |entry: &String| entry.split_once('=').map(|(name, way)| (name.to_owned(), way.to_owned()));
        let bad = |entry: &String| format!("'{entry}' is not <peer URL>=<URL to call it at>");
        list(text).iter().map(|entry| read(entry).ok_or_else(|| bad(entry))).collect::<Result<_, _>>().map(Self)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let listen: SocketAddr = reader.parsed("LISTEN_ADDR", &format!("127.0.0.1:{}", crate::PORT));
        let peer_listen: SocketAddr = reader.parsed("PEER_LISTEN_ADDR", &format!("127.0.0.1:{}", crate::PORT + 1));
        let peer_url = reader.text("PEER_URL", &format!("http://{peer_listen}"));
        let client_urls = list(&reader.text("CLIENT_URLS", &format!("http://{listen}")));
        // One site alone, unless it is told of others; none when it joins a cluster that has added it.
        let initial = list(&reader.text("INITIAL_CLUSTER", &peer_url));
        // A site is known by its peer URL everywhere; how it is reached may differ from site to site.
        let Routes(routes) = reader.parsed("PEER_ROUTES", "");
        let reads: Reads = reader.parsed("READS", "index");
        let election_timeout = reader.duration("ELECTION_TIMEOUT", "200ms").max(Duration::from_millis(25));
        let joins: bool = reader.parsed("JOIN", "false");
        let source = Some(peer_listen.ip()).filter(|ip| !ip.is_unspecified());
        let node = node::Options {
            name: reader.text("NODE_NAME", "eu"),
            data: PathBuf::from(reader.text("DATA_DIR", "data/coordinator")),
            peer_url,
            client_urls,
            cluster: reader.text("CLUSTER", "market"),
            initial: if joins { Vec::new() } else { initial },
            source,
            routes,
            election_timeout,
            reads: if reads == Reads::Lease { ReadPolicy::LeaseRead } else { ReadPolicy::ReadIndex },
            quota: reader.parsed("QUOTA_BYTES", "2147483648"),
            snapshot_after: reader.parsed("SNAPSHOT_AFTER", "50000"),
            wal: crate::wal::Options::default(),
        };
        Self { peer_listen, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_leads_from_a_sites_name_to_where_it_is_called() {
        let Routes(routes) = "http://a:1=http://b:2, http://c:3=http://d:4".parse().unwrap();
        assert_eq!(routes["http://c:3"], "http://d:4");
        assert_eq!("".parse(), Ok(Routes::default()));
        assert!("http://a:1".parse::<Routes>().unwrap_err().contains("http://a:1"));
    }
}
