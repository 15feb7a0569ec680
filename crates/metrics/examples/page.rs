//! Writes the page of all metrics to `docs/metrics.md`.

fn main() -> std::io::Result<()> {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md"), tidegate_metrics::page())
}
