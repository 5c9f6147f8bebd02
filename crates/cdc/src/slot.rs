//! A replication slot: PostgreSQL's own memory of how far a reader of the WAL has come.

use sqlx::{FromRow, PgPool};

use crate::Error;

/// A logical slot with the plug-in `pgoutput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name, one among all databases of a server: lower case, digits and `_`.
    pub name: String,
}

/// How a slot stands.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Standing {
    /// Somebody streams from it.
    pub is_active: bool,
    /// It is of no more use: the server has thrown away what it needs (`max_slot_wal_keep_size`).
    pub is_lost: bool,
    /// How much WAL there is behind what was confirmed, in bytes.
    pub lag_bytes: i64,
    /// How much more may be written before the slot is lost, in bytes; absent without a limit.
    pub safe_bytes: Option<i64>,
}

impl Slot {
    /// How it stands; `None` when there is none of that name.
    ///
    /// # Errors
    /// Of the database.
    pub async fn standing(&self, pool: &PgPool) -> Result<Option<Standing>, Error> {
        let query = sqlx::query_as(
            "SELECT active AS is_active, coalesce(wal_status = 'lost', false) AS is_lost, safe_wal_size AS safe_bytes,
                    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint AS lag_bytes
             FROM pg_replication_slots WHERE slot_name = $1",
        );
        Ok(query.bind(&self.name).fetch_optional(pool).await?)
    }

    /// Makes it anew. From now on it keeps every commit that comes.
    ///
    /// # Errors
    /// Of the database; when somebody streams from the old one.
    pub async fn make(&self, pool: &PgPool) -> Result<(), Error> {
        self.discard(pool).await?;
        let mut tx = pool.begin().await?;
        // Waits for the transactions that run now, which may take longer than other statements are given.
        let patience = "SELECT set_config('statement_timeout', '60s', true), set_config('lock_timeout', '60s', true)";
        sqlx::query(patience).execute(&mut *tx).await?;
        sqlx::query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')").bind(&self.name).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// Of the database; when somebody streams from it.
    pub async fn discard(&self, pool: &PgPool) -> Result<(), Error> {
        let query = sqlx::query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1");
        query.bind(&self.name).execute(pool).await?;
        Ok(())
    }
}
