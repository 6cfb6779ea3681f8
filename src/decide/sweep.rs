//! The exhaustive sweep.
