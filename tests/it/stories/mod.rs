//! Stories: the real code of the binaries, the pretend Azure DevOps over real HTTP, real git, real processes.

mod agents;
mod bad_input;
mod bells;
mod budgets;
mod catalogue;
mod checks;
mod cost;
mod crashes;
mod faults;
mod git;
mod handover;
mod intake;
mod intake_choices;
mod memory;
mod operations;
mod people;
mod people_speak;
mod progress;
mod reviewers;
mod road;
mod rules;
mod second;
mod session;
mod takeover;
mod tricks;
mod twins;
