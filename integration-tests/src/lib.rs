//! Integration tests of the whole ring.
