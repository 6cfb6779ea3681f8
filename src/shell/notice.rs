//! Tells people once, on the item, what they have to mend before it can be taken.
//!
//! Key: the revision that gained the label (none where nobody can tell), and the reason's word, in the footer. Probe: our
//! own comments. Arbiter: the item's revision, because the words travel in its history; so two pollers say it once, and no
//! file is needed.

use super::{App, candidate::Looked};
use crate::{
    ado::{self, ItemChange, Written},
    decide::RefuseReason,
    domain::{Revision, WorkItem},
    words::refusals::Notice,
};

/// Says it, unless it was said. An answer that did not come is looked for by the next poll.
pub(super) async fn tell(
    app: &App,
    item: &WorkItem,
    looked: &Looked,
    reason: &RefuseReason,
) -> Result<(), ado::Error> {
    let Some(word) = reason.notice() else { return Ok(()) };
    let labelled = looked.labelled.as_ref();
    // Whoever labels it anew hears a reason anew; where its history cannot be read for good, once is all there is. One that
    // only does not show the label yet, or people whose groups did not answer, are no reason for words that stay.
    let label = match labelled {
        Some(labelled) => labelled.revision,
        None if matches!(reason, RefuseReason::Unreadable { .. }) => Revision(0),
        None => return Ok(()),
    };
    let notice = Notice { item: item.id, label, word };
    let me = &app.me().await?.id;
    let comments = app.ado.comments(&item.project, item.id).await?;
    if comments.iter().any(|comment| comment.author.id == *me && notice.is_in(&comment.text)) {
        return Ok(());
    }
    let labels = &app.policy.labels;
    let person = labelled.filter(|labelled| labelled.is_person).map(|labelled| &labelled.by);
    let said = reason.to_string();
    let change = if reason.hands_over() {
        ItemChange {
            labels: Some(item.labels.changed(&[&labels.human], &[&labels.ready])),
            history: Some(notice.handed_over(&said, person, &labels.human, &labels.ready)),
            ..ItemChange::default()
        }
    } else {
        ItemChange { history: Some(notice.not_taken(&said, person)), ..ItemChange::default() }
    };
    match app.ado.change_work_item(item.id, item.revision, &change).await {
        Written::Done(_) => Ok(()),
        // Somebody saved in between: the next poll reads what it is now.
        Written::NotDone(why) if why.is_conflict() => Ok(()),
        Written::NotDone(why) | Written::Unknown(why) => Err(why),
    }
}
