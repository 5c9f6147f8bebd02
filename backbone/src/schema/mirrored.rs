//! What a service publishes to the other region: publications, their tables and the tables' columns.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::engine::postgres::databases::run as execute;

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A table as a publication has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Table {
    /// All that the table has, in its order.
    columns: Vec<String>,
    /// The file that PostgreSQL keeps it in: another one when all rows were written anew.
    file: i64,
    /// The publication names columns, and leaves out those that come later.
    is_named: bool,
}

/// Publications by name, with their tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mirrored(BTreeMap<(String, String), Table>);

#[derive(sqlx::FromRow)]
struct Row {
    publication: String,
    name: String,
    columns: Vec<String>,
    file: i64,
    is_named: bool,
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Mirrored {
    pub(super) async fn has_schema(connection: &mut PgConnection, service: &str) -> Result<bool> {
        let found = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = '_sqlx_migrations')";
        Ok(sqlx::query_scalar(found).bind(service).fetch_one(connection).await?)
    }

    /// Of the service's schema, whatever the publications name now. Generated columns are not published.
    pub(super) async fn read(connection: &mut PgConnection, service: &str) -> Result<Self> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT p.pubname::text AS publication, format('%I.%I', n.nspname, c.relname) AS name, pg_relation_filenode(c.oid)::bigint AS file,
                    r.prattrs IS NOT NULL AS is_named,
                    array(SELECT attname::text FROM pg_attribute
                          WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum) AS columns
             FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE p.pubname LIKE '%\\_mirror' AND n.nspname = $1",
        )
        .bind(service)
        .fetch_all(connection)
        .await?;
        let table = |row: Row| ((row.publication, row.name), Table { columns: row.columns, file: row.file, is_named: row.is_named });
        Ok(Self(rows.into_iter().map(table).collect()))
    }

    /// Whether both have the same tables with the same columns, in whatever order.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let counts = |mirrored: &Self| mirrored.0.values().map(|table| table.columns.len()).sum::<usize>();
        let common = counts(&self.common(other));
        common == counts(self) && common == counts(other)
    }

    /// The tables and columns that both have.
    pub(super) fn common(&self, other: &Self) -> Self {
        let common = self.0.iter().filter_map(|(name, table)| {
            let there = &other.0.get(name)?.columns;
            let columns = table.columns.iter().filter(|column| there.contains(column)).cloned().collect();
            Some((name.clone(), Table { columns, ..*table }))
        });
        Self(common.collect())
    }

    /// A table that has another file in `after`.
    pub(super) fn rewritten(&self, after: &Self) -> Option<&str> {
        let has_moved = |(name, table): &(&(String, String), &Table)| after.0.get(*name).is_some_and(|after| after.file != table.file);
        self.0.iter().find(has_moved).map(|((_, name), _)| name.as_str())
    }

    /// What each region publishes while they differ, from what each has before and after a change: of a table that both have and keep, the columns that
    /// stay in both; nothing of a table that goes; and a table that is in one region alone as it is.
    pub(super) fn meanwhile(regions: &[(Self, Self)]) -> Vec<Self> {
        let kept = regions.iter().map(|(before, after)| before.common(after)).reduce(|one, other| one.common(&other)).unwrap_or_default();
        let goes =
            |name: &(String, String)| regions.iter().any(|(before, after)| before.0.contains_key(name) && !after.0.contains_key(name));
        let published = |before: &Self| {
            let tables = before.0.iter().filter(|(name, _)| !goes(name)).map(|(name, table)| {
                let named = kept.0.get(name).map(|kept| Table { is_named: true, ..kept.clone() });
                (name.clone(), named.unwrap_or_else(|| table.clone()))
            });
            Self(tables.collect())
        };
        regions.iter().map(|(before, _)| published(before)).collect()
    }

    /// Whether a table's columns are named, so that those which come later are left out.
    pub(super) fn is_narrowed(&self) -> bool {
        self.0.values().any(|table| table.is_named)
    }

    /// All columns of its tables.
    pub(super) fn widened(self) -> Self {
        Self(self.0.into_iter().map(|(name, table)| (name, Table { is_named: false, ..table })).collect())
    }

    /// Makes it what the region publishes of all that is written from now on.
    pub(super) async fn publish(&self, connection: &mut PgConnection) -> Result<()> {
        let mut publications: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((publication, name), table) in &self.0 {
            let columns: Vec<_> = table.columns.iter().map(|column| quoted(column)).collect();
            let columns = if table.is_named { format!(" ({})", columns.join(", ")) } else { String::new() };
            publications.entry(publication).or_default().push(format!("{name}{columns}"));
        }
        for (publication, tables) in publications {
            execute(connection, format!("ALTER PUBLICATION {} SET TABLE {}", quoted(publication), tables.join(", "))).await?;
        }
        Ok(())
    }
}

/// Waits until the other region has all that was written here so far, also by transactions that are still under way.
pub(super) async fn taken_in(connection: &mut PgConnection, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let next: i64 = sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetch_one(&mut *connection).await?;
    while sqlx::query_scalar::<_, i64>("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetch_one(&mut *connection).await?
        < next
    {
        ensure!(
            Instant::now() < deadline,
            "a transaction has been under way for {} s: see pg_stat_activity and pg_prepared_xacts",
            within.as_secs()
        );
        sleep(LOOK).await;
    }
    let position: i64 = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(&mut *connection).await?;
    let confirmed =
        "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = 'market_from_' || region.self()";
    loop {
        let confirmed: i64 =
            sqlx::query_scalar(confirmed).fetch_optional(&mut *connection).await?.context("the other region does not listen")?;
        if confirmed >= position {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the other region is {} bytes behind after {} s", position - confirmed, within.as_secs());
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrored(tables: &[(&str, i64, &[&str])]) -> Mirrored {
        let table = |columns: &[&str], file| Table { columns: columns.iter().map(ToString::to_string).collect(), file, is_named: false };
        Mirrored(tables.iter().map(|(name, file, columns)| (("p".to_owned(), (*name).to_owned()), table(columns, *file))).collect())
    }

    impl Mirrored {
        fn named(mut self) -> Self {
            self.0.values_mut().for_each(|table| table.is_named = true);
            self
        }
    }

    #[test]
    fn a_column_that_is_added_or_dropped_is_not_named() {
        let before = mirrored(&[("a", 1, &["id", "old"]), ("b", 2, &["id"])]);
        let after = mirrored(&[("a", 1, &["id", "new"]), ("b", 2, &["id"]), ("c", 3, &["id"])]);
        let named = mirrored(&[("a", 1, &["id"]), ("b", 2, &["id"])]).named();
        assert_eq!(Mirrored::meanwhile(&[(before.clone(), after.clone()), (before, after)]), [named.clone(), named]);
    }

    #[test]
    fn what_a_broken_off_run_has_changed_in_one_region_stays() {
        let before = mirrored(&[("a", 1, &["id"])]);
        let done = mirrored(&[("a", 1, &["id", "x"]), ("new", 3, &["id"])]);
        let us = mirrored(&[("a", 1, &["id"])]).named();
        let mut eu = us.clone();
        eu.0.extend(mirrored(&[("new", 3, &["id"])]).0);
        assert_eq!(Mirrored::meanwhile(&[(done.clone(), done.clone()), (before, done)]), [eu, us]);
    }

    #[test]
    fn a_table_that_goes_in_one_region_is_published_by_none() {
        let (before, after) = (mirrored(&[("a", 1, &["id"]), ("old", 2, &["id"])]), mirrored(&[("a", 1, &["id"])]));
        let named = after.clone().named();
        for eu in [(before.clone(), after.clone()), (after.clone(), after.clone())] {
            assert_eq!(Mirrored::meanwhile(&[eu, (before.clone(), after.clone())]), [named.clone(), named.clone()]);
        }
    }

    #[test]
    fn the_order_of_columns_does_not_matter() {
        let one = mirrored(&[("a", 1, &["id", "x"])]);
        assert!(one.is_like(&mirrored(&[("a", 7, &["x", "id"])])));
        assert!(!one.is_like(&mirrored(&[("a", 1, &["id"])])) && !mirrored(&[("a", 1, &["id"])]).is_like(&one));
        assert!(!one.is_like(&mirrored(&[("a", 1, &["id", "x"]), ("b", 2, &["id"])])));
    }

    #[test]
    fn a_table_that_was_written_anew_is_found() {
        let before = mirrored(&[("a", 1, &["id"]), ("b", 2, &["id"])]);
        assert_eq!(before.rewritten(&mirrored(&[("a", 1, &["id", "x"]), ("b", 2, &["id"])])), None);
        assert_eq!(before.rewritten(&mirrored(&[("a", 1, &["id"]), ("b", 5, &["id"])])), Some("b"));
    }

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}
