//! What a shopper fills in to order: a card and an address, checked field by field.

use proto::market::v1 as market;
use serde::Deserialize;

use crate::{error::Error, input::Pairs};

const MAX_FIELD: usize = 200;

/// The cards that the payment provider's simulator knows, as the page names them.
pub(crate) const CARDS: [(&str, &str, &str); 4] = [
    ("tok_visa", "Visa", "ends in 4242"),
    ("tok_mastercard", "Mastercard", "ends in 4444"),
    ("tok_3ds", "Card with confirmation", "the bank asks once more (3-D Secure)"),
    ("tok_decline", "Declined card", "to see an order being cancelled"),
];

/// The body of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkout {
    pub(crate) payment_token: String,
    pub(crate) address: Address,
}

/// Where an order goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) line1: String,
    #[serde(default)]
    pub(crate) city: String,
    #[serde(default)]
    pub(crate) country: String,
    #[serde(default)]
    pub(crate) postal_code: String,
}

impl Checkout {
    /// From the form of the checkout page.
    pub(crate) fn typed(form: &Pairs) -> Self {
        let field = |name| form.get(name).to_owned();
        let address = Address {
            name: field("name"),
            line1: field("line1"),
            city: field("city"),
            country: field("country"),
            postal_code: field("postal_code"),
        };
        Self { payment_token: field("payment_token"), address }
    }

    /// The same with blanks around the fields cut off.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if !CARDS.iter().any(|(token, ..)| *token == self.payment_token) {
            return Err(Error::PaymentToken);
        }
        let Address { name, line1, city, country, postal_code } = self.address;
        let address = Address {
            name: usable("name", &name)?,
            line1: usable("line1", &line1)?,
            city: usable("city", &city)?,
            country: usable("country", &country)?,
            postal_code: usable("postal_code", &postal_code)?,
        };
        if address.country.len() != 2 || !address.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Error::Address { field: "country", what: "must be two capital letters, e.g. DE" });
        }
        Ok(Self { address, ..self })
    }
}

fn usable(field: &'static str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    let fault = |what| Err(Error::Address { field, what });
    if text.is_empty() {
        return fault("is required");
    }
    if text.chars().count() > MAX_FIELD {
        return fault("must be at most 200 characters");
    }
    if text.chars().any(char::is_control) {
        return fault("must have no control characters");
    }
    Ok(text.to_owned())
}

impl From<Address> for market::Address {
    fn from(address: Address) -> Self {
        let Address { name, line1, city, country, postal_code } = address;
        Self { name, line1, city, country, postal_code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> Checkout {
        let text = |text: &str| text.to_owned();
        let address = Address {
            name: text(" Ada Lovelace "),
            line1: text("12 St James's Square"),
            city: text("London"),
            country: text("GB"),
            postal_code: text("SW1Y 4JH"),
        };
        Checkout { payment_token: text("tok_visa"), address }
    }

    fn field_of(checkout: Checkout) -> &'static str {
        match checkout.checked() {
            Err(Error::Address { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_address_is_trimmed() {
        assert_eq!(good().checked().unwrap().address.name, "Ada Lovelace");
    }

    #[test]
    fn the_faulty_field_is_named() {
        let with = |change: fn(&mut Address)| {
            let mut checkout = good();
            change(&mut checkout.address);
            field_of(checkout)
        };
        assert_eq!(with(|address| address.name = "  ".to_owned()), "name");
        assert_eq!(with(|address| address.line1 = "x".repeat(201)), "line1");
        assert_eq!(with(|address| address.city = "a\u{0}b".to_owned()), "city");
        assert_eq!(with(|address| address.country = "de".to_owned()), "country");
        assert_eq!(with(|address| address.country = "DEU".to_owned()), "country");
        assert_eq!(with(|address| address.postal_code.clear()), "postal_code");
    }

    #[test]
    fn only_known_cards_pay() {
        assert_eq!(Checkout { payment_token: "tok_amex".to_owned(), ..good() }.checked(), Err(Error::PaymentToken));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let body = r#"{"payment_token":"tok_visa","address":{"name":"A"},"total":1}"#;
        assert!(serde_json::from_str::<Checkout>(body).is_err());
    }

    proptest! {
        #[test]
        fn no_address_panics(name in "\\PC{0,300}", country in any::<String>()) {
            let _ = Checkout { address: Address { name, country, ..good().address }, ..good() }.checked();
        }
    }
}
