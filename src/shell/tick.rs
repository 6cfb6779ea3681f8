//! One visit to every run in flight: observe, catch up, decide, plan, apply, remember.

use super::{
    App,
    apply::{Applied, ApplyError, apply},
    executor,
    observe::{self, Fleet, observe, survey},
    poll::{Failure, Mode, WATCHER},
    progress, record, recover,
    report::{Line, Report},
    revive,
    ring::{self, rings, transition},
    rules, talk, trust, turnstile,
};
use crate::{
    decide::{
        Decision, Effect, Hand, Observation, Pause, WaitReason, by_hand, catch_up, cause, deadline::Deadline,
        decide, plan,
    },
    domain::{Brake, Cause, Doubts, Generation, IdentityId, Policy, Run, RunId, Stage, Stuck},
    exit::Exit,
    store::{Note, Ring, Saved},
};
use futures_util::{StreamExt, stream};
use std::borrow::Cow;

/// How often one visit may act and look again: enough for fetch, agent start, publish and pull request to follow each
/// other without another cron period, few enough that one run cannot hold up a tick.
const MAX_ACTS: u32 = 6;
/// What a line of a hand says when something else came before what it was laid for.
pub const NOT_DONE: &str = "not-done";
/// Rounds that only move our own memory are cheap, but a loop without end is a bug.
const MAX_ROUNDS: u32 = 16;

/// Under this name the memory notes the last visit that came to every run, so that the next one knows whose turn came since.
const VISITED: &str = "visit";

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
    app.check_brief()?;
    if mode == Mode::Real {
        app.store.beat(WATCHER, app.now).await?;
    }
    if let Some(last) = app.store.last_beat(VISITED).await? {
        _ = app.last_visit.set(last);
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
        match revive::revive(app, &runs).await {
            Ok((reopened, lines)) => {
                runs.extend(reopened);
                report.lines.extend(lines);
            }
            // Nor do they wait for those that people may have opened again.
            Err(why) => {
                report.exit = Some(Exit::SomeFailed);
                tracing::warn!("runs that were closed could not be looked through: {why}");
            }
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
    if app.facts_unknown() {
        // Runs wait for it, and nobody but the operator can mend it.
        report.exit = Some(Exit::SomeFailed);
    }
    if mode == Mode::Real {
        app.store.beat(VISITED, app.now).await?;
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
    let mut seen = observe(app, fleet, run, me).await;
    let mut policy = app.policy_for(trust::speakers(&seen)).await;
    seen.unsure = app.is_unsure_of(trust::speakers(&seen)).await;
    let run = catch_up(run, &seen, &policy, app.now);
    let mut decision = decide(&run, &seen, &policy, app.now);
    if depends_on_rules(&decision) {
        // The repository's own rules only narrow: whatever is decided without them that starts nothing stays decided.
        let rules = rules::in_force(app, &run).await?;
        policy = Cow::Owned(policy.narrowed(&rules.rules()));
        decision = decide(&run, &seen, &policy, app.now);
    }
    Ok(Considered { run, seen, policy: policy.into_owned(), decision })
}

/// Whether a repository's own rules could lead to another decision: what spends an attempt, and what drafts mean.
fn depends_on_rules(decision: &Decision) -> bool {
    match decision {
        Decision::Wait(WaitReason::Paused(Pause::Draft)) => true,
        Decision::Wait(_)
        | Decision::StopWorkers(_)
        | Decision::Proceed(_)
        | Decision::Redispatch(_)
        | Decision::FixForward(_)
        | Decision::Respond(_)
        | Decision::Obey(_)
        | Decision::Resume(_)
        | Decision::Escalate(_)
        | Decision::Close(_) => decision.starts_turn(),
    }
}

/// Visits one run: as long as something can be done at once, it is. What it came to is durable when it returns.
pub(super) async fn visit(app: &App, fleet: Option<&Fleet>, stored: Run) -> Line {
    let Some(_pass) = turnstile::enter(app, stored.id) else {
        return line(&stored, "superseded", "another process of ours is with this run".into());
    };
    let id = stored.id;
    let visited = Box::pin(rounds(app, fleet, stored)).await;
    settled(app, id, visited).await
}

/// Makes durable what a visit came to, and says what became of that.
async fn settled(app: &App, run: RunId, visited: Line) -> Line {
    match app.store.settle(run).await {
        Ok(Saved::Saved(_)) => visited,
        Ok(Saved::Superseded) => {
            let why = "another process of ours is ahead with this run".into();
            Line { what: "superseded", why, ..visited }
        }
        // The world shows what was done; the next visit begins with that.
        Err(why) => {
            let failed = visited.failed || Exit::from(&why) != Exit::Unreachable;
            Line { what: "unsettled", why: format!("{}, but {why}", visited.why), failed, ..visited }
        }
    }
}

async fn rounds(app: &App, fleet: Option<&Fleet>, stored: Run) -> Line {
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
        let Considered { run, seen, policy, decision } = considered;
        tracing::debug!(run.id = %run.id, stage = run.stage.word(), "{decision}");
        let said = decision.to_string();
        if let Some(why) = owes_rest(app, &stored, &run).await {
            let unheard_since = run.doubts.unheard_since.or(Some(app.now));
            let next = Run { doubts: Doubts { unheard_since, ..stored.doubts.clone() }, ..stored.clone() };
            return match remember(app, &stored, next, &why, None).await {
                Ok(_) => line(&stored, "unsettled", why),
                Err(why) => failed(&stored, why),
            };
        }
        let acted = match act(app, run.clone(), &seen, &decision, &policy).await {
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
        let why = decision.asks_why().map(|reason| cause(&stored, &seen, reason));
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
        newest = Some((seen, decision, policy));
        if stored.is_closed() || acts >= MAX_ACTS || !(acted.did_something || moved) {
            break;
        }
    }
    let (what, why) = told;
    if let Some((seen, decision, policy)) = newest.filter(|_| !stored.is_closed()) {
        let mut next = stored.clone();
        // What cannot be told now is told by the next visit.
        if tell(app, &mut next, &seen, &decision, &policy, None).await.is_ok()
            && let Ok(Some(saved)) = remember(app, &stored, next, &why, None).await
        {
            stored = saved;
        }
    }
    line(&stored, what, why)
}

/// An operator's hand: one decision that no world asked for, done as any other. What it came to stands in Azure DevOps
/// when it returns, whatever becomes of the memory.
pub(super) async fn lay_hand(app: &App, run: &Run, hand: Hand) -> Result<Line, Failure> {
    app.check_who_we_are().await?;
    let Some(_pass) = turnstile::enter(app, run.id) else {
        return Ok(line(run, "superseded", "another process of ours is with this run; try again".into()));
    };
    let stored = app.store.load(run.id).await?.unwrap_or_else(|| run.clone());
    let laid = Box::pin(laid(app, &stored, hand)).await?;
    Ok(settled(app, stored.id, laid).await)
}

/// What has to come before a hand does, at most: workers that are stopped, and the look after that.
const HAND_ROUNDS: u32 = 3;

async fn laid(app: &App, stored: &Run, hand: Hand) -> Result<Line, Failure> {
    let mut stored = stored.clone();
    let mut told = line(&stored, NOT_DONE, String::new());
    for _ in 0..HAND_ROUNDS {
        let Considered { run, mut seen, policy, decision: _ } = consider(app, None, &stored).await?;
        let policy = observe::vouch_for_hand(app, &run, hand, &mut seen, policy).await;
        let decision = by_hand(&run, &seen, &policy, hand, app.now);
        let said = decision.to_string();
        let mut acted = match act(app, run, &seen, &decision, &policy).await {
            Ok(acted) => acted,
            Err(why) => return Ok(failed(&stored, format!("{said}, but {why}"))),
        };
        if acted.unsettled.is_none() && !acted.next.is_closed() {
            // What cannot be told now is told by the next visit.
            if let Err(why) = tell(app, &mut acted.next, &seen, &decision, &policy, None).await {
                tracing::warn!(run.id = %stored.id, "the progress comment could not be brought up to date: {why}");
            }
        }
        let is_done = hand.is_done_by(&decision);
        let written = if is_done {
            write(app, &stored, acted.next, &said, None).await
        } else {
            // What came before it is in the history as it is after any tick; a wait is no news.
            remember(app, &stored, acted.next, &said, None).await
        };
        let saved = match written {
            Err(why) => return Ok(failed(&stored, why)),
            Ok(None) => {
                let why = "another process of ours is ahead with this run".into();
                return Ok(line(&stored, "superseded", why));
            }
            Ok(Some(saved)) => saved,
        };
        if let Some(why) = acted.unsettled {
            return Ok(line(&saved, "unsettled", format!("{said}: {why}")));
        }
        stored = saved;
        let what = if is_done { decision.word() } else { NOT_DONE };
        told = line(&stored, what, said);
        // Comes before what was wanted; then it is wanted still.
        let gives_way = matches!(decision, Decision::StopWorkers(_));
        if !gives_way {
            break;
        }
    }
    Ok(told)
}

struct Acted {
    next: Run,
    did_something: bool,
    unsettled: Option<String>,
}

/// Spells the decision out and performs it. The progress comment is brought up to date before the claim is released;
/// in all other cases at the end of the visit, because each edit is a revision of the item.
async fn act(
    app: &App,
    run: Run,
    seen: &Observation,
    decision: &Decision,
    policy: &Policy,
) -> Result<Acted, ApplyError> {
    let plan = plan(&run, decision, app.now);
    let mut next = plan.next;
    for effect in &plan.effects {
        if is_last(effect) {
            // Nobody visits a run that is over: what its comment says now, it says for ever.
            if let Err(why) = tell(app, &mut next, seen, decision, policy, Some(&run.stage)).await {
                return Ok(Acted { next: run, did_something: true, unsettled: Some(why.to_string()) });
            }
            match app.store.foretell(&next, &run.stage).await {
                Ok(Saved::Saved(generation)) => next.generation = generation,
                Ok(Saved::Superseded) => {
                    let why = "another process of ours is ahead with this run".to_owned();
                    return Ok(Acted { next: run, did_something: true, unsettled: Some(why) });
                }
                Err(why) => {
                    return Ok(Acted { next: run, did_something: true, unsettled: Some(why.to_string()) });
                }
            }
        }
        let done = apply(app, &next_for(effect, &run, &next), effect, seen).await?;
        match done {
            Applied::Done => {}
            Applied::Moved(repository, target) => (next.repository, next.target) = (*repository, target),
            Applied::PullRequest(found) => {
                next.pull_request = Some(found.id);
                next.stage = Stage::InReview { since: app.now };
                match talk::tell_rest(app, &next).await {
                    Ok(Applied::Unheard(why)) => return Ok(unheard(app, run, why)),
                    Ok(_) => {}
                    // The pull request is found again, and with it what it still lacks.
                    Err(why) => {
                        return Ok(Acted {
                            next: run,
                            did_something: true,
                            unsettled: Some(why.to_string()),
                        });
                    }
                }
            }
            Applied::Unheard(why) => return Ok(unheard(app, run, why)),
            Applied::Unknown(why) | Applied::Overtaken(why) => {
                // Memory stays where it was; only what the world showed is kept.
                let run = Run { generation: next.generation, ..run };
                return Ok(Acted { next: run, did_something: true, unsettled: Some(why) });
            }
        }
    }
    if !plan.effects.is_empty() || decision.moves_on() {
        next.doubts.stuck = None;
    }
    Ok(Acted { next, did_something: !plan.effects.is_empty(), unsettled: None })
}

/// Memory stays where it was, and what was said may still arrive: it is looked for before it is said again.
fn unheard(app: &App, run: Run, why: String) -> Acted {
    let doubts = Doubts { unheard_since: Some(app.now), ..run.doubts };
    Acted { next: Run { doubts, ..run }, did_something: true, unsettled: Some(why) }
}

/// A pull request that was found and not opened: we died between opening it and telling what it has no room for. Why
/// that is not told yet.
async fn owes_rest(app: &App, stored: &Run, run: &Run) -> Option<String> {
    let is_ours_to_tell = match run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => true,
        Stage::Escalated { .. } | Stage::Closed { .. } => false,
    };
    let is_found = stored.pull_request.is_none() && run.pull_request.is_some();
    if !is_found || !is_ours_to_tell || !app.policy.brake.allows_turns() {
        return None;
    }
    if run.doubts.unheard_since.is_some() {
        return Some("whether the whole description was told is not known yet".into());
    }
    match talk::tell_rest(app, run).await {
        Ok(Applied::Unheard(why)) => Some(why),
        Ok(_) => None,
        Err(why) => Some(why.to_string()),
    }
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
        | Effect::Remind
        | Effect::TakeBack(_)
        | Effect::Pause { .. }
        | Effect::Answer(_)
        | Effect::Unsay { .. } => false,
    }
}

async fn tell(
    app: &App,
    next: &mut Run,
    seen: &Observation,
    decision: &Decision,
    policy: &Policy,
    before: Option<&Stage>,
) -> Result<(), crate::ado::Error> {
    // On stop, workers end and nothing else happens.
    if app.policy.brake == Brake::Stop {
        return Ok(());
    }
    // What is doubted has to outlive our memory, or there is never a second look; the words stay as they are, because
    // a look that could not see would take them back and forth.
    if let Decision::Wait(WaitReason::LookAgain(_)) = decision {
        return progress::keep(app, next, seen).await;
    }
    if matches!(decision, Decision::Wait(WaitReason::Gap(_) | WaitReason::StaleItem)) {
        return Ok(());
    }
    // Cold looks, and those with a gap, know less than the comment already says; they must not take it back.
    if !progress::knows_all(seen)
        && matches!((decision, &next.stage), (Decision::Wait(_) | Decision::Obey(_), Stage::InReview { .. }))
    {
        return Ok(());
    }
    // It was brought up to date before people were asked; after a loss of memory we would know less.
    if matches!(decision, Decision::Wait(WaitReason::AskedPeople | WaitReason::NotResumed(_))) {
        return Ok(());
    }
    let texts = progress::texts(app, next, decision, seen, policy);
    progress::tell(app, next, &texts, before).await
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
    write(app, stored, next, said, cause).await
}

/// As [`remember`], also where nothing changed: what an operator did is told in the run's history.
async fn write(
    app: &App,
    stored: &Run,
    next: Run,
    said: &str,
    cause: Option<Cause>,
) -> Result<Option<Run>, String> {
    let mut rung: Vec<Ring> =
        transition(stored, &next).map_or(Vec::new(), |kind| rings(app, kind, &next, said, cause));
    if let Some(parked) = next.parked.as_ref().filter(|_| stored.parked.is_none() && !next.is_closed()) {
        rung.extend(ring::target_red(app, &next, &parked.signature));
    }
    let note = Note { at: app.now, stage: next.stage.word().to_owned(), text: said.to_owned() };
    match app.store.save(&next, &rung, Some(&note)).await {
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
