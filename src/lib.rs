#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;

pub mod decide;

pub mod words;

pub mod ado;
pub mod agents;
pub mod doorbell;
pub mod runtime;
pub mod settings;
pub mod store;
pub mod worker;

pub mod shell;

pub mod cli;

#[cfg(feature = "emulator")]
pub mod emulator;

pub mod exit;
pub mod telemetry;
