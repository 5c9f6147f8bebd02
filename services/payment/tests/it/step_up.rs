//! 3-D Secure: the bank asks the shopper, and tells us later.

use std::time::Duration;

use proto::payment::v1::PaymentState::{Authorized, Captured, RequiresAction, Voided};
use testkit::eventually;

use super::{World, new_order};

#[tokio::test]
async fn the_webhook_of_an_approved_step_up_authorizes_the_payment() {
    let (world, order) = (World::new().await, new_order());
    assert_eq!(world.authorize(&order, 1250, "tok_3ds").await.unwrap().state(), RequiresAction);
    eventually("the event of the webhook", Duration::from_secs(10), async || match &world.events_of(&order).await[..] {
        [asked, approved] if asked == "payment.requires_action" && approved == "payment.authorized" => Ok(()),
        events => Err(format!("{events:?}")),
    })
    .await;
    assert_eq!(world.authorize(&order, 1250, "tok_3ds").await.unwrap().state(), Authorized);
    assert_eq!(world.capture(&order).await.unwrap().state(), Captured);
}

#[tokio::test]
async fn a_step_up_can_be_voided_and_not_captured() {
    let (world, order) = (World::with_step_up_delay("1h").await, new_order());
    world.authorize(&order, 1250, "tok_3ds").await.unwrap();
    assert_eq!(world.capture(&order).await.unwrap_err().reason, "PAYMENT_NOT_AUTHORIZED");
    assert_eq!(world.void(&order).await.unwrap().unwrap().state(), Voided);
    assert_eq!(world.charges(&order).await[0]["state"], "voided");
    assert_eq!(world.authorize(&order, 1250, "tok_3ds").await.unwrap_err().reason, "PAYMENT_VOIDED");
}

#[tokio::test]
async fn a_lost_webhook_is_made_up_for_by_asking() {
    let (world, order) = (World::with_step_up_delay("300ms").await, new_order());
    world.authorize(&order, 1250, "tok_3ds").await.unwrap();
    // Nobody is there to take the webhook, and after the provider's next try comes a reader.
    let mut service = world.service.lock().await;
    service.kill();
    eventually("the shopper approves", Duration::from_secs(10), async || match world.charges(&order).await[0]["state"].as_str() {
        Some("authorized") => Ok(()),
        state => Err(format!("{state:?}")),
    })
    .await;
    world.psp.lock().await.kill_and_restart().await;
    service.kill_and_restart().await;
    drop(service);
    eventually("the payment is authorized", Duration::from_secs(20), async || match world.payment(&order).await {
        Ok(payment) if payment.state() == Authorized => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
