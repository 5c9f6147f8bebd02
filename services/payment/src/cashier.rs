//! Follows a command to its end: what is next, ask the provider, learn, and again.

use std::time::Duration;

use ids::{OrderId, Region};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    domain::{self, Charge, Command, Intent, Next, Payment, Refusal, State},
    error::Error,
    psp::Psp,
    store::{self, Heard},
};

/// The longest way has three questions: what became of the charge, the command itself, and where the charge stands when that was refused.
const MAX_QUESTIONS: u32 = 4;
/// How old a waiting payment must be before a reader asks the provider: its webhook should have come by then.
const PATIENCE: Duration = Duration::from_secs(3);

/// Moves payments.
#[derive(Debug, Clone)]
pub(crate) struct Cashier {
    pub(crate) pool: PgPool,
    pub(crate) psp: Psp,
}

impl Cashier {
    /// Follows `command` and answers the payment as it then stands. A payment that there is not yet gets this home, or this region's own.
    pub(crate) async fn follow(&self, id: OrderId, home: Option<Region>, command: &Command) -> Result<Payment, Error> {
        for _ in 0..MAX_QUESTIONS {
            let (next, payment) = store::next(&self.pool, id, home, command).await?;
            let Next::Ask(question) = next else { return Ok(payment) };
            let charge = self.psp.ask(id, store::home(&self.pool, id).await?, &question).await?;
            let payment = self.learn(id, &charge).await?;
            // Mostly that was all, and there is nothing to keep.
            if domain::next(Some(&payment), command)? == Next::Done {
                return Ok(payment);
            }
        }
        Err(Error::OutcomeUnknown(format!("{command:?} of order {id} does not settle")))
    }

    /// Goes on with what was asked for before, if it is still open, and answers the payment as it then stands. Wants nothing new.
    pub(crate) async fn resume(&self, id: OrderId, intent: &Intent) -> Result<Payment, Error> {
        if *intent == Intent::Authorization {
            // Only the provider knows whether the shopper has answered.
            self.read(id).await?;
        }
        self.follow(id, None, &Command::Resume(intent.clone())).await
    }

    /// Takes in what the provider says of the order's charge.
    pub(crate) async fn learn(&self, id: OrderId, charge: &Charge) -> Result<Payment, Error> {
        store::learn(&self.pool, id, charge).await
    }

    /// Takes in what the provider tells of the order's charge by the webhook `notice`.
    pub(crate) async fn hear(&self, notice: Uuid, id: OrderId, charge: &Charge) -> Result<Heard, Error> {
        store::hear(&self.pool, notice, id, charge).await
    }

    /// The order's payment. One that waits for the shopper for long is looked up at the provider, in case its webhook is lost.
    pub(crate) async fn read(&self, id: OrderId) -> Result<Payment, Error> {
        let (payment, age) = store::find(&self.pool, id).await?.ok_or(Refusal::Missing)?;
        let Some(charge_id) = payment.charge_id.as_deref().filter(|_| payment.state == State::RequiresAction && age > PATIENCE) else {
            return Ok(payment);
        };
        match self.psp.look(id, charge_id).await {
            Ok(charge) => self.learn(id, &charge).await,
            Err(error) => {
                tracing::warn!(%error, order.id = %id, "the provider could not be asked about a waiting payment");
                Ok(payment)
            }
        }
    }
}
