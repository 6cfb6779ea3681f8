//! Follow-up work that an agent proposes becomes work items: linked to the run's own, without a label of ours, and each
//! title once.
//!
//! Making an item cannot be guarded, so the link is made with it and looked for first: an item that is related to ours and
//! has the title is the one. That survives a lost answer, a crash, a second copy of us and a later run.

use super::{App, apply::Applied};
use crate::{
    ado::{self, NewItem, Written},
    domain::{Link, Run, WorkItemId},
    runtime::{Left, Proposal},
    words,
};

/// Files what the run's first work came with. What the service refuses stays evidence and stops nothing.
pub(super) async fn file(app: &App, run: &Run) -> Result<Applied, super::apply::ApplyError> {
    let most = app.policy.proposals as usize;
    let (Some(turn), true) = (run.turns.last(), most > 0) else { return Ok(Applied::Done) };
    let Some(left) = app.runtime.left(run.id, turn.work(), &Left::Proposals).await? else {
        return Ok(Applied::Done);
    };
    // Beside agent code it was written; here it is foreign text like any other.
    let Ok(mut wanted) = serde_json::from_str::<Vec<Proposal>>(&left) else { return Ok(Applied::Done) };
    wanted.truncate(most);
    let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(Applied::Done) };
    let known = titles(app, &item.links).await?;
    for proposal in wanted {
        let title = words::notices::proposal_title(&proposal.title);
        if title.is_empty() || known.contains(&title.to_lowercase()) {
            continue;
        }
        let new = NewItem {
            kind: run.kind.clone(),
            title,
            description: words::notices::proposal(run, &proposal.text),
            area: item.area.clone(),
            related: item.id,
        };
        match app.ado.create_work_item(&item.project, &new).await {
            Written::Done(made) => tracing::info!(run.id = %run.id, "proposed work item {}", made.id),
            Written::NotDone(why) => {
                tracing::warn!(run.id = %run.id, "`{}` could not be proposed: {why}", new.title);
            }
            // It may be there: the next visit looks.
            Written::Unknown(why) => return Ok(Applied::Unknown(why.to_string())),
        }
    }
    Ok(Applied::Done)
}

/// Titles of everything that is related to the item already, in lower case.
async fn titles(app: &App, links: &[Link]) -> Result<Vec<String>, ado::Error> {
    let ids: Vec<WorkItemId> = links
        .iter()
        .filter_map(|link| match link {
            Link::Related(id) => Some(*id),
            Link::Predecessor(_) | Link::Branch { .. } | Link::PullRequest { .. } | Link::File { .. } => None,
        })
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(app.ado.work_items(&ids).await?.into_iter().map(|item| item.title.to_lowercase()).collect())
}
