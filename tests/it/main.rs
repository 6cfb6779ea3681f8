//! The single integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test that fails here has failed; what a story measured is told to whoever runs it"
)]

mod agents;
#[cfg(feature = "emulator")]
mod cli;
mod client;
#[cfg(feature = "emulator")]
mod docker;
mod doorbell;
mod egress;
#[cfg(feature = "emulator")]
mod emulator;
mod environment;
#[cfg(feature = "emulator")]
mod image;
mod manifests;
mod runtime;
mod settings;
mod store;
#[cfg(feature = "emulator")]
mod stories;
mod tidy;
mod worker;
#[cfg(feature = "emulator")]
mod world;
