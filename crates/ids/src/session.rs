//! Shoppers' sessions.

crate::text_id! {
    /// Names a shopper's session and cart: 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    SessionId, Session, |text| {
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
}

impl SessionId {
    /// The id as one token of a NATS subject, where `.` stands between tokens.
    #[must_use]
    pub fn token(&self) -> String {
        self.as_str().replace('.', "=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_dots_and_names_one_session() {
        let token = |text: &str| text.parse::<SessionId>().unwrap().token();
        assert_eq!(token("..a.b-c_"), "==a=b-c_");
        assert!("a=b".parse::<SessionId>().is_err(), "so no other session has that token");
    }
}
