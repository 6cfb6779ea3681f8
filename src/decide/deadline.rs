//! The deadlines: a closed list, so that no wait is for ever (promise *live*). Facts are looked at before clocks.

use crate::domain::{Policy, Run, Stage};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A named limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// A step must end.
    Step,
    /// A step that was told to end must have ended.
    Stubborn,
    /// A lost or failed turn may be started again.
    BackOff,
    /// Something unreadable must become readable.
    Gap,
    /// What could not be performed must become possible.
    Stuck,
    /// Checks must appear after a push.
    Checks,
    /// A verdict must come once checks are pending.
    Verdict,
    /// Red must turn green.
    Red,
    /// Reviewers are reminded.
    Reminder,
    /// Somebody must have reviewed.
    Review,
}

impl Deadline {
    /// When it is due for `run`; none when its clock is not running.
    pub fn due_at(self, run: &Run, policy: &Policy) -> Option<Timestamp> {
        let (since, limit) = match self {
            Self::Step => (working_since(run)?, policy.turn_limit + STEP_MARGIN),
            Self::Stubborn => (working_since(run)?, policy.turn_limit + STEP_MARGIN + STUBBORN_MARGIN),
            Self::BackOff => (working_since(run)?, back_off(run.lost())),
            Self::Gap => (run.doubts.gap_since?, policy.gap_limit),
            Self::Stuck => {
                let stuck = run.doubts.stuck.as_ref()?;
                (
                    stuck.since,
                    if stuck.may_heal { policy.gap_limit } else { STUCK_LIMIT.min(policy.gap_limit) },
                )
            }
            Self::Checks => (run.pushed.as_ref()?.at, policy.checks_grace),
            Self::Verdict => (run.doubts.pending_since?, policy.verdict_limit),
            Self::Red => (run.red_since?, policy.fix_forward_window),
            Self::Reminder => (review_since(run)?, policy.remind_after),
            Self::Review => (review_since(run)?, policy.review_limit),
        };
        Some(later(since, limit))
    }

    /// Whether it is over at `now`.
    pub fn is_over(self, run: &Run, policy: &Policy, now: Timestamp) -> bool {
        self.due_at(run, policy).is_some_and(|due| due <= now)
    }
}

/// The worker ends a step by itself at the turn limit; this much later it is beyond itself and is stopped from outside.
const STEP_MARGIN: Duration = Duration::from_mins(5);
/// What fails for a reason of its own (an unreadable text, an unknown agent, a refused request) fails again: a few ticks
/// rule out a slip of the service, more would only be a loop.
const STUCK_LIMIT: Duration = Duration::from_mins(15);
/// A worker that outlives its end this long, although each tick stops it, is a person's to look at.
const STUBBORN_MARGIN: Duration = Duration::from_mins(15);
/// First pause before a lost turn is started again: one cron period, so that a restarting daemon is back.
const BACK_OFF_FIRST: Duration = Duration::from_mins(1);
/// Longest such pause: a person who watches should not wonder whether anything still happens.
const BACK_OFF_MOST: Duration = Duration::from_mins(30);

/// One minute, doubled for each turn lost so far, at most half an hour.
fn back_off(lost: u32) -> Duration {
    BACK_OFF_FIRST.saturating_mul(2u32.saturating_pow(lost.min(10))).min(BACK_OFF_MOST)
}

fn working_since(run: &Run) -> Option<Timestamp> {
    match &run.stage {
        Stage::Working { since, .. } => Some(*since),
        Stage::Claimed
        | Stage::Pushed { .. }
        | Stage::InReview { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { .. } => None,
    }
}

fn review_since(run: &Run) -> Option<Timestamp> {
    match &run.stage {
        Stage::InReview { since } => Some(*since),
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { .. } => None,
    }
}

/// When a worker is overdue that no due step accounts for: it has as long as any step, from its own start.
pub(super) fn stray_due_at(since: Timestamp, policy: &Policy) -> Timestamp {
    later(since, policy.turn_limit + STEP_MARGIN)
}

/// When such a worker, stopped in each tick, has outlived that too.
pub(super) fn stray_stubborn_at(since: Timestamp, policy: &Policy) -> Timestamp {
    later(since, policy.turn_limit + STEP_MARGIN + STUBBORN_MARGIN)
}

/// `at + by`, at the end of time at the latest.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// `at - by`, at the beginning of time at the earliest.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_and_stays_bounded() {
        let minutes: Vec<u64> = (0..8).map(|lost| back_off(lost).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(back_off(u32::MAX), BACK_OFF_MOST);
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        assert_eq!(later(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    }
}
