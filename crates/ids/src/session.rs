//! Shoppers' sessions.

crate::text_id! {
    /// Names a shopper's session and cart: 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    SessionId, Session, |text| {
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
}
