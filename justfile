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

# The published JSON Schemas and the OpenAPI document, written anew.
schemas:
    cargo run -p tidegate-provider --example schemas
    cargo run -p tidegate-gateway --example openapi

# The reference of the guide, written anew.
reference:
    cargo build -p tidegate
    cargo run -p tidegate-integration-tests --example reference

# The guide as a book, in target/book; needs mdbook 0.5.
book:
    mdbook build docs

# What the compiler checks statements for Postgres against, written anew from a database with the migrations applied.
sqlx server="postgres://postgres@127.0.0.1:5432":
    crates/ledger/sqlx-prepare {{ server }}

# The cluster of docker-compose.yml, brought up for real with stand-in images. Needs root and Debian; takes minutes.
compose:
    cargo build --release --locked -p tidegate
    integration-tests/compose/run
