//! The single integration binary.

mod doorbell;
mod settings;
mod store;
