//! The contract of runtimes in real containers, and what only an engine can do to us. Without an engine every test says
//! that it was skipped.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

pub(crate) mod bench;
mod cage;
mod engine;
mod escapes;
pub(crate) mod faulty;
mod mishaps;
mod own_engine;
mod sandbox;
mod stage;
mod stories;

crate::runtime::suite::contract!(bench::bench);
