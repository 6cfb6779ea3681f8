//! The one progress comment: desired text, compared by digest, written only when it differs, edited in place.

use super::App;
use crate::{
    ado::{self, Written},
    decide::{Decision, ItemSeen, Observation, Verdict, WaitReason, checklist, checklist::Item, verdict},
    domain::{Policy, Run, Stage, Step, TurnEnd, TurnRecord},
    words::{self, Checks, Links, Marker, Progress, ProgressNote, Record},
};
use sha2::{Digest, Sha256};

/// What the comment says before anything was looked at. Nothing in it changes with the clock.
pub(super) fn text(run: &Run) -> String {
    words::comments::progress(&Progress::of(run, &links(run), ProgressNote::default()))
}

/// The comment with and, where that matters, without the mention of a person.
pub(super) struct Texts {
    /// Where the item is now, and with it its comments; the repository may be in another project.
    project: String,
    /// What it should say.
    wanted: String,
    /// The same without the mention. A mention is a mail: one for each head that people are to look at, not one per edit.
    unmentioned: Option<String>,
}

/// What the comment should say now.
pub(super) fn texts(app: &App, run: &Run, decision: &Decision, seen: &Observation, policy: &Policy) -> Texts {
    let open = checklist(run, seen, policy).unwrap_or_default();
    let note = note(app, run, decision, seen, &open);
    let links = links_seen(run, seen);
    let render = |note: ProgressNote| words::comments::progress(&Progress::of(run, &links, note));
    let unmentioned = note.needs_person.then(|| render(ProgressNote { needs_person: false, ..note.clone() }));
    Texts { project: project(run, seen).to_owned(), wanted: render(note), unmentioned }
}

/// The project that the item is in: as it was seen, else where its repository is.
fn project<'a>(run: &'a Run, seen: &'a Observation) -> &'a str {
    match seen.item.known() {
        Some(ItemSeen::Here { item, .. }) => &item.project,
        Some(ItemSeen::Gone) | None => &run.repository.project,
    }
}

/// Makes the comment say that, and remembers whom it mentioned about what.
pub(super) async fn tell(
    app: &App,
    run: &mut Run,
    texts: &Texts,
    before: Option<&Stage>,
) -> Result<(), ado::Error> {
    let head = run.pushed.as_ref().map(|pushed| pushed.head.clone());
    let says_so = |run: &Run, text: &str| {
        run.progress_digest.as_ref().is_some_and(|known| known.starts_with(&digest(text)))
    };
    let project = texts.project.as_str();
    match &texts.unmentioned {
        None => ensure(app, project, run, &texts.wanted, before).await,
        Some(text) if run.mentioned == head && !says_so(run, &texts.wanted) => {
            ensure(app, project, run, text, before).await
        }
        Some(_) => {
            // Written with the comment that mentions, so that whoever reads it knows that it does.
            let earlier = std::mem::replace(&mut run.mentioned, head);
            let told = ensure(app, project, run, &texts.wanted, before).await;
            if !says_so(run, &texts.wanted) {
                run.mentioned = earlier;
            }
            told
        }
    }
}

/// Where people can look.
pub(super) fn links(run: &Run) -> Links {
    let base = run.repository.clone_url.trim_end_matches('/');
    Links {
        pull_request: run.pull_request.map(|id| format!("{base}/pullrequest/{id}")),
        branch: run.pushed.as_ref().map(|_| format!("{base}?version=GB{}", run.branch())),
        build: None,
    }
}

/// Where people can look, the failing build included.
pub(super) fn links_seen(run: &Run, seen: &Observation) -> Links {
    let failing = match (seen.checks.known(), &run.pushed) {
        (Some(checks), Some(pushed)) => match verdict(checks, &pushed.head) {
            Verdict::Failing(failing) => failing.builds.first().copied(),
            Verdict::Canceled { build, evaluation: _ } => Some(build),
            Verdict::Broken { .. }
            | Verdict::Partial
            | Verdict::Pending
            | Verdict::Passing { .. }
            | Verdict::NoChecks => None,
        },
        (_, _) => None,
    };
    // Repositories stand below their project, in every address that the service gives.
    let project = run.repository.clone_url.split_once("/_git/").map(|(project, _)| project);
    let build = failing.zip(project).map(|(id, project)| format!("{project}/_build/results?buildId={id}"));
    Links { build, ..links(run) }
}

/// Whether a look knows everything that the comment of a run in review is made of. What one knows and the next does not
/// would come and go; so a look that knows less leaves the comment as it stands, and the next close one mends it.
pub(super) fn knows_all(seen: &Observation) -> bool {
    seen.checks.known().is_some() && seen.threads.known().is_some()
}

fn note(app: &App, run: &Run, decision: &Decision, seen: &Observation, open: &[Item]) -> ProgressNote {
    let checks = match (seen.checks.known(), &run.pushed) {
        (Some(checks), Some(pushed)) => match verdict(checks, &pushed.head) {
            Verdict::Failing(_) | Verdict::Broken { .. } | Verdict::Canceled { .. } | Verdict::Partial => {
                Checks::Failed
            }
            Verdict::Pending => Checks::Running,
            Verdict::Passing { .. } => Checks::Passed,
            Verdict::NoChecks => Checks::None,
        },
        (_, _) => Checks::NotYet,
    };
    let told = without_names(decision, open);
    let decision = told.as_ref().unwrap_or(decision);
    let (sentence, needs_person) = said(decision);
    let is_new = |item: &&Item| !decision.waits_for().is_some_and(|reason| checklist::says(reason, item));
    let open = open.iter().filter(is_new).map(words::checklist::line).collect();
    // Fetch and publish take seconds.
    let is_short = |reason: &&WaitReason| {
        matches!(reason, WaitReason::StepRunning { .. })
            && run.current_turn().is_none_or(|(_, step)| step != Step::Agent)
    };
    let waits_for = decision.waits_for().filter(|reason| !is_short(reason));
    let waiting = waits_for.and_then(|reason| words::comments::waiting(reason, &app.policy));
    let changed = run.pushed.as_ref().and_then(|pushed| {
        let made =
            |turn: &&TurnRecord| matches!(&turn.end, Some(TurnEnd::Pushed { head }) if *head == pushed.head);
        run.turns.iter().rev().find(made).and_then(|turn| turn.changed)
    });
    ProgressNote {
        sentence,
        waiting,
        needs_person,
        open,
        checks,
        changed,
        summary: run.said.as_ref().map(|said| said.summary.clone()),
        checks_claimed: run.said.as_ref().and_then(|said| said.checks_passed),
        plan: run.said.as_ref().and_then(|said| said.plan.clone()),
        used: words::comments::used(run, &app.policy),
        edited_by: None,
    }
}

/// The same wait without the names of what people owe, where the list gives them.
fn without_names(decision: &Decision, open: &[Item]) -> Option<Decision> {
    match decision.waits_for() {
        Some(WaitReason::AwaitingReview { open: _, optional }) if !open.is_empty() => {
            let optional = optional.clone();
            Some(Decision::Wait(WaitReason::AwaitingReview { open: Vec::new(), optional }))
        }
        Some(_) | None => None,
    }
}

/// What people should know of it, and whether it is somebody's move. The hand-over mentions by itself: one mail is enough.
fn said(decision: &Decision) -> (Option<String>, bool) {
    if let Some(reason) = decision.asks_why() {
        return (Some(reason.to_string()), false);
    }
    let Some(reason) = decision.waits_for() else { return (None, false) };
    match reason {
        WaitReason::AwaitingReview { .. } | WaitReason::NoChecks => (Some(reason.to_string()), true),
        WaitReason::Paused(_)
        | WaitReason::TargetRed
        | WaitReason::AwaitingApproval
        | WaitReason::Outage { .. }
        | WaitReason::DaySpent { .. } => (Some(reason.to_string()), false),
        WaitReason::Gap(_)
        | WaitReason::StaleItem
        | WaitReason::LookAgain(_)
        | WaitReason::Unheard { .. }
        | WaitReason::BackingOff { .. }
        | WaitReason::Brake(_)
        | WaitReason::Over
        | WaitReason::StepRunning { .. }
        | WaitReason::AskedPeople
        | WaitReason::NotResumed(_)
        | WaitReason::QuietPeriod { .. }
        | WaitReason::NotCurrentYet
        | WaitReason::ChecksRunning
        | WaitReason::Cold => (None, false),
    }
}

/// Hexadecimal digits of a text's digest: it only tells a text from the one before.
const DIGITS: usize = 16;

/// Equal for equal text.
fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))[..DIGITS].to_owned()
}

/// What must be written again when it changes: the words, and what of the record must outlive our memory.
pub(super) fn weight(text: &str, record: &Record) -> String {
    format!("{}{}", digest(text), record.weight())
}

/// Makes the comment say `text`, with the run's record in its footer, and tells `run` what was written. A failure leaves the old digest, so that the next
/// tick tries again; it never stops the run. What it returns is worth a next tick: an answer that did not come. A
/// refusal would be refused again.
///
/// `before` is the stage that the run leaves only with the write that follows.
async fn ensure(
    app: &App,
    project: &str,
    run: &mut Run,
    text: &str,
    before: Option<&Stage>,
) -> Result<(), ado::Error> {
    let record = |run: &Run| match before {
        Some(before) => Record::foretelling(run, before).then(&run.stage),
        None => Record::of(run),
    };
    let wanted = weight(text, &record(run));
    if run.progress_digest.as_ref() == Some(&wanted) {
        return Ok(());
    }
    if app.store.says(run.id, text) {
        run.progress_digest = Some(wanted);
        return Ok(());
    }
    let told = Run { progress_digest: Some(wanted.clone()), ..run.clone() };
    match write(app, project, run, &record(&told).attached_to(text)).await {
        Ok(true) => run.progress_digest = Some(wanted),
        Ok(false) => {}
        Err(why) => {
            tracing::warn!(run.id = %run.id, "the progress comment could not be written: {why}");
            if why.fault() == ado::Fault::Transient {
                return Err(why);
            }
        }
    }
    Ok(())
}

/// Keeps in the comment's footer what must outlive our memory, and leaves its words alone. Where the comment is the
/// memory, saving does so anyway.
pub(super) async fn keep(app: &App, run: &mut Run, seen: &Observation) -> Result<(), ado::Error> {
    let said = run.progress_digest.as_ref().and_then(|known| known.get(..DIGITS));
    let (Some(said), Some(id), true) = (said, run.progress_comment, app.store.keeps_beats()) else {
        return Ok(());
    };
    let wanted = format!("{said}{}", Record::of(run).weight());
    if run.progress_digest.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let project = project(run, seen).to_owned();
    let comments = app.ado.comments(&project, run.id.item).await?;
    // One that is not there was deleted by a person, or is not shown yet.
    let Some(comment) = comments.iter().find(|comment| comment.id == id) else { return Ok(()) };
    let told = Run { progress_digest: Some(wanted.clone()), ..run.clone() };
    let text = words::record::renewed(&comment.stored, &told, &Record::of(&told));
    if write(app, &project, run, &text).await? {
        run.progress_digest = Some(wanted);
    }
    Ok(())
}

async fn write(app: &App, project: &str, run: &mut Run, text: &str) -> Result<bool, ado::Error> {
    let me = app.me().await?;
    let item = run.id.item;
    if run.progress_comment.is_none() {
        let comments = app.ado.comments(project, item).await?;
        // The oldest of ours for this run: should there ever be two, everybody keeps to the same one.
        let own = comments.iter().filter(|comment| comment.author.id == me.id);
        let found = own
            .filter(|comment| Marker::find(&comment.text).is_some_and(|marker| marker.run == run.id))
            .min_by_key(|comment| comment.id);
        run.progress_comment = found.map(|comment| comment.id);
        if found.is_some_and(|comment| comment.stored == text) {
            return Ok(true);
        }
    }
    let written = match run.progress_comment {
        Some(id) => app.ado.edit_comment(project, item, id, text).await,
        // The claim itself wrote the comment. One that is not there was deleted by a person, or is not shown yet.
        None => return Ok(false),
    };
    match written {
        Written::Done(comment) => {
            run.progress_comment = Some(comment.id);
            Ok(true)
        }
        Written::NotDone(why) if why.is_not_found() => {
            // A person deleted it: their wish; the pull request goes on telling.
            Ok(true)
        }
        Written::NotDone(why) | Written::Unknown(why) => Err(why),
    }
}
