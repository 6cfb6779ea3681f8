#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;
pub mod doorbell;
pub mod exit;
pub mod runtime;
pub mod settings;
pub mod store;
pub mod telemetry;
