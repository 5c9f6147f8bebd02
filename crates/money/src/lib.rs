//! Money as integer minor units with a currency. Sums are checked: an overflow or a mix of currencies is an error, never a wrong amount.

/// ISO 4217 currency code, three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is three ASCII letters")
    }
}

impl std::str::FromStr for Currency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(Error::Currency),
        }
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a sum cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a currency code.
    #[error("currency must be three capital letters")]
    Currency,
    /// Two currencies in one sum.
    #[error("amounts in {0} and {1} cannot be added")]
    Mixed(Currency, Currency),
    /// More than 64 bits hold.
    #[error("amount is too large")]
    Overflow,
}

/// An amount in the currency's minor unit (cents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub amount_minor: i64,
    /// Currency of the amount.
    pub currency: Currency,
}

impl Money {
    /// `amount_minor` units of `currency`.
    #[must_use]
    pub fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// [`Error::Mixed`] for two currencies, [`Error::Overflow`] when the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, Error> {
        if self.currency != other.currency {
            return Err(Error::Mixed(self.currency, other.currency));
        }
        let amount_minor = self.amount_minor.checked_add(other.amount_minor).ok_or(Error::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    /// This amount `count` times.
    ///
    /// # Errors
    /// [`Error::Overflow`] when the product does not fit.
    pub fn times(self, count: u32) -> Result<Self, Error> {
        let amount_minor = self.amount_minor.checked_mul(i64::from(count)).ok_or(Error::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }
}

/// Shows cents as a decimal fraction: `12.50 EUR`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let minor = self.amount_minor.unsigned_abs();
        write!(f, "{sign}{}.{:02} {}", minor / 100, minor % 100, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn currencies_are_never_mixed() {
        let usd = "USD".parse().unwrap();
        assert_eq!(Money::new(1, Currency::EUR).plus(Money::new(1, usd)), Err(Error::Mixed(Currency::EUR, usd)));
        assert!("eur".parse::<Currency>().is_err());
        assert!("EURO".parse::<Currency>().is_err());
    }

    #[test]
    fn amounts_are_shown_with_cents() {
        assert_eq!(Money::new(1250, Currency::EUR).to_string(), "12.50 EUR");
        assert_eq!(Money::new(-5, Currency::EUR).to_string(), "-0.05 EUR");
    }

    proptest! {
        #[test]
        fn a_sum_is_exact_or_refused(a: i64, b: i64, n: u32) {
            let (x, y) = (Money::new(a, Currency::EUR), Money::new(b, Currency::EUR));
            prop_assert_eq!(x.plus(y), y.plus(x));
            match x.plus(y) {
                Ok(sum) => prop_assert_eq!(i128::from(sum.amount_minor), i128::from(a) + i128::from(b)),
                Err(error) => prop_assert_eq!(error, Error::Overflow),
            }
            if let Ok(product) = x.times(n) {
                prop_assert_eq!(i128::from(product.amount_minor), i128::from(a) * i128::from(n));
            }
        }
    }
}
