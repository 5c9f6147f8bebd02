//! Idempotency keys.

crate::text_id! {
    /// Names one intended change, so that a repeat is recognised: 1 to 255 visible ASCII characters (RFC draft `Idempotency-Key`).
    IdempotencyKey, IdempotencyKey, |text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }
}
