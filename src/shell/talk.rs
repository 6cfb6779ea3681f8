//! What we say on the pull request: answers, notices, and taking back what stands twice.
//!
//! The server refuses no second copy of a comment. So each word is looked for by its key before it is said, it is not
//! said again while a lost request may still arrive, and whatever comes through nevertheless is taken back by the next
//! look (reliability protocol 3.5). Does not decide when to speak.

use super::{
    App,
    apply::{Applied, ApplyError, told},
    observe::said,
    trust,
};
use crate::{
    ado::{self, Written},
    domain::{
        Awaiting, Comment, CommentId, IdentityId, Notice, OwnWord, Policy, ResolveThreads, Run, Said,
        Suggested, Thread, ThreadId, ThreadStatus, Trigger, Turn,
    },
    runtime::Left,
    words::{self, footer},
};

/// One answer per thread, keyed by the comment that it answers.
pub(super) async fn post_replies(app: &App, run: &Run, turn: &Turn) -> Result<Applied, ApplyError> {
    let Trigger::Threads { awaiting, .. } = &turn.trigger else { return Ok(Applied::Done) };
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let me = &app.me().await?.id;
    let threads = app.ado.threads(&run.repository, pull_request).await?;
    let policy = app.policy_for(trust::authors(&threads)).await;
    let own = said(&threads, me);
    let head = run.pushed.as_ref().map(|pushed| &pushed.head);
    let moved = head != turn.base.as_ref();
    let suggested = if moved { suggested(app, run, turn).await? } else { Vec::new() };
    for asked in awaiting {
        let Some(thread) = threads.iter().find(|thread| thread.id == asked.thread) else { continue };
        if !is_answered(thread, *asked, &own, me) {
            let left = app.runtime.left(run.id, turn.work(), &Left::Reply(asked.thread)).await?;
            let own_commit = suggested.iter().find(|one| one.thread == asked.thread).map(|one| &one.commit);
            let text = match (left, head) {
                (left, Some(head)) if moved => match own_commit {
                    Some(commit) => words::comments::reply_to_suggestion(&left.unwrap_or_default(), commit),
                    None => words::comments::reply_to_thread(&left.unwrap_or_default(), head),
                },
                (left, _) => words::comments::nothing_changed_reply(&left.unwrap_or_default()),
            };
            let said = Said::Answer { to: asked.comment, changed: moved, as_of: asked.as_of };
            let text = footer::signed(&text, run.id, said);
            match app.ado.reply(&run.repository, pull_request, asked.thread, &text).await {
                Written::Done(_) => {}
                Written::NotDone(why) => return Err(why.into()),
                Written::Unknown(why) => return Ok(Applied::Unheard(why.to_string())),
            }
        }
        if moved
            && policy.resolve_threads == ResolveThreads::Answered
            && is_last_word(&policy, thread, *asked)
        {
            let fixed = ado::ThreadMark::Fixed;
            match app.ado.set_thread_status(&run.repository, pull_request, asked.thread, fixed).await {
                Written::Done(()) => {}
                Written::NotDone(why) => return Err(why.into()),
                // Setting it again is harmless.
                Written::Unknown(why) => return Ok(Applied::Unknown(why.to_string())),
            }
        }
    }
    Ok(Applied::Done)
}

/// Which suggestions of its reviewers a turn committed as they stood.
async fn suggested(app: &App, run: &Run, turn: &Turn) -> Result<Vec<Suggested>, ApplyError> {
    let left = app.runtime.left(run.id, turn.work(), &Left::Suggestions).await?;
    // Written by the worker. What cannot be read is not named; the commits are there.
    Ok(left.and_then(|left| serde_json::from_str(&left).ok()).unwrap_or_default())
}

/// By its key, in that wording or a newer one; a word of ours without a key was said by an older version.
fn is_answered(thread: &Thread, asked: Awaiting, own: &[OwnWord], me: &IdentityId) -> bool {
    let key =
        |comment: CommentId| own.iter().find(|word| (word.thread, word.comment) == (thread.id, comment));
    let mut ours = thread.comments.iter().filter(|comment| comment.author.id == *me);
    ours.any(|comment| match key(comment.id) {
        Some(word @ OwnWord { said: Said::Answer { to, .. }, .. }) => {
            *to == asked.comment && word.has_seen(comment.changed_at, asked.as_of)
        }
        Some(OwnWord { said: Said::Notice(_), .. }) | None => {
            comment.id > asked.comment && asked.as_of.is_none_or(|wording| comment.changed_at >= wording)
        }
    })
}

/// Whether the thread is open and no trusted person has gone on meanwhile.
fn is_last_word(policy: &Policy, thread: &Thread, asked: Awaiting) -> bool {
    let is_open = match thread.status {
        ThreadStatus::Active | ThreadStatus::Pending => true,
        ThreadStatus::Fixed | ThreadStatus::Settled | ThreadStatus::Other => false,
    };
    let is_newer = |comment: &Comment| {
        comment.id > asked.comment || asked.as_of.is_some_and(|wording| comment.changed_at > wording)
    };
    let goes_on = thread.comments.iter().any(|one| is_newer(one) && policy.trusted.contains(&one.author.id));
    is_open && !goes_on
}

/// One notice that it waits for people.
pub(super) async fn remind(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let reviewers = app.ado.reviewers(&run.repository, pull_request).await?;
    let mut people: Vec<_> = reviewers.into_iter().map(|reviewer| reviewer.who).collect();
    if people.is_empty() {
        people.extend(run.requested_by.clone());
    }
    notice(app, run, Notice::Reminder, &words::comments::reminder(&people)).await
}

/// What title and description of the pull request had no room for; nothing is asked or said if all of it stands there.
pub(super) async fn tell_rest(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    let (title, description) = told(app, run).await?;
    match words::pull_request::rest(&title, run, &description) {
        Some(rest) => notice(app, run, Notice::Description, &rest).await,
        None => Ok(Applied::Done),
    }
}

/// A closed thread of ours, unless it is there.
async fn notice(app: &App, run: &Run, notice: Notice, text: &str) -> Result<Applied, ApplyError> {
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let me = &app.me().await?.id;
    let threads = app.ado.threads(&run.repository, pull_request).await?;
    if said(&threads, me).iter().any(|word| word.said == Said::Notice(notice)) {
        return Ok(Applied::Done);
    }
    let text = footer::signed(text, run.id, Said::Notice(notice));
    match app.ado.open_thread(&run.repository, pull_request, &text, ado::ThreadMark::Closed).await {
        Written::Done(_) => Ok(Applied::Done),
        Written::NotDone(why) => Err(why.into()),
        Written::Unknown(why) => Ok(Applied::Unheard(why.to_string())),
    }
}

/// Takes a word of ours back. Gone is gone, whoever did it.
pub(super) async fn unsay(
    app: &App,
    run: &Run,
    thread: ThreadId,
    comment: CommentId,
) -> Result<Applied, ApplyError> {
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    match app.ado.delete_comment(&run.repository, pull_request, thread, comment).await {
        Written::Done(()) => Ok(Applied::Done),
        Written::NotDone(why) if why.is_not_found() => Ok(Applied::Done),
        Written::NotDone(why) => Err(why.into()),
        Written::Unknown(why) => Ok(Applied::Unknown(why.to_string())),
    }
}
