//! What the progress comment should say, of what was seen and decided. Writes nothing and knows no earlier comment.

use crate::{
    decide::{Decision, ItemSeen, Observation, Verdict, WaitReason, checklist, checklist::Item, verdict},
    domain::{Policy, Run, Step, TurnEnd, TurnRecord},
    shell::App,
    words::{self, Checks, Links, Progress, ProgressNote},
};

/// The comment with and, where that matters, without the mention of a person.
pub(in crate::shell) struct Texts {
    /// Where the item is now, and with it its comments; the repository may be in another project.
    pub(super) project: String,
    /// What it should say.
    pub(super) wanted: String,
    /// The same without the mention. A mention is a mail: one for each head that people are to look at, not one per edit.
    pub(super) unmentioned: Option<String>,
}

/// What the comment should say now.
pub(in crate::shell) fn texts(
    app: &App,
    run: &Run,
    decision: &Decision,
    seen: &Observation,
    policy: &Policy,
) -> Texts {
    let open = checklist(run, seen, policy).unwrap_or_default();
    let note = note(app, run, decision, seen, &open);
    let links = links_seen(run, seen);
    let render = |note: ProgressNote| words::comments::progress(&Progress::of(run, &links, note));
    let unmentioned = note.needs_person.then(|| render(ProgressNote { needs_person: false, ..note.clone() }));
    Texts { project: project(run, seen).to_owned(), wanted: render(note), unmentioned }
}

/// What the comment says before anything was looked at. Nothing in it changes with the clock.
pub(in crate::shell) fn text(run: &Run) -> String {
    words::comments::progress(&Progress::of(run, &links(run), ProgressNote::default()))
}

/// The project that the item is in: as it was seen, else where its repository is.
pub(super) fn project<'a>(run: &'a Run, seen: &'a Observation) -> &'a str {
    match seen.item.known() {
        Some(ItemSeen::Here { item, .. }) => &item.project,
        Some(ItemSeen::Gone) | None => &run.repository.project,
    }
}

/// Whether a look knows everything that the comment of a run in review is made of. What one knows and the next does not
/// would come and go; so a look that knows less leaves the comment as it stands, and the next close one mends it.
pub(in crate::shell) fn knows_all(seen: &Observation) -> bool {
    seen.checks.known().is_some() && seen.threads.known().is_some()
}

/// Where people can look.
pub(in crate::shell) fn links(run: &Run) -> Links {
    let base = run.repository.clone_url.trim_end_matches('/');
    Links {
        pull_request: run.pull_request.map(|id| format!("{base}/pullrequest/{id}")),
        branch: run.pushed.as_ref().map(|_| format!("{base}?version=GB{}", run.branch())),
        build: None,
    }
}

/// Where people can look, the failing build included.
pub(in crate::shell) fn links_seen(run: &Run, seen: &Observation) -> Links {
    let failing = match (seen.checks.known(), &run.pushed) {
        (Some(checks), Some(pushed)) => match verdict(checks, &pushed.head) {
            Verdict::Failing(failing) => failing.builds.first().copied(),
            Verdict::Canceled { build, evaluation: _, by: _ } => Some(build),
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

fn note(app: &App, run: &Run, decision: &Decision, seen: &Observation, open: &[Item]) -> ProgressNote {
    let checks = match (seen.checks.known(), &run.pushed) {
        (Some(checks), Some(pushed)) => match verdict(checks, &pushed.head) {
            Verdict::Failing(_) | Verdict::Broken { .. } | Verdict::Partial => Checks::Failed,
            Verdict::Canceled { .. } => Checks::Canceled,
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
    let assigned = match seen.item.known() {
        Some(ItemSeen::Here { item, .. }) => item.assigned_to.as_ref().map(|who| who.name.as_str()),
        Some(ItemSeen::Gone) | None => None,
    };
    let waits_for = decision.waits_for().filter(|reason| !is_short(reason));
    let waiting = waits_for.and_then(|reason| words::comments::waiting(reason, assigned, &app.policy));
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
        | WaitReason::BuildStopped { .. }
        | WaitReason::Outage { .. }
        | WaitReason::DaySpent { .. }
        | WaitReason::SpendingUnknown { .. } => (Some(reason.to_string()), false),
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
