//! Stories: the real code of the binaries, the pretend Azure DevOps over real HTTP, real git, real processes.

mod crashes;
mod faults;
mod memory;
mod road;
mod twins;
