//! What requests change, inside the transaction of their batch.

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::{
    ledger::Transactions,
    record::{Effect, Record, Request, StepUp, holds},
    tables::{self, decode, encode},
};
use crate::{
    behavior::Behavior,
    domain::{Charge, Command, Event, Refusal, State, decide},
    error::Error,
};

type Rows<'t> = Table<'t, &'static str, &'static [u8]>;

/// The answer to a request, or why the whole batch cannot be committed.
pub(super) type Outcome<T> = Result<Result<T, Error>, redb::Error>;

/// The answer to a request for a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charged {
    pub(crate) charge: Charge,
    /// False when it was there before.
    pub(crate) is_new: bool,
}

/// The open tables, and what is to follow the commit.
pub(super) struct Changes<'t> {
    charges: Rows<'t>,
    declined: Rows<'t>,
    keys: Table<'t, &'static str, &'static str>,
    orders: Table<'t, (&'static str, &'static str), ()>,
    counts: Table<'t, &'static str, u64>,
    step_ups: Table<'t, &'static str, i64>,
    expiries: Table<'t, (i64, &'static str), ()>,
    transactions: Transactions<'t>,
    settings: Table<'t, (), &'static [u8]>,
    webhooks: Rows<'t>,
    behavior: Behavior,
    /// Unix ms.
    now: i64,
    after: After,
}

/// What follows the commit.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) effects: Vec<Effect>,
    /// States that charges came to.
    pub(super) states: Vec<State>,
    /// How the provider behaves from now on, if that was changed.
    pub(super) behavior: Option<Behavior>,
    /// False when nothing is to be committed.
    pub(super) is_changed: bool,
}

impl<'t> Changes<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, behavior: Behavior, clock: i64) -> Result<Self, redb::Error> {
        let transactions = Transactions::open(transaction)?;
        Ok(Self {
            charges: transaction.open_table(tables::CHARGES)?,
            declined: transaction.open_table(tables::DECLINED)?,
            keys: transaction.open_table(tables::KEYS)?,
            orders: transaction.open_table(tables::ORDERS)?,
            counts: transaction.open_table(tables::COUNTS)?,
            step_ups: transaction.open_table(tables::STEP_UPS)?,
            expiries: transaction.open_table(tables::EXPIRIES)?,
            now: transactions.time(clock)?,
            transactions,
            settings: transaction.open_table(tables::BEHAVIOR)?,
            webhooks: transaction.open_table(tables::WEBHOOKS)?,
            behavior,
            after: After::default(),
        })
    }

    pub(super) fn finish(self) -> After {
        self.after
    }

    /// Makes the charge of `request` with its key, or gives the one made before.
    pub(super) fn charge(&mut self, request: Request, traceparent: Option<String>) -> Outcome<Charged> {
        if let Some(record) = self.by_key(&request.idempotency_key)? {
            let is_same = record.answers(&request);
            return Ok(if is_same { Ok(Charged { charge: record.charge, is_new: false }) } else { Err(Error::KeyReused) });
        }
        let record = Record::new(request, traceparent, &self.behavior, self.now);
        let charge = &record.charge;
        self.keys.insert(charge.idempotency_key.as_str(), charge.id.as_str())?;
        if charge.state == State::Declined {
            self.declined.insert(charge.id.as_str(), encode(&record).as_slice())?;
        } else {
            self.charges.insert(charge.id.as_str(), encode(&record).as_slice())?;
            self.orders.insert((charge.order_id.as_str(), charge.id.as_str()), ())?;
        }
        if charge.state == State::RequiresAction {
            let due = self.now.saturating_add(i64::from(self.behavior.step_up_delay_ms));
            let step_up = StepUp { charge_id: charge.id.clone(), due };
            self.step_ups.insert(step_up.charge_id.as_str(), step_up.due)?;
            self.after.effects.push(Effect::StepUp(step_up));
        }
        if let Some(expires) = record.expires {
            self.expiries.insert((expires, charge.id.as_str()), ())?;
        }
        self.count(None, charge.state)?;
        Ok(Ok(Charged { charge: record.charge, is_new: true }))
    }

    /// Does `command` to the charge, unless that was done before.
    pub(super) fn command(&mut self, id: &str, command: &Command) -> Outcome<Charged> {
        let Some(record) = self.record(id)? else { return Ok(Err(Error::NoCharge(id.to_owned()))) };
        if let Command::Refund { key, .. } = command
            && self.keys.get(key.as_str())?.is_some_and(|used_for| used_for.value() != id || record.charge.idempotency_key == *key)
        {
            return Ok(Err(Refusal::KeyReused.into()));
        }
        match decide(&record.charge, command, self.now) {
            Err(refusal) => Ok(Err(refusal.into())),
            Ok(None) => Ok(Ok(Charged { charge: record.charge, is_new: false })),
            Ok(Some(event)) => Ok(Ok(Charged { charge: self.apply(record, &event)?, is_new: true })),
        }
    }

    fn apply(&mut self, mut record: Record, event: &Event) -> Result<Charge, redb::Error> {
        if let Some(webhook) = record.webhook(event, &self.behavior, self.now) {
            self.webhooks.insert(webhook.notice.id.as_str(), encode(&webhook).as_slice())?;
            self.after.effects.push(Effect::Webhook(Box::new(webhook)));
        }
        if let Some(movement) = record.charge.movement_of(event) {
            self.transactions.add(movement, &record.charge, self.now)?;
        }
        if let Event::Refunded(refund) = event {
            self.keys.insert(refund.idempotency_key.as_str(), record.charge.id.as_str())?;
        }
        let before = record.charge.state;
        record.charge = record.charge.after(event);
        if !holds(&record.charge)
            && let Some(expires) = record.expires.take()
        {
            self.expiries.remove((expires, record.charge.id.as_str()))?;
        }
        let charge = &record.charge;
        self.charges.insert(charge.id.as_str(), encode(&record).as_slice())?;
        if before == State::RequiresAction {
            self.step_ups.remove(charge.id.as_str())?;
        }
        self.count(Some(before), charge.state)?;
        Ok(record.charge)
    }

    /// Ends up to `limit` charges that held their amount for too long. Tells how many.
    pub(super) fn expire(&mut self, limit: usize) -> Outcome<usize> {
        let due = self.expiries.range(..=(self.now, ""))?.take(limit);
        let due: Vec<String> = due.map(|row| Ok(row?.0.value().1.to_owned())).collect::<Result<_, redb::Error>>()?;
        for id in &due {
            if let Err(error) = self.command(id, &Command::Expire)? {
                tracing::error!(%error, charge.id = id, "a charge that holds nothing was to expire");
            }
        }
        Ok(Ok(due.len()))
    }

    /// Keeps how the provider behaves from now on; forgets it when absent, so that `initial` holds.
    pub(super) fn behave(&mut self, behavior: Option<Behavior>, initial: &Behavior) -> Outcome<Behavior> {
        match &behavior {
            Some(behavior) => drop(self.settings.insert((), encode(behavior).as_slice())?),
            None => drop(self.settings.remove(())?),
        }
        self.behavior = behavior.unwrap_or_else(|| initial.clone());
        self.after.behavior = Some(self.behavior.clone());
        self.after.is_changed = true;
        Ok(Ok(self.behavior.clone()))
    }

    /// Forgets a webhook.
    pub(super) fn settle(&mut self, webhook_id: &str) -> Outcome<()> {
        self.after.is_changed |= self.webhooks.remove(webhook_id)?.is_some();
        Ok(Ok(()))
    }

    fn count(&mut self, from: Option<State>, to: State) -> Result<(), redb::Error> {
        if let Some(from) = from {
            let count = self.counts.get(from.as_str())?.map_or(0, |row| row.value());
            self.counts.insert(from.as_str(), count.saturating_sub(1))?;
        }
        let count = self.counts.get(to.as_str())?.map_or(0, |row| row.value());
        self.counts.insert(to.as_str(), count + 1)?;
        self.after.states.push(to);
        self.after.is_changed = true;
        Ok(())
    }

    fn by_key(&self, key: &str) -> Result<Option<Record>, redb::Error> {
        let Some(id) = self.keys.get(key)? else { return Ok(None) };
        self.record(id.value())
    }

    fn record(&self, id: &str) -> Result<Option<Record>, redb::Error> {
        for rows in [&self.charges, &self.declined] {
            if let Some(row) = rows.get(id)? {
                return decode(&row).map(Some);
            }
        }
        Ok(None)
    }
}
