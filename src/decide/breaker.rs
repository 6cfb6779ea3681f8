//! The circuit breaker: when the model provider, the executor or a repository's pipelines fail run after run, nobody else has
//! to find out.
//!
//! Derived each time from remembered turns and builds; nothing of its own is stored. It opens when the newest turns that ended, of two runs at
//! least, all failed for the same reason of somebody else; it lets one run try after a pause that doubles with each try
//! that fails; and whatever works again closes it. Knows nothing about providers but that they did not answer.

use super::{budget::is_under_way, deadline::later};
use crate::domain::{AgentFailure, Run, RunId, Stage, TurnEnd, TurnRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// The model provider.
    Provider,
    /// Containers, volumes, network, git's server: whatever a step needs.
    Executor,
    /// What builds the changes of one repository: machines, pipelines, policies.
    Pipelines,
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
/// So many runs in a row whose builds say nothing about the change: each of them was built twice or waited for hours.
const PIPELINES_OPEN_AFTER: usize = 2;
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
    let until = pause(newest.at, tries);
    let trying = under_way.iter().find(|run| {
        run.turns.last().is_some_and(|turn| turn.at >= until && turn.ended_at.is_none() && turn.end.is_none())
    });
    Some(Outage { what, until, trying: trying.map(|run| run.id), order: order(&under_way) })
}

/// Until when nobody tries after a failure at `since`, of so many tries.
fn pause(since: Timestamp, tries: usize) -> Timestamp {
    let doubled = 2u32.saturating_pow(u32::try_from(tries).unwrap_or(u32::MAX).min(10));
    later(since, FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE))
}

/// Who tries first.
fn order(under_way: &[&Run]) -> Vec<RunId> {
    let mut order = under_way.to_vec();
    order.sort_by_key(|run| (!waits(run), run.lost(), run.id));
    order.into_iter().map(|run| run.id).collect()
}

/// What of the builds of `runs` shows that pipelines are down, by the id of the repository that they build.
pub fn pipelines(runs: &[Run], now: Timestamp) -> BTreeMap<String, Outage> {
    let mut by_repository: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_repository.entry(&run.repository.id).or_default().push(run);
    }
    let outages =
        by_repository.into_iter().filter_map(|(id, runs)| Some((id.to_owned(), unbuilt(&runs, now)?)));
    outages.collect()
}

/// The same of one repository.
fn unbuilt(runs: &[&Run], now: Timestamp) -> Option<Outage> {
    let mut built: Vec<(Timestamp, &Run, bool)> = runs
        .iter()
        .filter_map(|run| run.built.as_ref().map(|built| (built.at, *run, built.is_broken)))
        .collect();
    built.sort_by_key(|(at, run, _)| (*at, run.id));
    let mut streak: Vec<(Timestamp, &Run)> = Vec::new();
    for (at, run, _) in built.iter().rev().take_while(|(_, _, is_broken)| *is_broken) {
        if streak.last().is_some_and(|(next, _)| later(*at, APART) < *next) {
            break;
        }
        streak.push((*at, run));
    }
    streak.reverse();
    let (newest, _) = *streak.last()?;
    if streak.len() < PIPELINES_OPEN_AFTER || later(newest, APART) <= now {
        return None;
    }
    let (opened, _) = streak[PIPELINES_OPEN_AFTER - 1];
    let began = |run: &Run| run.turns.last().map(|turn| turn.at);
    let tries = streak.iter().filter(|(_, run)| began(run).is_some_and(|at| at >= opened)).count();
    let until = pause(newest, tries);
    let under_way: Vec<&Run> = runs.iter().copied().filter(|run| is_under_way(run)).collect();
    // Its turn began after the pause, and its builds have not told yet.
    let is_trying = |run: &&&Run| {
        began(run).is_some_and(|at| at >= until && run.built.as_ref().is_none_or(|built| built.at < at))
    };
    let trying = under_way.iter().find(is_trying).map(|run| run.id);
    Some(Outage { what: Down::Pipelines, until, trying, order: order(&under_way) })
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
