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
    /// Why nothing may be claimed at all, if that is so.
    pub held: Option<RefuseReason>,
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
    if let Some(held) = &load.held {
        return Some(held.clone());
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

#[cfg(test)]
mod tests {
    use super::super::{Gap, Source, given};
    use super::*;
    use crate::domain::{Brake, BranchName, Identity, IdentityId, Labels, Revision};
    use insta::assert_snapshot;
    use jiff::Timestamp;

    /// Everything that can be wrong, each with its own switch; all off is an item that is claimed.
    const FAULTS: [&str; 22] = [
        "brake",
        "in progress",
        "not labelled",
        "running",
        "stop",
        "paused",
        "over",
        "nobody labelled",
        "with people",
        "stranger",
        "forged",
        "text",
        "predecessors",
        "predecessors unread",
        "predecessors not asked",
        "no repository",
        "not allowed",
        "no branch",
        "repository busy",
        "held",
        "capacity",
        "day",
    ];

    fn admission(faults: &[&str]) -> Admission {
        let has = |fault: &str| {
            assert!(FAULTS.contains(&fault), "{fault}");
            faults.contains(&fault)
        };
        let mut labels = vec!["Ready-For-Agent"];
        if has("not labelled") {
            labels.clear();
        }
        for (fault, label) in [
            ("in progress", "agent-in-progress"),
            ("stop", "agent-stop"),
            ("paused", "agent-paused"),
            ("with people", "ready-for-human"),
        ] {
            if has(fault) {
                labels.push(label);
            }
        }
        let by = |name: &str, authorized: &str, revision: u32| LabelledBy {
            by: given::who(name),
            authorized_as: Some(IdentityId::new(authorized)),
            revision: Revision(revision),
            at: Timestamp::UNIX_EPOCH,
            text_changed_since_by: if has("text") {
                vec![given::who("ana"), given::who("mallory")]
            } else {
                Vec::new()
            },
        };
        let labelled = by(
            if has("stranger") { "mallory" } else { "ana" },
            if has("forged") || has("stranger") { "mallory" } else { "ana" },
            9,
        );
        let handed = by("bot", "bot", 10);
        let item = item(7, Some(2), &labels);
        let branch = (!has("no branch")).then(|| BranchName::new("main"));
        let repository = Repository { default_branch: branch, ..given::repository() };
        let candidate = Candidate {
            item: &item,
            category: if has("over") { StateCategory::Removed } else { StateCategory::Proposed },
            labelled: (!has("nobody labelled")).then_some(&labelled),
            handed_to_people: has("with people").then_some(&handed),
            predecessors: if has("predecessors not asked") {
                Seen::NotAsked
            } else if has("predecessors unread") {
                Seen::Unknown(Gap { source: Source::Item, why: "timed out".into() })
            } else if has("predecessors") {
                Seen::Known(vec![WorkItemId(5), WorkItemId(6)])
            } else {
                Seen::Known(Vec::new())
            },
            repository: if has("no repository") { Err("no route for `Web`".into()) } else { Ok(&repository) },
        };
        let policy = Policy {
            brake: if has("brake") { Brake::Drain } else { Brake::Off },
            trusted: [IdentityId::new("ana")].into(),
            repositories: if has("not allowed") { BTreeSet::new() } else { ["web/shop".into()].into() },
            ..Policy::default()
        };
        let load = Load {
            items: if has("running") { [WorkItemId(7)].into() } else { BTreeSet::new() },
            by_repository: [("r".into(), u32::from(has("repository busy")))].into(),
            runs: if has("capacity") { policy.max_runs } else { 0 },
            held: has("held").then_some(RefuseReason::DaySpent { until: Timestamp::UNIX_EPOCH }),
            claims_today: if has("day") { policy.max_claims_per_day } else { 0 },
        };
        admit(&candidate, &load, &policy)
    }

    fn item(id: u32, priority: Option<u8>, labels: &[&str]) -> WorkItem {
        WorkItem {
            id: WorkItemId(id),
            revision: Revision(10),
            project: "Web".into(),
            kind: "Bug".into(),
            title: "t".into(),
            state: "New".into(),
            labels: Labels::new(labels.iter().copied()),
            area: "Web".into(),
            assigned_to: None::<Identity>,
            priority,
            changed_at: Timestamp::UNIX_EPOCH,
            links: Vec::new(),
        }
    }

    fn sentence(admission: &Admission) -> String {
        match admission {
            Admission::Admitted => "admitted".into(),
            Admission::Refused(reason) => reason.to_string(),
        }
    }

    #[test]
    fn every_fault_is_refused_for_its_own_reason() {
        assert_eq!(admission(&[]), Admission::Admitted);
        let rows = FAULTS.iter().map(|fault| format!("{fault}: {}\n", sentence(&admission(&[fault]))));
        assert_snapshot!(rows.collect::<String>(), @r#"
        brake: the kill switch is on
        in progress: a run has it already
        not labelled: the label is not on it any more
        running: a run has it already
        stop: it carries the stop label
        paused: it is paused by label
        over: its state says that nobody expects work on it
        nobody labelled: its history does not tell who put the label on
        with people: it was handed to a person; remove that label and label it again
        stranger: mallory put the label on and is not on the list of trusted people
        forged: ana put the label on and is not on the list of trusted people
        text: mallory changed its text after it was labelled; a trusted person labels it again
        predecessors: it waits for work item 5, 6
        predecessors unread: what it waits for could not be read
        predecessors not asked: what it waits for could not be read
        no repository: no repository is known for it: no route for `Web`
        not allowed: its repository Web/shop is not on the allow-list
        no branch: its repository Web/shop has no default branch
        repository busy: as many runs as allowed are in flight in Web/shop
        held: all runs together have used what they may in one day; it goes on at 1970-01-01T00:00:00Z
        capacity: as many runs as allowed are in flight
        day: as many items as allowed were claimed today
        "#);
    }

    /// With everything wrong from some point on, the first thing that is wrong is the reason.
    #[test]
    fn the_first_fault_is_the_reason() {
        for (at, fault) in FAULTS.iter().enumerate() {
            let alone = admission(&[fault]);
            // The switches of one part exclude each other; the first that is asked for wins.
            if ["predecessors", "predecessors unread", "stranger", "no repository"].contains(fault) {
                continue;
            }
            assert_eq!(admission(&FAULTS[at..]), alone, "{fault}");
        }
    }

    #[test]
    fn a_label_after_the_hand_over_is_a_new_request() {
        assert_ne!(admission(&["with people"]), Admission::Admitted, "labelled before it was handed over");
    }

    #[test]
    fn urgent_first_then_oldest_and_without_priority_last() {
        let mut items =
            [item(4, None, &[]), item(3, Some(2), &[]), item(9, Some(1), &[]), item(1, Some(2), &[])];
        items.sort_by(order);
        assert_eq!(items.map(|item| item.id.0), [9, 1, 3, 4]);
    }
}
