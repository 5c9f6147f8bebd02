//! Which links there are, as a text: `us/eu/kafka=127.0.0.1:22492>127.0.0.1:21192, ...`.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use crate::site::Site;

/// One link: whoever connects to `listen` is at the site `from`, and what `target` answers comes from the site `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where connections are made.
    pub from: Site,
    /// Where they lead.
    pub to: Site,
    /// What is spoken: a word of small letters. Several links may share one, such as one for each broker.
    pub protocol: String,
    /// Where it takes connections.
    pub listen: SocketAddr,
    /// Where it makes them.
    pub target: SocketAddr,
}

/// All links, each with a listener of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table(pub Vec<Link>);

/// Why a text is not a table of links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// One entry cannot be read.
    #[error("'{0}' is not <from>/<to>/<protocol>=<address>><address>, with two of the sites eu, us and witness")]
    Entry(String),
    /// One address for two links.
    #[error("two links listen on {0}")]
    Twice(SocketAddr),
    /// More than [`Table::MOST`].
    #[error("there are more than {} links", Table::MOST)]
    TooMany,
}

impl Table {
    /// Most links of one process.
    pub const MOST: usize = 64;
    const LONGEST_PROTOCOL: usize = 16;
}

impl FromStr for Link {
    type Err = BadTable;

    fn from_str(text: &str) -> Result<Self, BadTable> {
        let read = || {
            let (name, addresses) = text.split_once('=')?;
            let (listen, target) = addresses.split_once('>')?;
            let mut parts = name.splitn(3, '/');
            let (from, to) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let protocol = parts.next()?.to_owned();
            let is_word = (1..=Table::LONGEST_PROTOCOL).contains(&protocol.len()) && protocol.bytes().all(|byte| byte.is_ascii_lowercase());
            let link = Self { from, to, protocol, listen: listen.parse().ok()?, target: target.parse().ok()? };
            (is_word && from != to).then_some(link)
        };
        read().ok_or_else(|| BadTable::Entry(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}={}>{}", self.from, self.to, self.protocol, self.listen, self.target)
    }
}

impl FromStr for Table {
    type Err = BadTable;

    fn from_str(text: &str) -> Result<Self, BadTable> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let links: Vec<Link> = entries.take(Self::MOST + 1).map(str::parse).collect::<Result<_, _>>()?;
        if links.len() > Self::MOST {
            return Err(BadTable::TooMany);
        }
        let mut listens = BTreeSet::new();
        match links.iter().find(|link| !listens.insert(link.listen)) {
            Some(link) => Err(BadTable::Twice(link.listen)),
            None => Ok(Self(links)),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links: Vec<_> = self.0.iter().map(Link::to_string).collect();
        f.write_str(&links.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn link() -> impl Strategy<Value = Link> {
        (select(vec![(Site::Eu, Site::Us), (Site::Us, Site::Eu), (Site::Witness, Site::Eu)]), "[a-z]{1,16}", 1_u16.., 1_u16..).prop_map(
            |((from, to), protocol, listen, target)| {
                let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
                Link { from, to, protocol, listen: at(listen), target: at(target) }
            },
        )
    }

    proptest! {
        #[test]
        fn a_table_is_read_back(links in proptest::collection::vec(link(), 0..20)) {
            let listens: BTreeSet<_> = links.iter().map(|link| link.listen).collect();
            let is_sound = listens.len() == links.len();
            let table = Table(links);
            let back = table.to_string().parse::<Table>();
            if is_sound { prop_assert_eq!(back, Ok(table)) } else { prop_assert!(matches!(back, Err(BadTable::Twice(_)))) }
        }

        #[test]
        fn no_text_makes_the_parser_stumble(text in "\\PC{0,60}") {
            let _ = text.parse::<Table>();
        }

        #[test]
        fn near_misses_are_whole_or_refused(text in "(eu|us|witness|mars|)(/|)(eu|us|)/[a-zA-Z]{0,18}(=|)127.0.0.1:[0-9]{1,6}>127.0.0.1:[0-9]{1,6}") {
            if let Ok(link) = text.parse::<Link>() {
                prop_assert_ne!(link.from, link.to);
                prop_assert_eq!(link.to_string().parse(), Ok(link));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!("".parse(), Ok(Table::default()));
        let error = "eu/us/cart=127.0.0.1:1>127.0.0.1:2, eu/mars/cart=127.0.0.1:3>127.0.0.1:4".parse::<Table>().unwrap_err();
        assert!(error.to_string().contains("eu/mars/cart"), "{error}");
        let many: Vec<_> = (1..=65).map(|port| format!("eu/us/cart=127.0.0.1:{port}>127.0.0.1:9")).collect();
        assert_eq!(many.join(",").parse::<Table>(), Err(BadTable::TooMany));
    }
}
