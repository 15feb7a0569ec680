//! Has cargo build anew when a migration is added; the macros that embed them see only changes of those they know.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/sqlite");
    println!("cargo:rerun-if-changed=../../migrations/postgres");
}
