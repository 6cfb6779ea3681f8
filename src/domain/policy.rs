//! The limits that a decision may use. Every number is a named constant with its unit and its why; settings may
//! replace it within what makes sense.

use super::{Budget, IdentityId, LabelNames};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// What decisions may depend on besides the run and the world. Built once from settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the operator")]
pub struct Policy {
    /// The kill switch.
    pub brake: Brake,
    /// Names of the labels that mean something.
    pub labels: LabelNames,
    /// Whose labels and words count. Empty = nobody.
    pub trusted: BTreeSet<IdentityId>,
    /// Projects whose items are worked on, in lower case. Empty = whatever project an item is in.
    pub projects: BTreeSet<String>,
    /// Repositories that may be worked on, as lower-case `project/repository`. Empty = none.
    pub repositories: BTreeSet<String>,
    /// Runs in flight at most, over all repositories.
    pub max_runs: u32,
    /// Runs in flight at most in one repository.
    pub max_runs_per_repository: u32,
    /// Claims at most in one day.
    pub max_claims_per_day: u32,
    /// Claims at most in one poll.
    pub max_claims_per_poll: u32,
    /// What an item may choose by label. Empty = nothing.
    pub offer: Offer,
    /// Fix-forward turns at most.
    pub fix_forward_attempts: u32,
    /// From the first red verdict, how long we try.
    pub fix_forward_window: Duration,
    /// Respond turns at most.
    pub respond_attempts: u32,
    /// Conflict turns at most.
    pub conflict_attempts: u32,
    /// Turns started again because the cluster lost them, at most. Separate from the agent's attempts.
    pub infrastructure_attempts: u32,
    /// Turns started again because the agent failed, at most.
    pub redispatch_attempts: u32,
    /// All turns of a run at most, whatever their kind.
    pub max_turns: u16,
    /// What may be used up besides.
    pub budget: Budget,
    /// How long a run waits for a model provider that does not answer.
    pub provider_limit: Duration,
    /// A step's wall-clock limit.
    pub turn_limit: Duration,
    /// How long no verdict at all is normal after a push.
    pub verdict_limit: Duration,
    /// How long an empty set of checks may still fill up before it means "no checks".
    pub checks_grace: Duration,
    /// A review is answered when nobody has written for this long, so that it is answered whole.
    pub quiet_period: Duration,
    /// How long something may be unreadable before a person is told.
    pub gap_limit: Duration,
    /// People are reminded once after this long in review.
    pub remind_after: Duration,
    /// People are asked after this long in review.
    pub review_limit: Duration,
    /// How long the executor of a run must have given no sign before another one goes on with it. Zero = never.
    pub takeover_after: Duration,
    /// When a run is done.
    pub close_on: CloseOn,
    /// Whether pull requests are opened as drafts and published by rule.
    pub open_as_draft: bool,
    /// Whether we arm auto-complete when all is good.
    pub auto_complete: bool,
    /// The repository, as lower-case `project/repository`, in which the first green verdict of each run is taken for red.
    pub drill: Option<String>,
    /// Whether an item assigned to a person waits.
    pub pause_when_assigned: bool,
    /// Whether we mark threads that we answered.
    pub resolve_threads: ResolveThreads,
    /// Follow-up work items that a run may propose.
    pub proposals: u32,
    /// Whether a run that asks people hangs its evidence on the work item.
    pub attach_evidence: bool,
}

/// Four at a time keep one small host busy without starving it; ancestors ran 1 to 10.
pub const MAX_RUNS: u32 = 4;
/// One at a time per repository: two agents in one code base mostly produce conflicts for each other.
pub const MAX_RUNS_PER_REPOSITORY: u32 = 1;
/// A query that suddenly matches ten thousand old items must not become ten thousand agents on day one.
pub const MAX_CLAIMS_PER_DAY: u32 = 20;
/// As many as run at a time: a first poll over a full backlog fills the house and no more, whatever the other caps are
/// raised to.
pub const MAX_CLAIMS_PER_POLL: u32 = 4;
/// The ancestors' five: most red builds that an agent can fix are fixed by the second attempt; beyond five the same
/// mistake is made again.
pub const FIX_FORWARD_ATTEMPTS: u32 = 5;
/// Six hours from the first red verdict: the ancestors' one hour was eaten by slow pipelines, a day hides a stuck run.
pub const FIX_FORWARD_WINDOW: Duration = Duration::from_hours(6);
/// Reviews converge or a person should talk to a person; five rounds are already a long review.
pub const RESPOND_ATTEMPTS: u32 = 5;
/// A second conflict after a merge means a busy target branch: one more try, then a person.
pub const CONFLICT_ATTEMPTS: u32 = 2;
/// Three, so that a bad afternoon of the cluster does not end work, and a broken image does not loop.
pub const INFRASTRUCTURE_ATTEMPTS: u32 = 3;
/// The ancestors' one: an agent that failed twice on the same text fails a third time.
pub const REDISPATCH_ATTEMPTS: u32 = 1;
/// Larger than all budgets together (1 + 5 + 5 + 2 + 3 + 1); a net under arithmetic mistakes.
pub const MAX_TURNS: u16 = 20;
/// A day: outages of providers last hours; whatever lasts longer is a contract, a key or a network to look at.
pub const PROVIDER_LIMIT: Duration = Duration::from_hours(24);
/// The ancestors' 45 minutes: long enough for a plan, an implementation and three repairs with slow tests.
pub const TURN_LIMIT: Duration = Duration::from_mins(45);
/// Two hours without any verdict: a queue without agents or a pipeline that never triggers.
pub const VERDICT_LIMIT: Duration = Duration::from_hours(2);
/// Ten minutes: policies and builds of a fresh push appear within seconds, under load within minutes.
pub const CHECKS_GRACE: Duration = Duration::from_mins(10);
/// Three minutes without a new word: comments of one review arrive one by one.
pub const QUIET_PERIOD: Duration = Duration::from_mins(3);
/// Four hours of a run that cannot be read are worth a person's look; shorter outages heal.
pub const GAP_LIMIT: Duration = Duration::from_hours(4);
/// Three days: one reminder, after a weekend at the earliest.
pub const REMIND_AFTER: Duration = Duration::from_hours(72);
/// Fourteen days: nobody is going to look at it unasked.
pub const REVIEW_LIMIT: Duration = Duration::from_hours(336);

/// None: whoever does not expect items of an agent's making finds them a flood. Three are a useful number where people do.
pub const PROPOSALS: u32 = 0;
/// More proposals of one run are nobody's reading.
pub const MOST_PROPOSALS: u32 = 10;

/// Three days: longer than a weekend without power, far longer than any turn with all its retries.
pub const TAKEOVER_AFTER: Duration = Duration::from_hours(72);

impl Default for Policy {
    /// Disarmed: brake on, nobody trusted, no repository allowed.
    fn default() -> Self {
        Self {
            brake: Brake::On,
            labels: LabelNames::default(),
            trusted: BTreeSet::new(),
            projects: BTreeSet::new(),
            repositories: BTreeSet::new(),
            max_runs: MAX_RUNS,
            max_runs_per_repository: MAX_RUNS_PER_REPOSITORY,
            max_claims_per_day: MAX_CLAIMS_PER_DAY,
            max_claims_per_poll: MAX_CLAIMS_PER_POLL,
            offer: Offer::default(),
            fix_forward_attempts: FIX_FORWARD_ATTEMPTS,
            fix_forward_window: FIX_FORWARD_WINDOW,
            respond_attempts: RESPOND_ATTEMPTS,
            conflict_attempts: CONFLICT_ATTEMPTS,
            infrastructure_attempts: INFRASTRUCTURE_ATTEMPTS,
            redispatch_attempts: REDISPATCH_ATTEMPTS,
            max_turns: MAX_TURNS,
            budget: Budget::default(),
            provider_limit: PROVIDER_LIMIT,
            turn_limit: TURN_LIMIT,
            verdict_limit: VERDICT_LIMIT,
            checks_grace: CHECKS_GRACE,
            quiet_period: QUIET_PERIOD,
            gap_limit: GAP_LIMIT,
            remind_after: REMIND_AFTER,
            review_limit: REVIEW_LIMIT,
            takeover_after: TAKEOVER_AFTER,
            close_on: CloseOn::Merged,
            open_as_draft: false,
            auto_complete: false,
            drill: None,
            pause_when_assigned: false,
            resolve_threads: ResolveThreads::No,
            proposals: PROPOSALS,
            attach_evidence: false,
        }
    }
}

impl Policy {
    /// Whether items of `project` are worked on.
    pub fn works_in(&self, project: &str) -> bool {
        self.projects.is_empty() || self.projects.contains(&project.to_lowercase())
    }

    /// Whether `repository` (`project/name`) may be worked on.
    pub fn allows(&self, repository: &str) -> bool {
        self.repositories.contains(&repository.to_lowercase())
    }
}

/// What an item may choose by label, as the operator wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Agents by name. Empty = no choice.
    pub agents: Vec<String>,
    /// Models, as the agents write them. Empty = no choice.
    pub models: Vec<String>,
    /// Words for how hard an agent thinks. Empty = no choice.
    pub efforts: Vec<String>,
}

/// The kill switch. The product ships with it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Brake {
    /// Armed: everything runs.
    Off,
    /// No claim; runs in flight go on to their end.
    Drain,
    /// No claim and no new turn; what runs is watched. Also what unset, empty or unreadable means.
    On,
    /// As `On`, and running workers are stopped.
    Stop,
}

impl Brake {
    /// All levels, mildest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Drain, Self::On, Self::Stop];

    /// Reads the kill switch. Only the documented off-words are off; whatever cannot be read is on.
    pub fn parse(text: Option<&str>) -> Self {
        match text.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "off" | "false" | "no" | "0" => Self::Off,
            "drain" => Self::Drain,
            "stop" => Self::Stop,
            _ => Self::On,
        }
    }

    /// May a work item be claimed?
    pub fn allows_claims(self) -> bool {
        self == Self::Off
    }

    /// May a turn be started?
    pub fn allows_turns(self) -> bool {
        self <= Self::Drain
    }
}

/// When a run is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseOn {
    /// The pull request was merged by people.
    Merged,
    /// All checks are green; people do the rest without us.
    Green,
}

/// Which threads we mark as fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResolveThreads {
    /// None: whoever asked says whether it is settled.
    No,
    /// Those that a commit of ours answered.
    Answered,
}

/// How long the server may still be working on a request whose answer was lost: before that a word is not said again.
pub const SETTLE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_words_take_the_brake_off() {
        for off in ["off", "OFF", " false ", "no", "0"] {
            assert_eq!(Brake::parse(Some(off)), Brake::Off, "{off:?}");
        }
        for on in
            [None, Some(""), Some("on"), Some("true"), Some("1"), Some("pause"), Some("offf"), Some("off;")]
        {
            assert_eq!(Brake::parse(on), Brake::On, "{on:?}");
        }
        assert_eq!(Brake::parse(Some("drain")), Brake::Drain);
        assert_eq!(Brake::parse(Some("Stop")), Brake::Stop);
        assert!(!Brake::On.allows_claims() && !Brake::On.allows_turns());
        assert!(!Brake::Drain.allows_claims() && Brake::Drain.allows_turns());
    }
}
