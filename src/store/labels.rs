//! Runs remembered without any file: found by our labels, the record in the footer of the run's own progress comment.
//! Only what our identity wrote counts.
//!
//! **Who wins.** Comments know no compare-and-set. A save reads the comment first and gives way to a newer generation; two
//! processes that do so in the same moment can still overwrite each other's record. That is enough, because no effect is
//! arbitrated by the record: a claim is by `test /rev`, a worker by its name, a push by the old id, a pull request by its
//! source branch, a visit by the turnstile of the one executor that owns the run. A record that was overwritten is a record
//! that is a visit old, and a visit begins by catching up with the world.
//!
//! **What a save costs.** Every edit is a revision of the item, so a visit makes one: saves are kept here until the visit
//! settles, with the words that the comment shall say. A crash before that is like a memory that is a visit old. An idle
//! visit saves nothing.
//!
//! **What a lagging list cannot do.** A claim writes label and record at once, so an item that shows the label has a record,
//! whatever the list of its comments shows: no second one is written. When we last spoke unheard is part of the record.
//!
//! **What is not kept:** signs of life (a write per tick: that a watcher is silent is for the scheduler to notice), rings
//! beyond this process (the comment is the notification), and intents (the claim itself is the marker).

use super::{Error, Intent, Note, Ring, RingOutcome, RunStore, Saved};
use crate::{
    ado::{Client, Connection, ItemComment, Wiql, Written},
    domain::{
        CommentId, ExecutorId, Generation, IdentityId, LabelNames, Outcome, Revision, Run, RunId, Stage,
        WorkItem, WorkItemId,
    },
    words::{Marker, Record, record},
};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::OnceCell;

/// Items read per query: more runs than one executor has.
const PAGE: u32 = 200;
/// Commented items of a project that may have changed in a day, whoever changed them: the comments of each are read. More
/// is an error, because what is not looked at is not counted.
const MOST_CHANGED: usize = 2_000;

/// Azure DevOps as the memory of one executor's runs.
#[derive(Debug)]
pub struct Labels {
    ado: Arc<Client>,
    me: Arc<OnceCell<Connection>>,
    executor: ExecutorId,
    projects: Vec<String>,
    names: LabelNames,
    held: Mutex<Held>,
}

/// What one process knows and has not written yet.
#[derive(Debug, Default)]
struct Held {
    runs: BTreeMap<RunId, Kept>,
    words: BTreeMap<RunId, String>,
    /// Comments as they were read at this revision of their item: each change of a comment makes a new one, so that
    /// a list of runs which is asked for again reads none of them twice.
    comments: BTreeMap<WorkItemId, (Revision, Vec<ItemComment>)>,
    rings: Vec<Ring>,
}

/// A run as this process last read or saved it.
#[derive(Clone, Debug)]
struct Kept {
    run: Run,
    /// The generation in the comment when it was read.
    base: Generation,
    is_dirty: bool,
}

/// A run in its comment.
struct Found {
    comment: CommentId,
    project: String,
    stored: String,
    record: Record,
    run: Run,
}

impl Labels {
    /// The memory of `executor`; makes no call yet. `me` is shared with whoever else wants to know.
    pub fn new(
        ado: Arc<Client>,
        me: Arc<OnceCell<Connection>>,
        executor: ExecutorId,
        projects: Vec<String>,
        names: LabelNames,
    ) -> Self {
        Self { ado, me, executor, projects, names, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing in it is half done between two statements.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn me(&self) -> Result<IdentityId, Error> {
        Ok(self.me.get_or_try_init(|| self.ado.connection()).await?.identity.id.clone())
    }

    /// Comments of our identity with a marker, whichever executor's: a later claim of another one replaces ours.
    async fn marked(&self, item: &WorkItem) -> Result<Vec<(Marker, ItemComment)>, Error> {
        let me = self.me().await?;
        let known = self.held().comments.get(&item.id).filter(|(at, _)| *at == item.revision).cloned();
        let comments = match known {
            Some((_, comments)) => comments,
            None => {
                let read = self.ado.comments(&item.project, item.id).await?;
                self.held().comments.insert(item.id, (item.revision, read.clone()));
                read
            }
        };
        let own = comments.into_iter().filter(|comment| comment.author.id == me);
        let marked = own.filter_map(|comment| Some((Marker::find(&comment.stored)?, comment)));
        Ok(marked.filter(|(marker, _)| marker.run.item == item.id).collect())
    }

    fn found(&self, item: &WorkItem, marker: &Marker, comment: ItemComment) -> Result<Found, Error> {
        let record = Record::find(&comment.stored, marker.run)
            .map_err(|why| Error::Record { run: marker.run, detail: why.to_string() })?;
        let run = Run {
            progress_comment: Some(comment.id),
            ..record.run(&item.labels, &self.names, comment.created_at)
        };
        let ItemComment { id, stored, .. } = comment;
        Ok(Found { comment: id, project: item.project.clone(), stored, record, run })
    }

    async fn find(&self, run: RunId) -> Result<Option<Found>, Error> {
        let Some(item) = self.ado.work_item(run.item).await? else { return Ok(None) };
        let marked = self.marked(&item).await?;
        let newest = newest(&marked);
        // The oldest: should there ever be two, everybody keeps to the same one.
        let is_own = |marker: &Marker| marker.run == run && marker.executor == self.executor;
        let own = marked.into_iter().find(|(marker, _)| is_own(marker));
        let found = own.map(|(marker, comment)| self.found(&item, &marker, comment)).transpose()?;
        Ok(found.map(|found| self.judged(found, &item, newest)))
    }

    /// A run is over when a later claim of its item replaced it, whatever its own comment says. One about which people
    /// were asked is still to be told so, once.
    fn judged(&self, mut found: Found, item: &WorkItem, newest: Option<(RunId, Timestamp)>) -> Found {
        let Some((_, at)) = newest.filter(|(newest, _)| *newest > found.run.id) else { return found };
        let is_to_be_told = matches!(found.run.stage, Stage::Escalated { .. })
            && item.labels.has(&self.names.in_progress)
            && !item.labels.has(&self.names.human);
        if !found.run.is_closed() && !is_to_be_told {
            found.run.stage = Stage::Closed { outcome: Outcome::Superseded, at };
        }
        found
    }

    /// All readable runs of an item.
    async fn runs_of(&self, item: &WorkItem) -> Result<Vec<Found>, Error> {
        let mut all: Vec<Found> = Vec::new();
        let marked = self.marked(item).await?;
        let newest = newest(&marked);
        for (marker, comment) in marked.into_iter().filter(|(marker, _)| marker.executor == self.executor) {
            match self.found(item, &marker, comment) {
                Ok(found) if all.iter().any(|other| other.run.id == found.run.id) => {}
                Ok(found) => all.push(self.judged(found, item, newest)),
                Err(why) => tracing::warn!(run.id = %marker.run, "{why}"),
            }
        }
        Ok(all)
    }

    async fn items(&self, wiql: &Wiql) -> Result<Vec<WorkItem>, Error> {
        let mut ids: BTreeSet<WorkItemId> = BTreeSet::new();
        for project in &self.projects {
            match self.ado.query(project, wiql, PAGE).await {
                Ok(found) => ids.extend(found),
                // One that was renamed or is closed to us must not hide the runs of the others.
                Err(why) if why.is_not_found() => {
                    tracing::warn!("{project} was not searched for runs: {why}");
                }
                Err(why) => return Err(why.into()),
            }
        }
        let ids: Vec<WorkItemId> = ids.into_iter().collect();
        Ok(self.ado.work_items(&ids).await?)
    }

    /// All readable runs of all items that were commented on and saved since then. Each turn and each claim is such a
    /// save, so nothing that counts is missed; an error rather than a part.
    async fn changed_since(&self, since: Timestamp) -> Result<Vec<Run>, Error> {
        let wiql = Wiql::discussed().oldest_first().changed_since(since);
        let mut ids: BTreeSet<WorkItemId> = BTreeSet::new();
        for project in &self.projects {
            match self.ado.all_ids(project, &wiql, PAGE).await {
                Ok(found) => ids.extend(within(found, MOST_CHANGED, project)?),
                // One that was renamed or is closed to us must not hide the runs of the others.
                Err(why) if why.is_not_found() => {
                    tracing::warn!("{project} was not searched for runs: {why}");
                }
                Err(why) => return Err(why.into()),
            }
        }
        let ids: Vec<WorkItemId> = ids.into_iter().collect();
        let items = self.ado.work_items(&ids).await?;
        let all = try_join_all(items.iter().map(|item| self.runs_of(item))).await?;
        Ok(all.into_iter().flatten().map(|found| found.run).collect())
    }

    fn know(&self, run: &Run) {
        let kept = Kept { run: run.clone(), base: run.generation, is_dirty: false };
        self.held().runs.insert(run.id, kept);
    }

    /// Writes `record` with the words that were asked for, unless it is there.
    async fn write(&self, run: &Run, base: Generation, record: &Record) -> Result<Saved, Error> {
        let words = self.held().words.get(&run.id).cloned();
        let Some(found) = self.find(run.id).await? else { return Ok(Saved::Superseded) };
        if found.record.generation() != base {
            return Ok(Saved::Superseded);
        }
        if words.is_none() && record.tells_what(&found.record) {
            return Ok(Saved::Saved(base));
        }
        let html = match words {
            Some(words) => record.attached_to(&words),
            None => record::renewed(&found.stored, run, record),
        };
        match self.ado.edit_comment(&found.project, run.id.item, found.comment, &html).await {
            Written::Done(_) => {}
            Written::NotDone(why) => return Err(why.into()),
            Written::Unknown(why) => match self.find(run.id).await? {
                Some(now) if now.record == *record => {}
                Some(_) | None => return Err(why.into()),
            },
        }
        self.held().words.remove(&run.id);
        Ok(Saved::Saved(record.generation()))
    }
}

/// These items, unless there are too many of them to be looked at.
fn within(ids: Vec<WorkItemId>, most: usize, project: &str) -> Result<Vec<WorkItemId>, Error> {
    if ids.len() > most { Err(Error::TooMany { project: project.to_owned(), most }) } else { Ok(ids) }
}

/// The newest claim in these comments, and when it was made.
fn newest(marked: &[(Marker, ItemComment)]) -> Option<(RunId, Timestamp)> {
    marked.iter().map(|(marker, comment)| (marker.run, comment.created_at)).max_by_key(|(run, _)| *run)
}

#[async_trait]
impl RunStore for Labels {
    async fn intend(&self, _: &Intent) -> Result<(), Error> {
        Ok(())
    }

    async fn intents(&self) -> Result<Vec<Intent>, Error> {
        Ok(Vec::new())
    }

    async fn drop_intent(&self, _: RunId) -> Result<(), Error> {
        Ok(())
    }

    async fn open(&self, run: &Run) -> Result<Saved, Error> {
        let first = Run { generation: Generation::NEW.next(), ..run.clone() };
        let Some(item) = self.ado.work_item(run.id.item).await? else { return Ok(Saved::Superseded) };
        let mut marked = self.marked(&item).await?;
        let own = marked.iter().position(|(marker, _)| marker.run == run.id).map(|at| marked.swap_remove(at));
        let written = match own {
            Some((marker, comment)) => match self.found(&item, &marker, comment.clone()) {
                // The claim left the record; it is opened by it.
                Ok(found) => {
                    let same = Run { progress_digest: None, progress_comment: None, ..first.clone() };
                    let there = Run {
                        progress_digest: None,
                        progress_comment: None,
                        claimed_at: same.claimed_at,
                        ..found.run
                    };
                    return Ok(if there == same {
                        self.know(&first);
                        Saved::Saved(first.generation)
                    } else {
                        Saved::Superseded
                    });
                }
                // Found again by its marker alone.
                Err(Error::Record { .. }) => {
                    let html = record::renewed(&comment.stored, &first, &Record::of(&first));
                    self.ado.edit_comment(&item.project, item.id, comment.id, &html).await
                }
                Err(why) => return Err(why),
            },
            // The claim put the label on and wrote the record in one write: who sees the one and not the other reads a list
            // that is behind. A comment of its own would be a second record.
            None if item.labels.has(&self.names.in_progress) && item.revision > run.id.revision => {
                self.know(&first);
                return Ok(Saved::Saved(first.generation));
            }
            None => {
                let html = record::renewed("", &first, &Record::of(&first));
                self.ado.add_comment(&item.project, item.id, &html).await
            }
        };
        match written {
            Written::Done(_) => {
                self.know(&first);
                Ok(Saved::Saved(first.generation))
            }
            Written::NotDone(why) | Written::Unknown(why) => Err(why.into()),
        }
    }

    async fn load(&self, run: RunId) -> Result<Option<Run>, Error> {
        if let Some(kept) = self.held().runs.get(&run).filter(|kept| kept.is_dirty) {
            return Ok(Some(kept.run.clone()));
        }
        let found = self.find(run).await?.map(|found| found.run);
        if let Some(run) = &found {
            self.know(run);
        }
        Ok(found)
    }

    async fn in_flight(&self) -> Result<Vec<Run>, Error> {
        let names = &self.names;
        let items = self.items(&Wiql::labelled_with_any(&[&names.in_progress, &names.human])).await?;
        // The query may be behind; the item decides.
        let ours = |item: &&WorkItem| item.labels.has(&names.in_progress) || item.labels.has(&names.human);
        let all = try_join_all(items.iter().filter(ours).map(|item| self.runs_of(item))).await?;
        let all = all.into_iter().flatten().map(|found| found.run);
        let mut runs: Vec<Run> = all.filter(|run| !run.is_closed()).collect();
        runs.sort_by_key(|run| run.id);
        for run in &runs {
            self.know(run);
        }
        Ok(runs)
    }

    async fn recent(&self, limit: u32) -> Result<Vec<Run>, Error> {
        let items = self.items(&Wiql::discussed()).await?;
        let all = try_join_all(items.iter().map(|item| self.runs_of(item))).await?;
        let mut runs: Vec<Run> = all.into_iter().flatten().map(|found| found.run).collect();
        runs.sort_by_key(|run| std::cmp::Reverse((run.claimed_at, run.id)));
        runs.truncate(limit as usize);
        Ok(runs)
    }

    /// The comments are the memory.
    async fn of_item(&self, _: WorkItemId) -> Result<Vec<Run>, Error> {
        Ok(Vec::new())
    }

    async fn worked_since(&self, since: Timestamp) -> Result<Vec<Run>, Error> {
        self.changed_since(since).await
    }

    async fn save(&self, run: &Run, rings: &[Ring], _: Option<&Note>) -> Result<Saved, Error> {
        let known = self.held().runs.get(&run.id).cloned();
        let kept = match known {
            Some(kept) => kept,
            None => match self.find(run.id).await? {
                Some(found) => Kept { base: found.run.generation, run: found.run, is_dirty: false },
                None => return Ok(Saved::Superseded),
            },
        };
        if kept.run.generation != run.generation {
            return Ok(Saved::Superseded);
        }
        if !kept.run.stage.can_become(&run.stage) {
            let (from, to) = (kept.run.stage.word().to_owned(), run.stage.word().to_owned());
            return Err(Error::IllegalMove { run: run.id, from, to });
        }
        let generation = run.generation.next();
        let next = Run { generation, ..run.clone() };
        let mut held = self.held();
        held.runs.insert(run.id, Kept { run: next, base: kept.base, is_dirty: true });
        for ring in rings {
            if !held.rings.iter().any(|known| known.key == ring.key) {
                held.rings.push(ring.clone());
            }
        }
        Ok(Saved::Saved(generation))
    }

    async fn settle(&self, run: RunId) -> Result<Saved, Error> {
        let Some(kept) = self.held().runs.get(&run).cloned() else {
            return Ok(Saved::Saved(Generation::NEW));
        };
        if !kept.is_dirty {
            return Ok(Saved::Saved(kept.base));
        }
        // Whatever comes of it, it is tried once: the next visit begins with what stands in the comment.
        self.held().runs.remove(&run);
        let saved = self.write(&kept.run, kept.base, &Record::of(&kept.run)).await;
        match saved? {
            Saved::Saved(generation) => {
                self.know(&Run { generation, ..kept.run });
                Ok(Saved::Saved(generation))
            }
            Saved::Superseded => {
                self.held().rings.retain(|ring| ring.run != run);
                Ok(Saved::Superseded)
            }
        }
    }

    fn says(&self, run: RunId, html: &str) -> bool {
        self.held().words.insert(run, html.to_owned());
        true
    }

    async fn foretell(&self, run: &Run, before: &Stage) -> Result<Saved, Error> {
        let kept = self.held().runs.get(&run.id).cloned();
        let base = kept.as_ref().map_or(run.generation, |kept| kept.base);
        let generation = run.generation.next();
        let told = Run { generation, ..run.clone() };
        let record = Record::foretelling(&told, before).then(&run.stage);
        let saved = self.write(&told, base, &record).await?;
        if let Saved::Saved(generation) = saved {
            self.know(&Run { generation, stage: before.clone(), ..told });
        }
        Ok(saved)
    }

    /// Claims leave a comment with a marker on their day.
    async fn opened_since(&self, since: Timestamp) -> Result<u32, Error> {
        let all = self.changed_since(since).await?;
        let opened = all.into_iter().filter(|run| run.claimed_at >= since);
        Ok(u32::try_from(opened.count()).unwrap_or(u32::MAX))
    }

    /// What we said on the item since the claim.
    async fn history(&self, run: RunId) -> Result<Vec<Note>, Error> {
        let Some(item) = self.ado.work_item(run.item).await? else { return Ok(Vec::new()) };
        let me = self.me().await?;
        let comments = self.ado.comments(&item.project, item.id).await?;
        let own = comments.into_iter().filter(|comment| comment.author.id == me);
        let since = own.skip_while(|comment| Marker::find(&comment.stored).is_none_or(|m| m.run != run));
        let note = |comment: ItemComment| {
            let text = comment.text.lines().map(str::trim).find(|line| !line.is_empty());
            Note { at: comment.created_at, stage: "said".into(), text: text.unwrap_or_default().to_owned() }
        };
        Ok(since.map(note).collect())
    }

    async fn due_rings(&self, now: Timestamp, limit: u32) -> Result<Vec<Ring>, Error> {
        let mut due: Vec<Ring> = self.held().rings.iter().filter(|ring| ring.at <= now).cloned().collect();
        due.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        due.truncate(limit as usize);
        Ok(due)
    }

    /// Once in the visit that made it: there is nowhere to keep it for a second try.
    async fn rung(&self, key: &str, _: RingOutcome) -> Result<(), Error> {
        self.held().rings.retain(|ring| ring.key != key);
        Ok(())
    }

    fn keeps_beats(&self) -> bool {
        false
    }

    async fn beat(&self, _: &str, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn last_beat(&self, _: &str) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }
}
