//! The text of an API key: `tg_<id>_<secret>_<crc>`.
//!
//! A prefix that scanners for leaked secrets can look for, an id that finds the key, a secret of 256 random bits, and a
//! check sum that tells a slip of the hand from a wrong key without asking anybody.

use std::fmt;

use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "tg";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 71 bits: no two keys will have the same.
const ID_CHARS: usize = 12;
/// The fewest digits that hold 256 bits.
const SECRET_CHARS: usize = 43;
/// The fewest digits that hold 32 bits.
const CRC_CHARS: usize = 6;

/// An API key, whole. Shown once, when it is made; what is stored is its digest.
pub struct ApiKey {
    id: String,
    secret: SecretString,
}

impl ApiKey {
    /// A new key, from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let digit = |random: &mut rand::rngs::ThreadRng| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]);
        let id = (0..ID_CHARS).map(|_| digit(&mut random)).collect();
        let secret: String = base62(random.random::<[u8; 32]>(), SECRET_CHARS);
        Self { id, secret: secret.into() }
    }

    /// Reads a key; `None` when the text can't be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.rsplit_once('_')?;
        let mut parts = body.split('_');
        let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = |text: &str, chars| text.len() == chars && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let whole = parts.next().is_none() && prefix == PREFIX && fits(id, ID_CHARS) && fits(secret, SECRET_CHARS);
        (whole && crc == check_sum(body)).then(|| Self { id: id.to_owned(), secret: secret.into() })
    }

    /// What finds it; not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the secret. A fast hash is right for a secret that can't be guessed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose_secret().as_bytes()).into()
    }

    /// All of it, for the one it is given to.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let body = format!("{PREFIX}_{}_{}", self.id, self.secret.expose_secret());
        format!("{body}_{}", check_sum(&body)).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn check_sum(body: &str) -> String {
    base62(crc32fast::hash(body.as_bytes()).to_be_bytes(), CRC_CHARS)
}

/// A number, its first byte the highest, in so many digits.
fn base62<const N: usize>(mut number: [u8; N], chars: usize) -> String {
    let mut digits: Vec<u8> = (0..chars)
        .map(|_| {
            let mut rest = 0_usize;
            for byte in &mut number {
                let value = rest * 256 + usize::from(*byte);
                // Below 256, since `rest` is below 62.
                *byte = u8::try_from(value / ALPHABET.len()).unwrap_or(u8::MAX);
                rest = value % ALPHABET.len();
            }
            ALPHABET[rest]
        })
        .collect();
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_own_text() {
        let key = ApiKey::generate();
        let text = key.text().expose_secret().to_owned();
        assert_eq!((text.len(), &text[..3]), (3 + 12 + 1 + 43 + 1 + 6, "tg_"));
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!((read.id(), read.digest()), (key.id(), key.digest()));
        assert!(!format!("{key:?}").contains(&text[16..59]));
    }

    #[test]
    fn a_slip_of_the_hand_is_seen_by_the_check_sum() {
        let text = ApiKey::generate().text().expose_secret().to_owned();
        for at in 0..text.len() {
            let mut slip = text.clone().into_bytes();
            slip[at] = if slip[at] == b'x' { b'y' } else { b'x' };
            assert!(ApiKey::parse(std::str::from_utf8(&slip).unwrap()).is_none(), "{at}");
        }
        for text in ["", "tg", "tg___", "tg_a_b_c", &format!("{text}_"), &text[1..], "ключ_ключ_ключ_ключ"]
        {
            assert!(ApiKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn digits_hold_every_bit() {
        assert_eq!(base62([0, 0, 0, 61], 6), "00000z");
        assert_eq!(base62([0, 0, 0, 62], 6), "000010");
        assert_eq!(base62(u32::MAX.to_be_bytes(), 6), "4gfFC3");
        // The largest of 256 bits still begins with a digit above 0, and below the last one.
        assert!(matches!(base62([255; 32], 43).as_bytes()[0], b'1'..=b'z'));
    }
}
