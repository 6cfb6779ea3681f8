#![doc = include_str!("ARCHITECTURE.md")]

pub mod agents;
pub mod domain;
pub mod runtime;
pub mod store;
pub mod worker;
