//! Items of the catalog.

use ids::Sku;
use money::Money;

use super::Refusal;

/// Most units of one item a region may have.
pub const MAX_STOCK: i64 = 1_000_000_000;
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 4000;
const MAX_CATEGORY: usize = 64;

/// An item of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in every system.
    pub sku: Sku,
    /// Its name for shoppers.
    pub title: String,
    /// A few sentences; may be empty.
    pub description: String,
    /// Where it stands in the shop.
    pub category: String,
    /// Price of one unit.
    pub price: Money,
}

impl Item {
    /// The item, if every field can be used.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field.
    pub fn checked(self) -> Result<Self, Refusal> {
        let refuse = |what: String| Err(Refusal::Invalid(what));
        for (field, text, min, max) in [
            ("title", &self.title, 1, MAX_TITLE),
            ("description", &self.description, 0, MAX_DESCRIPTION),
            ("category", &self.category, 1, MAX_CATEGORY),
        ] {
            if !(min..=max).contains(&text.trim().chars().count()) || text.chars().count() > max {
                return refuse(format!("item.{field} must be {min} to {max} characters"));
            }
            if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                return refuse(format!("item.{field} must not contain control characters"));
            }
        }
        if self.price.amount_minor <= 0 {
            return refuse("item.price must be more than 0".to_owned());
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Currency;

    #[test]
    fn what_cannot_be_shown_or_sold_is_refused() {
        let good = Item {
            sku: "MUG-1".parse().unwrap(),
            title: "Mug".to_owned(),
            description: String::new(),
            category: "kitchen".to_owned(),
            price: Money::new(1, Currency::EUR),
        };
        assert!(good.clone().checked().is_ok());
        for bad in [
            Item { title: " ".to_owned(), ..good.clone() },
            Item { title: "x".repeat(201), ..good.clone() },
            Item { title: "a\0b".to_owned(), ..good.clone() },
            Item { description: "x".repeat(4001), ..good.clone() },
            Item { category: String::new(), ..good.clone() },
            Item { price: Money::new(0, Currency::EUR), ..good.clone() },
            Item { price: Money::new(-1, Currency::EUR), ..good.clone() },
        ] {
            assert!(matches!(bad.clone().checked(), Err(Refusal::Invalid(_))), "{bad:?}");
        }
    }
}
