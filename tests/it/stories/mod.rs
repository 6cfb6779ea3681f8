//! Stories: the real code of the binaries, the pretend Azure DevOps over real HTTP, real git, real processes.

mod agents;
mod bad_input;
mod cost;
mod crashes;
mod faults;
mod intake;
mod intake_choices;
mod memory;
mod operations;
mod people;
mod road;
mod tricks;
mod twins;
