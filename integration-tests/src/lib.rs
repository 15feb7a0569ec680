//! Integration tests of the whole ring.

pub mod reference;
