//! What can go wrong.

use ids::OrderId;
use rpc::{Failure, Kind};

use crate::domain::{Contradiction, Refusal};

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A webhook that the provider did not send, or sent too long ago.
    #[error("the header Psp-Signature does not fit the body and this moment")]
    Signature,
    /// A webhook that cannot be read.
    #[error("{0}")]
    Webhook(String),
    /// The provider cannot be reached; it was asked nothing.
    #[error("the payment provider cannot be reached; try again")]
    PspUnavailable(#[source] reqwest::Error),
    /// The provider was asked, and gave no answer that says what it did.
    #[error("the payment provider gave no answer; repeat the call to learn how it ended")]
    OutcomeUnknown(String),
    /// The provider's charge and the payment cannot both be right.
    #[error("the provider's charge contradicts the payment of order {order_id}")]
    Contradiction {
        /// The order.
        order_id: OrderId,
        /// What the provider says.
        charge: String,
        #[source]
        source: Contradiction,
    },
    /// This region may not write the payment now.
    #[error("this region does not hold the payment's home at the moment, and did nothing; ask the other region, or again in a moment")]
    Fenced,
    /// A row cannot be read back.
    #[error("read {what} of the payment of order {order_id} from the database")]
    Corrupt {
        /// The order.
        order_id: OrderId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A row of the ledger or of a reconciliation cannot be read back.
    #[error("read {what} of entry {source_id} from the database")]
    CorruptEntry {
        /// The entry's source, or the run.
        source_id: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A sum is larger than any amount.
    #[error("add up a day's movements")]
    Sum(#[from] money::Error),
    /// The database failed.
    #[error("use the database")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if store::region::is_fenced(&error) { Self::Fenced } else { Self::Database(error) }
    }
}

impl Error {
    /// True when what was asked for may have been kept, and has not been settled: a workflow goes on with it.
    pub(crate) fn leaves_open(&self) -> bool {
        matches!(self, Self::PspUnavailable(_) | Self::OutcomeUnknown(_))
    }

    /// Why, for those who are told by a value and not by an error.
    pub(crate) fn reason(&self) -> &'static str {
        self.kind().1
    }

    fn kind(&self) -> (Kind, &'static str) {
        match self {
            Self::Malformed(_) => (Kind::Invalid, "PAYMENT_INVALID_REQUEST"),
            Self::Refused(refusal) => match refusal {
                Refusal::Missing => (Kind::NotFound, "PAYMENT_NOT_FOUND"),
                Refusal::Differs => (Kind::Conflict, "PAYMENT_DIFFERS"),
                Refusal::NotAuthorized => (Kind::Refused, "PAYMENT_NOT_AUTHORIZED"),
                Refusal::NotCaptured => (Kind::Refused, "PAYMENT_NOT_CAPTURED"),
                Refusal::Captured => (Kind::Refused, "PAYMENT_CAPTURED"),
                Refusal::Voided => (Kind::Refused, "PAYMENT_VOIDED"),
                Refusal::Refunded => (Kind::Refused, "PAYMENT_REFUNDED"),
                Refusal::Declined => (Kind::Refused, "PAYMENT_DECLINED"),
                Refusal::Expired => (Kind::Refused, "PAYMENT_EXPIRED"),
                Refusal::ChargedBack => (Kind::Refused, "PAYMENT_CHARGED_BACK"),
                Refusal::RefundDiffers => (Kind::Conflict, "PAYMENT_KEY_REUSED"),
                Refusal::RefundTooLarge { .. } => (Kind::Refused, "PAYMENT_REFUND_TOO_LARGE"),
                Refusal::TooManyRefunds => (Kind::Refused, "PAYMENT_TOO_MANY_REFUNDS"),
            },
            Self::Signature => (Kind::Invalid, "PAYMENT_WEBHOOK_SIGNATURE"),
            Self::Webhook(_) => (Kind::Invalid, "PAYMENT_WEBHOOK_INVALID"),
            Self::PspUnavailable(_) => (Kind::Unavailable, "PAYMENT_PSP_UNAVAILABLE"),
            Self::OutcomeUnknown(_) => (Kind::OutcomeUnknown, "PAYMENT_OUTCOME_UNKNOWN"),
            Self::Fenced => (Kind::Unavailable, store::region::FENCED_REASON),
            Self::Database(error) if store::is_unavailable(error) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Contradiction { .. } | Self::Corrupt { .. } | Self::CorruptEntry { .. } | Self::Sum(_) | Self::Database(_) => {
                (Kind::Internal, "INTERNAL")
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason) = error.kind();
        match &error {
            Error::Database(cause) => tracing::warn!(error = %cause, "database call failed"),
            Error::PspUnavailable(cause) => tracing::warn!(error = %cause, "payment provider cannot be reached"),
            Error::OutcomeUnknown(cause) => tracing::warn!(error = %cause, "payment provider gave no answer"),
            Error::Contradiction { charge, .. } => tracing::error!(%error, charge, "money is not where it should be"),
            Error::Corrupt { .. } | Error::CorruptEntry { .. } | Error::Sum(_) => tracing::error!(%error, "row cannot be read"),
            _ => {}
        }
        Self::new(kind, reason, error.to_string())
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
