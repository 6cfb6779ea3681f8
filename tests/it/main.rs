//! One binary for everything that needs more than a function.

mod emulator;
