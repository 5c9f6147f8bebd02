//! Stock keeping units.

crate::text_id! {
    /// Names an item of the catalog: 1 to 64 characters of `A-Z`, `0-9` and `-`.
    Sku, Sku, |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
    }
}
