//! What an agent left for people in its output folder, cleaned before anybody can read it: it becomes a pull request, a
//! reply, a comment. The agent is dead by then; whoever reads next takes what stands here.

use super::job::Job;
use crate::runtime::{Proposal, process::files};
use std::{collections::BTreeSet, fs, path::Path};

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

/// Characters of a plan that travel with the result: a list, not a study. The whole stays in its file.
const PLAN: usize = 2_000;

/// What the agent said that it would do, if it said so.
pub(super) fn plan(job: &Job) -> Option<String> {
    let left = files::read_left(&job.spec.places.output, "plan.md", LIMIT).ok()??;
    Some(job.clean(&left, PLAN)).filter(|plan| !plan.is_empty())
}

/// The folder of what it proposes to do later, one Markdown file each.
const PROPOSALS: &str = "proposals";
/// What they become: one file that only we write.
const GATHERED: &str = "proposals.json";
/// Characters of a title: the service takes 255.
const TITLE: usize = 200;
/// Characters of a text: a description, not a study.
const TEXT: usize = 6_000;

/// Makes one list of what the agent proposes: bounded, cleaned, each title once. Whatever else had its name is gone.
pub(super) fn gather_proposals(job: &Job) {
    let output = &job.spec.places.output;
    let place = output.join(GATHERED);
    _ = fs::remove_file(&place);
    let most = job.spec.limits.proposals as usize;
    let names = fs::read_dir(output.join(PROPOSALS)).into_iter().flatten().flatten();
    let names: BTreeSet<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .take(MOST_REPLIES)
        .collect();
    let mut found: Vec<Proposal> = Vec::new();
    for name in names {
        if found.len() == most {
            break;
        }
        let Ok(Some(text)) = files::read_left(output, &format!("{PROPOSALS}/{name}"), LIMIT) else {
            continue;
        };
        let Some(proposal) = proposal(&text) else { continue };
        let title = job.clean(&proposal.title, TITLE);
        let is_new = !found.iter().any(|known| known.title.eq_ignore_ascii_case(&title));
        if is_new && !title.is_empty() {
            found.push(Proposal { title, text: job.clean(&proposal.text, TEXT) });
        }
    }
    if !found.is_empty() {
        // What cannot be written is not proposed; the agent's own files are there for people.
        _ = files::write_atomically(&place, &serde_json::to_vec_pretty(&found).unwrap_or_default());
    }
}

/// The first line is the title, the rest is the text.
fn proposal(file: &str) -> Option<Proposal> {
    let (title, text) = file.trim().split_once('\n').unwrap_or((file.trim(), ""));
    let title = title.trim_start_matches('#').split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then(|| Proposal { title, text: text.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_a_title_and_a_text() {
        let of = |title: &str, text: &str| Some(Proposal { title: title.into(), text: text.into() });
        assert_eq!(proposal("# Speed  up\n\nIt is slow.\n"), of("Speed up", "It is slow."));
        assert_eq!(proposal("Only a title"), of("Only a title", ""));
        assert_eq!(proposal(" \n# \n"), None);
    }
}
