//! The command line against a gateway: `tidegate serve --embedded`, which needs no other server.

mod fixture;
mod jobs;
mod kills;
mod stored;
mod trouble;
