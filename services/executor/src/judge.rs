//! What an answer is: a page, or trouble of a class. Pure.

use http::HeaderMap;
use tidegate_answer::{Lasts, PageRead, Unreadable, Verdict};
use tidegate_contracts::{Class, Failure, Mark, PagePointer};
use tidegate_egress::{Answer, EgressError, Failure as Failed, Sent};
use tidegate_limits::headers::{ComeBack, retry_after};
use tidegate_provider::Endpoint;

use crate::prepare::chain;

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Judged {
    /// A page.
    Page(PageRead),
    /// Anything else.
    Trouble(Trouble),
}

/// A request that brought no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    /// Id of the limit that refused it, where the error rule says.
    pub(crate) scope: Option<String>,
    /// Until when the third party asks to wait.
    pub(crate) told_until: Option<ComeBack>,
    /// It lasts for the limit's period where that is not told.
    pub(crate) lasts_period: bool,
    /// That was told, and made no sense.
    pub(crate) ignored: bool,
    /// Whether the third party may have acted on the request.
    pub(crate) sent: bool,
    /// There was an answer, and no error rule spoke of it.
    pub(crate) unmatched: bool,
}

/// Judges the answer to a call of what `pointer` points at, `since` the mark of earlier runs.
pub(crate) fn judge(
    endpoint: &Endpoint,
    (pointer, since): (&PagePointer, Option<&Mark>),
    answer: &Answer,
    now_ms: i64,
) -> Judged {
    let status = answer.status.as_u16();
    let read = || {
        let mut page = endpoint.reader_of(pointer).read(&answer.headers, &answer.body, &answer.url)?;
        endpoint.newness().map_or(Ok(()), |newness| newness.apply(&mut page, since))?;
        Ok::<_, Unreadable>(page)
    };
    match endpoint.classifier().classify(answer.status, &answer.headers, &answer.body) {
        Verdict::Page => match read() {
            Ok(page) => Judged::Page(page),
            Err(error) => Judged::Trouble(Trouble {
                failure: Failure { class: error.class(), status: Some(status), message: error.to_string() },
                scope: None,
                told_until: None,
                lasts_period: false,
                ignored: false,
                sent: true,
                unmatched: true,
            }),
        },
        Verdict::Failure(classified) => {
            let sent = sent(&answer.headers);
            let told = classified.retry_after.as_deref().map(|text| retry_after(text, now_ms, &sent));
            Judged::Trouble(Trouble {
                told_until: told.flatten(),
                lasts_period: classified.lasts == Some(Lasts::Period),
                ignored: told == Some(None),
                scope: classified.scope,
                failure: Failure { class: classified.class, status: Some(status), message: classified.message },
                sent: true,
                unmatched: classified.matched.is_none(),
            })
        }
    }
}

/// Looks up headers that were sent, by their names.
pub(crate) fn sent<'h>(headers: &'h HeaderMap) -> impl Fn(&str) -> Option<&'h str> {
    |name| headers.get(name)?.to_str().ok()
}

/// Judges a call without an answer.
pub(crate) fn judge_silence(error: &EgressError) -> Trouble {
    let class = match &error.failure {
        Failed::Blocked { .. } | Failed::Redirect(_) => Class::Blocked,
        Failed::Dns { .. } | Failed::Connect { .. } | Failed::Tls { .. } => Class::ProviderDown,
        Failed::Timeout { .. } => Class::Timeout,
        Failed::TooLarge(_) => Class::TooLarge,
        Failed::Encoding(_) => Class::Suspect,
        Failed::Broken { .. } => Class::Transient,
    };
    let failure = crate::prepare::failure(class, chain(error));
    let sent = error.sent() == Sent::Unknown;
    Trouble { failure, scope: None, told_until: None, lasts_period: false, ignored: false, sent, unmatched: false }
}
