//! The single integration binary.

mod manifests;
mod tidy;
