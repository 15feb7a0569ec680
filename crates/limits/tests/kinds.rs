//! The guide's picture of limits.

#[path = "../examples/kinds/draw.rs"]
mod draw;

#[test]
fn plots_are_what_the_limiter_grants() {
    let published = include_str!("../../../docs/images/limit-kinds.svg");
    assert!(published == draw::draw(), "run: cargo run -p tidegate-limits --example kinds");
}
