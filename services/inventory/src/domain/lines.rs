//! What an order takes: each SKU once, in SKU order.

use std::collections::BTreeMap;

use ids::Sku;

use super::Refusal;

/// Most lines of one reservation.
pub const MAX_LINES: usize = 100;
/// Most units of one line.
pub const MAX_QUANTITY: u32 = 999;

/// Lines by SKU. Those of a tombstone are empty; those of a request never are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<Sku, u32>);

impl Lines {
    /// The lines of a request.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when there are none or too many, a SKU stands twice or a quantity is out of range.
    pub fn requested(lines: Vec<(Sku, u32)>) -> Result<Self, Refusal> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(Refusal::Invalid(format!("a reservation has 1 to {MAX_LINES} lines")));
        }
        let mut unique = BTreeMap::new();
        for (sku, quantity) in lines {
            if !(1..=MAX_QUANTITY).contains(&quantity) {
                return Err(Refusal::Invalid(format!("quantity of {sku} must be 1 to {MAX_QUANTITY}")));
            }
            if unique.contains_key(&sku) {
                return Err(Refusal::Invalid(format!("{sku} stands in two lines")));
            }
            unique.insert(sku, quantity);
        }
        Ok(Self(unique))
    }

    /// Each SKU with its quantity, by SKU.
    pub fn iter(&self) -> impl Iterator<Item = (&Sku, u32)> {
        self.0.iter().map(|(sku, quantity)| (sku, *quantity))
    }

    /// The SKUs, sorted.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.0.keys()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Lines that were checked when they were written.
impl FromIterator<(Sku, u32)> for Lines {
    fn from_iter<T: IntoIterator<Item = (Sku, u32)>>(lines: T) -> Self {
        Self(lines.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(lines: &[(&str, u32)]) -> Result<Lines, Refusal> {
        Lines::requested(lines.iter().map(|(sku, quantity)| (sku.parse().unwrap(), *quantity)).collect())
    }

    #[test]
    fn lines_are_kept_in_sku_order() {
        let lines = requested(&[("B", 1), ("A", 999), ("A-1", 2)]).unwrap();
        assert_eq!(lines.skus().map(Sku::as_str).collect::<Vec<_>>(), ["A", "A-1", "B"]);
    }

    #[test]
    fn what_cannot_be_reserved_is_refused() {
        let many: Vec<(Sku, u32)> = (0..101).map(|n| (format!("S-{n}").parse().unwrap(), 1)).collect();
        assert!(Lines::requested(many[..100].to_vec()).is_ok());
        for refused in [requested(&[]), requested(&[("A", 0)]), requested(&[("A", 1000)]), requested(&[("A", 1), ("A", 1)])] {
            assert!(matches!(refused, Err(Refusal::Invalid(_))));
        }
        assert!(matches!(Lines::requested(many), Err(Refusal::Invalid(_))));
    }
}
