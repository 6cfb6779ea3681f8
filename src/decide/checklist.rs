//! What still stands between a pull request and its merge, for the person who is to merge it.
//!
//! Decides nothing: the ladder never asks it. Knows one rule: a list is made of everything or not at all. Where the pull
//! request, its checks or its discussions were not read in this look there is no list, and whoever tells it leaves what
//! stands; a list with a part left out would come and go with each look that knows less.

use super::{
    conversation::conversation,
    observation::Observation,
    reason::WaitReason,
    verdict::{Verdict, awaits_approval, owed_by_people, unfinished, verdict},
};
use crate::domain::{
    MergeState, Policy, PolicyEvaluation, PolicyKind, PullRequest, PullRequestStatus, Run, Stage,
    ThreadStatus, Vote,
};

/// One thing that has to be settled before the merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A branch policy that only people can satisfy.
    Policy {
        /// As people see it.
        name: String,
    },
    /// It is a draft.
    Draft,
    /// It conflicts with its target.
    Conflicts,
    /// The service could not merge it on trial, for another reason.
    CannotMerge,
    /// The checks, policies that they owe included.
    Checks(Open),
    /// Somebody voted against it.
    Against {
        /// Who.
        name: String,
        /// Rejected it, or only waits for the author.
        is_rejection: bool,
    },
    /// Somebody without whom it is not merged, and who has not voted.
    Unvoted {
        /// Who.
        name: String,
    },
    /// Discussions that are not settled.
    Threads {
        /// Those that await the agent.
        agent: usize,
        /// Those that await people.
        people: usize,
        /// Branch policies that ask for all of them to be settled.
        policies: Vec<String>,
    },
}

/// What the checks lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Red.
    Failing {
        /// Their names.
        checks: Vec<String>,
    },
    /// One cannot be evaluated.
    Broken {
        /// Its name.
        name: String,
    },
    /// A build was stopped.
    Canceled,
    /// A build is green with something red in it.
    Partial,
    /// Not over.
    Running {
        /// Their names; none where nothing has spoken yet.
        checks: Vec<String>,
    },
    /// A pipeline waits for a person.
    AwaitingApproval,
    /// There are none.
    None,
}

/// The list, in the order in which a person would go through it; empty when nothing stands in the way. None where the
/// run is not in review, or a part was not read.
pub fn checklist(run: &Run, seen: &Observation, policy: &Policy) -> Option<Vec<Item>> {
    let Stage::InReview { .. } = run.stage else { return None };
    let head = &run.pushed.as_ref()?.head;
    let open = seen.pull_request.known()?.as_ref()?;
    match open.status {
        // A word that we do not know is not the end of it.
        PullRequestStatus::Active | PullRequestStatus::Other => {}
        PullRequestStatus::Completed | PullRequestStatus::Abandoned => return None,
    }
    let checks = seen.checks.known()?;
    let threads = seen.threads.known()?;
    let talk = conversation(threads, seen.said.known()?, &seen.me, policy);
    let awaits_us = |id| talk.awaiting.iter().any(|word| word.thread == id);
    let is_unsettled = |status: ThreadStatus| match status {
        ThreadStatus::Active | ThreadStatus::Pending => true,
        ThreadStatus::Fixed | ThreadStatus::Settled | ThreadStatus::Other => false,
    };
    let agent = talk.awaiting.len();
    let people = threads.iter().filter(|one| is_unsettled(one.status) && !awaits_us(one.id)).count();
    let has_threads = agent + people > 0;

    // The policy about discussions is told with them.
    let (settling, other): (Vec<_>, Vec<_>) = owed_by_people(&checks.evaluations)
        .partition(|e| e.kind == PolicyKind::CommentResolution && has_threads);
    let mut list: Vec<Item> = names(&other).into_iter().map(|name| Item::Policy { name }).collect();
    list.extend(open.is_draft.then_some(Item::Draft));
    // A trial merge of another head says nothing about ours.
    if open.head.as_ref() == Some(head) {
        list.extend(merge(open.merge));
    }
    let lacking = match verdict(checks, head) {
        Verdict::Failing(failing) => Some(Open::Failing { checks: failing.checks }),
        Verdict::Broken { name } => Some(Open::Broken { name }),
        Verdict::Canceled { build: _, evaluation: _, by: _ } => Some(Open::Canceled),
        Verdict::Partial => Some(Open::Partial),
        Verdict::Pending if awaits_approval(checks, head) => Some(Open::AwaitingApproval),
        Verdict::Pending => Some(Open::Running { checks: unfinished(checks, head) }),
        Verdict::NoChecks => Some(Open::None),
        Verdict::Passing { people: _, optional: _ } => None,
    };
    list.extend(lacking.map(Item::Checks));
    list.extend(votes(open));
    list.extend(has_threads.then(|| Item::Threads { agent, people, policies: names(&settling) }));
    Some(list)
}

/// Whether the decision's own sentence says that already.
pub fn says(reason: &WaitReason, item: &Item) -> bool {
    matches!(
        (reason, item),
        (WaitReason::NoChecks, Item::Checks(Open::None))
            | (WaitReason::AwaitingApproval, Item::Checks(Open::AwaitingApproval))
            | (WaitReason::BuildStopped { .. }, Item::Checks(Open::Canceled))
    )
}

fn names(policies: &[&PolicyEvaluation]) -> Vec<String> {
    let mut names: Vec<String> = policies.iter().map(|e| e.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn merge(state: MergeState) -> Option<Item> {
    match state {
        MergeState::Conflicts => Some(Item::Conflicts),
        MergeState::Failed => Some(Item::CannotMerge),
        // Not known yet is not bad news.
        MergeState::Pending | MergeState::Clean | MergeState::Other => None,
    }
}

/// Who is against it, then who has to vote and has not; by name, because the service promises no order.
fn votes(open: &PullRequest) -> Vec<Item> {
    let (mut against, mut unvoted) = (Vec::new(), Vec::new());
    for reviewer in &open.reviewers {
        let name = reviewer.who.name.clone();
        match reviewer.vote {
            Vote::Rejected => against.push((name, true)),
            Vote::WaitingForAuthor => against.push((name, false)),
            Vote::None if reviewer.is_required => unvoted.push(name),
            Vote::None | Vote::Approved | Vote::ApprovedWithSuggestions => {}
        }
    }
    against.sort();
    unvoted.sort();
    let against = against.into_iter().map(|(name, is_rejection)| Item::Against { name, is_rejection });
    against.chain(unvoted.into_iter().map(|name| Item::Unvoted { name })).collect()
}

#[cfg(test)]
mod tests;
