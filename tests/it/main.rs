//! The single integration binary.

mod runtime;
mod worker;
