//! Settings that hold secrets: from a variable, or from the file that another variable names. Never from the command line,
//! where everybody on the machine could read them.

use secrecy::SecretString;

/// Longest file of a secret, in bytes.
const FILE_MAX_BYTES: u64 = 65_536;

/// A secret is not set, or not readable. Shows none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{0} is not set; set it, or {0}_FILE to a file that holds it")]
    Missing(String),
    #[error("both {0} and {0}_FILE are set; keep one of them")]
    Both(String),
    #[error("the file that {name}_FILE names can't be read")]
    File {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the file that {0}_FILE names has more than {FILE_MAX_BYTES} bytes")]
    TooLarge(String),
}

/// The secret of this name.
pub(crate) fn secret(name: &str) -> Result<SecretString, SecretError> {
    optional(name)?.ok_or(SecretError::Missing(name.to_owned()))
}

/// The secret of this name, if it is set.
pub(crate) fn optional(name: &str) -> Result<Option<SecretString>, SecretError> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    match (set(name), set(&format!("{name}_FILE"))) {
        (Some(_), Some(_)) => Err(SecretError::Both(name.to_owned())),
        (Some(text), None) => Ok(Some(text.trim().into())),
        (None, Some(path)) => {
            let file = |source| SecretError::File { name: name.to_owned(), source };
            if std::fs::metadata(&path).map_err(file)?.len() > FILE_MAX_BYTES {
                return Err(SecretError::TooLarge(name.to_owned()));
            }
            Ok(Some(std::fs::read_to_string(&path).map_err(file)?.trim().into()))
        }
        (None, None) => Ok(None),
    }
}
