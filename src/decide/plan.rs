//! A decision spelled out: effects in order, and the run as it is once they are done.
//!
//! Order rule: what can be found again from outside comes before it is remembered; a turn is reserved before its
//! first worker exists; workers are stopped before anything terminal; the claim is released last.

use super::{
    Answer, Decision, EscalateReason, Obedience, Procedure, Proceed, RedispatchCause, Resumption,
    catch_up::{after_push, remember_push},
    resume::resume,
};
use crate::domain::{
    AgentFailure, CommentId, Identity, Outcome, Run, Stage, Started, Step, ThreadId, Trigger, Turn, TurnEnd,
    TurnKind, TurnNumber, TurnRecord,
};
use jiff::Timestamp;

/// What a tick is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// In this order; each can be repeated.
    pub effects: Vec<Effect>,
    /// The run after them.
    pub next: Run,
}

/// One write to the outside world, safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the worker of this step, or adopt it. Key: its name.
    StartStep {
        /// The turn.
        turn: Turn,
        /// The step.
        step: Step,
    },
    /// End every live worker of the run.
    StopWorkers,
    /// Answer the threads that a turn was about. Key: thread and the comment answered.
    PostReplies {
        /// The turn whose answers they are.
        turn: Turn,
    },
    /// Open the pull request, or adopt it. Key: its source branch.
    OpenPullRequest,
    /// Procedure on the pull request. Key: see [`Procedure::key`].
    Do(Procedure),
    /// One notice on the pull request that it waits for people. Key: its footer.
    Remind,
    /// Take back the younger copy of a word of ours. Key: the comment; gone is gone.
    Unsay {
        /// Its thread.
        thread: ThreadId,
        /// The comment.
        comment: CommentId,
    },
    /// Hand the item to people: labels and history in one write. Arbiter: its revision.
    HandToPeople {
        /// The reason's sentence.
        reason: String,
        /// Whom it is about, besides who asked for the run.
        people: Vec<Identity>,
        /// Whether it is a question that people can answer in words.
        asks: bool,
        /// Whether it is about whoever pushed to our branch.
        pushed: bool,
    },
    /// Take the item back from people: labels and history in one write. Arbiter: the revision that was decided on.
    TakeBack(Resumption),
    /// Put the pause label on or take it off. Arbiter: the item's revision.
    Pause {
        /// Whether it is on afterwards.
        on: bool,
    },
    /// Answer a command. Key: where it was said; the note in our comment is the probe.
    Answer(Answer),
    /// Let go of the item: labels, state and history in one write. Arbiter: its revision.
    Release {
        /// How the run ended.
        outcome: Outcome,
    },
}

/// Spells out a decision.
pub fn plan(run: &Run, decision: &Decision, now: Timestamp) -> Plan {
    let mut next = run.clone();
    let effects = match decision {
        Decision::Wait(_) => Vec::new(),
        Decision::StopWorkers(_) => vec![Effect::StopWorkers],
        Decision::Proceed(Proceed::Implement) => {
            reserve(&mut next, TurnKind::Implement, Trigger::WorkItem { revision: run.text_revision() }, now)
        }
        Decision::Proceed(Proceed::Start(step)) => start(&mut next, *step),
        Decision::Proceed(Proceed::Next(step)) => {
            if let Stage::Working { turn, .. } = &run.stage {
                let turn = turn.clone();
                next.stage = Stage::Working { turn, step: *step, since: now, started: Started::NotYet };
            }
            Vec::new()
        }
        Decision::Proceed(Proceed::TurnPushed { head }) => {
            let replies = replies(run);
            if let Some((turn, _)) = run.current_turn() {
                remember_push(&mut next, turn.number, head, now);
            }
            next.stage = after_push(&next, now);
            replies
        }
        Decision::Proceed(Proceed::TurnAnswered) => {
            end_turn(&mut next, TurnEnd::Answered, None, now);
            next.stage = after_push(&next, now);
            replies(run)
        }
        Decision::Proceed(Proceed::OpenPullRequest) => vec![Effect::OpenPullRequest],
        Decision::Proceed(Proceed::Do(procedure)) => {
            if let Some(pushed) = &run.pushed {
                next.procedures.insert(procedure.key(&pushed.head));
            }
            vec![Effect::Do(procedure.clone())]
        }
        Decision::Proceed(Proceed::Remind) => {
            next.reminded_at = Some(now);
            vec![Effect::Remind]
        }
        Decision::Proceed(Proceed::Unsay { thread, comment }) => {
            vec![Effect::Unsay { thread: *thread, comment: *comment }]
        }
        Decision::Redispatch(cause) => {
            end_turn(
                &mut next,
                match cause {
                    RedispatchCause::Lost { .. } => TurnEnd::Lost,
                    RedispatchCause::Failed { .. } => TurnEnd::Failed,
                },
                match cause {
                    RedispatchCause::Lost { class, .. } | RedispatchCause::Failed { class } => Some(*class),
                },
                now,
            );
            let trigger = match run.current_turn() {
                Some((turn, _)) => turn.trigger.clone(),
                None => Trigger::WorkItem { revision: run.text_revision() },
            };
            // A turn that the cluster lost keeps its kind, so that each budget goes on counting what it counts.
            let kind = match (cause, run.current_turn()) {
                (RedispatchCause::Lost { .. }, Some((turn, _))) => turn.kind,
                (RedispatchCause::Lost { .. } | RedispatchCause::Failed { .. }, _) => TurnKind::Redispatch,
            };
            let work = lost_publish(run, cause);
            let effects = reserve(&mut next, kind, trigger, now);
            publish_only(&mut next, work);
            effects
        }
        Decision::FixForward(trigger) | Decision::Respond(trigger) => {
            reserve(&mut next, trigger.kind(), trigger.clone(), now)
        }
        Decision::Obey(Obedience { pause, answer }) => {
            let pause = pause.map(|on| Effect::Pause { on });
            pause.into_iter().chain(answer.clone().map(Effect::Answer)).collect()
        }
        Decision::Resume(how) => {
            resume(&mut next, how, now);
            vec![Effect::TakeBack(how.clone())]
        }
        Decision::Escalate(reason) => {
            // Its end stays open, because people may let it go on; that it is over does not.
            if let Some(record) = current_record(&mut next) {
                record.ended_at.get_or_insert(now);
            }
            next.stage = Stage::Escalated { reason: reason.to_string(), since: now };
            next.out_of_budget =
                matches!(reason, EscalateReason::BudgetExceeded(limit) if limit.setting().is_some());
            let people = reason.people();
            let asks = matches!(reason, EscalateReason::Question { .. });
            let pushed = matches!(reason, EscalateReason::PersonPushed);
            let reason = reason.to_string();
            vec![Effect::StopWorkers, Effect::HandToPeople { reason, people, asks, pushed }]
        }
        Decision::Close(outcome) => {
            next.stage = Stage::Closed { outcome: *outcome, at: now };
            vec![Effect::StopWorkers, Effect::Release { outcome: *outcome }]
        }
    };
    Plan { effects, next }
}

/// Reserves a turn: it is spent from here on, whatever happens to its worker. Nothing is started yet.
pub(super) fn reserve(next: &mut Run, kind: TurnKind, trigger: Trigger, now: Timestamp) -> Vec<Effect> {
    let number = next.next_turn_number();
    next.turns.push(TurnRecord::reserved(number, kind, trigger.key(), now));
    let base = next.pushed.as_ref().map(|pushed| pushed.head.clone());
    let turn = Turn { number, kind, trigger, base, work_of: None };
    next.stage = Stage::Working { turn, step: Step::Fetch, since: now, started: Started::NotYet };
    next.doubts.worker_gone_since = None;
    Vec::new()
}

/// The turn whose work is done and only has to be published again. Once: a second loss may mean that the work is gone.
fn lost_publish(run: &Run, cause: &RedispatchCause) -> Option<TurnNumber> {
    match (cause, run.current_turn()) {
        (RedispatchCause::Lost { .. }, Some((turn, Step::Publish))) if turn.work_of.is_none() => {
            Some(turn.number)
        }
        (RedispatchCause::Lost { .. } | RedispatchCause::Failed { .. }, _) => None,
    }
}

fn publish_only(next: &mut Run, work: Option<TurnNumber>) {
    let (Some(work), Stage::Working { turn, step, .. }) = (work, &mut next.stage) else { return };
    turn.work_of = Some(work);
    *step = Step::Publish;
    let number = turn.number;
    if let Some(record) = next.turns.iter_mut().find(|record| record.number == number) {
        record.work_of = Some(work);
    }
}

fn start(next: &mut Run, due: Step) -> Vec<Effect> {
    let Stage::Working { turn, step, started, .. } = &mut next.stage else { return Vec::new() };
    if *step != due {
        return Vec::new();
    }
    *started = Started::Seen;
    vec![Effect::StartStep { turn: turn.clone(), step: due }]
}

fn end_turn(next: &mut Run, end: TurnEnd, fault: Option<AgentFailure>, now: Timestamp) {
    if let Some(record) = current_record(next) {
        record.end = Some(end);
        record.ended_at.get_or_insert(now);
        record.fault = fault;
    }
}

fn current_record(run: &mut Run) -> Option<&mut TurnRecord> {
    let number = run.current_turn().map(|(turn, _)| turn.number)?;
    run.turns.iter_mut().find(|record| record.number == number)
}

/// Whether the decision starts a turn that calls no agent.
pub(super) fn publishes_only(run: &Run, decision: &Decision) -> bool {
    match decision {
        Decision::Redispatch(cause) => lost_publish(run, cause).is_some(),
        Decision::Obey(_)
        | Decision::Resume(_)
        | Decision::Proceed(_)
        | Decision::Wait(_)
        | Decision::StopWorkers(_)
        | Decision::FixForward(_)
        | Decision::Respond(_)
        | Decision::Escalate(_)
        | Decision::Close(_) => false,
    }
}

fn replies(run: &Run) -> Vec<Effect> {
    match run.current_turn() {
        Some((turn, _)) if matches!(turn.trigger, Trigger::Threads { .. }) => {
            vec![Effect::PostReplies { turn: turn.clone() }]
        }
        Some(_) | None => Vec::new(),
    }
}
