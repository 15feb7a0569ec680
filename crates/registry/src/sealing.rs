//! Sealing keys: what credentials are encrypted with where they are stored.
//!
//! XChaCha20-Poly1305 with a random nonce of 192 bits, which needs no counting. What a seal is for (its purpose, tenant,
//! name and version) is authenticated along with it, so that a row copied elsewhere does not open.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::Rng as _;
use zeroize::Zeroizing;

/// Holds sealing keys.
const VARIABLE: &str = "TIDEGATE_SEALING_KEY";
/// Names a file that holds them.
const FILE_VARIABLE: &str = "TIDEGATE_SEALING_KEY_FILE";
/// Longest id, in characters.
const ID_MAX_CHARS: usize = 32;

/// What is wrong with sealing keys, or with what they should open. Shows neither.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// There are none.
    #[error(
        "no sealing key is set: credentials are never stored without one. Make one with `tidegate keys \
         new-sealing-key`, and set {VARIABLE} or {FILE_VARIABLE}"
    )]
    Missing,
    /// Two places name them.
    #[error("both {VARIABLE} and {FILE_VARIABLE} are set; keep one of them")]
    Both,
    /// The file can't be read.
    #[error("the file that {FILE_VARIABLE} names can't be read")]
    File(#[source] std::io::Error),
    /// One of them can't be read.
    #[error("sealing key {0} is not ID:BASE64, an id of a-z, 0-9, _ and - and 32 bytes in base64")]
    Malformed(usize),
    /// Two of them have one id.
    #[error("two sealing keys have the id {0}")]
    Twice(String),
    /// A seal of a key that is not there.
    #[error("the sealing key {0} is not among those set")]
    Unknown(String),
    /// A seal that was made of something else, or tampered with.
    #[error("a seal does not open: it was changed, or moved from elsewhere")]
    Broken,
}

/// Sealing keys: the first one seals, all open.
pub struct SealingKeys(Vec<(String, XChaCha20Poly1305)>);

/// What stands where a secret was.
pub(crate) struct Seal {
    pub(crate) sealed_by: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl SealingKeys {
    /// Reads `ID:BASE64`, several separated by commas or white space.
    ///
    /// # Errors
    /// [`SealingError::Missing`], [`SealingError::Malformed`], [`SealingError::Twice`].
    pub fn parse(text: &str) -> Result<Self, SealingError> {
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::new();
        let entries = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        for (place, entry) in entries.enumerate() {
            let (id, key) = read(entry).ok_or(SealingError::Malformed(place + 1))?;
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(SealingError::Twice(id));
            }
            keys.push((id, key));
        }
        if keys.is_empty() { Err(SealingError::Missing) } else { Ok(Self(keys)) }
    }

    /// Reads them from `TIDEGATE_SEALING_KEY`, or from the file that `TIDEGATE_SEALING_KEY_FILE` names; `variable`
    /// looks variables up.
    ///
    /// # Errors
    /// [`SealingError`].
    pub fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SealingError> {
        let set = |name| variable(name).map(Zeroizing::new).filter(|text| !text.trim().is_empty());
        match (set(VARIABLE), set(FILE_VARIABLE)) {
            (Some(_), Some(_)) => Err(SealingError::Both),
            (Some(text), None) => Self::parse(&text),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(Path::new(path.as_str())).map_err(SealingError::File)?;
                Self::parse(&Zeroizing::new(text))
            }
            (None, None) => Err(SealingError::Missing),
        }
    }

    /// A new key in the form that [`SealingKeys::parse`] reads, under the id `id`.
    #[must_use]
    pub fn generate(id: &str) -> Zeroizing<String> {
        let key = Zeroizing::new(rand::rng().random::<[u8; 32]>());
        let base64 = Zeroizing::new(STANDARD.encode(key.as_slice()));
        Zeroizing::new(format!("{id}:{}", base64.as_str()))
    }

    /// Id of the key that seals.
    #[must_use]
    pub fn sealing_id(&self) -> &str {
        &self.0[0].0
    }

    /// Seals a secret for `purpose`; it opens for nothing else.
    pub(crate) fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Seal, SealingError> {
        let (id, key) = &self.0[0];
        let nonce = rand::rng().random::<[u8; 24]>();
        let payload = Payload { msg: secret, aad: purpose.as_bytes() };
        // It fails only above 256 GiB.
        let ciphertext = key.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealingError::Broken)?;
        Ok(Seal { sealed_by: id.clone(), nonce: nonce.to_vec(), ciphertext })
    }

    /// Opens a seal that was made for `purpose`.
    pub(crate) fn open(&self, purpose: &str, seal: &Seal) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let key = self.0.iter().find(|(id, _)| *id == seal.sealed_by);
        let (_, key) = key.ok_or_else(|| SealingError::Unknown(seal.sealed_by.clone()))?;
        let nonce = <[u8; 24]>::try_from(seal.nonce.as_slice()).map_err(|_| SealingError::Broken)?;
        let payload = Payload { msg: &seal.ciphertext, aad: purpose.as_bytes() };
        key.decrypt(&XNonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| SealingError::Broken)
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

fn read(entry: &str) -> Option<(String, XChaCha20Poly1305)> {
    let (id, key) = entry.split_once(':')?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let fits = (1..=ID_MAX_CHARS).contains(&id.len()) && id.chars().all(allowed);
    let key = Zeroizing::new(STANDARD.decode(key).ok()?);
    let key = XChaCha20Poly1305::new_from_slice(&key).ok()?;
    fits.then(|| (id.to_owned(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[&str]) -> SealingKeys {
        let texts: Vec<_> = ids.iter().map(|id| SealingKeys::generate(id).to_string()).collect();
        SealingKeys::parse(&texts.join(",")).unwrap()
    }

    #[test]
    fn a_seal_opens_for_its_purpose_and_key_only() {
        let ring = keys(&["a", "b"]);
        let seal = ring.seal("for this", b"secret").unwrap();
        assert_eq!(seal.sealed_by, "a");
        assert!(!seal.ciphertext.windows(6).any(|part| part == b"secret"));
        assert_eq!(ring.open("for this", &seal).unwrap().as_slice(), b"secret");
        assert!(matches!(ring.open("for that", &seal), Err(SealingError::Broken)));
        assert!(matches!(keys(&["a"]).open("for this", &seal), Err(SealingError::Broken)), "another key of that id");
        assert!(matches!(keys(&["c"]).open("for this", &seal), Err(SealingError::Unknown(id)) if id == "a"));
        for at in [0, seal.ciphertext.len() - 1] {
            let mut tampered = Seal { ciphertext: seal.ciphertext.clone(), nonce: seal.nonce.clone(), ..seal_of("a") };
            tampered.ciphertext[at] ^= 1;
            assert!(matches!(ring.open("for this", &tampered), Err(SealingError::Broken)));
        }
        let short = Seal { nonce: vec![0; 12], ..seal };
        assert!(matches!(ring.open("for this", &short), Err(SealingError::Broken)));
    }

    fn seal_of(id: &str) -> Seal {
        Seal { sealed_by: id.to_owned(), nonce: Vec::new(), ciphertext: Vec::new() }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (SealingKeys::generate("old"), SealingKeys::generate("new"));
        let before = SealingKeys::parse(&old).unwrap().seal("p", b"secret").unwrap();
        let ring = SealingKeys::parse(&format!("{}\n{}\n", new.as_str(), old.as_str())).unwrap();
        assert_eq!(ring.open("p", &before).unwrap().as_slice(), b"secret");
        assert_eq!(ring.seal("p", b"secret").unwrap().sealed_by, "new");
    }

    #[test]
    fn nothing_is_sealed_without_a_key_and_errors_show_none() {
        let key = SealingKeys::generate("a");
        let base64 = key.split_once(':').unwrap().1;
        for (text, number) in [
            (base64.to_owned(), 1),
            (format!("A:{base64}"), 1),
            (format!(":{base64}"), 1),
            (format!("{},b:{}", key.as_str(), &base64[4..]), 2),
            (format!("{},b:{base64}{base64}", key.as_str()), 2),
        ] {
            let error = SealingKeys::parse(&text).unwrap_err();
            assert!(matches!(error, SealingError::Malformed(place) if place == number), "{error}");
            assert!(!error.to_string().contains(&base64[4..20]));
        }
        let twice = SealingKeys::parse(&format!("{0},{0}", key.as_str())).unwrap_err();
        assert!(matches!(twice, SealingError::Twice(id) if id == "a"));
        assert!(matches!(SealingKeys::parse(" ,\n"), Err(SealingError::Missing)));
        assert!(matches!(SealingKeys::load(|_| None), Err(SealingError::Missing)));
        assert!(matches!(SealingKeys::load(|_| Some("x".to_owned())), Err(SealingError::Both)));
        assert!(!format!("{:?}", SealingKeys::parse(&key).unwrap()).contains(&base64[..8]));
    }

    #[test]
    fn keys_are_read_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}\n", SealingKeys::generate("a").as_str())).unwrap();
        let variable = |name: &str| (name == FILE_VARIABLE).then(|| file.path().display().to_string());
        assert_eq!(SealingKeys::load(variable).unwrap().sealing_id(), "a");
        let lost = |name: &str| (name == FILE_VARIABLE).then(|| "/nowhere/at/all".to_owned());
        assert!(matches!(SealingKeys::load(lost), Err(SealingError::File(_))));
    }
}
