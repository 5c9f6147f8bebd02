//! Identifiers as types. Each is checked once, where it enters, and is valid ever after.
//!
//! Pure: a new id is made from a UUID that the caller brings, so that time and randomness stay inputs.

mod key;
mod order_id;
mod region;
mod session;
mod sku;

pub use key::IdempotencyKey;
pub use order_id::OrderId;
pub use region::Region;
pub use session::SessionId;
pub use sku::Sku;

/// Why a text is not an identifier. `Display` says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not an order id.
    #[error("order id must be a UUID")]
    OrderId,
    /// Not a SKU.
    #[error("sku must be 1 to 64 characters of A-Z, 0-9 and '-'")]
    Sku,
    /// Not a region.
    #[error("region must be 'eu' or 'us'")]
    Region,
    /// Not a session id.
    #[error("session must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'")]
    Session,
    /// Not an idempotency key.
    #[error("idempotency key must be 1 to 255 visible ASCII characters")]
    IdempotencyKey,
}

/// A checked text: its own type, its check, and the conversions every such type has.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $error:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err($crate::InvalidId::$error) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text_id;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_an_id_is_refused() {
        for bad in ["", "mug", "MUG 1", "MUG/1", &"A".repeat(65)] {
            assert_eq!(bad.parse::<Sku>(), Err(InvalidId::Sku), "{bad:?}");
        }
        assert_eq!("mars".parse::<Region>(), Err(InvalidId::Region));
        assert_eq!("42".parse::<OrderId>(), Err(InvalidId::OrderId));
        assert_eq!("a b".parse::<SessionId>(), Err(InvalidId::Session));
        assert_eq!("".parse::<IdempotencyKey>(), Err(InvalidId::IdempotencyKey));
        assert_eq!("é".parse::<IdempotencyKey>(), Err(InvalidId::IdempotencyKey));
    }

    proptest! {
        #[test]
        fn an_accepted_text_is_kept_as_it_is(text in "\\PC{0,80}") {
            if let Ok(sku) = text.parse::<Sku>() { prop_assert_eq!(sku.as_str(), &text); }
            if let Ok(key) = text.parse::<IdempotencyKey>() { prop_assert_eq!(key.to_string(), text.clone()); }
            if let Ok(session) = text.parse::<SessionId>() { prop_assert_eq!(session.as_str(), &text); }
        }

        #[test]
        fn an_order_id_round_trips(bits: u128) {
            let id = OrderId::from_uuid(uuid::Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<OrderId>(), Ok(id));
        }
    }
}
