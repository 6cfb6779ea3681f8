//! The one progress comment: desired text, compared by digest, written only when it differs, edited in place.
//!
//! What it should say stands in [`said`]; here it is said once, to one comment, with the run's record in its footer.

mod said;

pub(super) use said::{knows_all, links, links_seen, text, texts};

use super::App;
use crate::{
    ado::{self, Written},
    decide::Observation,
    domain::{ProgressDigest, Run, Stage},
    words::{
        Marker, Record,
        record::{digest, renewed},
    },
};
use said::Texts;

/// Makes the comment say that, and remembers whom it mentioned about what.
pub(super) async fn tell(
    app: &App,
    run: &mut Run,
    texts: &Texts,
    before: Option<&Stage>,
) -> Result<(), ado::Error> {
    let head = run.pushed.as_ref().map(|pushed| pushed.head.clone());
    let says_so =
        |run: &Run| run.progress_digest.as_ref().is_some_and(|known| known.words == digest(&texts.wanted));
    let project = texts.project.as_str();
    match &texts.unmentioned {
        None => ensure(app, project, run, &texts.wanted, before).await,
        Some(text) if run.mentioned == head && !says_so(run) => ensure(app, project, run, text, before).await,
        Some(_) => {
            // Written with the comment that mentions, so that whoever reads it knows that it does.
            let earlier = std::mem::replace(&mut run.mentioned, head);
            let told = ensure(app, project, run, &texts.wanted, before).await;
            if !says_so(run) {
                run.mentioned = earlier;
            }
            told
        }
    }
}

/// Makes the comment say `text`, with the run's record in its footer, and tells `run` what was written. A failure leaves
/// the old digest, so that the next tick tries again; it never stops the run. What it returns is worth a next tick: an
/// answer that did not come. A refusal would be refused again.
///
/// `before` is the stage that the run leaves only with the write that follows.
async fn ensure(
    app: &App,
    project: &str,
    run: &mut Run,
    text: &str,
    before: Option<&Stage>,
) -> Result<(), ado::Error> {
    let record = |run: &Run| match before {
        Some(before) => Record::foretelling(run, before).then(&run.stage),
        None => Record::of(run),
    };
    let wanted = record(run).digest(text);
    if run.progress_digest.as_ref() == Some(&wanted) {
        return Ok(());
    }
    if app.store.says(run.id, text) {
        run.progress_digest = Some(wanted);
        return Ok(());
    }
    let told = Run { progress_digest: Some(wanted.clone()), ..run.clone() };
    match write(app, project, run, &record(&told).attached_to(text)).await {
        Ok(true) => run.progress_digest = Some(wanted),
        Ok(false) => {}
        Err(why) => {
            tracing::warn!(run.id = %run.id, "the progress comment could not be written: {why}");
            if why.fault() == ado::Fault::Transient {
                return Err(why);
            }
        }
    }
    Ok(())
}

/// Keeps in the comment's footer what must outlive our memory, and leaves its words alone. Where the comment is the
/// memory, saving does so anyway.
pub(super) async fn keep(app: &App, run: &mut Run, seen: &Observation) -> Result<(), ado::Error> {
    let (Some(known), Some(id), true) = (&run.progress_digest, run.progress_comment, app.store.keeps_beats())
    else {
        return Ok(());
    };
    let wanted = ProgressDigest { words: known.words.clone(), record: Record::of(run).weight() };
    if *known == wanted {
        return Ok(());
    }
    let project = said::project(run, seen).to_owned();
    let comments = app.ado.comments(&project, run.id.item).await?;
    // One that is not there was deleted by a person, or is not shown yet.
    let Some(comment) = comments.iter().find(|comment| comment.id == id) else { return Ok(()) };
    let told = Run { progress_digest: Some(wanted.clone()), ..run.clone() };
    let text = renewed(&comment.stored, &told, &Record::of(&told));
    if write(app, &project, run, &text).await? {
        run.progress_digest = Some(wanted);
    }
    Ok(())
}

async fn write(app: &App, project: &str, run: &mut Run, text: &str) -> Result<bool, ado::Error> {
    let me = app.me().await?;
    let item = run.id.item;
    if run.progress_comment.is_none() {
        let comments = app.ado.comments(project, item).await?;
        // The oldest of ours for this run: should there ever be two, everybody keeps to the same one.
        let own = comments.iter().filter(|comment| comment.author.id == me.id);
        let found = own
            .filter(|comment| Marker::find(&comment.text).is_some_and(|marker| marker.run == run.id))
            .min_by_key(|comment| comment.id);
        run.progress_comment = found.map(|comment| comment.id);
        if found.is_some_and(|comment| comment.stored == text) {
            return Ok(true);
        }
    }
    let written = match run.progress_comment {
        Some(id) => app.ado.edit_comment(project, item, id, text).await,
        // The claim itself wrote the comment. One that is not there was deleted by a person, or is not shown yet.
        None => return Ok(false),
    };
    match written {
        Written::Done(comment) => {
            run.progress_comment = Some(comment.id);
            Ok(true)
        }
        Written::NotDone(why) if why.is_not_found() => {
            // A person deleted it: their wish; the pull request goes on telling.
            Ok(true)
        }
        Written::NotDone(why) | Written::Unknown(why) => Err(why),
    }
}
