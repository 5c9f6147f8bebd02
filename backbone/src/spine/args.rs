//! The command line of `backbone spine`.

use clap::{Args, Subcommand};
use ids::Region;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the topics: partitions, copies, messages.
    Topics {
        /// Only this region's: eu or us.
        #[arg(long)]
        region: Option<Region>,
    },
    /// Show how far behind each consumer is, and how much the database keeps for each outbox.
    Lag {
        /// Only this region's: eu or us.
        #[arg(long)]
        region: Option<Region>,
    },
    /// Show events of a topic as they come.
    #[command(after_help = "Examples:\n  backbone spine tail order.events\n  backbone spine tail order.events --from-beginning -n 20\n  \
                            backbone spine tail payment.events --key <order id> --from-beginning --json")]
    Tail(Tail),
    /// Dead letters: what a consumer could not apply.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Let a consumer read its topic again from a moment on. What it applied before it does not apply again.
    #[command(after_help = "Examples:\n  backbone spine replay --region eu --consumer inventory --from-time 2026-11-21T10:00:00Z")]
    Replay(Replay),
}

/// Which events to show.
#[derive(Debug, Args)]
pub struct Tail {
    /// Name of the topic.
    pub topic: String,
    /// Whose: eu or us.
    #[arg(long, default_value = "eu")]
    pub region: Region,
    /// Begin with the oldest.
    #[arg(long)]
    pub from_beginning: bool,
    /// Only events of this key.
    #[arg(long)]
    pub key: Option<String>,
    /// End after so many; without it the end comes with what is there now, or, without --from-beginning, with Ctrl-C.
    #[arg(long, short = 'n')]
    pub count: Option<usize>,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List those that wait.
    #[command(
        after_help = "Examples:\n  backbone spine dlq list\n  backbone spine dlq list --all --json   # those replayed or dropped since, too"
    )]
    List {
        /// Only this region's: eu or us.
        #[arg(long)]
        region: Option<Region>,
        /// Also those that do not wait any more.
        #[arg(long)]
        all: bool,
    },
    /// Show one.
    #[command(after_help = "Examples:\n  backbone spine dlq show eu/order.events/3")]
    Show {
        /// Its name, as in the list.
        letter: LetterName,
    },
    /// Let the consumer apply letters now, in their order.
    #[command(after_help = "Examples:\n  backbone spine dlq replay eu/order.events/3\n  backbone spine dlq replay --all-of eu")]
    Replay {
        /// Names, as in the list.
        #[arg(required_unless_present = "all_of")]
        letters: Vec<LetterName>,
        /// All that wait in this region.
        #[arg(long, conflicts_with = "letters")]
        all_of: Option<Region>,
    },
    /// Give letters up for good: they are never applied, and later messages of their keys go on.
    #[command(after_help = "Examples:\n  backbone spine dlq drop eu/order.events/3")]
    Drop {
        /// Names, as in the list.
        #[arg(required = true)]
        letters: Vec<LetterName>,
    },
}

/// Whom to let read again, and from when on.
#[derive(Debug, Args)]
pub struct Replay {
    /// Whose: eu or us.
    #[arg(long)]
    pub region: Region,
    /// Name of the consumer, as `lag` shows it.
    #[arg(long)]
    pub consumer: String,
    /// RFC 3339, e.g. 2026-11-21T10:00:00Z.
    #[arg(long, value_parser = moment)]
    pub from_time: OffsetDateTime,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "it must be RFC 3339, e.g. 2026-11-21T10:00:00Z".to_owned())
}

/// `<region>/<topic>/<offset>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterName {
    /// Where it is.
    pub region: Region,
    /// The topic that it was on.
    pub topic: String,
    /// Its offset among the topic's dead letters.
    pub offset: i64,
}

impl std::str::FromStr for LetterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let [region, topic, offset] = parts[..] else {
            return Err("it must be <region>/<topic>/<offset>, as `dlq list` shows it".to_owned());
        };
        let region = region.parse().map_err(|_| "its region must be eu or us".to_owned())?;
        let offset = offset.parse().map_err(|_| "its offset must be a number".to_owned())?;
        Ok(Self { region, topic: topic.to_owned(), offset })
    }
}

impl std::fmt::Display for LetterName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.region, self.topic, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_letters_are_read_as_they_are_shown() {
        let name: LetterName = "us/order.events/12".parse().unwrap();
        assert_eq!((name.region, name.offset, name.to_string().as_str()), (Region::Us, 12, "us/order.events/12"));
        for wrong in ["", "eu", "xx/order.events/1", "eu/order.events/x", "eu/order.events/1/2"] {
            assert!(wrong.parse::<LetterName>().is_err(), "{wrong}");
        }
    }
}
