//! What a user may get wrong, what a third party may do, and what this machine may lack: what is said then, how the
//! program ends, and what is kept.

mod answers;
mod files;
mod lies;
pub(crate) mod mount;
mod outputs;
mod states;
mod targets;
