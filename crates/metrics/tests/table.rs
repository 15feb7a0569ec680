//! The table of metrics, and the page made of it.

use std::collections::HashSet;

use tidegate_metrics::{ALL, Kind, page};

#[test]
fn the_published_page_is_that_of_this_build() {
    let published = include_str!("../../../docs/metrics.md");
    assert!(published == page(), "run: cargo run -p tidegate-metrics --example page");
}

#[test]
fn names_are_told_once_in_order_and_have_units() {
    let names: HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(ALL.is_sorted_by_key(|metric| metric.service), "by service");
    for metric in ALL {
        let counted = |unit: &str| unit.starts_with('{') && unit.ends_with('}');
        let counted = counted(metric.unit.strip_suffix("/h").unwrap_or(metric.unit));
        assert!(counted || ["s", "1"].contains(&metric.unit), "{}: {}", metric.name, metric.unit);
        assert!(metric.name.starts_with("tidegate.") || metric.name.starts_with("http.server."), "{}", metric.name);
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted() && !bounds.is_empty(), "{}", metric.name);
        }
    }
}

#[test]
fn no_label_has_as_many_values_as_there_are_jobs_or_people() {
    for metric in ALL {
        for label in metric.labels {
            let many = ["job", "tenant", "credential", "key", "url", "address", "id"];
            assert!(!many.contains(label), "{} has the label {label}", metric.name);
        }
    }
}
