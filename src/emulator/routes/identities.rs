//! Identities and who belongs to a group. In the cloud they live on a host of their own; here, as on a server, on the one.
//!
//! Memberships are told only when they are asked for, one level deep. What cannot be resolved is null in the list.

use super::{Answer, Call, Route, Scope};
use crate::emulator::{
    state::{Account, Group, World},
    wire::{Reply, guid, same_guid},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] =
    &[Route::get("identities", "identity: read", read).scope(Scope::Organization).query(&[
        "descriptors",
        "identityIds",
        "subjectDescriptors",
        "searchFilter",
        "filterValue",
        "queryMembership",
        "properties",
    ])];

fn read(call: &mut Call<'_>) -> Answer {
    let direct = call.q("queryMembership").is_some_and(|wanted| wanted.eq_ignore_ascii_case("direct"));
    let listed = |name: &str| -> Vec<String> {
        call.q(name)
            .map(|text| text.split(',').map(|one| one.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let world: &World = call.world;
    let by_id = |id: &String| {
        let group = world.groups.values().find(|group| same_guid(&group.id, id));
        group
            .map(|group| group_json(world, group, direct))
            .or_else(|| world.account(id).map(|one| account_json(one)))
    };
    let by_descriptor = |descriptor: &String| {
        let group = world.groups.values().find(|group| group.descriptor == *descriptor);
        let account = || world.accounts.values().find(|account| account.descriptor == *descriptor);
        group.map(|group| group_json(world, group, direct)).or_else(|| account().map(|one| account_json(one)))
    };
    let ids = listed("identityIds");
    let descriptors = listed("subjectDescriptors");
    let found = ids.iter().map(by_id).chain(descriptors.iter().map(by_descriptor));
    Ok(Reply::list(found.map(|one| one.unwrap_or(Value::Null)).collect()))
}

fn account_json(account: &Account) -> Value {
    let kind = if account.service {
        "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal"
    } else {
        "Microsoft.IdentityModel.Claims.ClaimsIdentity"
    };
    json!({
        "id": account.id, "descriptor": format!("{kind};{}\\{}", guid("tenant"), account.unique_name),
        "subjectDescriptor": account.descriptor, "providerDisplayName": account.display_name, "isActive": true,
        "members": [], "memberOf": [], "memberIds": [],
        "properties": {"SchemaClassName": {"$type": "System.String", "$value": "User"}},
        "resourceVersion": 2, "metaTypeId": if account.service { 4 } else { 0 },
    })
}

fn group_json(world: &World, group: &Group, direct: bool) -> Value {
    let members: Vec<&String> = if direct { group.members.iter().collect() } else { Vec::new() };
    let descriptor = |id: &&String| {
        world
            .account(id)
            .map_or_else(|| format!("Microsoft.TeamFoundation.Identity;{id}"), |one| one.descriptor.clone())
    };
    json!({
        "id": group.id, "descriptor": format!("Microsoft.TeamFoundation.Identity;S-1-9-{}", group.id),
        "subjectDescriptor": group.descriptor, "providerDisplayName": format!("[{}]\\{}", world.organization, group.name),
        "isActive": true, "isContainer": true, "members": members.iter().map(descriptor).collect::<Vec<_>>(),
        "memberOf": [], "memberIds": members,
        "properties": {"SchemaClassName": {"$type": "System.String", "$value": "Group"}},
        "resourceVersion": 2, "metaTypeId": 255,
    })
}
