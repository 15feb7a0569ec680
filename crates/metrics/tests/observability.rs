//! What is made of metrics in `deploy/observability` and `docs/runbooks`: it names what there is, by the right unit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_metrics::{ALL, Kind, Metric};

/// Labels that any series may have.
const ANY: [&str; 3] = ["le", "job", "instance"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let read = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    assert!(!files.is_empty(), "{} has no {ending} files", folder.display());
    files
}

/// Names of series in Prometheus, each with its metric.
fn series() -> BTreeMap<String, &'static Metric> {
    let names = |metric: &Metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"].map(|part| metric.prometheus() + part).to_vec(),
        _ => vec![metric.prometheus()],
    };
    ALL.iter().flat_map(|metric| names(metric).into_iter().map(move |name| (name, metric))).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).filter(|word| !word.is_empty())
}

/// The metrics that a query, or a text with queries in it, reads.
fn metrics_of(text: &str, found_in: &str) -> Vec<&'static Metric> {
    let series = series();
    let is_ours = |word: &&str| word.starts_with("tidegate_") || word.starts_with("http_server_");
    words(text)
        .filter(is_ours)
        .map(|word| *series.get(word).unwrap_or_else(|| panic!("{found_in}: there is no metric {word}")))
        .collect()
}

/// Labels that a query names: in `by (…)`, and before a comparison within braces.
fn labels_of(query: &str) -> BTreeSet<&str> {
    let lists = ["by (", "on (", "group_left ("].into_iter().flat_map(|before| query.split(before).skip(1));
    let grouped = lists.filter_map(|after| after.split(')').next()).flat_map(|list| list.split(','));
    let braces = query.split('{').skip(1).filter_map(|after| after.split('}').next());
    let compared = braces.flat_map(|inside| inside.split(',')).filter_map(|one| one.split(['=', '!']).next());
    grouped.chain(compared).map(str::trim).filter(|label| !label.is_empty()).collect()
}

fn check_query(query: &str, found_in: &str) -> Vec<&'static Metric> {
    let metrics = metrics_of(query, found_in);
    assert!(!metrics.is_empty(), "{found_in}: {query} reads nothing of ours");
    let known: BTreeSet<String> =
        metrics.iter().flat_map(|metric| metric.labels).map(|label| label.replace('.', "_")).collect();
    for label in labels_of(query) {
        assert!(
            known.contains(label) || ANY.contains(&label),
            "{found_in}: {query} names {label}, which is no label of it"
        );
    }
    metrics
}

/// What Grafana calls the unit of what a query answers.
fn unit_of(query: &str, metrics: &[&Metric]) -> &'static str {
    let of_metric = || match metrics[0].unit {
        "s" => "s",
        "1" => "percentunit",
        _ => "short",
    };
    match () {
        () if query.starts_with("1000 *") => "short",
        () if query.contains("histogram_quantile") => of_metric(),
        () if query.contains(" / ") => "percentunit",
        () if query.contains("rate(") => "short",
        () => of_metric(),
    }
}

#[test]
fn every_panel_reads_metrics_that_there_are_and_says_their_unit_and_every_metric_is_drawn() {
    let mut drawn = BTreeSet::new();
    for file in files("deploy/observability/dashboards", "json") {
        let dashboard: Value = serde_json::from_str(&text(&file)).expect("a dashboard is JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        for panel in panels {
            let found_in = format!("{}: {}", dashboard["title"], panel["title"]);
            for target in panel["targets"].as_array().expect("targets") {
                let query = target["expr"].as_str().expect("a query");
                let metrics = check_query(query, &found_in);
                assert_eq!(panel["fieldConfig"]["defaults"]["unit"], unit_of(query, &metrics), "{found_in}: {query}");
                drawn.extend(metrics.iter().map(|metric| metric.name));
            }
        }
    }
    let missing: Vec<&str> = ALL.iter().map(|metric| metric.name).filter(|name| !drawn.contains(name)).collect();
    assert!(missing.is_empty(), "in no panel: {missing:?}");
}

#[test]
fn dashboards_are_as_their_source_says() {
    let mut check = std::process::Command::new("python3");
    check.arg(root().join("deploy/observability/make-dashboards")).arg("--check");
    let done = check.output().expect("python3 runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn every_alert_reads_metrics_that_there_are_is_tested_and_has_a_runbook_of_its_own() {
    let folder = root().join("deploy/observability");
    let (rules, tests) = (text(&folder.join("alerts.yaml")), text(&folder.join("alerts.test.yaml")));
    metrics_of(&rules, "alerts.yaml");
    metrics_of(&tests, "alerts.test.yaml");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    let mut runbooks = BTreeSet::new();
    for alert in &alerts {
        let name = alert.lines().next().expect("a name");
        // Once where it is quiet, once where it fires.
        assert!(
            tests.matches(&format!("alertname: {name} ")).count()
                + tests.matches(&format!("alertname: {name}\n")).count()
                >= 2,
            "{name}"
        );
        let runbook = alert.split("runbook: ").nth(1).and_then(|after| after.lines().next()).expect("a runbook");
        let page = text(&root().join(runbook));
        assert!(page.contains(name), "{runbook} does not name {name}");
        assert!(runbooks.insert(runbook), "{runbook} is of two alerts");
    }
    assert_eq!(runbooks.len(), files("docs/runbooks", "md").len(), "a runbook without its alert");
}

#[test]
fn runbooks_name_metrics_that_there_are() {
    let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    for file in files("docs/runbooks", "md") {
        let page = text(&file);
        metrics_of(&page, &file.display().to_string());
        let dotted = page.split('`').filter(|code| code.starts_with("tidegate.") && !code.contains(' '));
        for name in dotted {
            assert!(names.contains(name), "{}: there is no metric {name}", file.display());
        }
    }
}
