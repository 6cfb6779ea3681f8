//! Who gave an item its label: the audit of a work item's updates.

use super::{
    Client, Error, ErrorKind, Operation,
    client::MAX_PAGES,
    request::{Call, STABLE},
    wire::{
        List,
        item::{Update, labels},
        nobody,
    },
};
use crate::domain::{LabelledBy, Revision, WorkItemId};
use jiff::Timestamp;
use serde_json::Value;

/// The most that a page of updates has.
const PAGE: u32 = 200;
/// Texts that reach an agent.
const TEXTS: [&str; 5] = [
    "System.Title",
    "System.Description",
    "Microsoft.VSTS.Common.AcceptanceCriteria",
    "Microsoft.VSTS.TCM.ReproSteps",
    "Microsoft.VSTS.TCM.SystemInfo",
];

impl Client {
    /// Who put `label` on the item last, if it is there: the last update that gained it and was not followed by one that
    /// lost it. Walks all updates; an update that does not tell who saved it is an error, because trust hangs on it.
    ///
    /// REST: Work Item Tracking, Updates, *List*.
    pub async fn labelled_by(&self, id: WorkItemId, label: &str) -> Result<Option<LabelledBy>, Error> {
        let segments = ["_apis", "wit", "workItems", &id.to_string(), "updates"];
        let call = Call::get(Operation::Updates, &segments, STABLE);
        let mut all: Vec<Update> = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: List<Update> =
                self.json(&call.clone().with("$top", PAGE).with("$skip", all.len())).await?;
            let before = all.len();
            all.extend(page.entries());
            // A short page ends the list only if it holds the current revision: the server's own page may be smaller.
            let is_current = all.last().is_some_and(|last| last.revised_date.is_none());
            if all.len() == before || (all.len() - before < PAGE as usize && is_current) {
                return audit(all, label).map_err(|kind| self.after_answer(&call, kind));
            }
        }
        Err(self.incomplete(&call, "the item has too many updates"))
    }
}

fn audit(mut updates: Vec<Update>, label: &str) -> Result<Option<LabelledBy>, ErrorKind> {
    updates.sort_by_key(|update| update.id);
    updates.dedup_by_key(|update| update.id);
    let mut found: Option<LabelledBy> = None;
    let mut authorized_as = None;
    for update in updates {
        // Left out when it is the same as in the update before.
        if let Some(account) = update.authorized_as() {
            authorized_as = account.person_or_nobody().map(|who| who.id);
        }
        let by = || {
            let missing = || ErrorKind::Malformed {
                at: format!("update {}: revisedBy", update.id),
                message: "does not tell who saved it".into(),
            };
            let who =
                update.revised_by.as_ref().and_then(|who| Some((who.known()?, who.person_or_nobody()?)));
            who.ok_or_else(missing)
        };
        let has = |value: &Value| labels(value.as_str().unwrap_or_default()).has(label);
        let (had, has) = update
            .change("System.Tags")
            .map_or((false, false), |tags| (has(&tags.old_value), has(&tags.new_value)));
        if has && !had {
            let (named, person) = by()?;
            found = Some(LabelledBy {
                is_person: named == person,
                by: named,
                authorized_as: authorized_as.clone(),
                revision: Revision(update.rev),
                at: update.changed_at().unwrap_or(Timestamp::UNIX_EPOCH),
                text_changed_since_by: Vec::new(),
            });
            continue;
        }
        if had && !has {
            found = None;
        }
        if let Some(found) = &mut found
            && TEXTS.iter().any(|field| update.change(field).is_some())
        {
            // A change by an unknown hand is a change by somebody nobody trusts.
            let who = by().map_or_else(|_| nobody("unknown"), |(_, person)| person);
            if !found.text_changed_since_by.contains(&who) {
                found.text_changed_since_by.push(who);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const REQUESTER: &str = "11111111-1111-1111-1111-111111111111";
    const OTHER: &str = "22222222-2222-2222-2222-222222222222";

    fn update(id: u32, who: &str, fields: &Value) -> Update {
        let update = json!({
            "id": id, "rev": id, "revisedBy": { "id": who, "displayName": "x" },
            "revisedDate": "9999-01-01T00:00:00Z", "fields": fields,
        });
        serde_json::from_value(update).expect("an update")
    }

    fn tags(old: &str, new: &str) -> Value {
        json!({ "System.Tags": { "oldValue": old, "newValue": new },
                "System.ChangedDate": { "newValue": "2026-03-31T18:36:28Z" } })
    }

    #[test]
    fn the_last_to_add_it_counts_not_the_last_to_save() {
        let found = audit(
            vec![
                update(1, OTHER, &tags("", "Ready")),
                update(2, OTHER, &tags("Ready", "")),
                update(3, REQUESTER, &tags("", "x; READY")),
                update(4, OTHER, &tags("x; READY", "READY")),
            ],
            "ready",
        );
        let found = found.expect("readable").expect("found");
        assert_eq!((found.by.id.as_str(), found.revision), (REQUESTER, Revision(3)));
        assert!(found.text_changed_since_by.is_empty());
    }

    #[test]
    fn a_label_that_was_lost_is_nobodys() {
        let found = audit(
            vec![update(1, REQUESTER, &tags("", "ready")), update(2, OTHER, &tags("ready", ""))],
            "ready",
        );
        assert_eq!(found, Ok(None));
    }

    #[test]
    fn later_changes_of_text_and_the_account_behind_are_told() {
        let found = audit(
            vec![
                update(
                    1,
                    REQUESTER,
                    &json!({ "System.AuthorizedAs": { "newValue": { "id": OTHER } },
                                         "System.Title": { "newValue": "t" } }),
                ),
                update(2, REQUESTER, &tags("", "ready")),
                update(3, OTHER, &json!({ "System.Description": { "newValue": "d" } })),
            ],
            "ready",
        );
        let found = found.expect("readable").expect("found");
        assert_eq!(found.authorized_as.as_ref().map(crate::domain::IdentityId::as_str), Some(OTHER));
        assert_eq!(found.text_changed_since_by.len(), 1);
        assert_eq!(found.text_changed_since_by[0].id.as_str(), OTHER);
    }

    #[test]
    fn a_service_is_never_a_person_whoever_lists_it() {
        let by_service = |id, fields: &Value| {
            let update = json!({
                "id": id, "rev": id, "fields": fields,
                "revisedBy": { "id": OTHER, "displayName": "Build", "descriptor": "svc.abc" },
            });
            serde_json::from_value::<Update>(update).expect("an update")
        };
        let found =
            audit(vec![by_service(1, &tags("", "ready"))], "ready").expect("readable").expect("found");
        assert!(!found.is_person);
        assert_eq!(found.by.id.as_str(), OTHER, "it is named");
        let changed = json!({ "System.Title": { "newValue": "t" } });
        let found = audit(vec![update(1, REQUESTER, &tags("", "ready")), by_service(2, &changed)], "ready");
        let found = found.expect("readable").expect("found");
        assert!(found.is_person && !found.text_changed_since_by[0].id.is_guid());
    }

    #[test]
    fn an_update_without_an_author_is_no_proof() {
        let update: Update =
            serde_json::from_value(json!({ "id": 1, "rev": 1, "fields": tags("", "ready") })).expect("one");
        assert!(matches!(audit(vec![update], "ready"), Err(ErrorKind::Malformed { .. })));
    }
}
