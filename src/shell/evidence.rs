//! What turns left for people: read from the executor, and hung on the work item when people are asked and the operator
//! wants that.
//!
//! Protocol. Key: the file's name, made of run and newest turn. Probe: the label that says that people were asked, and for
//! those who are asked again about the same turn the item's own links. Arbiter: the item's revision, because the link
//! travels in the one write that asks people; so there is no state in which the comment tells of a file that is not there.
//! The upload before it has no arbiter and needs none: what nobody links nobody sees. Whatever fails here never keeps
//! people from being asked.
//!
//! The worker redacted everything when it was written. It is redacted again with what only this process knows: the token
//! that it has now, and the addresses and keys of doorbells.

use super::App;
use crate::{
    ado::{AttachedFile, Fault, Redactor, Written},
    domain::{Link, Run, TurnNumber, WorkItem},
    runtime::{EvidenceFile, process::files::plain},
    words::{
        Evidence,
        evidence::{self, Piece},
    },
};

/// Bytes read of one file: the worker keeps less of each log.
const MOST_READ: u64 = 4 << 20;
/// Bytes read of all files together; beyond, they are named only.
const MOST_READ_OF_ALL: u64 = 16 << 20;
/// A lost answer is worth one more try; an outage ends at the write that follows anyway.
const UPLOAD_TRIES: u32 = 2;

/// Evidence of one turn, or why it cannot be told.
pub type OfTurn = (TurnNumber, Result<Vec<EvidenceFile>, String>);

/// What is there of every turn that had an agent.
pub async fn of_run(app: &App, run: &Run) -> Vec<OfTurn> {
    let mut all = Vec::new();
    for turn in run.turns.iter().filter(|turn| turn.work_of.is_none()) {
        let files = app.runtime.evidence(run.id, turn.number).await;
        all.push((turn.number, files.map_err(|why| why.to_string())));
    }
    all
}

/// Where the evidence will be, and the file that the write which asks people has to link for that.
pub(super) async fn prepare(app: &App, run: &Run, item: &WorkItem) -> (Evidence, Option<AttachedFile>) {
    if !app.policy.attach_evidence {
        return (Evidence::WithOperator, None);
    }
    let Some(newest) = run.turns.last() else { return (Evidence::NoTurn, None) };
    let name = evidence::file_name(run.id, newest.number);
    // Only people who let the run go on can have seen a file of ours. Before that it is somebody else's of our name, and
    // ours hangs beside it.
    if run.resumed.is_some() && hangs_on(item, &name) {
        return (Evidence::Attached(name), None);
    }
    let Some(text) = text(app, run).await else { return (Evidence::Gone, None) };
    match upload(app, run, item, &name, text.into_bytes()).await {
        Some(url) => {
            let file = AttachedFile { url, name: name.clone(), comment: evidence::comment(run.id) };
            (Evidence::Attached(name), Some(file))
        }
        None => (Evidence::NotAttached, None),
    }
}

/// Whether a file of that name is linked.
fn hangs_on(item: &WorkItem, wanted: &str) -> bool {
    item.links.iter().any(|link| match link {
        Link::File { name } => name == wanted,
        Link::Predecessor(_) | Link::Related(_) | Link::Branch { .. } | Link::PullRequest { .. } => false,
    })
}

async fn upload(app: &App, run: &Run, item: &WorkItem, name: &str, bytes: Vec<u8>) -> Option<String> {
    for _ in 0..UPLOAD_TRIES {
        match app.ado.upload_attachment(&item.project, name, bytes.clone()).await {
            Written::Done(url) => return Some(url),
            Written::NotDone(why) | Written::Unknown(why) => {
                tracing::warn!(run.id = %run.id, "the evidence could not be uploaded: {why}");
                match why.fault() {
                    Fault::Transient => {}
                    Fault::Ours | Fault::Theirs => return None,
                }
            }
        }
    }
    None
}

/// Everything as one text; none where nothing of it can be read.
async fn text(app: &App, run: &Run) -> Option<String> {
    let redactor = Redactor::new(&app.settings.secrets());
    let mut pieces = Vec::new();
    for (turn, files) in of_run(app, run).await.into_iter().rev() {
        match files {
            Ok(mut files) => {
                files.sort_by_key(|file| evidence::rank(&file.path));
                pieces.extend(files.into_iter().map(|EvidenceFile { path, bytes }| Piece {
                    turn,
                    path,
                    bytes,
                    text: None,
                }));
            }
            Err(why) => tracing::warn!(run.id = %run.id, "evidence of turn {turn} cannot be listed: {why}"),
        }
    }
    let mut left = MOST_READ_OF_ALL;
    for piece in pieces.iter_mut().filter(|piece| !evidence::is_for_programs(&piece.path)) {
        if left < piece.bytes.min(MOST_READ) {
            continue;
        }
        match app.runtime.read_evidence(run.id, piece.turn, &piece.path, MOST_READ).await {
            Ok(Some(bytes)) => {
                left = left.saturating_sub(bytes.len() as u64);
                let foreign = plain(&String::from_utf8_lossy(&bytes));
                piece.text = Some(redactor.redact(&app.ado.redactor().redact(&foreign)));
            }
            Ok(None) => {}
            Err(why) => {
                tracing::warn!(run.id = %run.id, "{} of turn {} cannot be read: {why}", piece.path, piece.turn);
            }
        }
    }
    evidence::attachment(run, &pieces)
}
