//! `roundsman-worker`: one step of one turn. The entry point of the worker image; everything is in `roundsman::worker`.

fn main() -> std::process::ExitCode {
    roundsman::worker::main(std::env::args().skip(1))
}
