//! The single integration binary.

mod manifests;
mod runtime;
mod tidy;
mod worker;
