//! The functions that decide, as one library of Redis.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

const SOURCE: &str = concat!(
    include_str!("lua/head.lua"),
    include_str!("lua/in_flight.lua"),
    include_str!("lua/block.lua"),
    include_str!("lua/concurrency.lua"),
    include_str!("lua/slots.lua"),
    include_str!("lua/bucket.lua"),
    include_str!("lua/window.lua"),
    include_str!("lua/sliding.lua"),
    include_str!("lua/learn.lua"),
    include_str!("lua/breaker.lua"),
    include_str!("lua/line.lua"),
    include_str!("lua/budget.lua"),
    include_str!("lua/overrides.lua"),
    include_str!("lua/choice.lua"),
    include_str!("lua/away.lua"),
    include_str!("lua/life.lua"),
    include_str!("lua/blame.lua"),
    include_str!("lua/limiter.lua"),
);

/// A library, with the names of its functions. Names carry a digest of the source: while one release replaces another,
/// each calls its own.
pub(super) struct Library {
    pub(super) source: String,
    pub(super) ask: String,
    pub(super) report: String,
    pub(super) restore: String,
    pub(super) charge: String,
    pub(super) look: String,
    pub(super) usage: String,
    pub(super) forget: String,
    pub(super) impose: String,
}

/// This release's library.
pub(super) static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let name = format!("tidegate_limits_{:016x}", xxh3_64(SOURCE.as_bytes()));
    let function = |function: &str| format!("{name}_{function}");
    Library {
        source: SOURCE.replace("NAME", &name),
        ask: function("ask"),
        report: function("report"),
        restore: function("restore"),
        charge: function("charge"),
        look: function("look"),
        usage: function("usage"),
        forget: function("forget"),
        impose: function("override"),
    }
});
