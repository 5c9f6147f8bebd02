//! Reads a slot: rows as they were committed, transaction after transaction.

mod reader;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Buf as _;
use config::Secret;
use percent_encoding::percent_decode_str;
use pgwire_replication::{Lsn, ReplicationConfig};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use url::Url;
use uuid::Uuid;

use crate::{
    Error, Slot,
    pgoutput::{Relation, Tuple, Value},
};

/// How often the server is told what was confirmed.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// The server speaks every half `wal_sender_timeout`, of which the default is 60 s.
const SILENCE: Duration = Duration::from_secs(90);
/// 2000-01-01, where PostgreSQL's time begins, in microseconds of Unix time.
const POSTGRES_EPOCH: i128 = 946_684_800_000_000;

/// Where to read, and as whom.
#[derive(Debug, Clone)]
pub struct Source {
    host: String,
    port: u16,
    user: String,
    password: Secret,
    database: String,
}

impl Source {
    /// From `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn from_url(url: &Secret) -> Result<Self, Error> {
        let url = Url::parse(url.expose()).map_err(|_| Error::Url("it is no URL"))?;
        let database = url.path().trim_start_matches('/');
        if database.is_empty() {
            return Err(Error::Url("it names no database"));
        }
        let plain = |text| percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| Error::Url("it is not UTF-8"));
        Ok(Self {
            host: url.host_str().ok_or(Error::Url("it has no host"))?.to_owned(),
            port: url.port().unwrap_or(5432),
            user: plain(url.username())?,
            password: Secret::new(plain(url.password().unwrap_or_default())?),
            database: plain(database)?,
        })
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}

/// What a stream says.
#[derive(Debug, Clone)]
pub enum Event {
    /// A transaction begins.
    Begin {
        /// Where its commit begins: it was safe elsewhere as soon as anything behind this was.
        lsn: Lsn,
        /// When it was committed, by the server's clock.
        at: OffsetDateTime,
    },
    /// A row was inserted.
    Insert(Row),
    /// The transaction ends. Confirm this position once all of it is safe elsewhere.
    Commit {
        /// Position behind it.
        lsn: Lsn,
        /// When it was committed, by the server's clock.
        at: OffsetDateTime,
    },
    /// There was nothing of interest up to here.
    Idle {
        /// Position.
        lsn: Lsn,
        /// The server's clock.
        at: OffsetDateTime,
    },
}

/// A row with the names of its columns.
#[derive(Debug, Clone)]
pub struct Row {
    relation: Arc<Relation>,
    values: Tuple,
}

impl Row {
    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, Error> {
        let index = self.relation.columns.iter().position(|candidate| candidate.name == column).ok_or(Error::Column(column))?;
        match self.values.get(index) {
            Some(Value::Binary(bytes)) => Ok(Some(bytes)),
            Some(Value::Null) => Ok(None),
            Some(Value::Unchanged | Value::Text(_)) | None => Err(Error::Column(column)),
        }
    }

    fn some(&self, column: &'static str) -> Result<&[u8], Error> {
        self.bytes(column)?.ok_or(Error::Column(column))
    }

    /// A `bytea`.
    ///
    /// # Errors
    /// [`Error::Column`], as with the others.
    pub fn bytea(&self, column: &'static str) -> Result<&[u8], Error> {
        self.some(column)
    }

    /// A `text`.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn text(&self, column: &'static str) -> Result<&str, Error> {
        self.optional_text(column)?.ok_or(Error::Column(column))
    }

    /// A `text` that may be NULL.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn optional_text(&self, column: &'static str) -> Result<Option<&str>, Error> {
        self.bytes(column)?.map(|bytes| std::str::from_utf8(bytes).map_err(|_| Error::Column(column))).transpose()
    }

    /// A `bigint`.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn bigint(&self, column: &'static str) -> Result<i64, Error> {
        self.some(column)?.try_get_i64().map_err(|_| Error::Column(column))
    }

    /// A `uuid`.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn uuid(&self, column: &'static str) -> Result<Uuid, Error> {
        Uuid::from_slice(self.some(column)?).map_err(|_| Error::Column(column))
    }

    /// A `timestamptz`.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn timestamptz(&self, column: &'static str) -> Result<OffsetDateTime, Error> {
        Ok(moment(self.bigint(column)?))
    }
}

/// A running stream. Ends when dropped.
#[derive(Debug)]
pub struct Stream {
    batches: mpsc::Receiver<Result<Vec<Event>, Error>>,
    batch: std::vec::IntoIter<Event>,
    confirmed: Arc<AtomicU64>,
}

impl Stream {
    /// Streams `publication` from where `slot` was confirmed. The role needs REPLICATION. That the server refuses, e.g. because another
    /// reader has the slot, shows with the first [`Stream::next`].
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub async fn open(source: &Source, slot: &Slot, publication: &str) -> Result<Self, Error> {
        let Source { host, port, user, password, database } = source;
        let mut config = ReplicationConfig::new(host, user, password.expose(), database, &slot.name, publication);
        (config.port, config.binary) = (*port, true);
        (config.status_interval, config.idle_wakeup_interval) = (STATUS_INTERVAL, STATUS_INTERVAL);
        config.buffer_events = reader::MOST;
        let confirmed = Arc::new(AtomicU64::new(0));
        let batches = reader::start(config, confirmed.clone()).await?;
        Ok(Self { batches, batch: Vec::new().into_iter(), confirmed })
    }

    /// The next event. Safe to cancel.
    ///
    /// # Errors
    /// When the stream has ended for whatever reason: open another one.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.batch.next() {
                return Ok(event);
            }
            let batch = tokio::time::timeout(SILENCE, self.batches.recv()).await.map_err(|_| Error::Silent)?;
            self.batch = batch.ok_or(Error::Ended)??.into_iter();
        }
    }

    /// The next event of those that came together with the last one.
    pub fn ready(&mut self) -> Option<Event> {
        self.batch.next()
    }

    /// Everything up to `lsn` is safe elsewhere: the server need not give it again, and may throw it away.
    pub fn confirm(&self, lsn: Lsn) {
        self.confirmed.fetch_max(lsn.as_u64(), Ordering::Release);
    }
}

fn moment(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos((i128::from(micros) + POSTGRES_EPOCH) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_source() {
        let source = Source::from_url(&Secret::new("postgres://order:p%40ss@127.0.0.1:21432/market".to_owned()));
        let source = source.unwrap();
        assert_eq!((source.port, source.database(), source.password.expose()), (21432, "market", "p@ss"));
        assert!(Source::from_url(&Secret::new("postgres://order@127.0.0.1".to_owned())).is_err());
        assert!(Source::from_url(&Secret::new("market".to_owned())).is_err());
    }

    #[test]
    fn postgres_counts_from_the_year_2000() {
        assert_eq!(moment(0).unix_timestamp(), 946_684_800);
        assert_eq!(moment(i64::MAX).year(), 1970, "a time beyond all calendars does not break anything");
    }
}
