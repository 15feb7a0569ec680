//! A job and its provider, compiled: what planner and executor work from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tidegate_answer::{Classifier, Reader};
use tidegate_contracts::{Class, MarkId, PagePointer, Params, Primitive};
use tidegate_limits::{Charge, HeaderNames, Health, Reading};
use tidegate_pagination::Kind;
use url::Url;
use xxhash_rust::xxh3::xxh3_128;

use crate::Credential;
use crate::access::Access;
use crate::barrier::barriers;
use crate::check;
use crate::compile::Compiler;
use crate::endpoint::{Deadlines, Endpoint, Endpoints};
use crate::file::{self, CredentialNames, CredentialPool, JobFile, Name, Period, ProviderFile, Size};
use crate::header::FieldError;
use crate::limit::{Budgeted, CallShape, Caller, ChargeError, Limits};
use crate::oauth2::Oauth2;
use crate::problem::{FieldPath, Part, Problem, choices};
use crate::range::sliced;
use crate::request::{Ask, RequestError, RequestParts, strip_secrets};
use crate::scope::Scope;
use crate::step::{Step, TemplateError, WhenError, check_order};

/// A job and its provider, compiled. It never changes; share it by [`Arc`].
#[derive(Debug)]
pub struct Spec {
    job: JobFile,
    provider: ProviderFile,
    fingerprint: String,
    config: BTreeMap<String, Primitive>,
    app: String,
    base_url: Url,
    steps: Vec<Step>,
    limits: Limits,
    oauth2: Option<Oauth2>,
}

/// How large an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Unpacked, in bytes.
    pub max_bytes: u64,
    /// Bytes out of one packed byte, once an answer is above 1 MiB.
    pub max_ratio: u32,
}

/// How failed calls are repeated: with growing, random pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, from 1.
    pub attempts: u32,
    /// From the first failure to the last attempt.
    pub budget: Duration,
    /// Longest first pause.
    pub base: Duration,
    /// Longest pause of all.
    pub cap: Duration,
}

impl Spec {
    /// Compiles a job with its provider, what the provider extends already merged in ([`crate::inherit`]).
    ///
    /// # Errors
    /// All that is wrong with either, as far as this job touches it.
    pub fn compile(job: JobFile, provider: ProviderFile) -> Result<Self, Vec<Problem>> {
        let config = configure(&job, &provider);
        let mut of_provider = Compiler::new(Part::Provider, &provider.config, &config);
        let mut of_job = Compiler::new(Part::Job, &provider.config, &config);
        check::job_fits(&job, &provider, &mut of_job);
        check_order(&job.steps, &mut of_job);
        let mut barriers = barriers(&job.steps, &mut of_job);
        if provider.extends.is_some() {
            of_provider.add(&FieldPath::root().key("extends"), "expected what it extends to be merged in before");
        }
        let access = Access::compile(&provider, &mut of_provider);
        let limits = Limits::compile(&provider, &mut of_provider);
        let endpoints = Endpoints::new(&provider, &access, &limits, &mut of_provider);
        let used: BTreeSet<_> = job.steps.iter().map(|step| &step.call).collect();
        let compiled: BTreeMap<&str, Arc<Endpoint>> = used
            .into_iter()
            .filter_map(|name| Some((name.as_str(), Arc::new(endpoints.compile(name, &mut of_provider)?))))
            .collect();
        let mut steps = Vec::new();
        for (index, step) in job.steps.iter().enumerate() {
            let at = FieldPath::root().key("steps").index(index);
            let Some(endpoint) = compiled.get(step.call.as_str()) else {
                if !provider.endpoints.contains_key(&step.call) {
                    let known = choices(step.call.as_str(), provider.endpoints.keys().map(|name| name.as_str()));
                    of_job.add(&at.key("call"), format!("unknown endpoint {}; expected {known}", step.call));
                }
                continue;
            };
            let beside = (limits.of_endpoint(endpoint.name()), std::mem::take(&mut barriers[index]));
            let mut compiled = Step::compile(step, Arc::clone(endpoint), beside, (&at, &mut of_job));
            compiled.pushed = step.push.unwrap_or(job.push);
            steps.push(compiled);
        }
        let problems = [of_job.into_problems(), of_provider.into_problems()].concat();
        let base_url = match access.base_url {
            Some(base_url) if problems.is_empty() => base_url,
            // A provider without `base_url` has said so among the problems, or has no endpoints to call.
            _ => return Err(problems),
        };
        let app = config.get("app").map(ToString::to_string).unwrap_or_default();
        let fingerprint = fingerprint(&job, &provider);
        Ok(Self { fingerprint, config, app, base_url, steps, limits, oauth2: access.oauth2, job, provider })
    }

    /// The same for equal jobs with equal providers, whatever their files are called. Knows the credential's name,
    /// no secret.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The job's name: its own, else its provider's; at most 200 characters.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.job.name.as_deref().unwrap_or(self.provider.provider.as_str());
        name.chars().take(200).collect()
    }

    /// As declared.
    #[must_use]
    pub fn job(&self) -> &JobFile {
        &self.job
    }

    /// As declared, what it extends merged in.
    #[must_use]
    pub fn provider(&self) -> &ProviderFile {
        &self.provider
    }

    /// Names of the credentials that its calls are made with: none, one, or a pool.
    #[must_use]
    pub fn credentials(&self) -> &[Name] {
        self.job.credential.as_ref().map_or(&[], |names| names.as_slice())
    }

    /// Whether all pages of a fetch of `step` are asked for with one credential of a pool.
    #[must_use]
    pub fn stays_with_one(&self, step: &Step) -> bool {
        self.provider.credential_pool != Some(CredentialPool::ByCall) && step.paging().kind == Kind::Chain
    }

    /// All steps, parents before children.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step `id`.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id() == id)
    }

    /// Steps that follow from no other.
    pub fn roots(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.for_each().is_none())
    }

    /// Steps that are done for each item of the step `id`.
    pub fn children(&self, id: &str) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.for_each() == Some(id))
    }

    /// Parameters of a fetch of `step`: for `item`, where it is done for each of some, found by a fetch with the
    /// parameters `parent`.
    ///
    /// # Errors
    /// When a template can't be rendered: a field that is not there, null, a list or a map.
    pub fn params(&self, step: &Step, item: Option<&Value>, parent: Option<&Params>) -> Result<Params, TemplateError> {
        step.params(&Scope { item, parent, config: Some(&self.config), ..Scope::default() })
    }

    /// Whether a fetch of `step` is to be made, as its `when` says: for `item`, found by a fetch with the parameters
    /// `parent`. What needs a field that is not there does not hold.
    ///
    /// # Errors
    /// When it can't be told: an operation that the values do not have, too much work.
    pub fn is_wanted(&self, step: &Step, item: Option<&Value>, parent: Option<&Params>) -> Result<bool, WhenError> {
        step.is_wanted(&Scope { item, parent, config: Some(&self.config), ..Scope::default() })
    }

    /// The mark of a fetch of `step`, where its endpoint tells what is new: the same for whatever asks for the same, in
    /// the same way and by the same credential. A step with a `limit` has none, since it leaves out what it does not reach.
    #[must_use]
    pub fn mark(&self, step: &Step, params: &Params) -> Option<MarkId> {
        let since = step.endpoint().since().filter(|_| step.paging().limit.is_none())?;
        let credentials = self.job.credential.as_ref().map(CredentialNames::sorted);
        let provider = (self.provider.provider.as_str(), &self.config, credentials);
        let asked = (provider, step.endpoint().name(), (&since.from, since.kind), step.id(), params);
        // Names and primitives always serialise; were they not to, nothing would be kept.
        serde_json::to_string(&asked).ok().map(|asked| MarkId::derive(&asked))
    }

    /// The request that makes a call.
    ///
    /// # Errors
    /// When a parameter, header or page address can't be used; the same every time.
    pub fn request(
        &self,
        step: &Step,
        params: &Params,
        pointer: &PagePointer,
        credential: Option<&Credential>,
    ) -> Result<RequestParts, RequestError> {
        // Of a slice, its own bounds stand for those of the whole range.
        let of_slice = match (pointer, step.endpoint().slices()) {
            (PagePointer::Slice { from, until, .. }, Some(slices)) => Some(sliced(slices, params, *from, *until)),
            _ => None,
        };
        let params = of_slice.as_ref().unwrap_or(params);
        let scope = Scope { config: Some(&self.config), credential, params: Some(params), ..Scope::default() };
        Ask { base_url: &self.base_url, endpoint: step.endpoint(), pointer, params, scope }.request()
    }

    /// How the provider's tokens are fetched, if that is so.
    #[must_use]
    pub fn oauth2(&self) -> Option<&Oauth2> {
        self.oauth2.as_ref()
    }

    /// The request that fetches a new token for this credential; `None` where the credential does not have what it takes, or
    /// the provider knows no such request.
    ///
    /// # Errors
    /// When a field of the request can't be made of the credential.
    pub fn token_request(&self, credential: &Credential) -> Option<Result<RequestParts, FieldError>> {
        let oauth2 = self.oauth2.as_ref()?;
        let scope = Scope { config: Some(&self.config), credential: Some(credential), ..Scope::default() };
        oauth2.request(oauth2.grant(credential)?, credential, &scope)
    }

    /// The bucket that an answer names for a limit (`headers.bucket`).
    #[must_use]
    pub fn bucket<'h>(&self, limit: &str, headers: &'h HeaderMap) -> Option<&'h str> {
        self.limits.bucket(limit, headers)
    }

    /// What a call takes from each limit that applies to it. Keys read `{provider}/limit/factor=value,…`.
    ///
    /// # Errors
    /// When an expression of a limit can't be evaluated.
    pub fn charges(&self, step: &Step, call: &CallShape<'_>, caller: &Caller<'_>) -> Result<Vec<Charge>, ChargeError> {
        let charge = |limit: &Arc<Budgeted>| limit.charge(step.endpoint(), call, caller, &self.app).transpose();
        step.limits.iter().filter_map(charge).collect()
    }

    /// As [`Spec::charges`], limit by limit, without the breaker: for those who ask before all parameters are known. `None`
    /// within: the limit does not apply to the call.
    pub fn charges_each<'a>(
        &self,
        step: &'a Step,
        call: &CallShape<'_>,
        caller: &Caller<'_>,
    ) -> Vec<(&'a str, Result<Option<Charge>, ChargeError>)> {
        let charge = |limit: &'a Arc<Budgeted>| (limit.id(), limit.charge(step.endpoint(), call, caller, &self.app));
        step.limits.iter().filter(|limit| limit.counts()).map(charge).collect()
    }

    /// The headers of answers that speak of a limit. Where no limit of the provider declares any, the usual ones
    /// may speak of each that is neither a concurrency limit nor learnt; where there is none such, of a limit `told`
    /// that is added to every call.
    #[must_use]
    pub fn header_names(&self, limit: &str) -> Option<&HeaderNames> {
        self.limits.header_names(limit)
    }

    /// What an answer says of the limits that its call touched, in the headers and in the body; nothing of one of which no
    /// answer speaks.
    #[must_use]
    pub fn readings<'c>(
        &self,
        charges: &'c [Charge],
        (headers, body): (&HeaderMap, &[u8]),
        now_ms: i64,
    ) -> Vec<(&'c Charge, Reading)> {
        self.limits.readings(charges, (headers, body), now_ms)
    }

    /// What a call says of the provider's health: it went well, or failed by this class and status, which is none without
    /// an answer. None: it says nothing.
    #[must_use]
    pub fn health(&self, failure: Option<(Class, Option<u16>)>) -> Option<Health> {
        self.limits.health(failure)
    }

    /// The address of a next page without what authenticates, to be stored and sent about;
    /// [`Spec::request`] adds it again.
    #[must_use]
    pub fn strip_secrets(&self, step: &Step, address: &str, credential: Option<&Credential>) -> String {
        strip_secrets(address, step.endpoint(), credential)
    }

    /// Tells pages of a step from failures.
    #[must_use]
    pub fn classifier<'a>(&self, step: &'a Step) -> &'a Classifier {
        step.endpoint().classifier()
    }

    /// Reads pages of a step.
    #[must_use]
    pub fn reader<'a>(&self, step: &'a Step) -> &'a Reader {
        step.endpoint().reader()
    }

    /// Deadlines of a step's requests.
    #[must_use]
    pub fn deadlines(&self, step: &Step) -> Deadlines {
        step.endpoint().deadlines()
    }

    /// How large answers may be.
    #[must_use]
    pub fn body_limits(&self) -> BodyLimits {
        let body = self.provider.body;
        BodyLimits { max_bytes: body.max_bytes.map_or(50 << 20, Size::bytes), max_ratio: body.max_ratio.unwrap_or(100) }
    }

    /// How failed calls are repeated.
    #[must_use]
    pub fn retry(&self) -> RetryPolicy {
        let retry = self.provider.retry;
        RetryPolicy {
            attempts: retry.attempts.unwrap_or(6),
            budget: retry.budget.map_or(Duration::from_mins(30), Period::get),
            base: retry.base.map_or(Duration::from_millis(500), Period::get),
            cap: retry.cap.map_or(Duration::from_mins(1), Period::get),
        }
    }
}

/// What the job sets, else the provider's defaults.
fn configure(job: &JobFile, provider: &ProviderFile) -> BTreeMap<String, Primitive> {
    let mut config = check::defaults(provider);
    config.extend(job.config.clone());
    config
}

fn fingerprint(job: &JobFile, provider: &ProviderFile) -> String {
    // The provider's file name is not what the job asks for, and who is told changes nothing of what is fetched.
    let steps = job.steps.iter().map(|step| file::Step { push: None, ..step.clone() }).collect();
    let job = JobFile { provider: provider.provider.to_string(), notify: None, push: false, steps, ..job.clone() };
    // Declarations always serialise, their maps in order of name; were they not to, the hash would still be a
    // function of its input.
    let canonical = serde_json::to_vec(&(job, provider)).unwrap_or_default();
    format!("{:032x}", xxh3_128(&canonical))
}
