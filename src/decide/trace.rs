//! The way through the ladder, for people: each rung with the facts that it looks at, and which one decided.
//!
//! Not a second ladder: [`decide()`](super::decide()) decides, and its decision tells from which rung it came. Facts are
//! told for the rungs above it, which let it pass, and for its own; below it nothing was looked at. The sweep holds
//! both against each other.

use super::{
    Decision, EscalateReason, Missing, Observation, Proceed, Seen, StopCause, Verdict, WaitReason,
    conversation::conversation,
    decide,
    gaps::{needed_gap, stale_gap},
    ladder,
    observation::ItemSeen,
    paused,
    procedure::Procedure,
    running_since, verdict,
};
use crate::domain::{
    Brake, MergeState, Outcome, Policy, PullRequest, PullRequestStatus, Run, Stage, Trigger, TurnEnd,
    TurnKind, Vote, WorkerState,
};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// One rung, as this run met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Its place in the ladder; 0 is before it.
    pub number: u8,
    /// What it asks.
    pub title: &'static str,
    /// What came of it.
    pub is: Match,
    /// What it looked at.
    pub fact: String,
}

/// What came of a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It did not match.
    Passed,
    /// It decided.
    Decided,
    /// One above it decided.
    NotReached,
    /// A gate, and it was open.
    Open,
    /// A gate, and it was shut.
    Shut,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, title, is, fact } = self;
        match is {
            Match::Passed => write!(f, "  {number:>2}  {title:<26} no   {fact}"),
            Match::Decided => write!(f, "→ {number:>2}  {title:<26} yes  {fact}"),
            Match::NotReached => write!(f, "  {number:>2}  {title:<26} -"),
            Match::Open => write!(f, "  {number:>2}  {title:<26} open {fact}"),
            Match::Shut => write!(f, "→ {number:>2}  {title:<26} shut {fact}"),
        }
    }
}

const TITLES: [&str; 18] = [
    "the run is over",
    "the kill switch, takeover",
    "merged",
    "people took the item back",
    "people declined it",
    "people were asked or hold",
    "something is unreadable",
    "a step is running",
    "a step is due or ended well",
    "the turn came to nothing",
    "pushed, no pull request",
    "reviews await us",
    "tests kept, procedure",
    "conflict with the target",
    "red",
    "no verdict yet",
    "voted down without words",
    "all good",
];

/// All rungs, and which one decided.
pub fn trace(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Vec<Rung> {
    let decision = decide(run, seen, policy, now);
    // The kill switch, a merge that waits for a push and the net under all budgets hold back what a rung wants, and a
    // command is answered before it: it is that rung that matched.
    let wanted = ladder(run, seen, policy, now);
    let decided = rung_of(&wanted, run, seen);
    let numbered = (0u8..).zip(TITLES);
    let rung = |(number, title): (u8, &'static str)| {
        let is = match number.cmp(&decided) {
            std::cmp::Ordering::Less => Match::Passed,
            std::cmp::Ordering::Equal => Match::Decided,
            std::cmp::Ordering::Greater => Match::NotReached,
        };
        let fact = match is {
            Match::Passed => fact(number, run, seen, policy),
            Match::Decided if wanted == decision => {
                format!("{}; so {decision}", fact(number, run, seen, policy))
            }
            Match::Decided => {
                format!("{}; it wants to {wanted}, but {decision}", fact(number, run, seen, policy))
            }
            // Only gates are open or shut.
            Match::NotReached | Match::Open | Match::Shut => "not looked at".to_owned(),
        };
        Rung { number, title, is, fact: short(&fact) }
    };
    numbered.map(rung).collect()
}

/// From which rung a decision comes.
fn rung_of(decision: &Decision, run: &Run, seen: &Observation) -> u8 {
    match decision {
        Decision::Close(Outcome::Superseded) if seen.replaced.known() == Some(&true) => 1,
        Decision::Wait(WaitReason::Gap(_)) if seen.replaced.gap().is_some() => 1,
        Decision::Wait(reason) => match reason {
            WaitReason::Over => 0,
            // Never wanted by a rung.
            WaitReason::Outage { .. } | WaitReason::DaySpent { .. } | WaitReason::SpendingUnknown { .. } => 0,
            WaitReason::Brake(_) => 1,
            WaitReason::StaleItem | WaitReason::LookAgain(Missing::Item) => 3,
            WaitReason::LookAgain(Missing::Branch) => 4,
            WaitReason::AskedPeople | WaitReason::NotResumed(_) | WaitReason::Paused(_) => 5,
            WaitReason::Gap(_) => 6,
            WaitReason::StepRunning { .. } => 7,
            WaitReason::Unheard { .. } => 8,
            WaitReason::BackingOff { .. } | WaitReason::LookAgain(Missing::Worker | Missing::OwnHead) => 9,
            WaitReason::QuietPeriod { .. } | WaitReason::LookAgain(Missing::Reply) => 11,
            WaitReason::Cold => 12,
            WaitReason::TargetRed
            | WaitReason::BuildStopped { .. }
            | WaitReason::LookAgain(Missing::Rebuild) => 14,
            WaitReason::ChecksRunning | WaitReason::AwaitingApproval => 15,
            WaitReason::NotCurrentYet => not_current(run, seen),
            WaitReason::NoChecks | WaitReason::AwaitingReview { .. } => 17,
        },
        Decision::StopWorkers(StopCause::Brake) => 1,
        Decision::StopWorkers(StopCause::AskedPeople) => 5,
        Decision::StopWorkers(StopCause::TooLong) => 7,
        Decision::Proceed(proceed) => match proceed {
            Proceed::Implement
            | Proceed::Start(_)
            | Proceed::Next(_)
            | Proceed::TurnPushed { .. }
            | Proceed::TurnAnswered => 8,
            Proceed::OpenPullRequest => 10,
            Proceed::Do(Procedure::RetryBuild { .. }) => 14,
            Proceed::Do(Procedure::ArmAutoComplete) => 17,
            Proceed::Remind => patience(run, seen),
            Proceed::Unsay { .. } => 11,
            Proceed::Do(Procedure::Requeue { evaluation }) => requeued(run, seen, evaluation),
            Proceed::Do(Procedure::LinkWorkItem | Procedure::Publish) => 12,
        },
        Decision::Redispatch(_) => 9,
        Decision::FixForward(trigger) | Decision::Respond(trigger) => match trigger {
            Trigger::Threads { .. } => 11,
            Trigger::Conflict { .. } => 13,
            Trigger::FailingChecks { .. } => 14,
            Trigger::WorkItem { .. } => 8,
            Trigger::Answer { .. } => 5,
        },
        Decision::Resume(_) => 5,
        Decision::Escalate(reason) => match reason {
            EscalateReason::Gap(gap) if *gap == stale_gap() => 3,
            EscalateReason::Gap(_) | EscalateReason::Stuck { .. } => 6,
            EscalateReason::TurnTooLong => 7,
            EscalateReason::InfrastructureBudget { .. }
            | EscalateReason::AgentFailed { .. }
            | EscalateReason::NothingChanged { .. }
            | EscalateReason::Question { .. }
            | EscalateReason::Refused { .. }
            | EscalateReason::PersonPushed => 9,
            EscalateReason::BudgetSpent(kind) | EscalateReason::SameInputAgain(kind) => match kind {
                TurnKind::Respond => 11,
                TurnKind::Conflict => 13,
                TurnKind::FixForward => 14,
                TurnKind::Implement | TurnKind::Redispatch => 9,
            },
            EscalateReason::Contradiction { .. } => 11,
            EscalateReason::TestsWeakened { .. } => 12,
            EscalateReason::CannotMerge => 13,
            EscalateReason::RedTooLong
            | EscalateReason::SameFailureAgain
            | EscalateReason::BuildInfrastructure { .. }
            | EscalateReason::CheckBroken { .. }
            | EscalateReason::PartlyGreen
            | EscalateReason::Canceled => 14,
            EscalateReason::NoBuildAgent { .. } => 15,
            EscalateReason::NoVerdict => not_current(run, seen),
            EscalateReason::VotedDownSilently { .. } => 16,
            EscalateReason::NobodyReviews => patience(run, seen),
            // Never wanted by a rung.
            EscalateReason::TooManyTurns | EscalateReason::BudgetExceeded(_) => 0,
            EscalateReason::CutShort => 11,
            EscalateReason::ProviderDown { .. } => 9,
        },
        Decision::Close(outcome) => match outcome {
            Outcome::Merged => 2,
            Outcome::HandedBack | Outcome::Superseded => 3,
            Outcome::Declined => 4,
            Outcome::Green => 17,
        },
        // Never wanted by a rung.
        Decision::Obey(_) => 0,
    }
}

/// Three rungs wait for people: cold, for an approval, and once all is good.
fn patience(run: &Run, seen: &Observation) -> u8 {
    if seen.checks.known().is_none() { 12 } else { not_current(run, seen) }
}

/// Two rungs wait for the service to look at our head: while there is no verdict, and once all is green.
fn not_current(run: &Run, seen: &Observation) -> u8 {
    let Some((checks, pushed)) = seen.checks.known().zip(run.pushed.as_ref()) else { return 15 };
    match verdict::verdict(checks, &pushed.head) {
        Verdict::Passing { .. } | Verdict::NoChecks | Verdict::Partial => 17,
        Verdict::Failing(_) | Verdict::Broken { .. } | Verdict::Canceled { .. } | Verdict::Pending => 15,
    }
}

/// Three rungs queue a build: what is expired or missing, what waited for its target, what was cancelled.
fn requeued(run: &Run, seen: &Observation, evaluation: &str) -> u8 {
    let merges = pull(seen).is_none_or(|pull| match pull.merge {
        MergeState::Conflicts | MergeState::Failed => false,
        MergeState::Pending | MergeState::Clean | MergeState::Other => true,
    });
    let Some((checks, pushed)) = seen.checks.known().zip(run.pushed.as_ref()).filter(|_| merges) else {
        return 12;
    };
    match verdict::verdict(checks, &pushed.head) {
        Verdict::Failing(_) if run.parked.is_some() => 14,
        Verdict::Canceled { evaluation: Some(canceled), .. } if canceled == evaluation => 14,
        Verdict::Failing(_)
        | Verdict::Canceled { .. }
        | Verdict::Broken { .. }
        | Verdict::Partial
        | Verdict::Pending
        | Verdict::NoChecks
        | Verdict::Passing { .. } => 12,
    }
}

/// Whether a rung matches by its facts alone, where that takes no more than a look. For the sweep, which holds it
/// against the ladder.
#[cfg(test)]
pub(super) fn rung_holds(number: u8, run: &Run, seen: &Observation, policy: &Policy) -> Option<bool> {
    let status = pull(seen).map(|pull| pull.status);
    match number {
        0 => Some(run.is_closed()),
        1 => {
            let gives_way = seen.replaced.known() == Some(&true) || seen.replaced.gap().is_some();
            Some(policy.brake == Brake::Stop || gives_way)
        }
        2 => Some(status == Some(PullRequestStatus::Completed)),
        5 => Some(matches!(run.stage, Stage::Escalated { .. }) || paused(run, seen, policy).is_some()),
        6 if run.doubts.stuck.is_none() => Some(needed_gap(run, seen).is_some()),
        7 => Some(running_since(seen).is_some()),
        10 => Some(run.pushed.is_some() && seen.pull_request.known() == Some(&None)),
        13 => pull(seen)
            .filter(|pull| pull.head.as_ref() == run.pushed.as_ref().map(|pushed| &pushed.head))
            .map(|pull| matches!(pull.merge, MergeState::Conflicts | MergeState::Failed)),
        3 | 4 | 6 | 8 | 9 | 11 | 12 | 14..=u8::MAX => None,
    }
}

fn pull(seen: &Observation) -> Option<&PullRequest> {
    seen.pull_request.known().and_then(Option::as_ref)
}

/// What a rung looks at, in words.
fn fact(number: u8, run: &Run, seen: &Observation, policy: &Policy) -> String {
    match number {
        0 => stage(run),
        1 => {
            let brake = brake(policy.brake);
            match &seen.replaced {
                Seen::Known(true) => format!("another executor goes on with it; the kill switch is {brake}"),
                Seen::Unknown(gap) => gap.to_string(),
                Seen::Known(false) | Seen::NotAsked => format!("the kill switch is {brake}"),
            }
        }
        2 | 10 => of(&seen.pull_request, |pull| match pull {
            None => "there is no pull request".to_owned(),
            Some(pull) => format!("pull request {} is {}", pull.id, status(pull.status)),
        }),
        3 => of(&seen.item, |item| match item {
            ItemSeen::Gone => "the work item is not there".to_owned(),
            ItemSeen::Here { item, is_over, stop_asked } => {
                let labels = item.labels.iter().collect::<Vec<_>>().join(", ");
                let over = if *is_over { ", which is over" } else { "" };
                let stop = if *stop_asked { "; stop was asked for" } else { "" };
                format!("revision {}, state {}{over}, labels: {labels}{stop}", item.revision, item.state)
            }
        }),
        4 => of(&seen.branch, |branch| match branch {
            None => "our branch is not there".to_owned(),
            Some(head) => format!("our branch is at {}", head.short()),
        }),
        5 => match (&run.stage, paused(run, seen, policy)) {
            (Stage::Escalated { reason, since }, _) => format!("people were asked at {since}: {reason}"),
            (_, Some(pause)) => format!("{}", WaitReason::Paused(pause)),
            (_, None) => "nobody was asked, nobody holds it".to_owned(),
        },
        6 => match (needed_gap(run, seen), &run.doubts.stuck) {
            (Some(gap), _) => gap.to_string(),
            (None, Some(stuck)) => format!("not performed since {}: {}", stuck.since, stuck.why),
            (None, None) => "all that is needed could be read".to_owned(),
        },
        7 => running_since(seen)
            .map_or("no worker is running".to_owned(), |since| format!("a worker runs since {since}")),
        8 => format!("{}; {}", stage(run), workers(seen)),
        9 => turns(run),
        11 => of(&seen.threads, |threads| {
            let said = seen.said.known().map_or(&[][..], Vec::as_slice);
            let talk = conversation(threads, said, &seen.me, policy);
            let newest = talk.newest_at.map(|at| format!(", the newest word of {at}")).unwrap_or_default();
            format!("{} threads, {} await us{newest}", threads.len(), talk.awaiting.len())
        }),
        12 => of(&seen.checks, |checks| {
            format!("{} policies, {} builds", checks.evaluations.len(), checks.builds.len())
        }),
        13 => match pull(seen) {
            None => "no pull request".to_owned(),
            Some(pull) => {
                let head = pull.head.as_ref().map_or("nothing yet", |head| head.short());
                format!("the trial merge of {head} is {}", merge(pull.merge))
            }
        },
        14 | 15 => match (seen.checks.known(), &run.pushed) {
            (Some(checks), Some(pushed)) => verdict_fact(&verdict::verdict(checks, &pushed.head)),
            (None, _) | (_, None) => "checks were not looked at".to_owned(),
        },
        16 => match pull(seen) {
            None => "no pull request".to_owned(),
            Some(pull) => {
                let against: Vec<&str> = pull
                    .reviewers
                    .iter()
                    .filter(|reviewer| match reviewer.vote {
                        Vote::WaitingForAuthor | Vote::Rejected => true,
                        Vote::Approved | Vote::ApprovedWithSuggestions | Vote::None => false,
                    })
                    .map(|reviewer| reviewer.who.name.as_str())
                    .collect();
                if against.is_empty() {
                    "nobody voted against it".to_owned()
                } else {
                    format!("against it: {}", against.join(", "))
                }
            }
        },
        17..=u8::MAX => match run.reminded_at {
            Some(at) => format!("{}, reviewers were reminded at {at}", stage(run)),
            None => stage(run),
        },
    }
}

fn of<T>(seen: &Seen<T>, tell: impl Fn(&T) -> String) -> String {
    match seen {
        Seen::Known(value) => tell(value),
        Seen::Unknown(gap) => gap.to_string(),
        Seen::NotAsked => "not looked at in this tick".to_owned(),
    }
}

fn stage(run: &Run) -> String {
    match &run.stage {
        Stage::Claimed => "claimed, no turn yet".to_owned(),
        Stage::Working { turn, step, since, .. } => {
            format!("turn {} ({}), step {step}, due since {since}", turn.number, turn.kind)
        }
        Stage::Pushed { since } => format!("pushed at {since}"),
        Stage::InReview { since } => format!("in review since {since}"),
        Stage::Escalated { since, .. } => format!("with people since {since}"),
        Stage::Closed { outcome, at } => format!("closed at {at}: {}", outcome.word()),
    }
}

fn workers(seen: &Observation) -> String {
    of(&seen.workers, |workers| {
        let told = workers.iter().map(|worker| {
            let state = match &worker.state {
                WorkerState::Created => "created",
                WorkerState::Running { .. } => "running",
                WorkerState::Finished(_) => "ended",
                WorkerState::Crashed { .. } => "crashed",
            };
            format!("{} of turn {} {state}", worker.step, worker.turn.number)
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { "no worker".to_owned() } else { told.join(", ") }
    })
}

fn turns(run: &Run) -> String {
    let told = run.turns.iter().map(|turn| {
        let end = match turn.end {
            Some(TurnEnd::Pushed { .. }) => "pushed",
            Some(TurnEnd::Answered) => "answered",
            Some(TurnEnd::Lost) => "lost",
            Some(TurnEnd::Failed) => "failed",
            None => "not over",
        };
        format!("{} {} {end}", turn.number, turn.kind)
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "no turn yet".to_owned() } else { format!("turns: {}", told.join(", ")) }
}

fn verdict_fact(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Failing(failing) => format!("red: {} ({})", failing.checks.join(", "), failing.signature),
        Verdict::Broken { name } => format!("{name} cannot be evaluated"),
        Verdict::Canceled { build, by: Some(by), .. } => format!("{by} cancelled build {build}"),
        Verdict::Canceled { build, .. } => format!("build {build} was cancelled"),
        Verdict::Partial => "a build is partly green".to_owned(),
        Verdict::Pending => "no verdict yet".to_owned(),
        Verdict::Passing { people, .. } if people.is_empty() => "green".to_owned(),
        Verdict::Passing { people, .. } => format!("green; people still have to: {}", people.join(", ")),
        Verdict::NoChecks => "nothing checks it".to_owned(),
    }
}

fn brake(brake: Brake) -> &'static str {
    match brake {
        Brake::Off => "off",
        Brake::Drain => "on drain",
        Brake::On => "on",
        Brake::Stop => "on stop",
    }
}

fn status(status: PullRequestStatus) -> &'static str {
    match status {
        PullRequestStatus::Active => "open",
        PullRequestStatus::Completed => "merged",
        PullRequestStatus::Abandoned => "abandoned",
        PullRequestStatus::Other => "in a state that we do not know",
    }
}

fn merge(merge: MergeState) -> &'static str {
    match merge {
        MergeState::Pending => "not done yet",
        MergeState::Clean => "clean",
        MergeState::Conflicts => "a conflict",
        MergeState::Failed => "a failure",
        MergeState::Other => "in a state that we do not know",
    }
}

/// Characters of a fact: one line, even where people's words are part of it.
const MOST: usize = 240;

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
