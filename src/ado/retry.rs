//! How long to wait before a read is tried again. The only user of the crate `backoff` (RUSTSEC-2025-0012: no longer
//! maintained): only its arithmetic is used, so replacing it means replacing this file.

use backoff::{ExponentialBackoff, backoff::Backoff};
use std::time::{Duration, Instant};

/// The first pause: an instance that restarts, or a connection that was reset, is back within half a second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// No pause is longer than this unless the service asks for it: the whole budget is only a few times as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Doubling: few tries in an outage, quick ones in a hiccup.
const GROWTH: f64 = 2.0;
/// Half up or down, so that eight parallel reads do not come back in step.
const JITTER: f64 = 0.5;

/// The pauses of one call, within a total time.
pub(super) struct Retries {
    schedule: ExponentialBackoff,
    started: Instant,
    budget: Duration,
}

impl Retries {
    /// Starts the time of `budget`.
    pub(super) fn within(budget: Duration) -> Self {
        let started = Instant::now();
        let schedule = ExponentialBackoff {
            current_interval: FIRST_PAUSE,
            initial_interval: FIRST_PAUSE,
            randomization_factor: JITTER,
            multiplier: GROWTH,
            max_interval: LONGEST_PAUSE,
            max_elapsed_time: Some(budget),
            start_time: started,
            ..ExponentialBackoff::default()
        };
        Self { schedule, started, budget }
    }

    /// The next pause, at least `asked`; none when it would end after the budget.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let own = self.schedule.next_backoff()?;
        let pause = asked.map_or(own, |asked| own.max(asked));
        (self.started.elapsed() + pause <= self.budget).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_the_budget() {
        let mut retries = Retries::within(Duration::from_secs(20));
        let first = retries.next(None).expect("there is time");
        assert!(first >= Duration::from_millis(250) && first <= Duration::from_millis(751), "{first:?}");
        assert_eq!(Retries::within(Duration::ZERO).next(None), None);
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_or_refused_but_never_shortened() {
        let asked = Duration::from_secs(10);
        assert_eq!(Retries::within(Duration::from_secs(20)).next(Some(asked)), Some(asked));
        assert_eq!(Retries::within(Duration::from_secs(5)).next(Some(asked)), None);
    }
}
