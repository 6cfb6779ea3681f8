//! `roundsman-poller`: claims labelled work items once and starts their runs.

use roundsman::cli::program::{Surroundings, poller};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    poller(env::args().collect(), &Surroundings::read())
}
