//! Between the contract's types and the types of L0.

use crate::market::v1 as wire;

impl From<ids::Region> for wire::Region {
    fn from(region: ids::Region) -> Self {
        match region {
            ids::Region::Eu => Self::Eu,
            ids::Region::Us => Self::Us,
        }
    }
}

impl TryFrom<wire::Region> for ids::Region {
    type Error = ids::InvalidId;

    fn try_from(region: wire::Region) -> Result<Self, Self::Error> {
        match region {
            wire::Region::Eu => Ok(Self::Eu),
            wire::Region::Us => Ok(Self::Us),
            wire::Region::Unspecified => Err(ids::InvalidId::Region),
        }
    }
}

impl From<money::Money> for wire::Money {
    fn from(money: money::Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency.to_string() }
    }
}

impl TryFrom<&wire::Money> for money::Money {
    type Error = money::Error;

    fn try_from(money: &wire::Money) -> Result<Self, Self::Error> {
        Ok(Self::new(money.amount_minor, money.currency.parse()?))
    }
}
