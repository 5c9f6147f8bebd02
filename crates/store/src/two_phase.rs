//! A participant's side of two-phase commit, by PostgreSQL's prepared transactions.

use config::Secret;
use sqlx::{AssertSqlSafe, PgPool, PgTransaction};

use crate::{Error, connect};

/// Connections for decisions alone. Those who want a locked row may hold all others while they wait, and only a decision sets it free.
const DECIDING: u32 = 2;

/// SQLSTATE of a decision on what is not prepared.
const UNDEFINED_OBJECT: &str = "42704";

/// Transactions that one service prepares. The server must have `max_prepared_transactions` set.
#[derive(Debug, Clone)]
pub struct Prepared {
    deciding: PgPool,
    prefix: &'static str,
}

impl Prepared {
    /// Those of the service `prefix`, which is what their names begin with, in its database.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn new(url: &Secret, prefix: &'static str) -> Result<Self, Error> {
        Ok(Self { deciding: connect(url, DECIDING)?, prefix })
    }

    /// Prepares `tx`: all that it did is on disk and locked until [`Prepared::decide`]. `key` names it, once among those that wait.
    ///
    /// # Errors
    /// Of the database; it is not known then whether it is prepared.
    ///
    /// # Panics
    /// When the key holds anything but letters, digits and `-`: it becomes part of a statement.
    pub async fn prepare(&self, mut tx: PgTransaction<'_>, key: &str) -> sqlx::Result<()> {
        // The transaction goes on without its session. An empty one follows, which `tx` may end as it always does.
        let sql = format!("PREPARE TRANSACTION '{}'; BEGIN", self.name(key));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Whether `key` waits for its decision.
    ///
    /// # Errors
    /// Of the database.
    pub async fn is_prepared(&self, key: &str) -> sqlx::Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = $1 AND database = current_database())";
        sqlx::query_scalar(sql).bind(self.name(key)).fetch_one(&self.deciding).await
    }

    /// Commits or rolls back what `key` names. False when it does not wait, or waits no more.
    ///
    /// # Errors
    /// Of the database.
    ///
    /// # Panics
    /// As [`Prepared::prepare`].
    pub async fn decide(&self, key: &str, commit: bool) -> sqlx::Result<bool> {
        let verb = if commit { "COMMIT" } else { "ROLLBACK" };
        let sql = format!("{verb} PREPARED '{}'", self.name(key));
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.deciding).await {
            Ok(_) => Ok(true),
            Err(error) if error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == UNDEFINED_OBJECT) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The keys that wait, oldest first.
    ///
    /// # Errors
    /// Of the database.
    pub async fn list(&self) -> sqlx::Result<Vec<String>> {
        let sql = "SELECT substr(gid, length($1) + 2) FROM pg_prepared_xacts
                   WHERE starts_with(gid, $1 || '/') AND database = current_database() ORDER BY prepared";
        sqlx::query_scalar(sql).bind(self.prefix).fetch_all(&self.deciding).await
    }

    fn name(&self, key: &str) -> String {
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "'{key}' cannot be part of a statement");
        format!("{}/{key}", self.prefix)
    }
}
