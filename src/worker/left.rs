//! What an agent left for people in its output folder, cleaned before anybody can read it: it becomes a pull request, a
//! reply, a comment. The agent is dead by then; whoever reads next takes what stands here.

use super::job::Job;
use crate::runtime::process::files;
use std::fs;

/// Bytes that readers take of such a file; the rest goes.
const LIMIT: u64 = 64 << 10;
/// More replies than this are no answer to a review.
const MOST_REPLIES: usize = 200;
/// The agent's own texts, below the output folder.
const TEXTS: [&str; 5] = ["plan.md", "pr.md", "title.txt", "question.md", "outcome.json"];
/// The folder of its replies.
const REPLIES: &str = "replies";

/// Takes secrets out of everything that others read.
pub(super) fn clean(job: &Job) {
    let output = &job.spec.places.output;
    let replies = fs::read_dir(output.join(REPLIES)).into_iter().flatten().flatten().take(MOST_REPLIES);
    let replies = replies.filter_map(|entry| Some(format!("{REPLIES}/{}", entry.file_name().to_str()?)));
    for path in TEXTS.into_iter().map(str::to_owned).chain(replies) {
        // What is no plain file is read by nobody.
        let Ok(Some(text)) = files::read_left(output, &path, LIMIT) else { continue };
        let cleaned = job.redactor.redact(text.as_bytes());
        let place = output.join(&path);
        if cleaned != text.as_bytes() && files::write_atomically(&place, &cleaned).is_err() {
            // A full disk keeps no secret: nothing is better than the file.
            _ = fs::remove_file(place);
        }
    }
}
