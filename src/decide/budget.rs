//! May another turn be paid for? Asked before every decision that starts one, and for each limit by itself.
//!
//! Attempts are counted per run, and begin anew when a trusted person lets it go on. Money, tokens and time are counted per
//! work item, earlier runs included, and never begin anew: whoever wants more of them raises the limit. Money is counted a
//! second time since checks last passed or a person last looked, because paying again and again for nothing is the worst
//! that an agent can do. A price that nobody knows is an error, not zero: it stops the run and the poller.
//!
//! Knows runs and limits; not where the runs are remembered.

use super::{
    breaker::{Down, Outage},
    deadline::later,
    reason::{EscalateReason, RefuseReason, WaitReason},
};
use crate::domain::{Budget, Policy, Run, Stage, TurnEnd, TurnRecord, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Time in which agents worked on the item.
    Time {
        /// So long.
        used: Duration,
        /// Of so long.
        allowed: Duration,
    },
    /// Tokens of the item.
    Tokens {
        /// So many.
        used: u64,
        /// Of so many.
        allowed: u64,
    },
    /// Money of the item, in micro US dollars.
    Cost {
        /// So much.
        used: u64,
        /// Of so much.
        allowed: u64,
    },
    /// Money since anything was accepted, in micro US dollars.
    Unaccepted {
        /// So much.
        used: u64,
        /// Of so much.
        allowed: u64,
    },
    /// Pushes to one pull request.
    Pushes {
        /// So many were made.
        used: u32,
    },
    /// Tokens were used and nobody knows what they cost.
    UnknownPrice,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { used, allowed } => write!(
                f,
                "agents have worked on this work item for {}, of {} allowed",
                minutes(*used),
                minutes(*allowed)
            ),
            Self::Tokens { used, allowed } => {
                write!(f, "this work item has used {used} tokens, of {allowed} allowed")
            }
            Self::Cost { used, allowed } => {
                write!(f, "this work item has cost {}, of {} allowed", dollars(*used), dollars(*allowed))
            }
            Self::Unaccepted { used, allowed } => write!(
                f,
                "{} were spent without a change that passes its checks, of {} allowed",
                dollars(*used),
                dollars(*allowed)
            ),
            Self::Pushes { used } => write!(f, "{used} pushes were made, which is as many as are allowed"),
            Self::UnknownPrice => write!(
                f,
                "money is limited, and nobody knows what the tokens of this run cost: the operator sets \
                 ROUNDSMAN_AGENT_PRICE_INPUT and ROUNDSMAN_AGENT_PRICE_OUTPUT, or every limit in dollars to `none`"
            ),
        }
    }
}

/// As people write it, rounded to a cent.
pub fn dollars(micro: u64) -> String {
    /// Micro dollars in a cent.
    const CENT: u64 = 10_000;
    let cents = micro.saturating_add(CENT / 2) / CENT;
    format!("{}.{:02} USD", cents / 100, cents % 100)
}

/// As people say it, rounded down to a minute.
pub fn minutes(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    if minutes < 60 { format!("{minutes} min") } else { format!("{} h {} min", minutes / 60, minutes % 60) }
}

/// What all runs together come to; the same for every run of one invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetFacts {
    /// Tokens of today's turns that are paid in full.
    pub day_tokens: u64,
    /// Micro US dollars of today's turns, as far as they are known.
    pub day_cost: u64,
    /// Whether one of today's turns used tokens whose price nobody knows.
    pub has_unknown_price: bool,
    /// When this day is over; none when nothing was looked at.
    pub day_ends: Option<Timestamp>,
    /// What does not answer any run, if that is so.
    pub outage: Option<Outage>,
    /// Whose pipelines are down, by the id of the repository.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<String, Outage>,
}

impl FleetFacts {
    /// Of these runs, in flight and lately closed ones; each once.
    pub fn of(runs: &[Run], policy: &Policy, now: Timestamp) -> Self {
        let begins = start_of_day(now);
        let today = runs.iter().flat_map(|run| &run.turns).filter(|turn| turn.at >= begins);
        let mut facts = Self {
            day_ends: Some(later(begins, DAY)),
            outage: super::breaker::outage(runs, now),
            pipelines: super::breaker::pipelines(runs, now),
            ..Self::default()
        };
        for turn in today {
            facts.day_tokens = facts.day_tokens.saturating_add(turn.usage.fresh_tokens());
            match policy.budget.cost(&turn.usage) {
                Some(cost) => facts.day_cost = facts.day_cost.saturating_add(cost),
                None => facts.has_unknown_price = true,
            }
        }
        facts
    }

    /// Until when the day's limits hold everything, if they do.
    fn day_is_spent(&self, budget: &Budget, now: Timestamp) -> Option<Timestamp> {
        let ends = self.day_ends.filter(|ends| *ends > now)?;
        let tokens = budget.day_tokens.is_some_and(|allowed| self.day_tokens >= allowed);
        let cost = budget.day_cost.is_some_and(|allowed| self.day_cost >= allowed);
        (tokens || cost).then_some(ends)
    }

    /// Why the poller may claim nothing, if it may not.
    pub fn refusal(&self, policy: &Policy, in_flight: bool, now: Timestamp) -> Option<RefuseReason> {
        // Somebody has to find out whether it is over: a run in flight, else the next claim.
        if let Some(outage) = self.outage.as_ref().filter(|outage| in_flight || outage.until > now) {
            return Some(RefuseReason::Outage { what: outage.what, until: outage.until });
        }
        if let Some(until) = self.day_is_spent(&policy.budget, now) {
            return Some(RefuseReason::DaySpent { until });
        }
        (self.has_unknown_price && policy.budget.caps_money()).then_some(RefuseReason::UnknownPrice)
    }
}

const DAY: Duration = Duration::from_hours(24);

/// Days are UTC days: everywhere the same.
pub fn start_of_day(now: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY.as_secs()).unwrap_or(i64::MAX);
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(day)).unwrap_or(now)
}

/// Why no turn may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Later it may.
    Wait(WaitReason),
    /// A person has to say more.
    Ask(EscalateReason),
}

/// Whether another turn of `run` may start. `pays` is whether it calls an agent: publishing again what was done is free.
pub fn halt(run: &Run, fleet: &FleetFacts, policy: &Policy, pays: bool, now: Timestamp) -> Option<Halt> {
    let limits = &policy.budget;
    let ask = |limit| Some(Halt::Ask(EscalateReason::BudgetExceeded(limit)));
    // What a provider did not answer is limited in time; a run that people let go on begins to count anew.
    let turns = run.counted().filter(|turn| !turn.is_unanswered()).count();
    if turns >= usize::from(policy.max_turns) {
        return Some(Halt::Ask(EscalateReason::TooManyTurns));
    }
    let pushes = run.turns.iter().filter(|turn| matches!(turn.end, Some(TurnEnd::Pushed { .. }))).count();
    let pushes = u32::try_from(pushes).unwrap_or(u32::MAX);
    if pushes >= limits.pushes {
        return ask(Limit::Pushes { used: pushes });
    }
    if !pays {
        return None;
    }
    let spent = Spent::of(run, policy);
    match (spent.cost, spent.unaccepted) {
        (Some(used), Some(unaccepted)) => {
            if let Some(allowed) = limits.item_cost.filter(|allowed| used >= *allowed) {
                return ask(Limit::Cost { used, allowed });
            }
            if let Some(allowed) = limits.unaccepted_cost.filter(|allowed| unaccepted >= *allowed) {
                return ask(Limit::Unaccepted { used: unaccepted, allowed });
            }
        }
        (None, _) | (_, None) if limits.caps_money() => return ask(Limit::UnknownPrice),
        (None, _) | (_, None) => {}
    }
    if let Some(allowed) = limits.item_tokens.filter(|allowed| spent.tokens >= *allowed) {
        return ask(Limit::Tokens { used: spent.tokens, allowed });
    }
    if let Some(allowed) = limits.item_time.filter(|allowed| spent.time >= *allowed) {
        return ask(Limit::Time { used: spent.time, allowed });
    }
    if let Some(until) = fleet.day_is_spent(limits, now) {
        return Some(Halt::Wait(WaitReason::DaySpent { until }));
    }
    let mut outages = fleet.outage.iter().chain(fleet.pipelines.get(&run.repository.id));
    let outage = outages.find(|outage| !outage.lets(run.id, now))?;
    Some(Halt::Wait(WaitReason::Outage { what: outage.what, until: outage.until }))
}

/// What a run and the earlier runs of its item used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Time of agents.
    pub time: Duration,
    /// Tokens that are paid in full.
    pub tokens: u64,
    /// Micro US dollars; none when nobody knows the price of a part.
    pub cost: Option<u64>,
    /// Micro US dollars since anything was accepted; none as above.
    pub unaccepted: Option<u64>,
}

impl Spent {
    /// Until now; a turn that is under way counts when its agent has ended.
    pub fn of(run: &Run, policy: &Policy) -> Self {
        let budget = &policy.budget;
        let resumed = run.resumed.as_ref().map(|resumed| resumed.after);
        let accepted = run.accepted.max(resumed);
        let sum = |counts: &dyn Fn(&TurnRecord) -> bool| {
            let mut turns = run.turns.iter().filter(|turn| counts(turn));
            turns.try_fold(0u64, |sum, turn| Some(sum.saturating_add(budget.cost(&turn.usage)?)))
        };
        let own = run.usage();
        let before = budget.cost(&run.before);
        let time = run.turns.iter().map(|turn| time(turn, policy)).sum::<Duration>();
        Self {
            time: time.saturating_add(Duration::from_secs(run.before.seconds)),
            tokens: own.fresh_tokens().saturating_add(run.before.fresh_tokens()),
            cost: sum(&|_| true).and_then(|own| before.map(|before| own.saturating_add(before))),
            unaccepted: sum(&|turn| accepted.is_none_or(|accepted| turn.number > accepted)),
        }
    }
}

/// How long the agent of a turn worked: as the worker measured it; of one that never told, as long as it can have been.
/// What the executor lost, and what was only published, costs nobody's time.
fn time(turn: &TurnRecord, policy: &Policy) -> Duration {
    let measured = Duration::from_secs(turn.usage.seconds);
    if !measured.is_zero()
        || turn.usage.calls > 0
        || turn.work_of.is_some()
        || turn.end == Some(TurnEnd::Lost)
    {
        return measured;
    }
    let lasted = turn.ended_at.map_or(0, |end| end.as_second().saturating_sub(turn.at.as_second()));
    Duration::from_secs(u64::try_from(lasted).unwrap_or(0)).min(policy.turn_limit)
}

/// What a turn of the run may use at most, so that a limit is not passed within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Time; none is without limit.
    pub time: Option<Duration>,
    /// Tokens that are paid in full; none is without limit.
    pub tokens: Option<u64>,
    /// Micro US dollars; none is without limit.
    pub cost: Option<u64>,
}

impl Left {
    /// Of `run` now.
    pub fn of(run: &Run, policy: &Policy) -> Self {
        let (spent, limits) = (Spent::of(run, policy), &policy.budget);
        let left = |allowed: Option<u64>, used: Option<u64>| Some(allowed?.saturating_sub(used?));
        let cost = left(limits.item_cost, spent.cost);
        let unaccepted = left(limits.unaccepted_cost, spent.unaccepted);
        Self {
            time: limits.item_time.map(|allowed| allowed.saturating_sub(spent.time)),
            tokens: left(limits.item_tokens, Some(spent.tokens)),
            cost: [cost, unaccepted].into_iter().flatten().min(),
        }
    }
}

/// What earlier runs of a work item used up, for a new run of it: each run's own, and the oldest one's inheritance.
pub fn before<'a>(earlier: impl IntoIterator<Item = &'a Run>) -> Usage {
    let mut runs: Vec<&Run> = earlier.into_iter().collect();
    runs.sort_by_key(|run| run.id);
    runs.dedup_by_key(|run| run.id);
    // The newest that knows what was before it tells the rest; those after it are added.
    let known = runs.iter().rposition(|run| !run.before.is_nothing()).unwrap_or(0);
    let inherited = runs.get(known).map(|run| run.before).unwrap_or_default();
    runs.iter().skip(known).fold(inherited, |sum, run| sum + run.usage())
}

/// Whether a run takes part in what is under way.
pub fn is_under_way(run: &Run) -> bool {
    match run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => true,
        Stage::Escalated { .. } | Stage::Closed { .. } => false,
    }
}

impl Down {
    /// As it stands in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provider => "the model provider",
            Self::Executor => "the executor",
            Self::Pipelines => "the build infrastructure of this repository",
        }
    }
}

#[cfg(test)]
mod tests;
