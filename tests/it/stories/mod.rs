//! Stories: the real code of the binaries, the pretend Azure DevOps over real HTTP, real git, real processes.

mod agents;
mod bad_input;
mod cost;
mod crashes;
mod faults;
mod memory;
mod people;
mod road;
mod takeover;
mod tricks;
mod twins;
