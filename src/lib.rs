#![doc = include_str!("ARCHITECTURE.md")]

pub mod ado;
pub mod domain;
pub mod runtime;
pub mod store;
