# The project's recipes; CI runs the same ones.

# What CI runs.
ci: format lint test deny

# Formatting.
format:
    cargo fmt --all --check

# Lints, with warnings as errors.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests; the foreign servers are set up first.
test: foreign
    cargo test --workspace --locked

# The foreign servers that integration tests pull from.
foreign:
    integration-tests/foreign/serve install
    integration-tests/foreign/serve seed

# Advisories, licences, bans, sources.
deny:
    cargo deny --all-features check

# The published JSON Schemas, written anew.
schemas:
    cargo run -p tidegate-provider --example schemas
