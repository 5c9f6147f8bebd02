//! The ledger's accounts, and what each movement of money enters in them. Pure.
//!
//! Double entry: what one account gets (a debit, more than 0) another one gives (a credit, less than 0), so all entries of a posting add up
//! to nothing. Entries are never changed or deleted; a mistake is made good by another posting.
//!
//! ```text
//!             psp_receivable      bank     sales    refunds    chargebacks
//! capture           +                        -
//! refund            -                                  +
//! chargeback        -                                               +
//! settlement        -               +
//! ```

use money::Money;

/// An account of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// What the provider owes us: taken from shoppers and not yet paid out.
    PspReceivable,
    /// What it paid out.
    Bank,
    /// What we sold.
    Sales,
    /// What we gave back of it.
    Refunds,
    /// What banks took back of it.
    Chargebacks,
}

impl Account {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::PspReceivable, Self::Bank, Self::Sales, Self::Refunds, Self::Chargebacks];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PspReceivable => "psp_receivable",
            Self::Bank => "bank",
            Self::Sales => "sales",
            Self::Refunds => "refunds",
            Self::Chargebacks => "chargebacks",
        }
    }
}

/// What moves money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A charge was captured.
    Capture,
    /// A part was given back.
    Refund,
    /// The bank took something back.
    Chargeback,
    /// The provider paid out what a day came to.
    Settlement,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Capture, Self::Refund, Self::Chargeback, Self::Settlement];

    /// The name in the database, and at the provider.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::Settlement => "settlement",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

/// A movement of money, once for each cause and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// What moved it.
    pub cause: Cause,
    /// The provider's id of the charge, the refund or the chargeback; day and currency of a settlement.
    pub source_id: String,
    /// More than 0, but for a settlement of a day on which more went out than came in.
    pub amount: Money,
    /// When it happened, unix ms by the provider's clock.
    pub at: i64,
}

impl Posting {
    /// What it enters in which account. Adds up to nothing.
    #[must_use]
    pub fn entries(&self) -> [(Account, i64); 2] {
        let amount = self.amount.amount_minor;
        let (gets, gives) = match self.cause {
            Cause::Capture => (Account::PspReceivable, Account::Sales),
            Cause::Refund => (Account::Refunds, Account::PspReceivable),
            Cause::Chargeback => (Account::Chargebacks, Account::PspReceivable),
            Cause::Settlement => (Account::Bank, Account::PspReceivable),
        };
        [(gets, amount), (gives, -amount)]
    }
}

#[cfg(test)]
mod tests {
    use money::Currency;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_posting_adds_up_to_nothing_and_moves_what_the_provider_owes(
            cause in prop::sample::select(Cause::ALL.to_vec()),
            amount in 1_i64..=i64::MAX,
        ) {
            let posting = Posting { cause, source_id: "x".to_owned(), amount: Money::new(amount, Currency::EUR), at: 0 };
            let entries = posting.entries();
            prop_assert_eq!(entries.iter().map(|(_, amount)| amount).sum::<i64>(), 0);
            let owed: i64 = entries.iter().filter(|(account, _)| *account == Account::PspReceivable).map(|(_, amount)| amount).sum();
            prop_assert_eq!(owed, if cause == Cause::Capture { amount } else { -amount });
        }
    }
}
