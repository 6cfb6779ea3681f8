//! Effects that answer people: taking an item back, the pause label, answers to commands; and the last look before a push.

use super::{App, Applied, ApplyError, change_item};
use crate::{
    ado::{ItemChange, Written},
    decide::{Answer, Place, Resumption},
    domain::{PullRequestStatus, Run},
    words::{note, talk},
};

/// Takes the item back from people: one write, under the very revision that was decided on, because its text counts from
/// now on. Somebody who saves in between is looked at first.
pub(super) async fn take_back(app: &App, run: &Run, how: &Resumption) -> Result<Applied, ApplyError> {
    let labels = &app.policy.labels;
    let Some(item) = app.ado.work_item(run.id.item).await? else {
        return Ok(Applied::Overtaken("the work item is not there".into()));
    };
    if item.labels.has(&labels.in_progress) && !item.labels.has(&labels.human) {
        return Ok(Applied::Done);
    }
    if item.revision != how.tested {
        return Ok(Applied::Overtaken("the work item was changed meanwhile".into()));
    }
    let change = ItemChange {
        labels: Some(item.labels.changed(&[&labels.in_progress], &[&labels.ready, &labels.human])),
        history: Some(talk::goes_on(run, how)),
        ..ItemChange::default()
    };
    Ok(match app.ado.change_work_item(item.id, item.revision, &change).await {
        Written::Done(_) => Applied::Done,
        Written::NotDone(why) if why.is_conflict() => Applied::Overtaken(why.to_string()),
        Written::NotDone(why) => return Err(why.into()),
        // The same write under the same revision goes in once; the next tick reads which.
        Written::Unknown(why) => Applied::Unknown(why.to_string()),
    })
}

/// Puts the pause label on or takes it off.
pub(super) async fn pause(app: &App, run: &Run, on: bool) -> Result<Applied, ApplyError> {
    let label = &app.policy.labels.paused;
    change_item(app, run, |item| {
        let (gained, lost): (&[&str], &[&str]) = if on { (&[label], &[]) } else { (&[], &[label]) };
        (item.labels.has(label) != on)
            .then(|| ItemChange { labels: Some(item.labels.changed(gained, lost)), ..ItemChange::default() })
    })
    .await
}

/// Answers a command where it was given, once: an answer of ours carries what it answers.
pub(super) async fn answer(app: &App, run: &Run, said: &Answer) -> Result<Applied, ApplyError> {
    let me = app.me().await?;
    let place = said.asked.place;
    let labels = &app.policy.labels;
    let is_answer =
        |text: &str| note::find(text).is_some_and(|note| note.run == run.id && note.answers == Some(place));
    let settle = |written: Written<()>| match written {
        Written::Done(()) => Ok(Applied::Done),
        Written::NotDone(why) => Err(why.into()),
        // Said once is better than said twice: the next tick reads before it speaks.
        Written::Unknown(why) => Ok(Applied::Unknown(why.to_string())),
    };
    match place {
        Place::Item(_) => {
            let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(Applied::Done) };
            let comments = app.ado.comments(&item.project, item.id).await?;
            if comments.iter().any(|one| one.author.id == me.id && is_answer(&one.text)) {
                return Ok(Applied::Done);
            }
            let text = talk::answer(run, said, labels);
            settle(app.ado.add_comment(&item.project, item.id, &text).await.map(drop))
        }
        Place::Thread(word) => {
            let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
            let threads = app.ado.threads(&run.repository, pull_request).await?;
            let Some(thread) = threads.iter().find(|thread| thread.id == word.thread) else {
                return Ok(Applied::Done);
            };
            if thread.comments.iter().any(|one| one.author.id == me.id && is_answer(&one.text)) {
                return Ok(Applied::Done);
            }
            let text = talk::answer_in_thread(run, said, labels);
            settle(app.ado.reply(&run.repository, pull_request, word.thread, &text).await.map(drop))
        }
    }
}

/// The last look before a push: whether a person ended the pull request, holds it, or lets it merge by itself.
pub(super) async fn holds_publish(app: &App, run: &Run) -> Result<Option<String>, ApplyError> {
    let Some(id) = run.pull_request else { return Ok(None) };
    let Some(found) = app.ado.pull_request(&run.repository, id).await? else { return Ok(None) };
    let me = &app.me().await?.id;
    Ok(match found.status {
        PullRequestStatus::Completed | PullRequestStatus::Abandoned => {
            Some("a person has ended the pull request; nothing is pushed".into())
        }
        PullRequestStatus::Active | PullRequestStatus::Other => {
            found.auto_complete_by.filter(|who| who != me).map(|_| {
                "a person has set auto-complete, so a push would be merged unseen; nothing is pushed".into()
            })
        }
    })
}
