//! The executor over the in-process bus, a state file, and a third party that counts.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails there")]

mod down;
mod kit;
mod slots;
mod soon_back;
mod unasked;
