//! What can go wrong between us and the gateway.

use std::fmt;

use serde::Deserialize;

/// What can go wrong between us and the gateway. Shows no key.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The API key has characters that no key has.
    #[error("the API key has characters that no key has")]
    Key,
    /// The client can't be set up.
    #[error("can't set up the client")]
    Setup(#[source] reqwest::Error),
    /// The gateway was not reached, or the connection broke.
    #[error("the gateway at {0} can't be reached")]
    Reach(String, #[source] reqwest::Error),
    /// The gateway refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// What answered is no gateway, or one that this client does not understand.
    #[error("what answered is not a gateway: {0}")]
    Strange(String),
}

impl ClientError {
    /// Whether asking again later may help: the gateway was not there, or was busy.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Key | Self::Setup(_) => false,
            Self::Refused(problem) => problem.status == 429 || problem.status >= 500,
            // What stands before a gateway may answer in its stead while that is away.
            Self::Reach(..) | Self::Strange(_) => true,
        }
    }

    /// Seconds after which the gateway says it is worth trying again.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        let Self::Refused(problem) = self else { return None };
        problem.retry_after_s
    }
}

/// What the gateway says went wrong (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// What kind it is: an address on the gateway that explains it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The fields it is about.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
    /// Of the request, to look for in the gateway's log.
    pub trace_id: String,
    /// Seconds after which it is worth trying again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldProblem {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What was expected and what was found.
    pub detail: String,
    /// Line in the body, from 1.
    pub line: Option<u32>,
    /// Column in the body, from 1.
    pub column: Option<u32>,
}

impl Problem {
    /// The kind's short name, such as `not-found`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.kind.rsplit_once("#problem-").map_or(&*self.kind, |(_, code)| code)
    }
}

impl fmt::Display for Problem {
    /// A field a line, each with its place; a failure of the gateway's own with what to look for in its log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, detail, errors, .. } = self;
        match errors.as_slice() {
            [] if detail == title => f.write_str(title)?,
            [] => write!(f, "{title}: {detail}")?,
            errors => {
                f.write_str(title)?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))?;
            }
        }
        if let Some(seconds) = self.retry_after_s {
            write!(f, "\n  try again in {seconds} s")?;
        }
        if self.status >= 500 { write!(f, "\n  trace {}", self.trace_id) } else { Ok(()) }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, errors: Vec<FieldProblem>) -> Problem {
        let (kind, title) = ("/docs#problem-invalid".to_owned(), "What was sent can't be taken".to_owned());
        let (detail, trace_id) = ("2 things can't be taken; see errors".to_owned(), "0af7".to_owned());
        Problem { kind, title, status, detail, errors, trace_id, retry_after_s: None }
    }

    fn field(pointer: &str, place: Option<u32>) -> FieldProblem {
        FieldProblem { pointer: pointer.to_owned(), detail: "expected a name".to_owned(), line: place, column: place }
    }

    #[test]
    fn a_problem_tells_every_field_and_where_it_stands() {
        let told = problem(422, vec![field("/steps/0", Some(2)), field("/name", None), field("", Some(7))]).to_string();
        let lines = ["2:2: /steps/0: expected a name", "/name: expected a name", "7:7: expected a name"];
        assert_eq!(told, format!("What was sent can't be taken\n  {}", lines.join("\n  ")));
    }

    #[test]
    fn what_the_gateway_failed_at_is_told_with_its_trace_and_may_pass() {
        let failed = Problem { retry_after_s: Some(5), ..problem(503, Vec::new()) };
        assert!(failed.to_string().ends_with("see errors\n  try again in 5 s\n  trace 0af7"), "{failed}");
        let failed = ClientError::Refused(Box::new(failed));
        assert_eq!((failed.may_pass(), failed.retry_after_s()), (true, Some(5)));
        let refused = |status| ClientError::Refused(Box::new(problem(status, Vec::new())));
        assert!(refused(429).may_pass() && !refused(422).may_pass() && !refused(401).may_pass());
    }
}
