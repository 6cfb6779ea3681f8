//! The single integration binary.

mod doorbell;
mod manifests;
mod runtime;
mod settings;
mod store;
mod tidy;
mod worker;
