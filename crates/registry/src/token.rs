//! Sealed texts that travel: given to somebody who can neither read nor change them, and opened when they come back.
//!
//! `ID.BASE64`: which key sealed it; the nonce, and what was sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::sealing::Seal;
use crate::{SealingError, SealingKeys};

/// Bytes of a nonce.
const NONCE: usize = 24;

impl SealingKeys {
    /// Seals a text for `purpose` (a constant, with a version); every gateway with the same keys opens it.
    ///
    /// # Errors
    /// [`SealingError::Broken`] above 256 GiB.
    pub fn seal_token(&self, purpose: &str, text: &str) -> Result<String, SealingError> {
        let Seal { sealed_by, nonce, ciphertext } = self.seal(purpose, text.as_bytes())?;
        Ok(format!("{sealed_by}.{}", URL_SAFE_NO_PAD.encode([nonce, ciphertext].concat())))
    }

    /// The text, if it was sealed for `purpose`.
    ///
    /// # Errors
    /// [`SealingError::Broken`]: it was changed, or sealed for something else. [`SealingError::Unknown`].
    pub fn open_token(&self, purpose: &str, token: &str) -> Result<Zeroizing<String>, SealingError> {
        let (sealed_by, sealed) = token.split_once('.').ok_or(SealingError::Broken)?;
        let mut nonce = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealingError::Broken)?;
        if nonce.len() < NONCE {
            return Err(SealingError::Broken);
        }
        let ciphertext = nonce.split_off(NONCE);
        let opened = self.open(purpose, &Seal { sealed_by: sealed_by.to_owned(), nonce, ciphertext })?;
        std::str::from_utf8(&opened).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| SealingError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_what_it_was_sealed_and_only_whole() {
        let keys = SealingKeys::parse(&SealingKeys::generate("one")).unwrap();
        let token = keys.seal_token("session", "of alice").unwrap();
        assert_eq!(keys.open_token("session", &token).unwrap().as_str(), "of alice");
        assert!(!token.contains("alice"));
        assert!(matches!(keys.open_token("other", &token), Err(SealingError::Broken)));
        let others = SealingKeys::parse(&SealingKeys::generate("two")).unwrap();
        assert!(matches!(others.open_token("session", &token), Err(SealingError::Unknown(id)) if id == "one"));
        for at in 4..token.len() - 1 {
            let mut bent = token.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(keys.open_token("session", std::str::from_utf8(&bent).unwrap()).is_err(), "{at}");
        }
        for text in ["", ".", "one", "one.", "one.AAAA", "one.!"] {
            assert!(keys.open_token("session", text).is_err(), "{text}");
        }
    }
}
