//! Draws `docs/images/limit-kinds.svg`: what the kinds of limits let through.

mod draw;

fn main() -> std::io::Result<()> {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/images/limit-kinds.svg"), draw::draw())
}
