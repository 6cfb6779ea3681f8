//! The circuit breaker: when the model provider or the executor fails run after run, nobody else has to find out.
//!
//! Derived each time from remembered turns; nothing is stored. It opens when the newest turns that ended, of two runs at
//! least, all failed for the same reason of somebody else; it lets one run try after a pause that doubles with each try
//! that fails; and whatever works again closes it. Knows nothing about providers but that they did not answer.

use super::{
    budget::{is_under_way, start_of_day},
    deadline::{earlier, later},
};
use crate::domain::{AgentFailure, Run, RunId, Stage, TurnEnd, TurnRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// The model provider.
    Provider,
    /// Containers, volumes, network, git's server: whatever a step needs.
    Executor,
}

/// Something is down for all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// What.
    pub what: Down,
    /// Nobody tries before.
    pub until: Timestamp,
    /// Who is trying it out just now.
    pub trying: Option<RunId>,
    /// In this order runs may try: those that wait for it first, then those that lost least.
    pub order: Vec<RunId>,
}

/// So many failures in a row open it: one is bad luck, two may be.
const OPENS_AFTER: usize = 3;
/// First pause: shorter outages are over by then, and a person hardly notices.
const FIRST_PAUSE: Duration = Duration::from_mins(10);
/// Longest pause: an outage that ended is noticed within this.
const LONGEST_PAUSE: Duration = Duration::from_hours(2);
/// Failures that lie further apart have nothing to do with each other; longer than the longest pause, so that tries of one
/// outage belong together.
const APART: Duration = Duration::from_hours(3);
/// Whoever may try and does not (held by a person, nothing to do) keeps the next one waiting no longer than this; longer
/// than any sensible schedule's period, so that one visit does not find two of them allowed.
const TURN_TO_TRY: Duration = Duration::from_mins(20);

/// From when on turns count at all: those of today, and those that may belong to an outage which began before. A little
/// longer than the pauses of one that opened and was tried out; what runs in flight tell further back counts too.
pub fn looks_back_to(now: Timestamp) -> Timestamp {
    earlier(now, APART * 2).min(start_of_day(now))
}

impl Outage {
    /// Whether `run` may start a turn nevertheless, to see whether it is over.
    pub fn lets(&self, run: RunId, now: Timestamp) -> bool {
        let waited = now.as_second().saturating_sub(self.until.as_second());
        if waited < 0 {
            return false;
        }
        match self.trying {
            Some(trying) => trying == run,
            None => {
                let slot = i64::try_from(TURN_TO_TRY.as_secs()).unwrap_or(i64::MAX);
                let place = self.order.iter().position(|other| *other == run);
                place.is_none_or(|place| i64::try_from(place).is_ok_and(|place| place <= waited / slot))
            }
        }
    }
}

/// A turn that ended, or whose agent did.
struct Ended<'a> {
    run: RunId,
    at: Timestamp,
    turn: &'a TurnRecord,
    down: Option<Down>,
}

/// What of the turns of `runs` shows that something is down for all of them.
pub fn outage(runs: &[Run], now: Timestamp) -> Option<Outage> {
    let mut ended: Vec<Ended<'_>> = runs
        .iter()
        .flat_map(|run| run.turns.iter().map(move |turn| (run.id, turn)))
        .filter_map(|(run, turn)| Some(Ended { run, at: turn.ended_at?, turn, down: down(turn) }))
        .collect();
    ended.sort_by_key(|ended| (ended.at, ended.run, ended.turn.number));
    let newest = ended.last()?;
    let what = newest.down?;
    let mut streak: Vec<&Ended<'_>> = Vec::new();
    for one in ended.iter().rev().take_while(|one| one.down == Some(what)) {
        if streak.last().is_some_and(|next| later(one.at, APART) < next.at) {
            break;
        }
        streak.push(one);
    }
    streak.reverse();
    let under_way: Vec<&Run> = runs.iter().filter(|run| is_under_way(run)).collect();
    let concerned: BTreeSet<RunId> = streak.iter().map(|one| one.run).collect();
    let is_common = concerned.len() > 1 || under_way.len() <= 1;
    if streak.len() < OPENS_AFTER || !is_common || later(newest.at, APART) <= now {
        return None;
    }
    // Those that were under way when it opened are no tries.
    let opened = streak[OPENS_AFTER - 1].at;
    let tries = streak.iter().filter(|one| one.turn.at >= opened).count();
    let doubled = 2u32.saturating_pow(u32::try_from(tries).unwrap_or(u32::MAX).min(10));
    let until = later(newest.at, FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE));
    let trying = under_way.iter().find(|run| {
        run.turns.last().is_some_and(|turn| turn.at >= until && turn.ended_at.is_none() && turn.end.is_none())
    });
    let mut order = under_way.clone();
    order.sort_by_key(|run| (!waits(run), run.lost(), run.id));
    Some(Outage {
        what,
        until,
        trying: trying.map(|run| run.id),
        order: order.into_iter().map(|run| run.id).collect(),
    })
}

/// Whose fault the end of a turn was, where it was somebody's whom all runs need.
fn down(turn: &TurnRecord) -> Option<Down> {
    match turn.fault? {
        AgentFailure::Provider | AgentFailure::Rejected => Some(Down::Provider),
        // One that was published after all shows that everything works.
        AgentFailure::Infrastructure => {
            (!matches!(turn.end, Some(TurnEnd::Pushed { .. }))).then_some(Down::Executor)
        }
        AgentFailure::Agent
        | AgentFailure::Idle
        | AgentFailure::Timeout
        | AgentFailure::TooMuchOutput
        | AgentFailure::Exhausted
        | AgentFailure::LeftConflict
        | AgentFailure::Untidy
        | AgentFailure::Stopped => None,
    }
}

/// Whether a turn is what the run needs next.
fn waits(run: &Run) -> bool {
    match run.stage {
        Stage::Claimed => true,
        Stage::Working { .. } => run.turns.last().is_some_and(|turn| turn.ended_at.is_some()),
        Stage::Pushed { .. } | Stage::InReview { .. } | Stage::Escalated { .. } | Stage::Closed { .. } => {
            false
        }
    }
}

#[cfg(test)]
mod tests;
