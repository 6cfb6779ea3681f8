//! What people say to us: the discussion of the work item, and commands in threads of the pull request. Read only where
//! something can be new: a comment makes a new revision of the item, so an item that did not change costs nothing.

use super::known;
use crate::{
    ado,
    decide::{
        Asked, Command, Hand, ItemSeen, Observation, Remark, Seen, Source, What, heard::apart,
        resume::asked_to_go_on,
    },
    domain::{IdentityId, Policy, PullRequest, Revision, Run, Stage, Thread, WorkItem},
    shell::{App, trust},
    words::{Marker, note},
};

/// What listening brought.
pub(super) struct Heard {
    /// Without commands.
    pub(super) threads: Seen<Vec<Thread>>,
    pub(super) commands: Seen<Vec<Asked>>,
    pub(super) discussion: Seen<Vec<Remark>>,
}

/// Listens. `threads` is what was read of them anyway.
pub(super) async fn listen(
    app: &App,
    run: &Run,
    item: &Seen<ItemSeen>,
    open: Option<&PullRequest>,
    threads: Seen<Vec<Thread>>,
    me: &IdentityId,
) -> Heard {
    let discussion = match item.known() {
        Some(ItemSeen::Here { item, .. }) if has_news(run, item) => discussion(app, item, me).await,
        Some(ItemSeen::Here { .. } | ItemSeen::Gone) | None => Seen::NotAsked,
    };
    // A turn under way: nobody reads the threads then, but we can still be told to stop. People who were asked: they may
    // answer there.
    let (only_commands, may_answer) = match &run.stage {
        Stage::Working { .. } => (true, false),
        Stage::Escalated { .. } => (false, app.is_its_turn(run)),
        Stage::Claimed | Stage::Pushed { .. } | Stage::InReview { .. } | Stage::Closed { .. } => {
            (false, false)
        }
    };
    let split = async |threads: Vec<Thread>| {
        let policy = app.policy_for(trust::authors(&threads)).await;
        apart(threads, me, &policy, note::answers)
    };
    match (threads, open) {
        (Seen::Known(threads), _) => {
            let (threads, commands) = split(threads).await;
            Heard { threads: Seen::Known(threads), commands: Seen::Known(commands), discussion }
        }
        (Seen::NotAsked, Some(open)) if only_commands => {
            let commands = match app.ado.threads(&run.repository, open.id).await {
                Ok(threads) => Ok(split(threads).await.1),
                Err(why) => Err(why),
            };
            Heard { threads: Seen::NotAsked, commands: known(commands, Source::Threads), discussion }
        }
        (Seen::NotAsked, Some(open)) if may_answer => {
            let (threads, commands) = match app.ado.threads(&run.repository, open.id).await {
                Ok(read) => split(read).await,
                Err(why) => {
                    // Nothing waits for it: it is read again soon.
                    let commands = known(Err(why), Source::Threads);
                    return Heard { threads: Seen::NotAsked, commands, discussion };
                }
            };
            let awaits = |thread: &Thread| thread.comments.last().is_some_and(|last| last.author.id != *me);
            let discussion = match (discussion, item.known()) {
                // Whether it is an answer, our own question tells.
                (Seen::NotAsked, Some(ItemSeen::Here { item, .. })) if threads.iter().any(awaits) => {
                    self::discussion(app, item, me).await
                }
                (read, _) => read,
            };
            Heard { threads: Seen::Known(threads), commands: Seen::Known(commands), discussion }
        }
        (threads @ (Seen::NotAsked | Seen::Unknown(_)), _) => {
            Heard { threads, commands: Seen::NotAsked, discussion }
        }
    }
}

async fn discussion(app: &App, item: &WorkItem, me: &IdentityId) -> Seen<Vec<Remark>> {
    let read = app.ado.comments(&item.project, item.id).await;
    known(read.map(|comments| comments.into_iter().map(said(me)).collect()), Source::Threads)
}

/// The claim's own revision is ours; whatever came after it can be somebody's.
fn has_news(run: &Run, item: &WorkItem) -> bool {
    let heard = run.heard.unwrap_or(Revision(run.id.revision.0.saturating_add(1)));
    item.revision > heard
}

fn said(me: &IdentityId) -> impl Fn(ado::ItemComment) -> Remark {
    let me = me.clone();
    move |comment| {
        let what = if comment.author.id == me {
            let claim = || Marker::find(&comment.text).map(|marker| What::Claim(marker.run));
            note::find(&comment.text).map(What::Note).or_else(claim)
        } else {
            Command::parse(&comment.text).map(What::Command)
        };
        Remark {
            id: comment.id,
            by: comment.author,
            at: comment.created_at,
            what: what.unwrap_or(What::Words),
        }
    }
}

/// Adds what can only be asked once the rest is known: whose word lets a run go on, and who edited its text.
pub(super) async fn vouch(app: &App, run: &Run, seen: &mut Observation) {
    let Seen::Known(ItemSeen::Here { item, .. }) = &seen.item else { return };
    let id = item.id;
    if !matches!(run.stage, Stage::Escalated { .. }) {
        // Whether the text that was worked on is still the one that people see. In review most news is a word of ours,
        // which need not cost a read. An edit between our last look and our word is told with the next change.
        let is_worked_on = matches!(run.stage, Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. });
        if has_news(run, item) && (is_worked_on || item.changed_by.as_ref() != Some(&seen.me)) {
            seen.text_changes = known(app.ado.text_changes(id).await, Source::Item);
        }
        return;
    }
    if has_news(run, item) && item.labels.has(&app.policy.labels.ready) {
        seen.labelled = known(app.ado.labelled_by(id, &app.policy.labels.ready).await, Source::Item);
    }
    let policy = app.policy_for(trust::speakers(seen)).await;
    if asked_to_go_on(run, seen, &policy).is_some() {
        seen.text_changes = known(app.ado.text_changes(id).await, Source::Item);
    }
}

/// Adds what only an operator's hand asks: who edited the text that a run would go on with, and whether they are trusted.
pub(in crate::shell) async fn vouch_for_hand(
    app: &App,
    run: &Run,
    hand: Hand,
    seen: &mut Observation,
    policy: Policy,
) -> Policy {
    let goes_on = match hand {
        Hand::Resume | Hand::Retry => matches!(run.stage, Stage::Escalated { .. }),
        Hand::Stop | Hand::Release | Hand::Pause => false,
    };
    if !goes_on {
        return policy;
    }
    if seen.text_changes == Seen::NotAsked {
        seen.text_changes = known(app.ado.text_changes(run.id.item).await, Source::Item);
    }
    let editors = seen.text_changes.known().into_iter().flatten().map(|change| &change.by.id);
    let trusted = app.policy_for(editors).await.trusted.clone();
    Policy { trusted: policy.trusted.union(&trusted).cloned().collect(), ..policy }
}
