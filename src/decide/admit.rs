//! May the poller claim this item now? Pure; every refusal is a typed reason.
//!
//! What is cheap to know is asked first: a part that was not read yet ([`Seen::NotAsked`])
//! gives the reason that says so, and the caller reads on only then. Knows nothing about queues; see [`super::queue`].

use super::{observation::Seen, reason::RefuseReason};
use crate::domain::{
    BranchName, Choices, LabelledBy, Policy, PullRequestId, Repository, StateCategory, WorkItem, WorkItemId,
};
use std::collections::{BTreeMap, BTreeSet};

/// An item that was claimed this often on one day, and came back each time, is a person's to look at: each claim costs
/// an agent, and the fourth would end as the third.
pub const CLAIMS_PER_ITEM_AND_DAY: u32 = 3;

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
    /// Its repository, or why none.
    pub repository: Result<&'a Repository, NoRepository>,
    /// Somebody else's work on it.
    pub competing: Seen<Option<Competing>>,
    /// What our own comments on it tell.
    pub record: Seen<Record>,
}

/// Why an item has no repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRepository {
    /// None was found; what was tried.
    Unknown(String),
    /// It names two.
    Two {
        /// One.
        first: String,
        /// Another one.
        second: String,
    },
}

/// Work on an item that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Competing {
    /// An open pull request.
    PullRequest(PullRequestId),
    /// A branch with commits that its target does not have.
    Branch(BranchName),
}

/// What our own comments tell about earlier runs of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Runs that were claimed today.
    pub claims_today: u32,
    /// The version of a record that is newer than we can read.
    pub newer: Option<u32>,
}

/// What is in flight already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Items that a run of ours has.
    pub items: BTreeSet<WorkItemId>,
    /// Items about which a run of ours asked people: labelling them again lets that run go on.
    pub with_people: BTreeSet<WorkItemId>,
    /// Runs by repository id.
    pub by_repository: BTreeMap<String, u32>,
    /// Runs that count against the capacity.
    pub runs: u32,
    /// Claims of today.
    pub claims_today: u32,
    /// Claims of this poll.
    pub claims_now: u32,
    /// Why nothing may be claimed at all, if that is so.
    pub held: Option<RefuseReason>,
    /// Why nothing may be claimed for a repository, by its id: its pipelines are down.
    pub down: BTreeMap<String, RefuseReason>,
    /// The same, once one claim has begun to try whether they still are.
    pub tried: BTreeMap<String, RefuseReason>,
}

impl Load {
    /// One more run, made by this poll or as good as made. It is the one that tries out what was down.
    pub fn claim(&mut self, repository: &Repository) {
        self.runs += 1;
        self.claims_today += 1;
        self.claims_now += 1;
        *self.by_repository.entry(repository.id.clone()).or_default() += 1;
        if let Some(reason) = self.tried.remove(&repository.id) {
            self.down.insert(repository.id.clone(), reason);
        }
    }

    /// Why nothing at all can be claimed any more, whatever the item.
    pub fn full(&self, policy: &Policy) -> Option<RefuseReason> {
        if let Some(held) = &self.held {
            Some(held.clone())
        } else if self.runs >= policy.max_runs {
            Some(RefuseReason::CapacityFull)
        } else if self.claims_today >= policy.max_claims_per_day {
            Some(RefuseReason::DayFull)
        } else {
            (self.claims_now >= policy.max_claims_per_poll).then_some(RefuseReason::PollFull)
        }
    }
}

/// The poller's decision about one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// Claim it, with what it chose.
    Admitted(Choices),
    /// Not now, and why.
    Refused(RefuseReason),
}

/// Decides about one candidate. First match wins: the operator's brake, then people's wishes, then trust, then order.
pub fn admit(candidate: &Candidate<'_>, load: &Load, policy: &Policy) -> Admission {
    match judge(candidate, load, policy) {
        Err(reason) => Admission::Refused(reason),
        Ok(choices) => Admission::Admitted(choices),
    }
}

fn judge(candidate: &Candidate<'_>, load: &Load, policy: &Policy) -> Result<Choices, RefuseReason> {
    is_asked_for(candidate, load, policy)?;
    is_trusted(candidate, policy)?;
    // An agent that nobody watches would guess, at the price of a turn.
    if candidate.item.is_described == Some(false) {
        return Err(RefuseReason::NotDescribed);
    }
    match &candidate.predecessors {
        Seen::Known(open) if open.is_empty() => {}
        Seen::Known(open) => return Err(RefuseReason::Predecessors(open.clone())),
        Seen::Unknown(_) | Seen::NotAsked => return Err(RefuseReason::PredecessorsUnknown),
    }
    let repository = repository(candidate, policy)?;
    let choices = super::choices::choose(&candidate.item.labels, &policy.offer)?;
    match &candidate.competing {
        Seen::Known(None) => {}
        Seen::Known(Some(Competing::PullRequest(id))) => {
            return Err(RefuseReason::CompetingPullRequest { id: *id });
        }
        Seen::Known(Some(Competing::Branch(branch))) => {
            return Err(RefuseReason::CompetingBranch { branch: branch.clone() });
        }
        Seen::Unknown(_) | Seen::NotAsked => return Err(RefuseReason::CompetingUnknown),
    }
    match &candidate.record {
        Seen::Known(Record { newer: Some(schema), .. }) => {
            return Err(RefuseReason::NewerRecord { schema: *schema });
        }
        Seen::Known(Record { claims_today: times, .. }) if *times >= CLAIMS_PER_ITEM_AND_DAY => {
            return Err(RefuseReason::ClaimedTooOften { times: *times });
        }
        Seen::Known(_) => {}
        Seen::Unknown(_) | Seen::NotAsked => return Err(RefuseReason::CompetingUnknown),
    }
    if load.by_repository.get(&repository.id).copied().unwrap_or(0) >= policy.max_runs_per_repository {
        return Err(RefuseReason::RepositoryBusy { repository: repository.path() });
    }
    if let Some(down) = load.down.get(&repository.id) {
        return Err(down.clone());
    }
    load.full(policy).map_or(Ok(choices), Err)
}

/// What the brake, the item's labels and its state say.
fn is_asked_for(candidate: &Candidate<'_>, load: &Load, policy: &Policy) -> Result<(), RefuseReason> {
    let item = candidate.item;
    let labels = &policy.labels;
    if !policy.brake.allows_claims() {
        return Err(RefuseReason::Brake(policy.brake));
    }
    if item.labels.has(&labels.in_progress) {
        return Err(RefuseReason::AlreadyRunning);
    }
    if !item.labels.has(&labels.ready) {
        return Err(RefuseReason::NotLabelled);
    }
    if load.items.contains(&item.id) {
        return Err(RefuseReason::AlreadyRunning);
    }
    if load.with_people.contains(&item.id) {
        return Err(RefuseReason::GoesOn);
    }
    if item.labels.has(&labels.stop) {
        return Err(RefuseReason::Stopped);
    }
    if item.labels.has(&labels.paused) {
        return Err(RefuseReason::Paused);
    }
    if candidate.category.is_over() { Err(RefuseReason::ItemOver) } else { Ok(()) }
}

/// Who asks, and whether what they saw is what there is.
fn is_trusted(candidate: &Candidate<'_>, policy: &Policy) -> Result<(), RefuseReason> {
    let Some(labelled) = candidate.labelled else {
        return Err(RefuseReason::NobodyLabelled);
    };
    if candidate.item.labels.has(&policy.labels.human)
        && candidate.handed_to_people.is_none_or(|handed| handed.revision >= labelled.revision)
    {
        return Err(RefuseReason::WithPeople);
    }
    let name = labelled.by.name.clone();
    if !labelled.is_person {
        return Err(RefuseReason::NotAPerson { name });
    }
    if !policy.trusted.contains(&labelled.by.id) {
        return Err(RefuseReason::NotTrusted { name });
    }
    // Whoever may bypass rules can write any name, but not the account.
    if labelled.authorized_as.as_ref().is_some_and(|account| *account != labelled.by.id) {
        return Err(RefuseReason::Forged { name });
    }
    match labelled.text_changed_since_by.iter().find(|who| !policy.trusted.contains(&who.id)) {
        Some(stranger) => Err(RefuseReason::TextChanged { name: stranger.name.clone() }),
        None => Ok(()),
    }
}

fn repository<'a>(candidate: &Candidate<'a>, policy: &Policy) -> Result<&'a Repository, RefuseReason> {
    let repository = match &candidate.repository {
        Ok(repository) => *repository,
        Err(NoRepository::Unknown(detail)) => {
            return Err(RefuseReason::NoRepository { detail: detail.clone() });
        }
        Err(NoRepository::Two { first, second }) => {
            return Err(RefuseReason::TwoRepositories { first: first.clone(), second: second.clone() });
        }
    };
    if !policy.allows(&repository.path()) {
        return Err(RefuseReason::RepositoryNotAllowed { repository: repository.path() });
    }
    if repository.default_branch.is_none() {
        return Err(RefuseReason::NoTargetBranch { repository: repository.path() });
    }
    Ok(repository)
}

#[cfg(test)]
mod tests {
    use super::super::{Gap, Source, given};
    use super::*;
    use crate::domain::{Brake, Identity, IdentityId, Labels, Revision};
    use insta::assert_snapshot;
    use jiff::Timestamp;

    /// Everything that can be wrong, each with its own switch; all off is an item that is claimed.
    const FAULTS: [&str; 33] = [
        "brake",
        "in progress",
        "not labelled",
        "running",
        "stop",
        "paused",
        "over",
        "nobody labelled",
        "with people",
        "service",
        "stranger",
        "forged",
        "text",
        "predecessors",
        "predecessors unread",
        "predecessors not asked",
        "two repositories",
        "no repository",
        "not allowed",
        "no branch",
        "not offered",
        "two choices",
        "competing pull request",
        "competing branch",
        "competing unread",
        "newer",
        "too often",
        "repository busy",
        "pipelines",
        "held",
        "capacity",
        "day",
        "poll",
    ];

    fn admission(faults: &[&str]) -> Admission {
        let has = |fault: &str| {
            assert!(FAULTS.contains(&fault) || fault == "labelled again", "{fault}");
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
            ("not offered", "model:Huge"),
            ("two choices", "draft:yes"),
            ("two choices", "draft:no"),
        ] {
            if has(fault) {
                labels.push(label);
            }
        }
        let by = |name: &str, authorized: &str, revision: u32| LabelledBy {
            by: given::who(name),
            is_person: !has("service"),
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
        let handed = by("bot", "bot", if has("labelled again") { 8 } else { 10 });
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
            repository: if has("two repositories") {
                Err(NoRepository::Two { first: "web/shop".into(), second: "web/till".into() })
            } else if has("no repository") {
                Err(NoRepository::Unknown("no route for `Web`".into()))
            } else {
                Ok(&repository)
            },
            competing: if has("competing pull request") {
                Seen::Known(Some(Competing::PullRequest(PullRequestId(7))))
            } else if has("competing branch") {
                Seen::Known(Some(Competing::Branch(BranchName::new("fix/7"))))
            } else if has("competing unread") {
                Seen::Unknown(Gap { source: Source::PullRequest, why: "timed out".into() })
            } else {
                Seen::Known(None)
            },
            record: Seen::Known(Record {
                claims_today: if has("too often") { CLAIMS_PER_ITEM_AND_DAY } else { 0 },
                newer: has("newer").then_some(2),
            }),
        };
        let policy = Policy {
            brake: if has("brake") { Brake::Drain } else { Brake::Off },
            trusted: [IdentityId::new("ana")].into(),
            repositories: if has("not allowed") { BTreeSet::new() } else { ["web/shop".into()].into() },
            ..Policy::default()
        };
        let load = Load {
            items: if has("running") { [WorkItemId(7)].into() } else { BTreeSet::new() },
            with_people: BTreeSet::new(),
            by_repository: [("r".into(), u32::from(has("repository busy")))].into(),
            runs: if has("capacity") { policy.max_runs } else { 0 },
            down: has("pipelines")
                .then(|| {
                    let until = Timestamp::UNIX_EPOCH;
                    ("r".to_owned(), RefuseReason::Outage { what: crate::decide::Down::Pipelines, until })
                })
                .into_iter()
                .collect(),
            tried: BTreeMap::new(),
            held: has("held").then_some(RefuseReason::DaySpent { until: Timestamp::UNIX_EPOCH }),
            claims_today: if has("day") { policy.max_claims_per_day } else { 0 },
            claims_now: if has("poll") { policy.max_claims_per_poll } else { 0 },
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
            changed_by: None,
            is_described: Some(true),
            links: Vec::new(),
        }
    }

    fn sentence(admission: &Admission) -> String {
        match admission {
            Admission::Admitted(_) => "admitted".into(),
            Admission::Refused(reason) => reason.to_string(),
        }
    }

    #[test]
    fn every_fault_is_refused_for_its_own_reason() {
        assert_eq!(admission(&[]), Admission::Admitted(Choices::default()));
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
        service: ana put the label on and is a service; a trusted person labels it again
        stranger: mallory put the label on and is not on the list of trusted people
        forged: the label was put on in ana's name by another account; a trusted person labels it again
        text: mallory changed its text after it was labelled; a trusted person labels it again
        predecessors: it waits for work item 5, 6
        predecessors unread: what it waits for could not be read
        predecessors not asked: what it waits for could not be read
        two repositories: it names two repositories, web/shop and web/till; remove one of them
        no repository: no repository is known for it: no route for `Web`
        not allowed: its repository Web/shop is not on the allow-list
        no branch: its repository Web/shop has no default branch
        not offered: its label model:Huge chooses what the operator does not offer; change or remove it
        two choices: its labels draft:yes and draft:no choose different things; remove one of them
        competing pull request: somebody works on it already: pull request !7 is open and linked to it
        competing branch: somebody works on it already: the branch fix/7 is linked to it and has commits
        competing unread: whether somebody works on it already could not be read
        newer: a newer roundsman has left a record on it (version 2); it is left to that one
        too often: it was claimed 3 times today and came back each time; a person has to look
        repository busy: as many runs as allowed are in flight in Web/shop
        pipelines: the build infrastructure of this repository does not answer the runs that are under way; one tries again at 1970-01-01T00:00:00Z
        held: all runs together have used what they may in one day; it goes on at 1970-01-01T00:00:00Z
        capacity: as many runs as allowed are in flight
        day: as many items as allowed were claimed today
        poll: as many items as allowed were claimed in this poll
        "#);
    }

    /// With everything wrong from some point on, the first thing that is wrong is the reason.
    #[test]
    fn the_first_fault_is_the_reason() {
        for (at, fault) in FAULTS.iter().enumerate() {
            let alone = admission(&[fault]);
            // The switches of one part exclude each other; the first that is asked for wins.
            let exclusive = [
                "service",
                "predecessors",
                "predecessors unread",
                "no repository",
                "two choices",
                "competing branch",
                "competing unread",
                "too often",
            ];
            if exclusive.contains(fault) {
                continue;
            }
            assert_eq!(admission(&FAULTS[at..]), alone, "{fault}");
        }
    }

    #[test]
    fn a_label_after_the_hand_over_is_a_new_request() {
        // The label for people is still there; whoever labels again need not take it off.
        assert_eq!(admission(&["with people", "labelled again"]), Admission::Admitted(Choices::default()));
        assert_eq!(
            admission(&["with people"]),
            Admission::Refused(RefuseReason::WithPeople),
            "labelled before it was handed over"
        );
        let stranger = admission(&["with people", "labelled again", "stranger"]);
        assert_eq!(stranger, Admission::Refused(RefuseReason::NotTrusted { name: "mallory".into() }));
    }
}
