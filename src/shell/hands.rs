//! An operator's hand on a run: what labels and commands do, done at once. The same decisions, plans and effects as in a
//! tick, under the same turnstile; knows no command line and no words.

pub use super::tick::NOT_DONE;
use super::{App, poll::Failure, report::Line};
pub use crate::decide::Hand;
use crate::domain::Run;

/// Lays a hand on one run. What came before what it was laid for is done, and the line says [`NOT_DONE`].
pub async fn lay_hand(app: &App, run: &Run, hand: Hand) -> Result<Line, Failure> {
    super::tick::lay_hand(app, run, hand).await
}
