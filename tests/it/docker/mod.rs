//! Steps in real containers. Without an engine each test says so and returns.

mod cage;
mod escapes;
