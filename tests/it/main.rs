//! The single integration binary.

#[cfg(feature = "emulator")]
mod cli;
mod client;
mod doorbell;
#[cfg(feature = "emulator")]
mod emulator;
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
