//! The database itself keeps the ledger whole: it takes entries that balance, and never lets one go.

use sqlx::error::DatabaseError;

use super::{World, new_order};

/// The constraint that refused a statement.
async fn refused_by(world: &World, statements: &'static [&'static str]) -> String {
    let pool = world.pool();
    let mut tx = pool.begin().await.expect("a transaction");
    for statement in statements {
        if let Err(error) = sqlx::query(*statement).execute(&mut *tx).await {
            return name(error.as_database_error().expect("the database refuses"));
        }
    }
    name(tx.commit().await.expect_err("the database refuses").as_database_error().expect("the database refuses"))
}

fn name(error: &dyn DatabaseError) -> String {
    error.constraint().map_or_else(|| error.code().unwrap_or_default().into_owned(), str::to_owned)
}

#[tokio::test]
async fn entries_are_never_changed_or_deleted() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    for statement in [
        &["UPDATE ledger_entries SET amount_minor = 0"] as &'static [&'static str],
        &["DELETE FROM ledger_entries"],
        &["TRUNCATE ledger_entries"],
    ] {
        // 42501: the privilege is revoked, from the owner too.
        assert_eq!(refused_by(&world, statement).await, "42501");
    }
    sqlx::query("GRANT UPDATE, DELETE, TRUNCATE ON ledger_entries TO CURRENT_USER").execute(&world.pool()).await.unwrap();
    for statement in [
        &["UPDATE ledger_entries SET amount_minor = 0"] as &'static [&'static str],
        &["DELETE FROM ledger_entries WHERE false"],
        &["TRUNCATE ledger_entries"],
    ] {
        assert_eq!(refused_by(&world, statement).await, "ledger_entries_append_only");
    }
    assert_eq!(world.balances().await, (1250, -1250));
}

#[tokio::test]
async fn entries_that_do_not_balance_or_come_twice_are_refused() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    let one_sided = "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
        SELECT order_id, 'refund', 're_x', 'psp_receivable', -5, 'EUR', now() FROM payments";
    let other_currency = "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
        SELECT order_id, 'refund', 're_x', 'refunds', 5, 'USD', now() FROM payments";
    let too_much = "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
        SELECT order_id, 'refund', 're_x', account, amount, 'EUR', now()
        FROM payments, (VALUES ('psp_receivable', -1251), ('refunds', 1251)) AS entry (account, amount)";
    let second_capture = "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
        SELECT order_id, 'capture', 'ch_other', account, amount, 'EUR', now()
        FROM payments, (VALUES ('psp_receivable', 1), ('sales', -1)) AS entry (account, amount)";
    let no_such_account = "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
        SELECT order_id, 'refund', 're_x', 'petty_cash', 5, 'EUR', now() FROM payments";
    let too_many_refunds = "INSERT INTO refunds (order_id, key, amount_minor) SELECT order_id, 'r', 1251 FROM payments";
    for (statements, constraint) in [
        (vec![one_sided], "ledger_entries_balanced_check"),
        (vec![one_sided, other_currency], "ledger_entries_balanced_check"),
        (vec![too_much], "ledger_entries_order_credit_check"),
        (vec![second_capture], "ledger_entries_capture_key"),
        (vec![no_such_account], "ledger_entries_account_fkey"),
        (vec![too_many_refunds], "refunds_fit_check"),
    ] {
        assert_eq!(refused_by(&world, Box::leak(statements.into_boxed_slice())).await, constraint);
    }
    assert_eq!(world.balances().await, (1250, -1250));
}

#[tokio::test]
async fn code_of_before_still_enters_what_it_knows() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    let pool = world.pool();
    for (state, cause, amount) in [("captured", "capture", 1250_i64), ("refunded", "refund", -1250)] {
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("UPDATE payments SET state = $1, version = version + 1").bind(state).execute(&mut *tx).await.unwrap();
        sqlx::query(
            "INSERT INTO ledger_entries (order_id, cause, account, amount_minor, currency)
             SELECT order_id, $1, account, amount, 'EUR' FROM payments, unnest($2::text[], $3::bigint[]) AS entry (account, amount)",
        )
        .bind(cause)
        .bind(["psp", "sales"].as_slice())
        .bind([amount, -amount].as_slice())
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
    let accounts = world.accounts().await;
    assert_eq!((accounts["psp_receivable"], accounts["sales"], accounts["refunds"]), (0, -1250, 1250));
    let payment = world.payment(&order).await.unwrap();
    assert_eq!(payment.refunded.unwrap().amount_minor, 1250);
    assert_eq!(payment.refunds[0].refund_id, payment.charge_id.replace("ch_", "re_"));
}
