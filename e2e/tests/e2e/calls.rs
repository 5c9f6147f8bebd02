//! What happens to a call on its way.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use reqwest::Method;
use sqlx::{Connection as _, PgConnection};
use testkit::eventually;

use crate::market::Market;

/// Well before the statement would end by itself, after 5 s.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// The cart service's statements that wait for our lock.
async fn waiting(watcher: &mut PgConnection) -> Result<i64> {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cart' AND state = 'active' AND wait_event_type = 'Lock'";
    Ok(sqlx::query_scalar(waiting).fetch_one(watcher).await?)
}

pub(crate) async fn a_request_that_is_given_up_stops_its_statement(market: &Market) -> Result<()> {
    let shop = market.shop().await?.in_region("eu");
    shop.put(&shop.any_sku().await?, 1).await?.good()?;
    let (mut locker, mut watcher) = (market.database("eu").await?, market.database("eu").await?);
    let mut lock = locker.begin().await?;
    sqlx::query("LOCK TABLE cart.carts IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let request = shop.request(Method::GET, "/api/cart");
    let browser = tokio::spawn(async move { shop.send(request).await });
    eventually("the statement waits", STOPS_WITHIN, async || match waiting(&mut watcher).await? {
        0 => bail!("nothing waits"),
        _ => Ok(()),
    })
    .await;
    browser.abort();
    ensure!(browser.await.is_err_and(|error| error.is_cancelled()), "the browser was answered");
    eventually("the statement stops", STOPS_WITHIN, async || match waiting(&mut watcher).await? {
        0 => Ok(()),
        count => bail!("{count} wait"),
    })
    .await;
    lock.rollback().await?;
    Ok(())
}
