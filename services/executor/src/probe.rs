//! One call by hand: what `tidegate provider try` shows.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tidegate_contracts::{Call, Failure, Next, PageFacts};
use tidegate_egress::Egress;
use tidegate_ledger::DEFAULT_TENANT;
use tidegate_limits::Reading;
use tidegate_provider::{Credential, Spec, Step, redact_credential};

use crate::judge::{Judged, judge, judge_silence};
use crate::prepare::{By, Prepared, prepare};

/// What one call by hand brought.
#[derive(Debug)]
pub struct Probe {
    /// The answer, if there was one.
    pub answer: Option<ProbeAnswer>,
    /// The page, or why there is none.
    pub page: Result<ProbePage, Failure>,
}

/// An answer, without its body.
#[derive(Debug)]
pub struct ProbeAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// To the first byte, in ms.
    pub first_byte_ms: u64,
    /// To the end, in ms.
    pub total_ms: u64,
    /// Of the body on the wire.
    pub wire_bytes: u64,
    /// Of the body, decoded.
    pub body_bytes: u64,
    /// What the headers say of each limit that the call touched, by the limit's id.
    pub readings: Vec<(String, Reading)>,
}

/// A page.
#[derive(Debug)]
pub struct ProbePage {
    /// What it says of itself and others.
    pub facts: PageFacts,
    /// Its items, one JSON text a line.
    pub lines: Vec<u8>,
}

/// Makes one request, without asking for a permit, storing or repeating anything.
///
/// # Errors
/// When the call can't be made at all.
pub async fn probe(
    spec: &Spec,
    step: &Step,
    call: &Call,
    credential: Option<Arc<Credential>>,
    (egress, now_ms): (&Egress, i64),
) -> Result<Probe, Failure> {
    let by = By { tenant: DEFAULT_TENANT, egress: "default" };
    let prepared = prepare((spec, step), call, credential, by)?;
    let answer = match egress.call(prepared.request.clone()).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Probe { answer: None, page: Err(hide(judge_silence(&error).failure, &prepared)) }),
    };
    let readings = prepared.charges.iter().filter_map(|charge| {
        let reading = spec.reading(&charge.limit, &answer.headers, &answer.body, now_ms)?;
        Some((charge.limit.clone(), reading))
    });
    let page = match judge(step.endpoint(), (&call.pointer, call.since.as_ref()), &answer, now_ms) {
        Judged::Page(mut page) => {
            if let Some(Next::Url(url)) = &mut page.facts.next {
                *url = spec.strip_secrets(step, url, prepared.credential.as_deref());
            }
            Ok(ProbePage { facts: page.facts, lines: page.lines })
        }
        Judged::Trouble(trouble) => Err(hide(trouble.failure, &prepared)),
    };
    let readings = readings.collect();
    let answer = ProbeAnswer {
        status: answer.status,
        first_byte_ms: answer.first_byte_ms,
        total_ms: answer.total_ms,
        wire_bytes: answer.wire_bytes,
        body_bytes: answer.body.len() as u64,
        headers: answer.headers,
        readings,
    };
    Ok(Probe { answer: Some(answer), page })
}

/// The failure without the credential, which the third party may have repeated.
fn hide(failure: Failure, prepared: &Prepared) -> Failure {
    match &prepared.credential {
        Some(credential) => Failure { message: redact_credential(&failure.message, credential), ..failure },
        None => failure,
    }
}
