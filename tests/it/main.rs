//! The single integration binary.

mod client;
mod doorbell;
#[cfg(feature = "emulator")]
mod emulator;
mod manifests;
mod runtime;
mod settings;
mod store;
mod tidy;
mod worker;
