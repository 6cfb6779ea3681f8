//! Whose words count, groups included. Groups are asked for only when somebody who is not listed by id wants something,
//! and at most once per invocation: an idle poll and a tick among listed people pay nothing for them.
//!
//! Whoever reads what people wrote asks here for the policy about exactly these people; the bare policy knows no groups.

use super::App;
use crate::{
    ado::ItemComment,
    decide::Observation,
    domain::{IdentityId, Policy, Thread},
};
use std::{borrow::Cow, collections::BTreeSet};

/// The people of the groups that the operator trusts.
#[derive(Default)]
pub(super) struct Members {
    people: BTreeSet<IdentityId>,
    /// Whether all groups that exist could be read.
    is_whole: bool,
}

impl App {
    /// The policy for a decision about what these people did: with the people of trusted groups if any of them is not
    /// listed by id. A group that cannot be read is nobody, and is told once.
    pub(crate) async fn policy_for<'a>(
        &self,
        people: impl IntoIterator<Item = &'a IdentityId>,
    ) -> Cow<'_, Policy> {
        let Some(members) = self.members_for(people).await else { return Cow::Borrowed(&self.policy) };
        let trusted = self.policy.trusted.union(&members.people).cloned().collect();
        Cow::Owned(Policy { trusted, ..self.policy.clone() })
    }

    /// Whether it cannot be told of somebody among them whether their words count: what they said is looked at again.
    pub(super) async fn is_unsure_of<'a>(&self, people: impl IntoIterator<Item = &'a IdentityId>) -> bool {
        self.members_for(people).await.is_some_and(|members| !members.is_whole)
    }

    /// The people of all groups; none when nobody asks for them.
    async fn members_for<'a>(&self, people: impl IntoIterator<Item = &'a IdentityId>) -> Option<&Members> {
        let me = self.me.get().map(|connection| &connection.identity.id);
        // Only ids of the service's own form belong to somebody. We are nobody's member.
        let is_stranger =
            |who: &&IdentityId| who.is_guid() && Some(*who) != me && !self.policy.trusted.contains(*who);
        if self.settings.intake.groups.is_empty() || !people.into_iter().any(|who| is_stranger(&who)) {
            return None;
        }
        Some(self.lookups.members.get_or_init(|| self.members()).await)
    }

    async fn members(&self) -> Members {
        let mut all = Members { people: BTreeSet::new(), is_whole: true };
        for group in &self.settings.intake.groups {
            match self.ado.people_in_group(group).await {
                Ok(people) => all.people.extend(people),
                Err(why) => {
                    // One that does not exist has nobody, today and tomorrow.
                    all.is_whole &= why.is_not_found();
                    tracing::warn!(
                        "a group in ROUNDSMAN_INTAKE_TRUSTED could not be read, so nobody of it is trusted: {why}"
                    );
                }
            }
        }
        all
    }
}

/// Everybody who said or did something that a decision may hear.
pub(super) fn speakers(seen: &Observation) -> impl Iterator<Item = &IdentityId> {
    let in_threads = authors(seen.threads.known().map(Vec::as_slice).unwrap_or_default());
    let commanders = seen.commands.known().into_iter().flatten().map(|asked| &asked.by.id);
    let in_discussion = seen.discussion.known().into_iter().flatten().map(|said| &said.by.id);
    let labelled = seen.labelled.known().into_iter().flatten().flat_map(|labelled| {
        let editors = labelled.text_changed_since_by.iter().map(|who| &who.id);
        editors.chain([&labelled.by.id]).chain(&labelled.authorized_as)
    });
    let editors = seen.text_changes.known().into_iter().flatten().map(|change| &change.by.id);
    in_threads.chain(commanders).chain(in_discussion).chain(labelled).chain(editors)
}

/// Everybody who wrote in these threads.
pub(super) fn authors(threads: &[Thread]) -> impl Iterator<Item = &IdentityId> {
    threads.iter().flat_map(|thread| &thread.comments).map(|comment| &comment.author.id)
}

/// Everybody who wrote in the discussion of an item.
pub(super) fn commenters(comments: &[ItemComment]) -> impl Iterator<Item = &IdentityId> {
    comments.iter().map(|comment| &comment.author.id)
}
