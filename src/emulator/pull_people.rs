//! What people do to pull requests.

use super::{Emulator, people::Refused, setup::Identity, wire::NOBODY};
use serde_json::{Map, json};

/// What a person selected in the newest version of a file before writing a comment.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The file.
    pub file: &'a str,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// First column, and the first one after the selection, from 1 as the page counts; none = the whole lines.
    pub columns: Option<(u32, u32)>,
}

impl<'a> Selection<'a> {
    /// One line, as a click on its number selects it.
    pub fn line(file: &'a str, line: u32) -> Self {
        Self { file, lines: (line, line), columns: None }
    }
}

impl Emulator {
    /// Opens a thread, on a line of a file or on the whole; answers the thread's id.
    pub fn comment_pull_request(
        &self,
        pull: i64,
        text: &str,
        place: Option<(&str, u32)>,
        by: &Identity,
    ) -> Result<i64, Refused> {
        match place {
            Some((file, line)) => self.comment_on(pull, text, Selection::line(file, line), by),
            None => self.acting(|world| {
                let text = [text.to_owned()];
                world.create_thread(pull, &text, Some("active"), None, None, Map::new(), &by.id)
            }),
        }
    }

    /// Opens a thread on what was selected of a file; answers the thread's id.
    pub fn comment_on(
        &self,
        pull: i64,
        text: &str,
        selected: Selection<'_>,
        by: &Identity,
    ) -> Result<i64, Refused> {
        let Selection { file, lines: (first, last), columns } = selected;
        let file = file.trim_start_matches('/');
        self.acting(|world| {
            let (newest, whole) = {
                let pull = world.pull(pull, None)?;
                let git = world.git(&pull.repository);
                let entry = pull.iterations.last().and_then(|newest| git.entry(&newest.source, file));
                let content = entry.and_then(|(id, ..)| git.blob(&id).ok()).unwrap_or_default();
                let content = String::from_utf8_lossy(&content).into_owned();
                let end = content.lines().nth(last.saturating_sub(1) as usize).unwrap_or_default();
                (pull.iterations.len(), (1, end.encode_utf16().count() + 1))
            };
            let (from, to) = columns.map_or(whole, |(from, to)| (from as usize, to as usize));
            let context = json!({
                "filePath": format!("/{file}"),
                "rightFileStart": {"line": first, "offset": from},
                "rightFileEnd": {"line": last, "offset": to},
            });
            let iteration = json!({
                "changeTrackingId": 1,
                "iterationContext": {"firstComparingIteration": 1, "secondComparingIteration": newest},
            });
            let text = [text.to_owned()];
            world.create_thread(
                pull,
                &text,
                Some("active"),
                Some(context),
                Some(iteration),
                Map::new(),
                &by.id,
            )
        })
    }

    /// Answers in a thread; answers the comment's id.
    pub fn reply(&self, pull: i64, thread: i64, text: &str, by: &Identity) -> Result<i64, Refused> {
        self.acting(|world| world.reply(pull, thread, text, 1, &by.id))
    }

    /// Changes one's own comment of a thread.
    pub fn edit_comment(
        &self,
        pull: i64,
        thread: i64,
        comment: i64,
        text: &str,
        by: &Identity,
    ) -> Result<(), Refused> {
        self.acting(|world| world.change_thread_comment(pull, thread, comment, Some(text), &by.id))
    }

    /// Removes one's own comment of a thread: its place stays, its words go.
    pub fn delete_comment(&self, pull: i64, thread: i64, comment: i64, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.change_thread_comment(pull, thread, comment, None, &by.id))
    }

    /// Sets a thread's status (`active`, `fixed`, `closed`, …).
    pub fn set_thread_status(&self, pull: i64, thread: i64, status: &str) -> Result<(), Refused> {
        self.acting(|world| world.set_thread_status(pull, thread, status))
    }

    /// Another service posts a status, on an iteration or on none.
    pub fn post_status(
        &self,
        pull: i64,
        iteration: Option<usize>,
        (genre, name): (&str, &str),
        (state, description): (&str, &str),
        by: &Identity,
    ) {
        self.inner.change(|world| {
            let at = world.now();
            let Some(known) = world.pull_mut(pull) else { return };
            known.statuses.push(super::state::pull_requests::PostedStatus {
                id: known.statuses.last().map_or(1, |status| status.id + 1),
                iteration,
                state: state.to_owned(),
                genre: genre.to_owned(),
                name: name.to_owned(),
                description: description.to_owned(),
                target_url: None,
                by: by.id.clone(),
                at,
            });
        });
    }

    /// Takes every link from an item to the pull request off.
    pub fn unlink_pull_request(&self, item: i64, pull: i64, by: &Identity) -> Result<(), Refused> {
        self.act(|world| {
            let url = world.pull(pull, None)?.artifact();
            let mut save = world.edit(item)?;
            save.relations.retain(|relation| !relation.url.eq_ignore_ascii_case(&url));
            world.save_item(item, save, &by.id);
            Ok(())
        })
    }

    /// Votes 10, 5, 0, -5 or -10.
    pub fn vote(&self, pull: i64, vote: i64, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.vote(pull, &by.id, vote, &by.id))
    }

    /// Presses "Complete": policies apply, and the merge happens at once.
    pub fn complete(&self, pull: i64, strategy: &str, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| {
            let head = world.pull(pull, None)?.head().to_owned();
            let options =
                json!({"mergeStrategy": strategy, "deleteSourceBranch": false, "transitionWorkItems": false});
            world.complete_pull(pull, Some(&head), Some(options), &by.id)?;
            world.finish_now(pull);
            Ok(())
        })
    }

    /// Sets auto-complete for oneself.
    pub fn set_auto_complete(&self, pull: i64, strategy: &str, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| {
            world.pull(pull, None)?;
            if let Some(pull) = world.pull_mut(pull) {
                pull.completion_options = Some(json!({"mergeStrategy": strategy}));
            }
            world.set_auto_complete(pull, &by.id, &by.id)
        })
    }

    /// Takes auto-complete off.
    pub fn clear_auto_complete(&self, pull: i64, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.set_auto_complete(pull, NOBODY, &by.id))
    }

    /// Abandons.
    pub fn abandon(&self, pull: i64, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.set_pull_status(pull, "abandoned", &by.id))
    }

    /// Reactivates an abandoned one.
    pub fn reactivate(&self, pull: i64, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.set_pull_status(pull, "active", &by.id))
    }

    /// Turns to draft, or publishes.
    pub fn set_draft(&self, pull: i64, draft: bool, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.set_draft(pull, draft, &by.id))
    }

    /// Points it at another branch (full ref name).
    pub fn retarget(&self, pull: i64, target: &str, by: &Identity) -> Result<(), Refused> {
        self.acting(|world| world.retarget(pull, target, &by.id))
    }

    /// Adds a reviewer without a vote.
    pub fn add_reviewer(
        &self,
        pull: i64,
        reviewer: &Identity,
        required: bool,
        by: &Identity,
    ) -> Result<(), Refused> {
        self.acting(|world| {
            world.pull(pull, None)?;
            world.vote_zero(pull, &reviewer.id, required, &by.id);
            Ok(())
        })
    }
}
