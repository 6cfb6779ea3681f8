//! Reads what a decision about one candidate needs, part by part: what its labels refuse costs no read, and what its
//! history refuses costs no look at its links. Decides nothing; the decision asks for the next part.

use super::{App, route};
use crate::{
    ado::{self, ItemComment},
    decide::{
        Admission, Candidate, Competing, Gap, Load, NoRepository, Record, RefuseReason, Seen, Source, admit,
    },
    domain::{
        BranchName, Choices, LabelledBy, Link, PullRequestStatus, Repository, Run, RunId, StateCategory,
        WorkItem, WorkItemId,
    },
    words,
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What was found out about a candidate.
pub(super) struct Looked {
    /// Who asks, as far as that was looked at.
    pub(super) labelled: Option<LabelledBy>,
    /// What came of it.
    pub(super) found: Found,
}

/// What came of it.
pub(super) enum Found {
    /// It may be claimed.
    Good {
        /// Where the change goes.
        repository: Repository,
        /// What the item chose.
        choices: Choices,
        /// Runs of it that our own comments tell of, whichever executor's: what they used up is used up.
        earlier: Vec<Run>,
    },
    /// It may not.
    Refused(RefuseReason),
}

/// Looks at one candidate, which was read with its links. What about it cannot be read, and will not be by the next poll
/// either, is a refusal as any other: somebody has to hear of it, and an error that comes with every poll hides the next.
pub(super) async fn look(app: &App, item: &WorkItem, load: &Load) -> Result<Looked, ado::Error> {
    let mut labelled = None;
    match read(app, item, load, &mut labelled).await {
        Ok(found) => Ok(Looked { labelled, found }),
        // The item itself was just read: whatever does not know it will.
        Err(why) if why.is_lasting() && !why.is_missing_item() => {
            let why = format!("{why}; {}", why.hint());
            Ok(Looked { labelled, found: Found::Refused(RefuseReason::Unreadable { why }) })
        }
        Err(why) => Err(why),
    }
}

/// What came of it; `who` is told who asks as soon as that is known.
async fn read(
    app: &App,
    item: &WorkItem,
    load: &Load,
    who: &mut Option<LabelledBy>,
) -> Result<Found, ado::Error> {
    let labels = &app.policy.labels;
    let states = app.states(&item.project, &item.kind).await?;
    let mut parts = Candidate {
        item,
        category: category(&states, &item.state),
        labelled: None,
        handed_to_people: None,
        predecessors: Seen::NotAsked,
        repository: Err(NoRepository::Unknown("it was not looked for".into())),
        competing: Seen::NotAsked,
        record: Seen::NotAsked,
    };
    let refused = |reason| Ok(Found::Refused(reason));
    match admit(&parts, load, &app.policy) {
        Admission::Refused(RefuseReason::NobodyLabelled) | Admission::Admitted(_) => {}
        Admission::Refused(reason) => return refused(reason),
    }
    let labelled = app.ado.labelled_by(item.id, &labels.ready).await?;
    who.clone_from(&labelled);
    let handed = if item.labels.has(&labels.human) {
        app.ado.labelled_by(item.id, &labels.human).await?
    } else {
        None
    };
    parts.labelled = labelled.as_ref();
    parts.handed_to_people = handed.as_ref();
    let people = labelled.iter().flat_map(|labelled| {
        labelled.text_changed_since_by.iter().map(|who| &who.id).chain(Some(&labelled.by.id))
    });
    let policy = app.policy_for(people.clone()).await;
    // Whose groups could not be read may be anybody: they are refused, and told nothing that may be wrong.
    let is_unsure = app.is_unsure_of(people).await;
    match admit(&parts, load, &policy) {
        Admission::Refused(RefuseReason::PredecessorsUnknown) | Admission::Admitted(_) => {}
        Admission::Refused(reason) => {
            if is_unsure {
                *who = None;
            }
            return refused(reason);
        }
    }
    parts.predecessors = predecessors(app, item).await;
    let repository = route::repository(app, item).await?;
    parts.repository = repository.as_ref().map_err(Clone::clone);
    match admit(&parts, load, &policy) {
        Admission::Refused(RefuseReason::CompetingUnknown) | Admission::Admitted(_) => {}
        Admission::Refused(reason) => return refused(reason),
    }
    parts.competing = Seen::Known(match &repository {
        Ok(repository) => competing(app, item, repository).await?,
        Err(_) => None,
    });
    let comments = app.ado.comments(&item.project, item.id).await?;
    parts.record = Seen::Known(record(app, item.id, &comments).await?);
    let admission = admit(&parts, load, &policy);
    match (admission, repository) {
        (Admission::Admitted(choices), Ok(repository)) => {
            let earlier = told_runs(app, item, &comments).await?;
            Ok(Found::Good { repository, choices, earlier })
        }
        (Admission::Refused(reason), _) => refused(reason),
        (Admission::Admitted(_), Err(_)) => refused(RefuseReason::NobodyLabelled),
    }
}

/// What a state means; one that the type does not list is nothing we know.
pub(super) fn category(
    states: &std::collections::BTreeMap<String, StateCategory>,
    state: &str,
) -> StateCategory {
    states
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(state))
        .map_or(StateCategory::Other, |(_, category)| *category)
}

/// Items that this one waits for and that are not over.
async fn predecessors(app: &App, item: &WorkItem) -> Seen<Vec<WorkItemId>> {
    let ids: Vec<WorkItemId> = item
        .links
        .iter()
        .filter_map(|link| match link {
            Link::Predecessor(id) => Some(*id),
            Link::Related(_) | Link::Branch { .. } | Link::PullRequest { .. } | Link::File { .. } => None,
        })
        .collect();
    if ids.is_empty() {
        return Seen::Known(Vec::new());
    }
    let gap = |why: String| Seen::Unknown(Gap { source: Source::Item, why });
    let found = match app.ado.work_items(&ids).await {
        Ok(found) => found,
        Err(why) => return gap(why.to_string()),
    };
    // One that we may not read is one that we must wait for.
    let mut open: Vec<WorkItemId> =
        ids.iter().copied().filter(|id| !found.iter().any(|other| other.id == *id)).collect();
    for other in found {
        match app.states(&other.project, &other.kind).await {
            Ok(states) if category(&states, &other.state).is_over() => {}
            Ok(_) => open.push(other.id),
            Err(why) => return gap(why.to_string()),
        }
    }
    open.sort_unstable();
    Seen::Known(open)
}

/// Somebody else's open pull request or worked-on branch among the item's links. What our own earlier runs left is no
/// competition: it is given up when the new pull request is opened.
async fn competing(
    app: &App,
    item: &WorkItem,
    repository: &Repository,
) -> Result<Option<Competing>, ado::Error> {
    for link in &item.links {
        match link {
            Link::PullRequest { project_id, repository_id, id } => {
                let me = &app.me().await?.id;
                let Some(its) = app.repository(project_id, repository_id).await? else { continue };
                let Some(found) = app.ado.pull_request(&its, *id).await? else { continue };
                if found.status == PullRequestStatus::Active && found.created_by.id != *me {
                    return Ok(Some(Competing::PullRequest(*id)));
                }
            }
            Link::Branch { repository_id, branch, .. } => {
                let branch = BranchName::new(branch);
                let Some(base) = repository.default_branch.as_ref().filter(|base| **base != branch) else {
                    continue;
                };
                // Of another repository it says nothing about this change.
                if branch.is_ours() || !repository_id.eq_ignore_ascii_case(&repository.id) {
                    continue;
                }
                if app.ado.commits_ahead(repository, &branch, base).await?.is_some_and(|ahead| ahead > 0) {
                    return Ok(Some(Competing::Branch(branch)));
                }
            }
            Link::Predecessor(_) | Link::Related(_) | Link::File { .. } => {}
        }
    }
    Ok(None)
}

/// What our own comments tell. Others' count for nothing.
async fn record(app: &App, item: WorkItemId, comments: &[ItemComment]) -> Result<Record, ado::Error> {
    let me = &app.me().await?.id;
    let today = start_of_day(app.now);
    let mut record = Record::default();
    let mut claims: BTreeSet<RunId> = BTreeSet::new();
    for comment in comments.iter().filter(|comment| comment.author.id == *me) {
        match words::Found::in_text(&comment.text) {
            Some(words::Found::Marker(marker)) if marker.run.item == item => {
                if comment.created_at >= today {
                    claims.insert(marker.run);
                }
            }
            Some(words::Found::Newer { run, schema }) if run.item == item => {
                record.newer = record.newer.max(Some(schema));
            }
            Some(words::Found::Marker(_) | words::Found::Newer { .. }) | None => {}
        }
    }
    record.claims_today = u32::try_from(claims.len()).unwrap_or(u32::MAX);
    Ok(record)
}

/// Runs of the item as the records in our own comments tell them. One that cannot be read tells nothing.
async fn told_runs(app: &App, item: &WorkItem, comments: &[ItemComment]) -> Result<Vec<Run>, ado::Error> {
    let me = &app.me().await?.id;
    let own = comments.iter().filter(|comment| comment.author.id == *me);
    let runs = own.filter_map(|comment| {
        let run = words::Marker::find(&comment.stored)?.run;
        let record = words::Record::find(&comment.stored, run)
            .inspect_err(|why| tracing::warn!(run.id = %run, "what it used up is not known: {why}"))
            .ok()?;
        (run.item == item.id).then(|| record.run(&item.labels, &app.policy.labels, comment.created_at))
    });
    Ok(runs.collect())
}

/// Days are UTC days: everywhere the same.
pub(super) fn start_of_day(now: Timestamp) -> Timestamp {
    const DAY: i64 = 24 * 3600;
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(DAY)).unwrap_or(now)
}
