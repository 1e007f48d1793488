//! Folders become components, the same ones every time, or errors that say what to mend.

mod build;
mod bundling;
mod caching;
mod common;
mod reproducible;
mod tools;
mod types;
