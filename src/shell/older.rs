//! Gives up what an earlier run of the same item left open, so that there is one pull request of ours per item (promise
//! *one-pr*). Only ours, only of this item, only of an earlier revision.
//!
//! Key: the pull request. Probe: it is still open; the sentence is known again by the new run's branch in it.

use super::{
    App,
    apply::{Applied, ApplyError},
};
use crate::{
    ado::{PullRequestChange, PullRequestFilter, ThreadMark, Written},
    domain::{OWN_BRANCH_PREFIX, PullRequest, Run, RunId},
    words,
};

/// Gives them up. Something else than [`Applied::Done`] is to be looked at again before a new one is opened.
pub(super) async fn give_up(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    let me = &app.me().await?.id;
    let open = app.ado.pull_requests_of(&run.repository.project, me, PullRequestFilter::Active).await?;
    for older in open.iter().filter(|found| is_older(found, run)) {
        let branch = run.branch();
        let threads = app.ado.threads(&run.repository, older.id).await?;
        let said = threads
            .iter()
            .flat_map(|thread| &thread.comments)
            .any(|comment| comment.author.id == *me && comment.text.contains(branch.as_str()));
        if !said {
            let link = format!("{}?version=GB{branch}", run.repository.clone_url.trim_end_matches('/'));
            let text = words::comments::replaced_by(branch.as_str(), &link);
            match app.ado.open_thread(&run.repository, older.id, &text, ThreadMark::Closed).await {
                Written::Done(_) => {}
                Written::NotDone(why) => return Err(why.into()),
                Written::Unknown(why) => return Ok(Applied::Unknown(why.to_string())),
            }
        }
        let change = PullRequestChange { abandon: true, ..PullRequestChange::default() };
        match app.ado.update_pull_request(&run.repository, older.id, &change).await {
            Written::Done(_) => {}
            Written::NotDone(why) => return Err(why.into()),
            Written::Unknown(why) => return Ok(Applied::Unknown(why.to_string())),
        }
    }
    Ok(Applied::Done)
}

fn is_older(found: &PullRequest, run: &Run) -> bool {
    let of: Option<RunId> =
        found.source.as_str().strip_prefix(OWN_BRANCH_PREFIX).and_then(|rest| rest.parse().ok());
    found.repository_id == run.repository.id
        && of.is_some_and(|other| other.item == run.id.item && other.revision < run.id.revision)
}
