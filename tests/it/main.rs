//! The single integration binary.

mod settings;
mod store;
