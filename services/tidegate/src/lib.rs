//! The whole ring in one process, over one state file: what `tidegate run` is made of, for whoever wants it as a library.

pub mod embedded;
mod limits_file;
