//! Who belongs to a group, groups in groups included.

use super::{
    Client, Error, Operation,
    request::{Call, STABLE},
    wire::{
        List,
        identity::{Kind, ReadIdentity},
    },
};
use crate::domain::IdentityId;
use std::collections::BTreeSet;

/// Identities asked for in one request: their ids travel in the address, of which 2,000 characters are safe everywhere.
const BATCH: usize = 40;
/// The most identities that one group may lead to. Whoever trusts more people than this trusts everybody.
const MOST: usize = 2_000;

impl Client {
    /// The people in a group, by its id or its subject descriptor (`vssgp.…`, `aadgp.…`). Services in it are left out.
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) when there is no such group, or it is none;
    /// [`ErrorKind::Incomplete`](super::ErrorKind::Incomplete) rather than a part of its members.
    ///
    /// REST: IMS, Identities, *Read Identities*, on the identity host of the organization. Membership is documented as
    /// `Direct`, so groups in groups are asked for one after the other.
    pub async fn people_in_group(&self, group: &str) -> Result<BTreeSet<IdentityId>, Error> {
        let call = Call::get(Operation::Identities, &["_apis", "identities"], STABLE).on_identity_host();
        let id = IdentityId::new(group);
        let named =
            if id.is_guid() { ("identityIds", id.to_string()) } else { ("subjectDescriptors", group.into()) };
        let found = self.read_identities(&call, named).await?;
        let Some(top) = found.into_iter().find(|one| one.kind() == Kind::Group) else {
            let message = "there is no such group".to_owned();
            return Err(self.after_answer(&call, super::ErrorKind::NotFound { type_key: None, message }));
        };
        let mut known: BTreeSet<IdentityId> = top.id.iter().map(|id| IdentityId::new(id)).collect();
        let mut next = self.members(&call, &top)?;
        let mut people = BTreeSet::new();
        while !next.is_empty() {
            next.retain(|id| known.insert(id.clone()));
            if known.len() > MOST {
                return Err(self.incomplete(&call, "the group has too many members"));
            }
            let mut deeper = Vec::new();
            for ids in next.chunks(BATCH) {
                let ids: Vec<&str> = ids.iter().map(IdentityId::as_str).collect();
                for one in self.read_identities(&call, ("identityIds", ids.join(","))).await? {
                    match one.kind() {
                        Kind::Person => people.extend(one.id.as_deref().map(IdentityId::new)),
                        Kind::Group => deeper.extend(self.members(&call, &one)?),
                        Kind::Service => {}
                    }
                }
            }
            next = deeper;
        }
        Ok(people)
    }

    async fn read_identities(
        &self,
        call: &Call,
        (key, value): (&str, String),
    ) -> Result<Vec<ReadIdentity>, Error> {
        let call = call.clone().with(key, value).with("queryMembership", "Direct");
        let list: List<ReadIdentity> = self.json(&call).await?;
        // One that cannot be resolved is null, or has no id.
        Ok(list.entries().filter(|one| one.id.is_some()).collect())
    }

    fn members(&self, call: &Call, group: &ReadIdentity) -> Result<Vec<IdentityId>, Error> {
        let ids = group.member_ids.as_deref().unwrap_or_default();
        if ids.len() < group.members.as_ref().map_or(0, Vec::len) {
            return Err(self.incomplete(call, "the ids of the group's members are not told"));
        }
        Ok(ids.iter().map(|id| IdentityId::new(id)).collect())
    }
}
