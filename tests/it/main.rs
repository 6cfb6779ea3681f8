//! The single integration binary.

mod client;
mod doorbell;
mod manifests;
mod runtime;
mod settings;
mod store;
mod tidy;
mod worker;
