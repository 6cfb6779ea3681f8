//! The single integration binary.

mod client;
