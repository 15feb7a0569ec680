//! `POST /v1/jobs`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tidegate_ledger::{Idempotency, JobFilter, JobState};
use tidegate_provider::{JobFile, Part, ProviderFile, Source, Spec, parse_job_with_provider};
use tidegate_registry::{KeyRow, Scope};

use crate::app::{App, Caller};
use crate::body::FileText;
use crate::problem::{FieldProblem, Kind, Problem};
use crate::rate::Standing;
use crate::route::{Content, Parameter, Route};
use crate::submit::{Submission, SubmitError, Taken, submit};
use crate::{provider_file, view};

/// Longest `Idempotency-Key`, in characters.
const KEY_MAX_CHARS: usize = 255;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What errors call the body.
pub(crate) const BODY: &str = "body";

pub(crate) fn routes() -> Vec<Route> {
    const HEADERS: &[Parameter] = &[Parameter {
        name: "Idempotency-Key",
        kind: "string",
        description: "1 to 255 visible ASCII characters. The same key with the same body is the same job, however often \
                      it is sent; with another body it is refused.",
    }];
    const QUERY: &[Parameter] = &[Parameter {
        name: "extend",
        kind: "boolean",
        description: "Take only what is new since the last job of this name, where endpoints tell (`since`).",
    }];
    vec![
        Route::post("/v1/jobs", post)
            .needs(Scope::Submit)
            .summary("Submit a job")
            .description(
                "The job is stored when this answers. `provider` is the name of a stored provider or of a pack, or a \
                 provider file; a job that brings its own may name a credential only with a key of the scope admin, since \
                 its file says where the credential is sent.",
            )
            .query(QUERY)
            .headers(HEADERS)
            .body(Content::File("JobFile"))
            .answers(202, "It is stored and will be done.", Some(Content::Json("Submitted")))
            .problems(&[409, 429]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    extend: bool,
}

async fn post(
    State(app): State<Arc<App>>,
    Extension(caller): Caller,
    Query(Wanted { extend }): Query<Wanted>,
    headers: HeaderMap,
    FileText(text): FileText,
) -> Response {
    let standing = app.rates.take(&caller.id, app.now_ms());
    let taken =
        if standing.refused { Err(too_many(standing)) } else { take(&app, &caller, &headers, (&text, extend)).await };
    let mut response = match taken {
        Ok(taken) => accepted(taken),
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().extend(rate_headers(standing));
    response
}

async fn take(app: &App, caller: &KeyRow, headers: &HeaderMap, (text, extend): (&str, bool)) -> Result<Taken, Problem> {
    let idempotency = idempotency(headers, text, extend)?;
    // Given back when this ends, however it does.
    let _turn = match &idempotency {
        Some(Idempotency { key, .. }) => {
            let turn = app.taking.take(format!("{} {key}", caller.tenant));
            Some(turn.ok_or_else(|| Problem::new(Kind::InFlight, "try again in a moment").retry_after(1))?)
        }
        None => None,
    };
    let (job, own) = parse_job_with_provider(text, BODY)?;
    let provider = provider(app, caller, &job.file, own.as_ref()).await?;
    let name = check(&job, own.as_ref(), &provider)?.name();
    check_credential(app, caller, &job.file).await?;
    check_open(app, caller).await?;
    check_name(app, caller, provider.provider.as_str()).await?;
    let (job, tenant) = (job.file, caller.tenant.to_string());
    match submit(&app.deps.intake(), Submission { tenant, name, job, provider, idempotency, extend }).await {
        Ok(taken) => Ok(taken),
        Err(SubmitError::Untold { job, source }) => {
            tracing::warn!(job.id = %job, error = &source as &dyn std::error::Error, "the sweeper will find the job");
            Ok(Taken::New(job))
        }
        Err(SubmitError::KeyReused(job)) => Err(Problem::new(Kind::KeyReused, format!("it was used for {job}"))),
        Err(SubmitError::Ledger(error)) => Err(error.into()),
        Err(SubmitError::Problems(problems)) => Err(Problem::invalid(problems.iter().map(bare).collect())),
        Err(error @ SubmitError::Json(_)) => Err(Problem::ours(Kind::Internal, &error)),
    }
}

/// The provider of a job: its own, or the stored one or pack that it names.
pub(crate) async fn provider(
    app: &App,
    caller: &KeyRow,
    job: &JobFile,
    own: Option<&Source<ProviderFile>>,
) -> Result<ProviderFile, Problem> {
    let (registry, tenant) = (&*app.deps.registry, &caller.tenant);
    let Some(own) = own else {
        let stored = provider_file::known(registry, tenant, &job.provider).await?;
        let file = stored.ok_or_else(|| {
            let detail = format!(
                "there is no stored provider {:?} and no pack of this name; put it, or send its file here",
                job.provider
            );
            Problem::field("/provider", detail)
        })?;
        return provider_file::resolve(registry, tenant, file, "/provider").await;
    };
    if job.credential.is_some() && !caller.scopes.allow(Scope::Admin) {
        let detail = "a job that brings its own provider file may name a credential only with a key of the scope admin";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    provider_file::resolve(registry, tenant, own.file.clone(), "/provider").await
}

/// Whether the job can be run with its provider; what is wrong is shown in the body where it stands there.
pub(crate) fn check(
    job: &Source<JobFile>,
    own: Option<&Source<ProviderFile>>,
    provider: &ProviderFile,
) -> Result<Spec, Problem> {
    let problems = match Spec::compile(job.file.clone(), provider.clone()) {
        Ok(spec) => return Ok(spec),
        Err(problems) => problems,
    };
    let (of_job, of_provider): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.part == Part::Job);
    let of_provider = match own {
        Some(own) => own.locate(&of_provider).into_iter().map(FieldProblem::from).collect(),
        None => of_provider.iter().map(bare).collect::<Vec<_>>(),
    };
    let of_job = job.locate(&of_job).into_iter().map(FieldProblem::from);
    Err(Problem::invalid(of_job.chain(of_provider).collect()))
}

fn bare(problem: &tidegate_provider::Problem) -> FieldProblem {
    match problem.part {
        Part::Job => FieldProblem::new(problem.field.pointer(), problem.message.clone()),
        Part::Provider => FieldProblem::new("/provider", problem.to_string()),
    }
}

/// A job whose credential is not there would fail at its first call.
async fn check_credential(app: &App, caller: &KeyRow, job: &JobFile) -> Result<(), Problem> {
    let of_notify = job.notify.as_ref().and_then(|notify| notify.secret.as_ref());
    let of_calls = job.credential.iter().flat_map(|names| names.as_slice()).map(|name| (name, "/credential"));
    for (name, field) in of_calls.chain(of_notify.map(|name| (name, "/notify/secret"))) {
        if app.deps.registry.sealed(&caller.tenant, name).await?.is_none() {
            return Err(Problem::field(field, format!("there is no credential {name}; put it first")));
        }
    }
    Ok(())
}

async fn check_open(app: &App, caller: &KeyRow) -> Result<(), Problem> {
    let max = app.config.open_jobs_max;
    let filter = JobFilter {
        tenant: Some(caller.tenant.to_string()),
        states: vec![JobState::Submitted, JobState::Running],
        limit: max,
        ..JobFilter::default()
    };
    let open = app.deps.ledger.jobs(&filter).await?.len();
    if open < max as usize {
        return Ok(());
    }
    Err(Problem::new(Kind::TooManyOpen, format!("at most {max} unfinished jobs at once")).retry_after(30))
}

async fn check_name(app: &App, caller: &KeyRow, name: &str) -> Result<(), Problem> {
    let of = (caller.tenant.as_str(), name);
    if app.provider_names.take(&*app.deps.ledger, of, app.now_ms()).await? {
        return Ok(());
    }
    let max = app.config.provider_names_max;
    let detail = format!("expected a name that jobs have used before, found {name}; {max} different ones are the most");
    Err(Problem::field("/provider", detail))
}

/// The key, as it is or in quotes as the IETF's draft has it (draft-ietf-httpapi-idempotency-key-header-07).
fn idempotency(headers: &HeaderMap, text: &str, extend: bool) -> Result<Option<Idempotency>, Problem> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(header) = sent.next() else { return Ok(None) };
    let refuse = |detail: &str| Err(Problem::new(Kind::BadIdempotencyKey, detail));
    if sent.next().is_some() {
        return refuse("expected one Idempotency-Key, found more");
    }
    let key = header.to_str().unwrap_or_default().trim();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if !(1..=KEY_MAX_CHARS).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("expected 1 to 255 visible ASCII characters");
    }
    // A job's text can't end so.
    let hash = Sha256::new().chain_update(text).chain_update(if extend { "\0extend" } else { "" }).finalize();
    let body_hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency { key: key.to_owned(), body_hash }))
}

fn accepted(taken: Taken) -> Response {
    let id = taken.job().to_string();
    let location = format!("/v1/jobs/{id}");
    let header = [(LOCATION, location.clone())];
    let mut response = (StatusCode::ACCEPTED, header, Json(view::Submitted { id, location })).into_response();
    if let Taken::Before(_) = taken {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn too_many(standing: Standing) -> Problem {
    let detail = format!("a key may submit {} jobs a minute", standing.quota);
    Problem::new(Kind::TooManyRequests, detail).retry_after(standing.reset_s)
}

/// As draft-ietf-httpapi-ratelimit-headers-10 has them.
fn rate_headers(standing: Standing) -> HeaderMap {
    let Standing { quota, remaining, reset_s, .. } = standing;
    let texts = [(POLICY, format!("\"jobs\";q={quota};w=60")), (LIMIT, format!("\"jobs\";r={remaining};t={reset_s}"))];
    texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?))).collect()
}
