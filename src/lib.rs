#![doc = include_str!("ARCHITECTURE.md")]

pub mod ado;
pub mod decide;
pub mod domain;
pub mod runtime;
pub mod settings;
pub mod store;
pub mod words;
