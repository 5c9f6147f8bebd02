//! Signing in, without a list of accounts: a shopper's session is derived from a name, a passphrase and a secret that both regions have, so it is
//! the same in both and on every device. Who has the name and the passphrase has the cart and the orders.
//!
//! There is nothing to look up, so a passphrase cannot be wrong: another one leads to another session.

use config::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ids::SessionId;
use serde::Deserialize;
use sha2::Sha256;

use crate::{error::Error, input::Pairs};

/// Sessions of shoppers who have signed in begin so.
const PREFIX: &str = "shopper-";
/// Characters of a name and of a passphrase.
const NAME: std::ops::RangeInclusive<usize> = 1..=64;
const PASSPHRASE: std::ops::RangeInclusive<usize> = 8..=200;

/// Who signs in.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    passphrase: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// As a page's form has them.
    pub(crate) fn typed(form: &Pairs) -> Self {
        Self { name: form.get("name").trim().to_owned(), passphrase: form.get("passphrase").to_owned() }
    }

    /// The shopper's session. Names differ by more than the case of their letters.
    pub(crate) fn session(&self, secret: &Secret) -> Result<SessionId, Error> {
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        if !NAME.contains(&self.name.chars().count()) || self.name.trim() != self.name || !is_plain(&self.name) {
            return Err(Error::SignIn { field: "name", what: "must be 1 to 64 characters, without spaces around them" });
        }
        if !PASSPHRASE.contains(&self.passphrase.chars().count()) || !is_plain(&self.passphrase) {
            return Err(Error::SignIn { field: "passphrase", what: "must be 8 to 200 characters" });
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length");
        // A control character keeps the two apart: neither can have one.
        mac.update(format!("{}\0{}", self.name.to_lowercase(), self.passphrase).as_bytes());
        let digest = mac.finalize().into_bytes();
        let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{PREFIX}{digits}").parse().expect("letters, digits and a dash are a session"))
    }
}

/// Whether the session is that of a shopper who has signed in.
pub(crate) fn is_signed_in(session: &SessionId) -> bool {
    session.as_str().starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, passphrase: &str, secret: &str) -> Result<SessionId, Error> {
        Credentials { name: name.to_owned(), passphrase: passphrase.to_owned() }.session(&Secret::new(secret.to_owned()))
    }

    #[test]
    fn the_same_words_lead_to_the_same_session_and_others_to_others() {
        let ada = session("Ada", "correct horse", "secret").unwrap();
        assert!(is_signed_in(&ada));
        assert_eq!(session("ada", "correct horse", "secret").unwrap(), ada);
        for other in [("Adb", "correct horse", "secret"), ("Ada", "correct horsf", "secret"), ("Ada", "correct horse", "other")] {
            assert_ne!(session(other.0, other.1, other.2).unwrap(), ada);
        }
        assert!(!is_signed_in(&"abc".parse().unwrap()));
    }

    #[test]
    fn what_is_no_name_or_no_passphrase_is_refused() {
        let long = "x".repeat(201);
        for (name, passphrase) in [("", "long enough"), (" Ada", "long enough"), ("A\0", "long enough"), ("Ada", "short"), ("Ada", &long)] {
            assert_eq!(session(name, passphrase, "secret").unwrap_err().reason(), "BFF_INVALID_SIGN_IN");
        }
    }
}
