//! Who may write which rows: every mirrored row belongs to a home region, and only the holder of that home writes it. What that means is in
//! `region.sql`, which each database `market` gets before any service's tables; triggers keep to it whatever a statement says.
//!
//! A commit that the outside may hear of waits until the other region has it, as long as the region service says that this database is mirrored: the
//! tables whose fence has the argument `waits`. All others commit in their own region alone.

use std::ops::Range;

use ids::Region;
use sqlx::PgPool;

/// SQLSTATE of a write to a home that this region does not hold.
const FENCED: &str = "RG001";

/// What callers are told of it.
pub const FENCED_REASON: &str = "REGION_FENCED";

/// The statements, safe to repeat, that a superuser runs in `region`'s database when it has a schema and a role `region`.
#[must_use]
pub fn setup(region: Region) -> String {
    include_str!("region.sql").replace("{region}", region.as_str()).replace("{peer}", region.peer().as_str())
}

/// Whether a write was refused because this region does not hold the row's home: nothing was done, and the other region may be asked.
#[must_use]
pub fn is_fenced(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == FENCED)
}

/// The other region, when it is the one that may write rows of `home` now, as far as this database knows.
///
/// # Errors
/// Of the database.
pub async fn held_elsewhere(pool: &PgPool, home: Region) -> sqlx::Result<Option<Region>> {
    let holder: Option<String> = sqlx::query_scalar("SELECT holder FROM region.homes WHERE home = $1 AND holder <> region.self()")
        .bind(home.as_str())
        .fetch_optional(pool)
        .await?;
    holder.map(|holder| holder.parse()).transpose().map_err(|error: ids::InvalidId| sqlx::Error::Decode(Box::new(error)))
}

/// What of a database's write-ahead log may be told outside. Positions are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The other region has all before this, or nobody waits for it.
    pub upto: u64,
    /// What was written here of a home when that was no longer this region's: it is undone, or will be.
    pub undone: Vec<(String, Range<u64>)>,
}

/// What may be told now.
///
/// # Errors
/// Of the database.
pub async fn told(pool: &PgPool) -> sqlx::Result<Told> {
    let sql = "SELECT upto, undone_home, undone_from, undone_to FROM region.told()";
    let (upto, homes, from, to): (i64, Vec<String>, Vec<i64>, Vec<i64>) = sqlx::query_as(sql).fetch_one(pool).await?;
    let parts = from.into_iter().zip(to).map(|(from, to)| from.unsigned_abs()..to.unsigned_abs());
    let undone = homes.into_iter().zip(parts).collect();
    Ok(Told { upto: upto.unsigned_abs(), undone })
}
