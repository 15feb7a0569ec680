//! Ids of jobs, fetches, calls, marks and dead letters.
//!
//! A job id is random (UUIDv7). Fetch and call ids are **deterministic** (UUIDv5): whatever happens
//! twice has the same id and collapses on a primary key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{PagePointer, Params};

/// The text is not an id of the wanted kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {prefix}_ and 32 hexadecimal digits, for example {prefix}_0192f0c1d2e37a4b8c5d6e7f8a9b0c1d")]
pub struct ParseIdError {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// The 16 bytes as stored.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Back from the 16 bytes as stored; `None` when there are not 16.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }

            /// 32 lower-case hexadecimal digits, without the prefix.
            #[must_use]
            pub fn hex(&self) -> String {
                self.0.simple().to_string()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(ParseIdError { prefix: $prefix })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// A job: what a client submitted. UUIDv7, so ids sort by time of submission.
    JobId, "job");
id!(
    /// A fetch: one step instance, one endpoint with one set of parameters, all of its pages.
    FetchId, "fetch");
id!(
    /// A call: one page of a fetch, the atomic task.
    CallId, "call");
id!(
    /// A mark: how far runs of a job have seen what one fetch asks for.
    MarkId, "mark");

id!(
    /// A dead letter: one message that could not be handled, at one time.
    DeadId, "dead");

impl JobId {
    /// A new id; the only random one.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// When the id was made, which is when the job was submitted: Unix ms. `None` for an id that was made otherwise.
    #[must_use]
    pub fn made_at_ms(&self) -> Option<i64> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        i64::try_from(seconds).ok()?.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000))
    }
}

impl Default for JobId {
    fn default() -> Self {
        Self::new()
    }
}

impl FetchId {
    /// The id of the fetch that `step` makes for `params`, under a job (root) or below another fetch.
    #[must_use]
    pub fn derive(job: JobId, parent: Option<FetchId>, step: &str, params: &Params) -> Self {
        let namespace = parent.map_or(job.0, |fetch| fetch.0);
        Self(Uuid::new_v5(&namespace, format!("{step}\n{}", params.canonical()).as_bytes()))
    }
}

impl CallId {
    /// The id of the call for one page of `fetch`.
    #[must_use]
    pub fn derive(fetch: FetchId, pointer: &PagePointer) -> Self {
        Self(Uuid::new_v5(&fetch.0, pointer.canonical().as_bytes()))
    }
}

impl MarkId {
    /// The id of the mark for what `asked` describes: one text for whatever decides what a fetch brings.
    #[must_use]
    pub fn derive(asked: &str) -> Self {
        // Named by nothing above it: the ledger keeps marks by tenant and job name besides.
        Self(Uuid::new_v5(&Uuid::nil(), asked.as_bytes()))
    }
}

impl DeadId {
    /// The id of the message, or of the bytes that are none, that died in `queue` then (Unix ms).
    #[must_use]
    pub fn derive(queue: &str, message: &[u8], died_at_ms: i64) -> Self {
        let place = Uuid::new_v5(&Uuid::nil(), format!("{queue}\n{died_at_ms}").as_bytes());
        Self(Uuid::new_v5(&place, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_own_text() {
        let job = JobId::new();
        assert_eq!(job.to_string().parse(), Ok(job));
        assert_eq!(JobId::from_slice(job.as_bytes()), Some(job));
    }

    #[test]
    fn an_id_of_another_kind_or_shape_is_refused() {
        let job = JobId::new();
        for text in [job.to_string().replace("job_", "call_"), job.hex(), "job_".into(), "job_xyz".into()] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn fetch_and_call_ids_depend_on_what_they_are_for_and_on_nothing_else() {
        let job = JobId::from_slice(&[7; 16]).expect("16 bytes");
        let params: Params = [("id", 1)].into_iter().collect();
        let root = FetchId::derive(job, None, "users", &Params::default());
        let one = FetchId::derive(job, Some(root), "posts", &params);
        assert_eq!(one, FetchId::derive(job, Some(root), "posts", &params));
        assert_ne!(one, FetchId::derive(job, None, "posts", &params));
        assert_ne!(one, FetchId::derive(job, Some(root), "likes", &params));
        let call = CallId::derive(one, &PagePointer::First);
        assert_eq!(call, CallId::derive(one, &PagePointer::First));
        assert_ne!(call, CallId::derive(one, &PagePointer::Cursor { cursor: "a".into() }));
        // Stored ids outlive releases: these values may never change.
        assert_eq!(root.to_string(), "fetch_1919fe4849b15309a4ca615144886cd3");
        assert_eq!(call.to_string(), "call_3f55dbbfb97c5b1ca574e6ebed967b5d");
    }
}
