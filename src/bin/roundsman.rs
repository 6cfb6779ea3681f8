//! `roundsman`: the operator's program.

use roundsman::cli::{self, program::Surroundings};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    cli::main(env::args().collect(), &Surroundings::read())
}
