//! May the poller claim this item now? Pure; every refusal is a typed reason.

use super::{observation::Seen, reason::RefuseReason};
use crate::domain::{LabelledBy, Policy, Repository, StateCategory, WorkItem, WorkItemId};
use std::collections::{BTreeMap, BTreeSet};

/// A labelled item with everything that was read about it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The item, freshly read.
    pub item: &'a WorkItem,
    /// What its state means.
    pub category: StateCategory,
    /// Who put the label on, from its history.
    pub labelled: Option<&'a LabelledBy>,
    /// Who put the label for people on, if it is there.
    pub handed_to_people: Option<&'a LabelledBy>,
    /// Items it waits for that are not done.
    pub predecessors: Seen<Vec<WorkItemId>>,
    /// Its repository, or what was tried to find it.
    pub repository: Result<&'a Repository, String>,
}

/// What is in flight already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Items that a run of ours has.
    pub items: BTreeSet<WorkItemId>,
    /// Runs by repository id.
    pub by_repository: BTreeMap<String, u32>,
    /// Runs that count against the capacity.
    pub runs: u32,
    /// Claims of today.
    pub claims_today: u32,
}

/// The poller's decision about one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// Claim it.
    Admitted,
    /// Not now, and why.
    Refused(RefuseReason),
}

/// Decides about one candidate. First match wins: the operator's brake, then people's wishes, then trust, then order.
pub fn admit(candidate: &Candidate<'_>, load: &Load, policy: &Policy) -> Admission {
    match refusal(candidate, load, policy) {
        Some(reason) => Admission::Refused(reason),
        None => Admission::Admitted,
    }
}

fn refusal(candidate: &Candidate<'_>, load: &Load, policy: &Policy) -> Option<RefuseReason> {
    let item = candidate.item;
    let labels = &policy.labels;
    if !policy.brake.allows_claims() {
        return Some(RefuseReason::Brake(policy.brake));
    }
    if item.labels.has(&labels.in_progress) {
        return Some(RefuseReason::AlreadyRunning);
    }
    if !item.labels.has(&labels.ready) {
        return Some(RefuseReason::NotLabelled);
    }
    if load.items.contains(&item.id) {
        return Some(RefuseReason::AlreadyRunning);
    }
    if item.labels.has(&labels.stop) {
        return Some(RefuseReason::Stopped);
    }
    if item.labels.has(&labels.paused) {
        return Some(RefuseReason::Paused);
    }
    if candidate.category.is_over() {
        return Some(RefuseReason::ItemOver);
    }
    let Some(labelled) = candidate.labelled else {
        return Some(RefuseReason::NobodyLabelled);
    };
    if item.labels.has(&labels.human)
        && candidate.handed_to_people.is_none_or(|handed| handed.revision >= labelled.revision)
    {
        return Some(RefuseReason::WithPeople);
    }
    let is_trusted = policy.trusted.contains(&labelled.by.id)
        && labelled.authorized_as.as_ref().is_none_or(|account| policy.trusted.contains(account));
    if !is_trusted {
        return Some(RefuseReason::NotTrusted { name: labelled.by.name.clone() });
    }
    if let Some(stranger) =
        labelled.text_changed_since_by.iter().find(|who| !policy.trusted.contains(&who.id))
    {
        return Some(RefuseReason::TextChanged { name: stranger.name.clone() });
    }
    match &candidate.predecessors {
        Seen::Known(open) if open.is_empty() => {}
        Seen::Known(open) => return Some(RefuseReason::Predecessors(open.clone())),
        Seen::Unknown(_) | Seen::NotAsked => return Some(RefuseReason::PredecessorsUnknown),
    }
    let repository = match &candidate.repository {
        Ok(repository) => repository,
        Err(detail) => return Some(RefuseReason::NoRepository { detail: detail.clone() }),
    };
    if !policy.allows(&repository.path()) {
        return Some(RefuseReason::RepositoryNotAllowed { repository: repository.path() });
    }
    if repository.default_branch.is_none() {
        return Some(RefuseReason::NoTargetBranch { repository: repository.path() });
    }
    if load.by_repository.get(&repository.id).copied().unwrap_or(0) >= policy.max_runs_per_repository {
        return Some(RefuseReason::RepositoryBusy { repository: repository.path() });
    }
    if load.runs >= policy.max_runs {
        return Some(RefuseReason::CapacityFull);
    }
    (load.claims_today >= policy.max_claims_per_day).then_some(RefuseReason::DayFull)
}

/// The order in which candidates are looked at: most urgent first, then oldest. Items without priority come last;
/// ids break ties, so that the order is the same for everybody.
pub fn order(a: &WorkItem, b: &WorkItem) -> std::cmp::Ordering {
    let urgency = |item: &WorkItem| item.priority.unwrap_or(u8::MAX);
    urgency(a).cmp(&urgency(b)).then(a.id.cmp(&b.id))
}
