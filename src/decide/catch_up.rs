//! Brings a run level with what the world already shows. The world may be ahead of our memory (we died after an
//! effect, or the memory was lost), never the other way round; so this happens before anything is decided.

use super::{
    deadline::Deadline,
    observation::{ItemSeen, Observation},
    verdict::{REQUEUE_PREFIX, Verdict, verdict},
};
use crate::domain::{
    CommitId, Labels, Policy, PublishResult, PullRequestStatus, Pushed, Run, Stage, Started, Step,
    StepResult, Trigger, Turn, TurnEnd, TurnRecord, Worker, WorkerState,
};
use jiff::Timestamp;

/// `run` as the world shows it.
pub fn catch_up(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Run {
    let mut run = run.clone();
    if run.is_closed() {
        return run;
    }
    adopt_escalation(&mut run, seen, policy, now);
    adopt_workers(&mut run, seen, now);
    adopt_branch(&mut run, seen, now);
    adopt_pull_request(&mut run, seen, now);
    forgive_held_start(&mut run, seen, policy, now);
    note_doubts(&mut run, seen, now);
    run
}

/// Our labels say that people were asked: we died between telling them and remembering it.
fn adopt_escalation(run: &mut Run, seen: &Observation, policy: &Policy, now: Timestamp) {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else { return };
    let is_escalated = matches!(run.stage, Stage::Escalated { .. });
    if !is_escalated && item.revision > run.id.revision && asks_people(&item.labels, policy) {
        run.stage = Stage::Escalated { reason: String::new(), since: now };
    }
}

fn asks_people(labels: &Labels, policy: &Policy) -> bool {
    labels.has(&policy.labels.human) && !labels.has(&policy.labels.in_progress)
}

/// Workers count turns even when every other memory is lost, and one that is further than we know is adopted.
fn adopt_workers(run: &mut Run, seen: &Observation, now: Timestamp) {
    let Some(workers) = seen.workers.known() else { return };
    for worker in workers {
        if !run.turns.iter().any(|record| record.number == worker.turn.number) {
            let Turn { number, kind, ref trigger, work_of, .. } = worker.turn;
            run.turns.push(TurnRecord { work_of, ..TurnRecord::reserved(number, kind, trigger.key(), now) });
            run.turns.sort_by_key(|record| record.number);
        }
        if let WorkerState::Finished(StepResult::Agent { usage, .. }) = &worker.state
            && let Some(record) = run.turns.iter_mut().find(|record| record.number == worker.turn.number)
        {
            record.usage = *usage;
        }
    }
    let Some(newest) = workers.iter().max_by_key(|worker| (worker.turn.number, worker.step)) else { return };
    let is_over = run.turns.iter().any(|r| r.number == newest.turn.number && r.end.is_some());
    if is_over {
        return;
    }
    match &mut run.stage {
        Stage::Working { turn, step, since, started } => {
            let known = (turn.number, *step);
            let found = (newest.turn.number, newest.step);
            if found > known {
                *turn = newest.turn.clone();
                *step = newest.step;
                *since = began(newest, now);
            }
            if found >= known && newest.state != WorkerState::Created {
                *started = Started::Seen;
            }
        }
        Stage::Claimed | Stage::Pushed { .. } | Stage::InReview { .. } => {
            let started = if newest.state == WorkerState::Created { Started::NotYet } else { Started::Seen };
            let since = began(newest, now);
            run.stage = Stage::Working { turn: newest.turn.clone(), step: newest.step, since, started };
        }
        Stage::Escalated { .. } | Stage::Closed { .. } => {}
    }
}

fn began(worker: &Worker, now: Timestamp) -> Timestamp {
    match worker.state {
        WorkerState::Running { since } => since,
        WorkerState::Created | WorkerState::Finished(_) | WorkerState::Crashed { .. } => now,
    }
}

/// A step that waits to be started while the kill switch or a person holds the run loses no time meanwhile: else the
/// first tick after a long hold would count it as lost.
fn forgive_held_start(run: &mut Run, seen: &Observation, policy: &Policy, now: Timestamp) {
    let is_held = !policy.brake.allows_turns() || super::paused(run, seen, policy).is_some();
    if is_held
        && Deadline::Step.is_over(run, policy, now)
        && let Stage::Working { since, started: Started::NotYet, .. } = &mut run.stage
    {
        *since = now;
    }
}

/// A head that only our own publish step can have made, or that outlived our memory.
fn adopt_branch(run: &mut Run, seen: &Observation, now: Timestamp) {
    let Some(Some(head)) = seen.branch.known() else { return };
    if run.knows_head(head) {
        return;
    }
    let memory_was_lost = run.pushed.is_none() && run.turns.iter().all(|record| record.end.is_none());
    match &run.stage {
        // Publish died between pushing and reporting: the old id that it had to name makes this its own push. Where
        // people wait for replies it is published again instead, which finds the push and lets them be posted.
        Stage::Working { turn, step: Step::Publish, .. }
            if ended_without_word(seen, run)
                && (turn.work_of.is_some() || !matches!(turn.trigger, Trigger::Threads { .. })) =>
        {
            let number = turn.number;
            remember_push(run, number, head, now);
            run.stage = after_push(run, now);
        }
        Stage::Claimed if memory_was_lost => {
            run.pushed = Some(Pushed { head: head.clone(), at: now });
            run.stage = Stage::Pushed { since: now };
        }
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::InReview { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { .. } => {}
    }
}

fn ended_without_word(seen: &Observation, run: &Run) -> bool {
    let Some((turn, step)) = run.current_turn() else { return false };
    let Some(workers) = seen.workers.known() else { return false };
    workers.iter().any(|worker| {
        worker.turn.number == turn.number
            && worker.step == step
            && match &worker.state {
                WorkerState::Crashed { .. } => true,
                WorkerState::Finished(StepResult::Publish(PublishResult::Failed { .. })) => true,
                WorkerState::Finished(_) | WorkerState::Created | WorkerState::Running { .. } => false,
            }
    })
}

/// Notes that turn `number` pushed `head`.
pub(super) fn remember_push(
    run: &mut Run,
    number: crate::domain::TurnNumber,
    head: &CommitId,
    now: Timestamp,
) {
    if run.pushed.as_ref().is_none_or(|pushed| pushed.head != *head) {
        run.pushed = Some(Pushed { head: head.clone(), at: now });
        run.doubts.pending_since = None;
    }
    if let Some(record) = run.turns.iter_mut().find(|record| record.number == number) {
        record.end = Some(TurnEnd::Pushed { head: head.clone() });
    }
}

/// The stage after a push.
pub(super) fn after_push(run: &Run, now: Timestamp) -> Stage {
    if run.pull_request.is_some() { Stage::InReview { since: now } } else { Stage::Pushed { since: now } }
}

fn adopt_pull_request(run: &mut Run, seen: &Observation, now: Timestamp) {
    let Some(Some(found)) = seen.pull_request.known() else { return };
    run.pull_request = Some(found.id);
    // A status that we do not know is not the end of it: the clocks of a review run.
    let is_open = match found.status {
        PullRequestStatus::Active | PullRequestStatus::Other => true,
        PullRequestStatus::Completed | PullRequestStatus::Abandoned => false,
    };
    if is_open && matches!(run.stage, Stage::Pushed { .. }) {
        run.stage = Stage::InReview { since: now };
    }
}

/// First looks at absences, gaps and red: remembered here, facts only with the second look.
fn note_doubts(run: &mut Run, seen: &Observation, now: Timestamp) {
    let keep = |doubt: &mut Option<Timestamp>, holds: Option<bool>| match holds {
        Some(true) => *doubt = doubt.or(Some(now)),
        Some(false) => *doubt = None,
        None => {}
    };
    let item_gone = seen.item.known().map(|item| matches!(item, ItemSeen::Gone));
    let branch_gone = seen.branch.known().map(|head| head.is_none() && run.pushed.is_some());
    let foreign_head = seen.branch.known().map(|head| {
        let is_foreign = head.as_ref().is_some_and(|head| run.pushed.is_some() && !run.knows_head(head));
        is_foreign && !matches!(run.stage, Stage::Working { step: Step::Publish, .. })
    });
    let worker_gone = seen.workers.known().map(|workers| match &run.stage {
        Stage::Working { turn, step, started: Started::Seen, .. } => {
            !workers.iter().any(|worker| worker.turn.number == turn.number && worker.step == *step)
        }
        Stage::Working { started: Started::NotYet, .. }
        | Stage::Claimed
        | Stage::Pushed { .. }
        | Stage::InReview { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { .. } => false,
    });
    let gap = Some(super::needed_gap(run, seen).is_some() || super::is_stale(run, seen));
    keep(&mut run.doubts.item_gone_since, item_gone);
    keep(&mut run.doubts.branch_gone_since, branch_gone);
    keep(&mut run.doubts.foreign_head_since, foreign_head);
    keep(&mut run.doubts.worker_gone_since, worker_gone);
    keep(&mut run.doubts.gap_since, gap);

    if let (Some(checks), Some(pushed)) = (seen.checks.known(), &run.pushed) {
        let verdict = verdict(checks, &pushed.head);
        let is_target = |signature: &String| {
            seen.target_failures.known().is_some_and(|failures| failures.contains(signature))
        };
        keep(&mut run.doubts.pending_since, Some(verdict == Verdict::Pending));
        match verdict {
            // The clock of our own attempts stands still while the target branch fails the same way.
            Verdict::Failing(failing) if is_target(&failing.signature) => run.red_since = None,
            Verdict::Failing(_) => run.red_since = run.red_since.or(Some(now)),
            Verdict::Passing { .. } => {
                run.red_since = None;
                // A build that expires again after it was green may be queued again.
                run.procedures.retain(|key| !key.starts_with(REQUEUE_PREFIX));
            }
            Verdict::Broken { .. }
            | Verdict::Canceled { .. }
            | Verdict::Partial
            | Verdict::Pending
            | Verdict::NoChecks => {}
        }
    }
}
