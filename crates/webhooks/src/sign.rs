//! Signing: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a secret begins with, as text.
const PREFIX: &str = "whsec_";
/// Bytes that a secret has, as the scheme asks for.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What webhooks are signed with. Not shown by `Debug`.
pub struct Secret(Zeroizing<Vec<u8>>);

/// The text is no secret of the scheme. It is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a secret of the form whsec_ and 24 to 64 bytes in base64")]
pub struct SecretError;

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &SecretString) -> Result<Self, SecretError> {
        let encoded = text.expose_secret().trim().strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError)?);
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// The header `webhook-signature` of a message that is sent at `timestamp_s`, Unix seconds.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own libraries.
    #[test]
    fn a_signature_is_that_of_the_schemes_example() {
        let secret = Secret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!!!"] {
            assert_eq!(Secret::parse(&text.into()).unwrap_err(), SecretError, "{text}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(Secret::parse(&long.into()).is_err());
        let secret = Secret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
