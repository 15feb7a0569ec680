//! The command line against a gateway: `tidegate serve --embedded`, which needs no other server.

pub(crate) mod fixture;
mod jobs;
mod kills;
mod stored;
mod trouble;
