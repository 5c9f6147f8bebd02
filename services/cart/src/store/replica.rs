//! The name under which a database writes to carts, and what older code left there.

use config::Secret;
use crdt::{ReplicaId, codec::Wire as _};
use ids::Region;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::error::Error;

/// Bits of a replica's id that are drawn; the ones above are the region.
const DRAWN: u32 = 24;

/// The name of this database; drawn when there is none yet.
pub(crate) async fn replica(pool: &PgPool, region: Region) -> Result<ReplicaId, Error> {
    replica_in(&mut *pool.acquire().await?, region).await
}

async fn replica_in(connection: &mut PgConnection, region: Region) -> Result<ReplicaId, Error> {
    let number = match region {
        Region::Eu => 1_i64,
        Region::Us => 2,
    };
    let draw = "INSERT INTO replica (id) SELECT ($1 << $2) + floor(random() * (1 << $2))::bigint ON CONFLICT DO NOTHING";
    sqlx::query(draw).bind(number).bind(DRAWN.cast_signed()).execute(&mut *connection).await?;
    let id: i64 = sqlx::query_scalar("SELECT id FROM replica").fetch_one(connection).await?;
    u32::try_from(id).map(ReplicaId).map_err(|_| Error::Id(format!("replica {id}")))
}

/// Takes the lines that older code wrote into the states of their carts. The other region hears of them when it compares.
pub(crate) async fn convert(database: &Secret, region: Region) -> Result<(), Error> {
    let mut connection = PgConnection::connect(database.expose()).await?;
    let mut tx = connection.begin().await?;
    let replica = replica_in(&mut tx, region).await?;
    let old: Vec<(String, Vec<String>, Vec<i64>)> = sqlx::query_as(
        "SELECT cart_id, array_agg(sku), array_agg(quantity) FROM cart_lines JOIN carts USING (cart_id)
         WHERE state IS NULL GROUP BY cart_id",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (cart_id, skus, quantities) in old {
        let mut cart = crdt::Cart::new();
        for (sku, quantity) in skus.iter().zip(quantities) {
            // A line has 1 to 999: the table's constraint.
            cart.set(replica, sku, u32::try_from(quantity).unwrap_or_default());
        }
        let keep = sqlx::query("UPDATE carts SET state = $2, changed_at = now() WHERE cart_id = $1");
        keep.bind(cart_id).bind(cart.encode()).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}
