//! Whose words count, groups included. Groups are asked for only when somebody who is not listed by id wants something,
//! and at most once per invocation: an idle poll and a tick among listed people pay nothing for them.

use super::App;
use crate::{
    decide::Observation,
    domain::{IdentityId, Policy, Thread},
};
use std::{borrow::Cow, collections::BTreeSet};

impl App {
    /// The policy for a decision about what these people did: with the people of trusted groups if any of them is not
    /// listed by id. A group that cannot be read is nobody, and is told once.
    pub(crate) async fn policy_for<'a>(
        &self,
        people: impl IntoIterator<Item = &'a IdentityId>,
    ) -> Cow<'_, Policy> {
        let is_listed = |who: &&IdentityId| self.policy.trusted.contains(*who);
        // Only ids of the service's own form belong to somebody.
        let mut strangers = people.into_iter().filter(|who| who.is_guid() && !is_listed(who));
        if self.settings.intake.groups.is_empty() || strangers.next().is_none() {
            return Cow::Borrowed(&self.policy);
        }
        let members = self.lookups.members.get_or_init(|| self.members()).await;
        let trusted = self.policy.trusted.union(members).cloned().collect();
        Cow::Owned(Policy { trusted, ..self.policy.clone() })
    }

    async fn members(&self) -> BTreeSet<IdentityId> {
        let mut all = BTreeSet::new();
        for group in &self.settings.intake.groups {
            match self.ado.people_in_group(group).await {
                Ok(people) => all.extend(people),
                Err(why) => tracing::warn!(
                    "a group in ROUNDSMAN_INTAKE_TRUSTED could not be read, so nobody of it is trusted: {why}"
                ),
            }
        }
        all
    }
}

/// Everybody who said something that a decision may hear.
pub(super) fn speakers(seen: &Observation) -> Vec<&IdentityId> {
    let threads = seen.threads.known().map(Vec::as_slice).unwrap_or_default();
    authors(threads).filter(|who| **who != seen.me).collect()
}

/// Everybody who wrote in these threads.
pub(super) fn authors(threads: &[Thread]) -> impl Iterator<Item = &IdentityId> {
    threads.iter().flat_map(|thread| &thread.comments).map(|comment| &comment.author.id)
}
