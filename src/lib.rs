#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;
pub mod runtime;
pub mod settings;
pub mod store;
