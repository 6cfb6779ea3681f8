//! The single integration binary.

mod settings;
