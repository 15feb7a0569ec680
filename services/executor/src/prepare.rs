//! From a call to a request and the limits it touches.

use std::sync::Arc;

use tidegate_contracts::{Call, Class, Failure};
use tidegate_egress::{BodyLimits, Deadlines, Request};
use tidegate_limits::Charge;
use tidegate_provider::{Buckets, CallShape, Caller, Credential, Spec, Step, redact_credential};

/// A call that is ready to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) request: Request,
    /// All limits it touches.
    pub(crate) charges: Vec<Charge>,
    pub(crate) credential: Option<Arc<Credential>>,
    /// May be sent again when it is not known whether it arrived.
    pub(crate) idempotent: bool,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    /// Whose job it is.
    pub(crate) tenant: &'a str,
    /// Name of the address it leaves from.
    pub(crate) egress: &'a str,
    /// What endpoints share, as far as answers have told.
    pub(crate) buckets: Option<&'a Buckets>,
}

/// Makes a call ready, or says why it can't be made. `credential` is one of those that the job names, if there is one.
pub(crate) fn prepare(
    (spec, step): (&Spec, &Step),
    call: &Call,
    credential: Option<Arc<Credential>>,
    by: By<'_>,
) -> Result<Prepared, Failure> {
    if let (Some(name), None) = (spec.credentials().first(), &credential) {
        let variable = Credential::variable(name.as_str());
        return Err(failure(Class::AuthRevoked, format!("there is no credential {name}; store it, or set {variable}")));
    }
    let name = credential.as_ref().map(|credential| credential.name());
    let hidden = |text: String| match &credential {
        Some(credential) => redact_credential(&text, credential),
        None => text,
    };
    let params = step.params_since(&call.params, call.since.as_ref());
    let parts = spec
        .request(step, &params, &call.pointer, credential.as_deref())
        .map_err(|error| failure(Class::Invalid, hidden(chain(&error))))?;
    let shape = CallShape { params: &params, pointer: &call.pointer, ordinal: call.ordinal };
    let caller = Caller { egress: by.egress, credential: name, tenant: Some(by.tenant), buckets: by.buckets };
    let charges = spec.charges(step, &shape, &caller).map_err(|error| failure(Class::Invalid, chain(&error)))?;
    let endpoint = step.endpoint();
    let (deadlines, body) = (endpoint.deadlines(), spec.body_limits());
    // What outlives its slot is one call more than the provider allows.
    let lease = charges.iter().filter_map(|charge| charge.rate.lease()).min();
    let total = lease.map_or(deadlines.total, |lease| deadlines.total.min(lease));
    let request = Request {
        headers: parts.headers,
        body: parts.body.map(Into::into),
        secret_query: parts.secret_query.into(),
        insecure_http: spec.provider().insecure_http,
        deadlines: Deadlines { first_byte: deadlines.first_byte, idle: deadlines.idle, total },
        limits: BodyLimits { decoded_bytes: body.max_bytes, ratio: body.max_ratio, ..BodyLimits::default() },
        ..Request::new(parts.method, parts.url)
    };
    Ok(Prepared { request, charges, credential, idempotent: endpoint.is_idempotent() })
}

pub(crate) fn failure(class: Class, message: impl Into<String>) -> Failure {
    let message: String = message.into();
    Failure { class, status: None, message: message.chars().take(Failure::MESSAGE_MAX_CHARS).collect() }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_contracts::{JobId, PagePointer, Params};
    use tidegate_provider::{parse_job, parse_provider};

    use super::*;

    #[test]
    fn a_request_ends_before_the_slots_of_its_call_are_given_to_others() {
        let total_s = |timeouts: &str, limits: &str| {
            let provider = format!(
                "tidegate: 1\nprovider: acme\nbase_url: https://acme.example\n{timeouts}\nlimits:\n{limits}\n\
                 endpoints: {{ things: {{ get: /things, items: \"$[*]\" }} }}\n"
            );
            let provider = parse_provider(&provider, "provider.yaml").unwrap().file;
            let job = parse_job("provider: acme\nsteps: [{ id: things, call: things }]\n", "job.yaml").unwrap().file;
            let spec = Spec::compile(job, provider).unwrap();
            let call = Call::root(JobId::new(), "things", Params::default(), PagePointer::First);
            let by = By { tenant: "acme", egress: "direct", buckets: None };
            let prepared = prepare((&spec, spec.step("things").unwrap()), &call, None, by).unwrap();
            prepared.request.deadlines.total.as_secs()
        };
        let slots =
            |lease| format!("  - {{ id: slots, key: [provider], concurrency: {{ calls: 2, lease: {lease} }} }}");
        assert_eq!(total_s("", &slots("5m")), 120);
        assert_eq!(total_s("", &slots("30s")), 30);
        assert_eq!(total_s("timeouts: { total: 10m }", &slots("5m")), Duration::from_mins(5).as_secs());
        assert_eq!(total_s("timeouts: { total: 20s }", &slots("30s")), 20);
        let two =
            format!("{}\n  - {{ id: all, key: [provider], concurrency: {{ calls: 9, lease: 40s }} }}", slots("50s"));
        assert_eq!(total_s("", &two), 40);
    }
}
