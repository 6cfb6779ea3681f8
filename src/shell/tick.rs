//! One visit to every run in flight: observe, catch up, decide, plan, apply, remember.

use super::{
    App,
    apply::{Applied, ApplyError, apply},
    executor,
    observe::{Fleet, observe, survey},
    poll::{Failure, Mode, WATCHER},
    progress, record, recover,
    report::{Line, Report},
    ring::{self, rings, transition},
    trust, turnstile,
};
use crate::{
    decide::{Decision, Effect, Observation, WaitReason, catch_up, cause, deadline::Deadline, decide, plan},
    domain::{Cause, Generation, IdentityId, Policy, Run, Stage, Stuck},
    exit::Exit,
    store::{Note, Ring, Saved},
};
use futures_util::{StreamExt, stream};

/// How often one visit may act and look again: enough for fetch, agent start, publish and pull request to follow each
/// other without another cron period, few enough that one run cannot hold up a tick.
const MAX_ACTS: u32 = 6;
/// Rounds that only move our own memory are cheap, but a loop without end is a bug.
const MAX_ROUNDS: u32 = 16;

/// Visits every run in flight once.
pub async fn tick(app: &App, mode: Mode) -> Report {
    let mut report = Report::new(WATCHER);
    if let Err(failure) = try_tick(app, mode, &mut report).await {
        report.exit = Some(failure.exit());
        report.held = Some(failure.to_string());
        tracing::error!("{failure}");
    }
    report.lines.sort_by_key(|line| (line.item, line.run));
    report.count(&app.ado.calls());
    report
}

async fn try_tick(app: &App, mode: Mode, report: &mut Report) -> Result<(), Failure> {
    if mode == Mode::Real {
        app.store.beat(WATCHER, app.now).await?;
    }
    let mut runs = app.store.in_flight().await?;
    if app.settings.intake.projects.is_empty() && runs.is_empty() {
        return Ok(());
    }
    let me = app.check_who_we_are().await?.id.clone();
    if mode == Mode::Real {
        match recover::recover(app, &runs, &me).await {
            Ok(recovered) => {
                runs.extend(recovered.runs);
                report.lines.extend(recovered.lines);
                // The operator hears of a project that is closed to us; runs go on.
                report.exit = (!recovered.is_complete).then_some(Exit::SomeFailed);
            }
            // What cannot be found again now is found later; runs that we know do not wait for it.
            Err(why) => tracing::warn!("runs that were lost could not be looked for: {why}"),
        }
    }
    let fleet = survey(app, &runs, &me).await;
    let parallel = app.settings.concurrency.get() as usize;
    let visits = stream::iter(runs).map(|run| {
        let fleet = &fleet;
        async move {
            match mode {
                Mode::Real => visit(app, Some(fleet), run).await,
                Mode::DryRun => look(app, fleet, &run).await,
            }
        }
    });
    let lines: Vec<Line> = visits.buffer_unordered(parallel).collect().await;
    report.lines.extend(lines);
    if mode == Mode::Real {
        executor::sweep(app).await;
        report.rings = ring::deliver(app).await;
    }
    // Runs only wait for an executor that is away; whoever reads exit codes has to hear of it before they stop waiting.
    fleet.workers.map(drop).map_err(Failure::from)
}

/// What would be decided, without doing it.
async fn look(app: &App, fleet: &Fleet, run: &Run) -> Line {
    let considered = match consider(app, Some(fleet), run).await {
        Ok(considered) => considered,
        Err(why) => return failed(run, why.to_string()),
    };
    record::add(app, run, &considered);
    let decision = considered.decision;
    line(run, decision.word(), decision.to_string())
}

/// What one look at one run came to.
pub(super) struct Considered {
    pub(super) run: Run,
    pub(super) seen: Observation,
    /// The limits that were used: who may speak is part of them.
    pub(super) policy: Policy,
    pub(super) decision: Decision,
}

/// Observes and decides; writes nothing.
pub(super) async fn consider(
    app: &App,
    fleet: Option<&Fleet>,
    run: &Run,
) -> Result<Considered, crate::ado::Error> {
    let me: &IdentityId = &app.me().await?.id;
    let seen = observe(app, fleet, run, me).await;
    let policy = app.policy_for(trust::speakers(&seen)).await;
    let run = catch_up(run, &seen, &policy, app.now);
    let decision = decide(&run, &seen, &policy, app.now);
    Ok(Considered { run, seen, policy: policy.into_owned(), decision })
}

/// Visits one run: as long as something can be done at once, it is.
pub(super) async fn visit(app: &App, fleet: Option<&Fleet>, stored: Run) -> Line {
    let Some(_pass) = turnstile::enter(app, stored.id) else {
        return line(&stored, "superseded", "another process of ours is with this run".into());
    };
    // It may have been there just before us; then its memory is newer than ours and than the survey.
    let (mut stored, fleet) = match app.store.load(stored.id).await {
        Ok(Some(newer)) if newer.generation != stored.generation => (newer, None),
        Ok(_) => (stored, fleet),
        Err(why) => return failed(&stored, why.to_string()),
    };
    let is_new = stored.generation <= Generation::NEW.next();
    let mut told = ("wait", String::new());
    let mut newest = None;
    let mut acts = 0;
    for round in 0..MAX_ROUNDS {
        // The survey is as fresh as this tick; after an act the run reads its own facts again.
        let fleet = fleet.filter(|_| round == 0);
        let considered = match consider(app, fleet, &stored).await {
            Ok(considered) => considered,
            Err(why) => return failed(&stored, why.to_string()),
        };
        record::add(app, &stored, &considered);
        let Considered { run, seen, policy: _, decision } = considered;
        tracing::debug!(run.id = %run.id, stage = run.stage.word(), "{decision}");
        let said = decision.to_string();
        let acted = match act(app, run.clone(), &seen, &decision).await {
            Ok(acted) => acted,
            Err(why) => {
                let said = format!("{said}, but {why}");
                let next = stuck(app, run, is_new, &why);
                let is_over = Deadline::Stuck.is_over(&next, &app.policy, app.now);
                match remember(app, &stored, next, &said, None).await {
                    // People are asked now, and not in a tick that may never come.
                    Ok(Some(saved)) if is_over && decision.can_become_a_question() => {
                        stored = saved;
                        continue;
                    }
                    Ok(_) => return failed(&stored, said),
                    Err(why) => return failed(&stored, why),
                }
            }
        };
        let moved = acted.next.stage != stored.stage;
        let why = match &decision {
            Decision::Escalate(reason) => Some(cause(&stored, &seen, reason)),
            Decision::Wait(_)
            | Decision::StopWorkers(_)
            | Decision::Proceed(_)
            | Decision::Redispatch(_)
            | Decision::FixForward(_)
            | Decision::Respond(_)
            | Decision::Close(_) => None,
        };
        match remember(app, &stored, acted.next, &said, why).await {
            Ok(Some(saved)) => stored = saved,
            Ok(None) => {
                return line(&stored, "superseded", "another process of ours is ahead with this run".into());
            }
            Err(why) => return failed(&stored, why),
        }
        if let Some(why) = acted.unsettled {
            return line(&stored, "unsettled", format!("{said}: {why}"));
        }
        // What was done is worth telling; where nothing was done, why not.
        if acted.did_something || acts == 0 {
            told = (decision.word(), said);
        }
        acts += u32::from(acted.did_something);
        newest = Some((seen, decision));
        if stored.is_closed() || acts >= MAX_ACTS || !(acted.did_something || moved) {
            break;
        }
    }
    let (what, why) = told;
    if let Some((seen, decision)) = newest.filter(|_| !stored.is_closed()) {
        let mut next = stored.clone();
        // What cannot be told now is told by the next visit.
        if tell(app, &mut next, &seen, &decision).await.is_ok()
            && let Ok(Some(saved)) = remember(app, &stored, next, &why, None).await
        {
            stored = saved;
        }
    }
    line(&stored, what, why)
}

struct Acted {
    next: Run,
    did_something: bool,
    unsettled: Option<String>,
}

/// Spells the decision out and performs it. The progress comment is brought up to date before the claim is released;
/// in all other cases at the end of the visit, because each edit is a revision of the item.
async fn act(app: &App, run: Run, seen: &Observation, decision: &Decision) -> Result<Acted, ApplyError> {
    let plan = plan(&run, decision, app.now);
    let mut next = plan.next;
    for effect in &plan.effects {
        if is_last(effect) {
            // Nobody visits a run that is over: what its comment says now, it says for ever.
            if let Err(why) = tell(app, &mut next, seen, decision).await {
                return Ok(Acted { next: run, did_something: true, unsettled: Some(why.to_string()) });
            }
        }
        let done = apply(app, &next_for(effect, &run, &next), effect).await?;
        match done {
            Applied::Done => {}
            Applied::PullRequest(found) => {
                next.pull_request = Some(found.id);
                next.stage = Stage::InReview { since: app.now };
            }
            Applied::Unknown(why) | Applied::Overtaken(why) => {
                // Memory stays where it was; only what the world showed is kept.
                return Ok(Acted { next: run, did_something: true, unsettled: Some(why) });
            }
        }
    }
    if !plan.effects.is_empty() || decision.moves_on() {
        next.doubts.stuck = None;
    }
    Ok(Acted { next, did_something: !plan.effects.is_empty(), unsettled: None })
}

/// The run, with what could not be performed. A memory that is new and of a run that pushed nothing knows no other
/// beginning than the claim: where every memory is lost again and again, a run that cannot begin still ends with people.
fn stuck(app: &App, mut run: Run, is_new: bool, why: &ApplyError) -> Run {
    let before = run.doubts.stuck.take().map(|stuck| stuck.since);
    let first = if is_new && run.pushed.is_none() { run.claimed_at } else { app.now };
    run.doubts.stuck =
        Some(Stuck { since: before.unwrap_or(first), why: why.to_string(), may_heal: why.may_heal() });
    run
}

/// Terminal effects speak of the run as it was; all others of the run as it will be.
fn next_for(effect: &Effect, run: &Run, next: &Run) -> Run {
    if is_last(effect) { run.clone() } else { next.clone() }
}

fn is_last(effect: &Effect) -> bool {
    match effect {
        Effect::Release { .. } | Effect::HandToPeople { .. } => true,
        Effect::StartStep { .. }
        | Effect::StopWorkers
        | Effect::PostReplies { .. }
        | Effect::OpenPullRequest
        | Effect::Do(_)
        | Effect::Remind => false,
    }
}

async fn tell(
    app: &App,
    next: &mut Run,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), crate::ado::Error> {
    // Cold looks know less than the comment already says; they must not take it back.
    if seen.checks.known().is_none()
        && matches!((decision, &next.stage), (Decision::Wait(_), Stage::InReview { .. }))
    {
        return Ok(());
    }
    // It was brought up to date before people were asked; after a loss of memory we would know less.
    if matches!(decision, Decision::Wait(WaitReason::AskedPeople)) {
        return Ok(());
    }
    let text = progress::text(app, next, Some((decision, seen)));
    progress::ensure(app, next, &text).await
}

/// Saves what changed, with what is to be rung, in one transaction. None when another process was faster.
async fn remember(
    app: &App,
    stored: &Run,
    next: Run,
    said: &str,
    cause: Option<Cause>,
) -> Result<Option<Run>, String> {
    if next == *stored {
        return Ok(Some(next));
    }
    let rings: Vec<Ring> =
        transition(stored, &next).map_or(Vec::new(), |kind| rings(app, kind, &next, said, cause));
    let note = Note { at: app.now, stage: next.stage.word().to_owned(), text: said.to_owned() };
    match app.store.save(&next, &rings, Some(&note)).await {
        Ok(Saved::Saved(generation)) => Ok(Some(Run { generation, ..next })),
        Ok(Saved::Superseded) => Ok(None),
        Err(why) => Err(why.to_string()),
    }
}

fn line(run: &Run, what: &'static str, why: String) -> Line {
    Line { run: Some(run.id), item: run.id.item.0, what, why, stage: Some(run.stage.word()), failed: false }
}

fn failed(run: &Run, why: String) -> Line {
    Line { failed: true, ..line(run, "failed", why) }
}
