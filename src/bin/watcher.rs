//! `roundsman-watcher`: visits every run in flight once.

use roundsman::cli::program::{Surroundings, watcher};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    watcher(env::args().collect(), &Surroundings::read())
}
