//! `tidegate plan`: what a job will take, before it runs.

use std::time::Duration;

use indicatif::HumanCount;
use tidegate_daemon::clock;
use tidegate_egress::{Egress, EgressConfig};
use tidegate_executor::{Credentials, Prober};
use tidegate_forecast::{Amount, Assumptions, Basis, Forecast, Probed, Trust, forecast};
use tidegate_ledger::DEFAULT_TENANT;
use tidegate_provider::{Caller, Spec};

use crate::cli::Plan;
use crate::command::provider::{first_call, with_cause};
use crate::command::run::max_in_flight;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::kept_credentials::with_kept;
use crate::table::Lean::{Left, Right};
use crate::table::table;
use crate::{files, say};

pub(crate) async fn plan(args: Plan) -> anyhow::Result<Exit> {
    let spec = files::load_job(&args.job, &args.calls)?.compile()?;
    let of_assume = |error| FilesError::one(format!("--assume: {error}"));
    let assumptions = Assumptions::parse(args.assume.iter().map(String::as_str)).map_err(of_assume)?;
    assumptions.check(&spec).map_err(of_assume)?;
    let mut basis = Basis {
        assumptions,
        max_in_flight: Some(u32::from(args.max_in_flight.unwrap_or_else(|| max_in_flight(&spec)))),
        now_ms: clock::now_ms(),
        ..Basis::default()
    };
    let mut exit = Exit::Done;
    if args.probe {
        let mut ms = Vec::new();
        for (step, failure) in probe_roots(&spec, &args, &mut basis, &mut ms).await? {
            say::note(&format!("the first call of step {step} failed: {failure}"));
            exit = Exit::JobFailed;
        }
        basis.latency_ms = (!ms.is_empty()).then(|| ms.iter().sum::<u64>() / ms.len() as u64);
    }
    if let Some(latency) = args.latency {
        basis.latency_ms = u64::try_from(latency.as_millis()).ok();
    }
    let by = Caller { egress: "default", credential: None, tenant: Some(DEFAULT_TENANT), buckets: None };
    let forecast = forecast(&spec, &basis, &by);
    say::answer(&if args.json { serde_json::to_string(&forecast)? } else { as_text(&forecast) });
    Ok(exit)
}

/// Makes the first call of each root step, as an executor would. Adds what they told to `basis`, and what each took to
/// `ms`; returns the steps that failed.
async fn probe_roots(
    spec: &Spec,
    args: &Plan,
    basis: &mut Basis,
    ms: &mut Vec<u64>,
) -> anyhow::Result<Vec<(String, String)>> {
    let named = spec.credentials().first().map(|name| files::credential(name.as_str(), &args.calls)).transpose()?;
    let state = args.state.clone().unwrap_or_else(|| files::default_state(&args.job));
    let clock = clock::system();
    let egress = Egress::new(EgressConfig {
        allow_private: files::allow_private(&args.calls.allow_private)?,
        connect: spec.roots().map(|step| spec.deadlines(step).connect).max().unwrap_or(Duration::from_secs(5)),
        ..EgressConfig::default()
    })?;
    let given = (spec, named.into_iter().collect());
    let look = async |credentials: &dyn Credentials| {
        let prober = Prober { spec, credentials, egress: &egress, clock: &clock };
        probe_each(&prober, basis, ms).await
    };
    with_kept(given, (&state, &clock), look).await
}

async fn probe_each(
    prober: &Prober<'_>,
    basis: &mut Basis,
    ms: &mut Vec<u64>,
) -> anyhow::Result<Vec<(String, String)>> {
    let spec = prober.spec;
    let mut failed = Vec::new();
    for step in spec.roots() {
        let params = spec.params(step, None, None).map_err(with_cause)?;
        let call = first_call(spec, step, &params);
        let probed = match prober.probe(step, &call).await {
            Ok(probed) => probed,
            // No call was sent.
            Err(failure) => {
                failed.push((step.id().to_owned(), format!("{}: {}", failure.class, failure.message)));
                continue;
            }
        };
        basis.probes += 1;
        ms.extend(probed.answer.as_ref().map(|answer| answer.total_ms.max(1)));
        let readings = probed.answer.map(|answer| answer.readings).unwrap_or_default();
        match probed.page {
            Ok(page) => {
                let probed = Probed { facts: page.facts, readings: readings.into_iter().collect() };
                basis.probed.insert(step.id().to_owned(), probed);
            }
            Err(failure) => failed.push((step.id().to_owned(), format!("{}: {}", failure.class, failure.message))),
        }
    }
    Ok(failed)
}

fn as_text(forecast: &Forecast) -> String {
    let heads = ["STEP", "FETCHES", "PAGES EACH", "CALLS", "AT LEAST", "BOUND BY", "FROM"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for step in &forecast.steps {
        rows.push(vec![
            step.step.clone(),
            count(step.fetches),
            count(step.pages),
            count(step.calls),
            duration(step.time_ms),
            step.bound_by.clone(),
            step.basis.clone(),
        ]);
    }
    let (time, bound_by) = (duration(forecast.time_ms), forecast.bound_by.clone());
    rows.push(vec!["all".to_owned(), String::new(), String::new(), count(forecast.calls), time, bound_by]);
    let steps = table(&[Left, Right, Right, Right, Right, Left, Left], &rows);
    let heads = ["LIMIT", "COUNTS BY", "ALLOWS", "UNITS", "BUDGETS", "AT LEAST", "OF STEPS"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for limit in &forecast.limits {
        let of: Vec<String> = limit.steps.iter().map(|(step, units)| format!("{step} {}", count(*units))).collect();
        rows.push(vec![
            limit.limit.clone(),
            limit.by.clone(),
            limit.allows.clone(),
            count(limit.units),
            count(limit.budgets),
            limit.time_ms.map_or_else(|| "?".to_owned(), duration),
            of.join(", "),
        ]);
    }
    let limits = table(&[Left, Left, Left, Right, Right, Right, Left], &rows);
    let spent = match forecast.probes {
        0 => "no call was made".to_owned(),
        1 => "1 call was made to find out; it counts against the limits".to_owned(),
        calls => format!("{calls} calls were made to find out; they count against the limits"),
    };
    format!("{steps}\n\n{limits}\n\n{spent}; a call is taken to last {}", duration(forecast.latency_ms))
}

/// As [`Amount`] shows itself, with the thousands apart.
fn count(amount: Amount) -> String {
    let mark = match amount.trust {
        Trust::Exact => "",
        Trust::Estimated => "~",
        Trust::AtLeast if amount.is_unknown() => return "?".to_owned(),
        Trust::AtLeast => ">=",
    };
    format!("{mark}{}", HumanCount(amount.n))
}

/// Whole seconds, rounded up; less than that in milliseconds.
fn duration(ms: u64) -> String {
    let duration = if ms < 1_000 { Duration::from_millis(ms) } else { Duration::from_secs(ms.div_ceil(1_000)) };
    humantime::format_duration(duration).to_string()
}
