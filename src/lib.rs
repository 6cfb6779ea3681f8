//! roundsman.
