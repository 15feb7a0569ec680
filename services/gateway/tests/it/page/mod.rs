//! The web page over HTTP, without a browser.

mod browser;
mod jobs;
mod looks;
mod sessions;
