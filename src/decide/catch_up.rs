//! Brings a run level with what the world already shows. The world may be ahead of our memory (we died after an
//! effect, or the memory was lost), never the other way round; so this happens before anything is decided.

use super::{
    deadline::Deadline,
    gaps::is_old,
    heard,
    observation::{Checks, ItemSeen, Observation},
    procedure::{Procedure, REQUEUE_PREFIX, RETRY_PREFIX},
    resume, tests_kept,
    verdict::{Verdict, awaits_approval, queued, verdict},
};
use crate::domain::{
    AgentFailure, AgentResult, Built, Claimed, CommitId, FetchResult, Labels, Parked, Policy, PublishResult,
    PullRequestStatus, Pushed, Resumed, Revision, Run, Stage, Started, Step, StepResult, Trigger, Turn,
    TurnEnd, TurnNumber, TurnRecord, Worker, WorkerState, policy::SETTLE,
};
use jiff::Timestamp;

/// `run` as the world shows it.
pub fn catch_up(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Run {
    let mut run = run.clone();
    if run.is_closed() {
        return run;
    }
    adopt_resumption(&mut run, seen, policy, now);
    adopt_escalation(&mut run, seen, policy, now);
    adopt_workers(&mut run, seen, now);
    adopt_branch(&mut run, seen, now);
    adopt_pull_request(&mut run, seen, now);
    let settled = |since: Timestamp| super::deadline::later(since, SETTLE) <= now;
    run.doubts.unheard_since = run.doubts.unheard_since.filter(|since| !settled(*since));
    forgive_held_start(&mut run, seen, policy, now);
    note_doubts(&mut run, seen, policy, now);
    note_edit(&mut run, seen);
    note_heard(&mut run, seen, policy);
    run
}

/// Our labels and the note in our comment say that people let it go on: we died between doing it and remembering it, or
/// forgot it with all the rest. A memory that was found again can be from before people were asked; what they granted
/// counts nevertheless.
fn adopt_resumption(run: &mut Run, seen: &Observation, policy: &Policy, now: Timestamp) {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else { return };
    let is_taken_back = item.labels.has(&policy.labels.in_progress) && !item.labels.has(&policy.labels.human);
    if is_taken_back
        && !is_old(run, item.revision)
        && heard::claimed_anew(run, seen) == Some(false)
        && let Some((text, after)) = heard::resumed(run, seen)
        && is_news(run, text, after)
    {
        resume::remember(run, text, after, now);
    }
}

/// Whether memory does not know yet that it goes on. A turn that is younger than that word was begun by who knew it.
fn is_news(run: &Run, text: Revision, after: TurnNumber) -> bool {
    let is_younger = run.current_turn().is_some_and(|(turn, _)| turn.number > after);
    let knows = |resumed: &Resumed| (resumed.after, resumed.revision) >= (after, text);
    match run.stage {
        Stage::Escalated { .. } => true,
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => {
            !is_younger && !run.resumed.as_ref().is_some_and(knows)
        }
        Stage::Closed { .. } => false,
    }
}

/// What was edited after it was approved is told to people. Once a trusted person lets the run go on with the new text it
/// is nothing to tell any more.
fn note_edit(run: &mut Run, seen: &Observation) {
    let approved = run.text_revision();
    if let Some(changes) = seen.text_changes.known() {
        // A list that lags must not take back what was told.
        let all = changes.iter().cloned().chain(run.edited.take());
        run.edited = all.max_by_key(|change| change.revision);
    }
    run.edited = run.edited.take().filter(|edit| edit.revision > approved);
}

/// The discussion is heard up to this revision once nothing in it awaits us.
fn note_heard(run: &mut Run, seen: &Observation, policy: &Policy) {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else { return };
    let unread = seen.unsure || seen.labelled.gap().is_some() || seen.text_changes.gap().is_some();
    let awaits = !heard::pending(run, seen, policy).is_empty() || resume::is_asked_for(run, seen, policy);
    if seen.discussion.known().is_some() && !unread && !awaits {
        run.heard = run.heard.max(Some(item.revision));
    }
}

/// Our labels say that people were asked: we died between telling them and remembering it.
fn adopt_escalation(run: &mut Run, seen: &Observation, policy: &Policy, now: Timestamp) {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else { return };
    let is_escalated = matches!(run.stage, Stage::Escalated { .. });
    if !is_escalated && !is_old(run, item.revision) && asks_people(&item.labels, policy) {
        // Why stands in the discussion; nothing is decided from it.
        let reason = "people were asked; why stands in the work item's discussion".to_owned();
        run.stage = Stage::Escalated { reason, since: now };
    }
}

fn asks_people(labels: &Labels, policy: &Policy) -> bool {
    labels.has(&policy.labels.human) && !labels.has(&policy.labels.in_progress)
}

/// Workers count turns even when every other memory is lost, and one that is further than we know is adopted.
fn adopt_workers(run: &mut Run, seen: &Observation, now: Timestamp) {
    let Some(workers) = seen.workers.known() else { return };
    for worker in workers {
        let is_summed = run.summed.as_ref().is_some_and(|summed| worker.turn.number <= summed.until);
        if !is_summed && !run.turns.iter().any(|record| record.number == worker.turn.number) {
            let Turn { number, kind, ref trigger, work_of, .. } = worker.turn;
            run.turns.push(TurnRecord { work_of, ..TurnRecord::reserved(number, kind, trigger.key(), now) });
            run.turns.sort_by_key(|record| record.number);
        }
        note_result(run, worker, now);
    }
    let Some(newest) = workers.iter().max_by_key(|worker| (worker.turn.number, worker.step)) else { return };
    let is_past = run.resumed.as_ref().is_some_and(|resumed| newest.turn.number <= resumed.after);
    let is_over = is_past || run.turns.iter().any(|r| r.number == newest.turn.number && r.end.is_some());
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

/// What a step's end tells about its turn: what was used up, whose fault it was, what was done.
fn note_result(run: &mut Run, worker: &Worker, now: Timestamp) {
    let number = worker.turn.number;
    let Some(record) = run.turns.iter_mut().find(|record| record.number == number) else { return };
    let mut blame = |fault: AgentFailure| {
        if record.end.is_none() {
            record.fault = Some(fault);
            record.ended_at.get_or_insert(now);
        }
    };
    let infrastructure = AgentFailure::Infrastructure;
    match &worker.state {
        WorkerState::Created | WorkerState::Running { .. } => {}
        WorkerState::Crashed { .. } => blame(infrastructure),
        // A report for another step says nothing about this one.
        WorkerState::Finished(result) if result.step() != worker.step => blame(infrastructure),
        WorkerState::Finished(StepResult::Fetch(fetched)) => match fetched {
            FetchResult::Failed { .. } | FetchResult::Moved { found: None } => blame(infrastructure),
            FetchResult::Moved { found: Some(_) } | FetchResult::Ready { .. } => {}
        },
        WorkerState::Finished(StepResult::Agent { result, usage }) => {
            match result {
                AgentResult::Failed { class, .. } => blame(*class),
                AgentResult::Worked { cut: Some(_), .. } => record.fault = Some(AgentFailure::Exhausted),
                AgentResult::Worked { cut: None, .. }
                | AgentResult::NothingChanged { .. }
                | AgentResult::Question { .. } => {}
            }
            record.usage = *usage;
            note_words(run, number, result);
        }
        WorkerState::Finished(StepResult::Publish(published)) => match published {
            PublishResult::Pushed { changed, .. } => record.changed = Some(*changed),
            PublishResult::Failed { .. } => blame(infrastructure),
            PublishResult::Refused { .. } | PublishResult::Diverged { .. } => {}
        },
    }
}

/// A paragraph; whoever wants more of it reads the evidence.
const MAX_SAID: usize = 500;
/// A list; the whole plan is evidence, too.
const MAX_PLAN: usize = 2_000;

fn note_words(run: &mut Run, turn: TurnNumber, result: &AgentResult) {
    let AgentResult::Worked { summary, checks_passed, plan, .. } = result else { return };
    if run.said.as_ref().is_none_or(|said| said.turn <= turn) {
        let summary = summary.chars().take(MAX_SAID).collect();
        let plan = plan.as_ref().map(|plan| plan.chars().take(MAX_PLAN).collect());
        run.said = Some(Claimed { turn, summary, checks_passed: *checks_passed, plan });
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
    let is_held = !policy.brake.allows_turns()
        || super::paused(run, seen, policy).is_some()
        || super::merges_at_once(seen);
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
    let is_anothers = seen.branch_by.known().and_then(Option::as_ref).is_some_and(|by| *by != seen.me);
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
        // One that somebody else made has our name and nothing of ours: fetch finds it in the way.
        Stage::Claimed if memory_was_lost && !is_anothers => {
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
    // The work may be an earlier turn's, which was not published.
    let work = run.turns.iter().find(|record| record.number == number).map(TurnRecord::work);
    let was_cut = run
        .turns
        .iter()
        .any(|record| Some(record.number) == work && record.fault == Some(AgentFailure::Exhausted));
    if let Some(record) = run.turns.iter_mut().find(|record| record.number == number) {
        record.end = Some(TurnEnd::Pushed { head: head.clone() });
        record.ended_at.get_or_insert(now);
        record.fault = was_cut.then_some(AgentFailure::Exhausted);
    }
}

/// The stage after a push.
pub(super) fn after_push(run: &Run, now: Timestamp) -> Stage {
    if run.pull_request.is_some() { Stage::InReview { since: now } } else { Stage::Pushed { since: now } }
}

fn adopt_pull_request(run: &mut Run, seen: &Observation, now: Timestamp) {
    let Some(Some(found)) = seen.pull_request.known() else { return };
    run.pull_request = Some(found.id);
    if found.status == PullRequestStatus::Active {
        // A person may point it elsewhere; that is where the change goes then.
        run.target = found.target.clone();
    }
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
fn note_doubts(run: &mut Run, seen: &Observation, policy: &Policy, now: Timestamp) {
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

    let pushed = run.pushed.as_ref().map(|pushed| pushed.head.clone());
    if let (Some(checks), Some(head)) = (seen.checks.known(), pushed) {
        let verdict = verdict(checks, &head);
        tests_kept::note(run, seen, &head, &verdict);
        note_park(run, seen, &verdict, now);
        note_built(run, checks, &head, &verdict, policy, now);
        let is_target = |signature: &String| {
            seen.target_failures.known().is_some_and(|failures| failures.contains(signature))
        };
        // A build that a person held for days has its whole time from the moment it runs.
        let is_held = awaits_approval(checks, &head);
        keep(&mut run.doubts.pending_since, Some(verdict == Verdict::Pending && !is_held));
        match verdict {
            // The clock of our own attempts stands still while the target branch fails the same way.
            Verdict::Failing(failing) if is_target(&failing.signature) => run.red_since = None,
            Verdict::Failing(_) => run.red_since = run.red_since.or(Some(now)),
            Verdict::Passing { .. } => {
                run.red_since = None;
                let accepted = |turn: &&TurnRecord| matches!(&turn.end, Some(TurnEnd::Pushed { head: own }) if *own == head);
                run.accepted =
                    run.turns.iter().rev().find(accepted).map(|turn| turn.number).max(run.accepted);
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

/// Whether the pipelines judged the change, or failed themselves: many runs together tell from that whether they are down.
fn note_built(
    run: &mut Run,
    checks: &Checks,
    head: &CommitId,
    verdict: &Verdict,
    policy: &Policy,
    now: Timestamp,
) {
    let is_broken = match verdict {
        // What was not tried again yet may be bad luck.
        Verdict::Failing(failing) if failing.is_infrastructure => {
            let is_tried = |build| run.procedures.contains(&Procedure::RetryBuild { build }.key(head));
            if !failing.builds.iter().copied().all(is_tried) {
                return;
            }
            true
        }
        Verdict::Failing(_) => false,
        Verdict::Broken { .. } => true,
        Verdict::Passing { .. } | Verdict::Partial => false,
        // A person's decision says nothing about the pipelines.
        Verdict::Canceled { by: Some(_), .. } => return,
        Verdict::Canceled { build, evaluation, by: None } => {
            let retry = Procedure::after_cancel(*build, evaluation.as_ref());
            if !run.procedures.contains(&retry.key(head)) {
                return;
            }
            true
        }
        Verdict::Pending if queued(checks, head).is_some() && Deadline::Verdict.is_over(run, policy, now) => {
            true
        }
        Verdict::Pending | Verdict::NoChecks => return,
    };
    let is_known =
        run.built.as_ref().is_some_and(|built| built.head == *head && built.is_broken == is_broken);
    if !is_known {
        run.built = Some(Built { head: head.clone(), at: now, is_broken });
    }
}

/// A run that is red with its target waits for that; one that no longer is has its builds made anew, and is over it when
/// they run.
fn note_park(run: &mut Run, seen: &Observation, verdict: &Verdict, now: Timestamp) {
    let Verdict::Failing(failing) = verdict else {
        run.parked = None;
        return;
    };
    let Some(target) = seen.target_failures.known() else { return };
    match &mut run.parked {
        parked if target.contains(&failing.signature) => {
            if parked.as_ref().is_none_or(|parked| parked.signature != failing.signature) {
                *parked = Some(Parked { signature: failing.signature.clone(), since: now, released: None });
                // Its builds may be made anew afterwards, whatever was tried on this head before.
                run.procedures
                    .retain(|key| !key.starts_with(REQUEUE_PREFIX) && !key.starts_with(RETRY_PREFIX));
            } else if let Some(parked) = parked {
                parked.released = None;
            }
        }
        Some(parked) => parked.released = parked.released.or(Some(now)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{
            Decision, Proceed, decide,
            given::{At, Branch, Given, On, Voice, World},
        },
        domain::TurnKind,
    };

    #[test]
    fn what_people_granted_counts_also_for_a_memory_from_before_they_were_asked() {
        let granted = |at| Given { at, voice: Voice::TakenBack, ..Given::default() }.world();
        let working = At::Working(On::Item, Step::Agent, Started::Seen);
        for at in [At::InReview, At::Pushed, working] {
            let World { run, seen, policy, now } = granted(at);
            assert!(run.resumed.is_none() && run.spent(TurnKind::Implement) > 0, "{at:?}");
            let caught = catch_up(&run, &seen, &policy, now);
            assert_eq!(caught.spent(TurnKind::Implement), 0, "{at:?}: attempts are counted afresh");
            let (text, after) = heard::resumed(&run, &seen).unwrap();
            let resumed = caught.resumed.clone().unwrap();
            assert_eq!((resumed.revision, resumed.after), (text, after), "{at:?}");
            assert!(run.stage.can_become(&caught.stage), "{at:?}");
            if at == working {
                let due = decide(&caught, &seen, &policy, now);
                assert_eq!(
                    due,
                    Decision::Proceed(Proceed::Implement),
                    "the next turn, not the old one again"
                );
            }
            // Once. A turn that is younger than the word, and a word that is newer than the note, stay.
            let again = catch_up(&caught, &seen, &policy, super::super::deadline::later(now, SETTLE));
            assert_eq!(again.resumed, caught.resumed, "{at:?}");
            let newer = Resumed { after: after.next(), ..resumed };
            let newer = Run { resumed: Some(newer), stage: caught.stage.clone(), ..run };
            assert_eq!(catch_up(&newer, &seen, &policy, now).resumed, newer.resumed, "{at:?}");
        }
    }

    #[test]
    fn a_discussion_is_not_heard_while_somebody_in_it_may_or_may_not_be_trusted() {
        let World { run, seen, policy, now } = Given { voice: Voice::Stranger, ..Given::default() }.world();
        let heard = |unsure| {
            let seen = Observation { unsure, ..seen.clone() };
            catch_up(&run, &seen, &policy, now).heard
        };
        assert!(heard(false).is_some());
        assert_eq!(heard(true), run.heard, "it is read again");
    }

    #[test]
    fn a_lost_memory_takes_only_a_branch_that_we_made_for_ours() {
        let given = |branch| Given { at: At::Claimed, branch, ..Given::default() };
        let World { run, seen, policy, now } = given(Branch::Foreign).world();
        let caught = catch_up(&run, &seen, &policy, now);
        assert_eq!((&caught.stage, &caught.pushed), (&Stage::Claimed, &None));
        for ours in [Some(seen.me.clone()), None] {
            let seen = Observation { branch_by: super::super::Seen::Known(ours), ..seen.clone() };
            let caught = catch_up(&run, &seen, &policy, now);
            assert!(caught.pushed.is_some(), "made by us, or the service does not tell");
        }
    }
}
