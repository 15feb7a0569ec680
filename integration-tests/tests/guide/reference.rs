//! The reference.

use tidegate_integration_tests::reference::{pages, root};

#[test]
fn the_published_reference_is_that_of_this_build() {
    for page in pages(&crate::bin().join("tidegate")).unwrap() {
        let published = std::fs::read_to_string(root().join(page.path)).unwrap_or_default();
        assert!(
            published == page.text,
            "{} is not of this build; run: cargo run -p tidegate-integration-tests --example reference",
            page.path,
        );
    }
}
