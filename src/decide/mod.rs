//! The decisions: pure, total, and on one screen.
//!
//! [`decide()`] is a ladder, first match wins. Facts come before clocks, unknown is never bad news, what cannot be
//! undone needs something known, and a verdict about another commit than our head counts as pending.
//!
//! | # | Seen | Decision |
//! |---|---|---|
//! | 1 | the kill switch is on `stop` | stop workers, wait |
//! | 2 | pull request completed | close: merged |
//! | 3 | item closed, gone (twice), our label removed, stop asked | close: handed back |
//! | 4 | pull request abandoned, our branch deleted (twice) | close: declined |
//! | 5 | people were asked | wait, until they let it go on: resume |
//! | 5 | a person holds the run | wait |
//! | 6 | a gap in what the rungs below need | wait; escalate when it lasts |
//! | 7 | a step is running | wait; past its deadline: stop it |
//! | 8 | a step is due, or ended well | proceed |
//! | 9 | the turn is over without a result, or a person pushed | redispatch or escalate |
//! | 10 | pushed, no pull request | proceed: open it |
//! | 11 | a word of ours stands there twice; people contradict each other; their threads await us | take it back; escalate; respond |
//! | 12 | procedure, not work | proceed: do it |
//! | 13 | the branch conflicts with its target | fix forward by merging |
//! | 14 | failing on our head | fix forward, park, retry or freeze |
//! | 15 | no verdict yet | wait, with a deadline |
//! | 16 | voted down without words | escalate |
//! | 17 | all good | close, or wait for people |
//!
//! Over all of them: a command of a trusted person is answered first, with what is decided otherwise; and no turn begins
//! and nothing is published while a person's auto-complete would merge it unseen.
//!
//! A merged pull request outranks a closed item, because our own closing of the item is the last thing that happens
//! before we remember it: after a crash in between, the run was still merged, not handed back.
//!
//! This room knows no I/O, no clock, no environment, no words beyond a reason's one sentence.

pub mod admit;
pub mod breaker;
pub mod budget;
mod catch_up;
mod cause;
pub mod checklist;
pub mod choices;
pub mod close_look;
pub mod command;
pub mod conversation;
pub mod deadline;
mod gaps;
mod gates;
#[cfg(test)]
mod given;
mod goes_on;
mod hand;
pub mod heard;
mod listen;
mod obey;
pub mod observation;
mod people;
pub mod plan;
pub mod procedure;
pub mod queue;
pub mod reason;
pub mod record;
mod red;
pub mod resume;
mod stuck;
pub mod suggest;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tables;
pub mod takeover;
pub mod tests_kept;
mod told;
mod trace;
mod turn_state;
pub mod verdict;

pub use admit::{Admission, Candidate, Competing, Load, NoRepository, Record, admit};
pub use breaker::{Down, Outage};
pub use budget::FleetFacts;
pub use catch_up::catch_up;
pub use cause::cause;
pub use checklist::checklist;
pub use command::{Command, Hand};
pub use gates::gates;
pub use goes_on::goes_on;
pub use hand::by_hand;
pub use heard::{Asked, Note, Place, Remark, What};
pub use obey::{Answer, Obedience, Reply};
pub use observation::{Checks, Gap, ItemSeen, Observation, Seen, Source, TestsSeen};
pub use plan::{Effect, Plan, plan};
pub use procedure::Procedure;
pub use reason::{EscalateReason, Missing, Pause, RedispatchCause, RefuseReason, WaitReason};
pub use red::DRILL;
use red::{drill_is_due, drilled, red};
pub use resume::{NotResumed, ResumeCause, Resumption};
pub use trace::{Match, Rung, trace};
pub use verdict::{Failing, Verdict, verdict};

use crate::domain::{
    AgentFailure, CloseOn, CommentId, CommitId, MergeState, Outcome, Policy, PullRequestStatus, Run, Stage,
    Step, ThreadId, Trigger, TurnKind, Worker, WorkerState, policy::SETTLE,
};
use conversation::voted_down_silently;
use deadline::{Deadline, later, stray_due_at, stray_stubborn_at};
use gaps::{is_stale, needed_gap, stale_gap};
use jiff::Timestamp;
use listen::listen;
use people::{Ended, paused, people_end_it};
use turn_state::{TurnState, turn_state};

/// What to do about a run in this tick: exactly one thing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Nothing; somebody else moves next.
    Wait(WaitReason),
    /// End live workers, then look again.
    StopWorkers(StopCause),
    /// The next step of the road.
    Proceed(Proceed),
    /// The turn's work is done again.
    Redispatch(RedispatchCause),
    /// A turn that makes red green, or merges the target.
    FixForward(Trigger),
    /// A turn that answers people.
    Respond(Trigger),
    /// Do what a person said to us, and answer.
    Obey(Obedience),
    /// People let an escalated run go on.
    Resume(Resumption),
    /// Ask a person.
    Escalate(EscalateReason),
    /// The run is over.
    Close(Outcome),
}

/// Why workers are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// The kill switch is on `stop`.
    Brake,
    /// A step is past its deadline and does not end by itself.
    TooLong,
    /// People were asked, and something of ours still runs.
    AskedPeople,
}

/// The next step of the road.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proceed {
    /// Reserve the first turn.
    Implement,
    /// Start the worker of the step that is due.
    Start(Step),
    /// The step ended well: this one is due.
    Next(Step),
    /// The turn pushed: remember it, answer whom it answers.
    TurnPushed {
        /// The new head.
        head: CommitId,
    },
    /// The turn changed nothing, and its answer is enough.
    TurnAnswered,
    /// Open the pull request, or adopt it.
    OpenPullRequest,
    /// Procedure.
    Do(Procedure),
    /// Remind reviewers, once.
    Remind,
    /// Take back the younger copy of a word that we said twice.
    Unsay {
        /// Its thread.
        thread: ThreadId,
        /// The comment.
        comment: CommentId,
    },
}

/// Decides about one run. Same arguments, same answer.
pub fn decide(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Decision {
    let decision = unless_held(run, seen, policy, ladder(run, seen, policy, now), now);
    // Last, so that an answer can say what is decided otherwise.
    obey::obey(run, seen, policy, &decision).map_or(decision, Decision::Obey)
}

/// What holds whatever the ladder says: the kill switch, a merge that waits for our next push, the net under budgets.
fn unless_held(
    run: &Run,
    seen: &Observation,
    policy: &Policy,
    decision: Decision,
    now: Timestamp,
) -> Decision {
    let starts_turn = decision.starts_turn();
    if !policy.brake.allows_turns() && (starts_turn || decision.starts_work()) {
        return Decision::Wait(WaitReason::Brake(policy.brake));
    }
    if merges_at_once(seen) && (starts_turn || decision == Decision::Proceed(Proceed::Start(Step::Publish))) {
        return Decision::Wait(WaitReason::Paused(Pause::AutoComplete));
    }
    let is_resumed = matches!(decision, Decision::Resume(_));
    // Attempts begin anew with it, and what the item has left was looked at; what holds all runs holds this one.
    if starts_turn
        && is_resumed
        && let Some(reason) = budget::held_for_all(run, &seen.fleet, policy, now)
    {
        return Decision::Wait(reason);
    }
    if starts_turn && !is_resumed {
        let pays = !plan::publishes_only(run, &decision);
        match budget::halt(run, &seen.fleet, policy, pays, now) {
            Some(budget::Halt::Wait(reason)) => return Decision::Wait(reason),
            Some(budget::Halt::Ask(reason)) => return Decision::Escalate(reason),
            None => {}
        }
    }
    decision
}

/// Whether a person set auto-complete: then a push of ours may be merged before anybody has seen it.
fn merges_at_once(seen: &Observation) -> bool {
    seen.pull_request.known().and_then(Option::as_ref).is_some_and(|pr| {
        pr.status == PullRequestStatus::Active
            && pr.auto_complete_by.as_ref().is_some_and(|who| *who != seen.me)
    })
}

fn ladder(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Decision {
    use Decision::{Close, Escalate, FixForward, Proceed as Go, Redispatch, StopWorkers, Wait};

    if run.is_closed() {
        return Wait(WaitReason::Over);
    }
    // 1
    if policy.brake == crate::domain::Brake::Stop {
        return if has_live_worker(seen) {
            StopWorkers(StopCause::Brake)
        } else {
            Wait(WaitReason::Brake(policy.brake))
        };
    }
    if let Some(decision) = takeover::replaced(seen) {
        return decision;
    }
    // 2
    if status(seen) == Some(PullRequestStatus::Completed) {
        return Close(Outcome::Merged);
    }
    // 3
    match people_end_it(run, seen, policy, now) {
        Some(Ended::For(outcome)) => return Close(outcome),
        Some(Ended::Perhaps(missing)) => return Wait(WaitReason::LookAgain(missing)),
        Some(Ended::Stale) if Deadline::Gap.is_over(run, policy, now) => {
            return Escalate(EscalateReason::Gap(stale_gap()));
        }
        Some(Ended::Stale) => return Wait(WaitReason::StaleItem),
        None => {}
    }
    // 4
    if status(seen) == Some(PullRequestStatus::Abandoned) {
        return Close(Outcome::Declined);
    }
    // An older doubt is no second look: only a branch that is missing in this very look can be gone.
    match run.doubts.branch_gone_since.filter(|_| seen.branch.known() == Some(&None)) {
        Some(since) if since < now => return Close(Outcome::Declined),
        Some(_) => return Wait(WaitReason::LookAgain(Missing::Branch)),
        None => {}
    }
    // 5
    if let Stage::Escalated { .. } = run.stage {
        return if has_live_worker(seen) {
            StopWorkers(StopCause::AskedPeople)
        } else {
            resume::escalated(run, seen, policy)
        };
    }
    if let Some(pause) = paused(run, seen, policy) {
        return Wait(WaitReason::Paused(pause));
    }
    // 6
    if let Some(gap) = needed_gap(run, seen) {
        return if Deadline::Gap.is_over(run, policy, now) {
            Escalate(EscalateReason::Gap(gap))
        } else {
            Wait(WaitReason::Gap(gap))
        };
    }
    // 6, too: what was decided could not be done, for so long that a person has to know.
    if let Some(stuck) = &run.doubts.stuck
        && policy.brake.allows_turns()
        && Deadline::Stuck.is_over(run, policy, now)
    {
        return Escalate(EscalateReason::Stuck { why: stuck.why.clone() });
    }
    // 7
    if let Some(since) = running_since(seen) {
        let due = Deadline::Step.due_at(run, policy).unwrap_or_else(|| stray_due_at(since, policy));
        let end = Deadline::Stubborn.due_at(run, policy).unwrap_or_else(|| stray_stubborn_at(since, policy));
        return if end <= now {
            Escalate(EscalateReason::TurnTooLong)
        } else if due <= now {
            StopWorkers(StopCause::TooLong)
        } else {
            Wait(WaitReason::StepRunning { since })
        };
    }
    // What was said without an answer may still arrive: saying it again at once would be saying it twice.
    if let Some(since) = run.doubts.unheard_since {
        return Wait(WaitReason::Unheard { until: later(since, SETTLE) });
    }
    // 8, 9
    match turn_state(run, seen, policy, now) {
        TurnState::None => {}
        TurnState::NotBegun => return implement(run),
        TurnState::Due(step) => return Go(Proceed::Start(step)),
        TurnState::Next(step) => return Go(Proceed::Next(step)),
        TurnState::Pushed(head) => return Go(Proceed::TurnPushed { head }),
        TurnState::Answered => return Go(Proceed::TurnAnswered),
        TurnState::LookAgain(missing) => return Wait(WaitReason::LookAgain(missing)),
        TurnState::Lost { class: class @ AgentFailure::Provider, detail } => {
            return if Deadline::Provider.is_over(run, policy, now) {
                Escalate(EscalateReason::ProviderDown { detail })
            } else if !Deadline::BackOff.is_over(run, policy, now) {
                back_off(run, policy)
            } else {
                Redispatch(RedispatchCause::Lost { class, detail })
            };
        }
        TurnState::Lost { class, detail } => {
            return if run.lost() >= policy.infrastructure_attempts {
                Escalate(EscalateReason::InfrastructureBudget { detail })
            } else if !Deadline::BackOff.is_over(run, policy, now) {
                back_off(run, policy)
            } else {
                Redispatch(RedispatchCause::Lost { class, detail })
            };
        }
        TurnState::Failed { class, detail } => {
            return if run.spent(TurnKind::Redispatch) >= policy.redispatch_attempts {
                Escalate(EscalateReason::AgentFailed { class, detail })
            } else if !Deadline::BackOff.is_over(run, policy, now) {
                back_off(run, policy)
            } else {
                Redispatch(RedispatchCause::Failed { class })
            };
        }
        TurnState::NeedsPerson(reason) => return Escalate(reason),
    }
    match run.doubts.foreign_head_since {
        Some(since) if since < now => return Escalate(EscalateReason::PersonPushed),
        Some(_) => return Wait(WaitReason::LookAgain(Missing::OwnHead)),
        None => {}
    }
    let Some(pushed) = &run.pushed else {
        // Memory says that a turn pushed, but not what: only a lost record can say so. Begin again.
        return implement(run);
    };
    let head = &pushed.head;
    // 10
    let Some(pull_request) = seen.pull_request.known().and_then(Option::as_ref) else {
        return Go(Proceed::OpenPullRequest);
    };
    if run.cut_short().is_some() {
        return Escalate(EscalateReason::CutShort);
    }
    // 11
    if let Some(decision) = listen(run, seen, pull_request, policy, now, head) {
        return decision;
    }
    let Some(checks) = seen.checks.known() else {
        return cold(run, policy, now);
    };
    let verdict = verdict(checks, head);
    if let Some(detail) = tests_kept::weakened(run, seen, head, &verdict) {
        // Green by fewer tests is not green, and red after them is no work for another turn.
        return Escalate(EscalateReason::TestsWeakened { detail });
    }
    // 12
    let checks_are_late = Deadline::Checks.is_over(run, policy, now);
    let is_good = match verdict {
        Verdict::Passing { .. } => true,
        Verdict::NoChecks => checks_are_late,
        Verdict::Failing(_)
        | Verdict::Broken { .. }
        | Verdict::Canceled { .. }
        | Verdict::Partial
        | Verdict::Pending => false,
    };
    let opens_drafts = run.drafts(policy.open_as_draft);
    let rule = procedure::Rule { publish_drafts: opens_drafts && is_good, checks_are_late };
    if let Some(procedure) = procedure::procedure(run, checks, pull_request, head, rule) {
        return Go(Proceed::Do(procedure));
    }
    // 13
    let is_current = pull_request.head.as_ref() == Some(head);
    if is_current && pull_request.merge == MergeState::Conflicts {
        let trigger = Trigger::Conflict { head: head.clone() };
        return if run.has_answered(&trigger) {
            Escalate(EscalateReason::SameInputAgain(TurnKind::Conflict))
        } else if run.spent(TurnKind::Conflict) >= policy.conflict_attempts {
            Escalate(EscalateReason::BudgetSpent(TurnKind::Conflict))
        } else {
            FixForward(trigger)
        };
    }
    if is_current && pull_request.merge == MergeState::Failed {
        return Escalate(EscalateReason::CannotMerge);
    }
    // 14, 15
    let people = match verdict {
        Verdict::Failing(failing) => return red(run, seen, policy, now, head, failing),
        Verdict::Broken { name } => return Escalate(EscalateReason::CheckBroken { name }),
        Verdict::Canceled { build, evaluation, by } => {
            return canceled(run, policy, now, by, Procedure::after_cancel(build, evaluation.as_ref()));
        }
        // A person who lets the run go on after that has seen it.
        Verdict::Partial if run.resumed.as_ref().is_some_and(|resumed| resumed.at >= pushed.at) => {
            Some((Vec::new(), Vec::new()))
        }
        Verdict::Partial => return Escalate(EscalateReason::PartlyGreen),
        Verdict::Pending => {
            return if verdict::awaits_approval(checks, head) {
                await_people(run, policy, now).unwrap_or(Wait(WaitReason::AwaitingApproval))
            } else if Deadline::Verdict.is_over(run, policy, now) {
                Escalate(match verdict::queued(checks, head) {
                    Some(pipeline) => EscalateReason::NoBuildAgent { pipeline },
                    None => EscalateReason::NoVerdict,
                })
            } else if is_current {
                Wait(WaitReason::ChecksRunning)
            } else {
                Wait(WaitReason::NotCurrentYet)
            };
        }
        Verdict::NoChecks if !Deadline::Checks.is_over(run, policy, now) => {
            return Wait(WaitReason::ChecksRunning);
        }
        Verdict::NoChecks => None,
        Verdict::Passing { .. } if drill_is_due(run, policy) => {
            return red(run, seen, policy, now, head, drilled());
        }
        Verdict::Passing { people, optional } => Some((people, optional)),
    };
    // 16
    let silent = |threads: &Vec<_>| voted_down_silently(&pull_request.reviewers, threads);
    if let Some(who) = seen.threads.known().and_then(silent) {
        return Escalate(EscalateReason::VotedDownSilently { who });
    }
    // 17
    if !is_current {
        // Green, but not what the pull request shows: its own patience, for it may never be.
        return if later(pushed.at, policy.verdict_limit) <= now {
            Escalate(EscalateReason::NoVerdict)
        } else {
            Wait(WaitReason::NotCurrentYet)
        };
    }
    if people.is_some() && policy.close_on == CloseOn::Green && seen.threads.known().is_some() {
        return Close(Outcome::Green);
    }
    if people.is_some() && policy.auto_complete && pull_request.auto_complete_by.is_none() {
        let arm = Procedure::ArmAutoComplete;
        if !run.procedures.contains(&arm.key(head)) {
            return Go(Proceed::Do(arm));
        }
    }
    let reviewed = |(open, optional)| WaitReason::AwaitingReview { open, optional };
    await_people(run, policy, now).unwrap_or_else(|| Wait(people.map_or(WaitReason::NoChecks, reviewed)))
}

/// The first turn, once: a run that lost track of what its first turn came to does not buy it again.
fn implement(run: &Run) -> Decision {
    let trigger = Trigger::WorkItem { revision: run.text_revision() };
    if run.has_answered(&trigger) {
        Decision::Escalate(EscalateReason::SameInputAgain(TurnKind::Implement))
    } else {
        Decision::Proceed(Proceed::Implement)
    }
}

/// Reminder and the end of patience; none while people have time.
/// Once more when nobody stopped it on purpose, as far as can be told; a person's stop stands until people are asked.
fn canceled(run: &Run, policy: &Policy, now: Timestamp, by: Option<String>, again: Procedure) -> Decision {
    let Some(pushed) = &run.pushed else { return Decision::Escalate(EscalateReason::Canceled) };
    // Whoever lets the run go on after that wants a verdict.
    let is_let_on = run.resumed.as_ref().is_some_and(|resumed| resumed.at >= pushed.at);
    match by {
        Some(by) if !is_let_on => {
            if Deadline::Review.is_over(run, policy, now) {
                Decision::Escalate(EscalateReason::Canceled)
            } else {
                await_people(run, policy, now).unwrap_or(Decision::Wait(WaitReason::BuildStopped { by }))
            }
        }
        Some(_) | None if run.procedures.contains(&again.key(&pushed.head)) => {
            Decision::Escalate(EscalateReason::Canceled)
        }
        Some(_) | None => Decision::Proceed(Proceed::Do(again)),
    }
}

fn await_people(run: &Run, policy: &Policy, now: Timestamp) -> Option<Decision> {
    if Deadline::Review.is_over(run, policy, now) {
        Some(Decision::Escalate(EscalateReason::NobodyReviews))
    } else if run.reminded_at.is_none() && Deadline::Reminder.is_over(run, policy, now) {
        Some(Decision::Proceed(Proceed::Remind))
    } else {
        None
    }
}

fn review_since(run: &Run) -> Option<Timestamp> {
    match run.stage {
        Stage::InReview { since } => Some(since),
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { .. } => None,
    }
}

/// A run that was not looked at closely still has its clocks.
fn cold(run: &Run, policy: &Policy, now: Timestamp) -> Decision {
    await_people(run, policy, now).unwrap_or(Decision::Wait(WaitReason::Cold))
}

fn back_off(run: &Run, policy: &Policy) -> Decision {
    let until = Deadline::BackOff.due_at(run, policy).unwrap_or(Timestamp::MAX);
    Decision::Wait(WaitReason::BackingOff { until })
}

fn status(seen: &Observation) -> Option<PullRequestStatus> {
    seen.pull_request.known()?.as_ref().map(|pr| pr.status)
}

fn workers(seen: &Observation) -> &[Worker] {
    seen.workers.known().map_or(&[], Vec::as_slice)
}

fn has_live_worker(seen: &Observation) -> bool {
    running_since(seen).is_some()
}

fn running_since(seen: &Observation) -> Option<Timestamp> {
    workers(seen).iter().find_map(|worker| match worker.state {
        WorkerState::Running { since } => Some(since),
        WorkerState::Created | WorkerState::Finished(_) | WorkerState::Crashed { .. } => None,
    })
}
