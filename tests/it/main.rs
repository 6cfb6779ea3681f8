//! One binary for everything that needs more than a function.

#[cfg(feature = "emulator")]
mod emulator;
