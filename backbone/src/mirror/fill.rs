//! Copies the rows that a database lacks, for a subscription made when there was data already.
//!
//! PostgreSQL's own copy (`copy_data = true`) stops at the first row that is there already, and here rows of both regions share
//! tables. Nothing else writes meanwhile: services start later. The rows are written under a replication origin, so that the
//! subscription in the other direction, which takes rows without origin only, does not send them back.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::engine::postgres::databases::{exists, run};

const ORIGIN: &str = "backbone_fill";

/// Rows read and written at a time.
const BATCH: i64 = 1000;

#[derive(Debug, sqlx::FromRow)]
struct Table {
    name: String,
    /// `WHERE` of the publication.
    filter: String,
    columns: String,
}

/// Copies what `to` lacks of a publication's rows. Returns how many there were.
pub(super) async fn missing_rows(from: &mut PgConnection, to: &mut PgConnection, publication: &str) -> Result<u64> {
    if !exists(to, "SELECT 1 FROM pg_replication_origin WHERE roname = $1", ORIGIN).await? {
        run(to, format!("SELECT pg_replication_origin_create('{ORIGIN}')")).await?;
    }
    run(
        to,
        format!(
            "SET session_replication_role = replica; SET region.is_filling = on; SELECT pg_replication_origin_session_setup('{ORIGIN}')"
        ),
    )
    .await?;
    let copied = copy(from, to, publication).await;
    run(to, "SELECT pg_replication_origin_session_reset(); RESET region.is_filling; SET session_replication_role = origin".to_owned())
        .await?;
    copied
}

async fn copy(from: &mut PgConnection, to: &mut PgConnection, publication: &str) -> Result<u64> {
    let tables: Vec<Table> = sqlx::query_as(
        "SELECT format('%I.%I', schemaname, tablename) AS name, coalesce(rowfilter, 'true') AS filter,
                (SELECT string_agg(format('%I', attname), ', ') FROM unnest(attnames) AS attname) AS columns
         FROM pg_publication_tables WHERE pubname = $1",
    )
    .bind(publication)
    .fetch_all(&mut *from)
    .await
    .context("list the publication's tables")?;
    let mut copied = 0;
    for table in tables {
        copied += copy_table(from, to, &table).await.with_context(|| format!("copy the rows of {}", table.name))?;
    }
    Ok(copied)
}

async fn copy_table(from: &mut PgConnection, to: &mut PgConnection, table: &Table) -> Result<u64> {
    let Table { name, filter, columns } = table;
    run(from, format!("BEGIN; DECLARE missing NO SCROLL CURSOR FOR SELECT row_to_json(t)::text FROM {name} AS t WHERE {filter}")).await?;
    let fetch = format!("FETCH {BATCH} FROM missing");
    let insert = format!(
        "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
         SELECT {columns} FROM json_populate_recordset(NULL::{name}, $1::json) ON CONFLICT DO NOTHING"
    );
    let mut copied = 0;
    loop {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(fetch.clone())).fetch_all(&mut *from).await?;
        if rows.is_empty() {
            break;
        }
        let batch = format!("[{}]", rows.join(","));
        copied += sqlx::query(AssertSqlSafe(insert.clone())).bind(batch).execute(&mut *to).await?.rows_affected();
    }
    run(from, "COMMIT".to_owned()).await?;
    Ok(copied)
}
