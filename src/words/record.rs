//! The record of a run in the footer of its progress comment: what a run remembers, small enough to stand in visible
//! text. Whoever loses the memory finds it there; without a file it is the only memory.
//!
//! Knows its own grammar (version, check sum, length, packed JSON in lines) and what the service may do to it. Does not
//! know who wrote a text: a record counts only in text that our own identity wrote, and that is for the caller to check.

mod shed;

use super::{marker, marker::Marker, neutral};
use crate::domain::{Generation, LabelNames, Labels, Outcome, ProgressDigest, Run, RunId, Stage};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};

/// Version of the packing. Fields of a run come and go with their own defaults; this changes when an older program
/// could misread what a newer one wrote.
const VERSION: u32 = 1;
/// The field that holds the record; last, because it is long.
const FIELD: &str = "record";
/// What people see of it until they open it. Where a service takes the folding away the record stands there in the open,
/// below the marker, and is read all the same.
const OPEN: &str = "\n<details><summary>For programs: what they need to go on with this run</summary>\n<p>";
/// See [`OPEN`].
const CLOSE: &str = "</p></details>";
/// Characters per word: browsers break lines between words only.
const LINE: usize = 80;
/// Bytes that a record may unpack to. A run of twenty turns has about eight thousand.
const MOST_BYTES: u64 = 256 << 10;
/// Characters of a reason that are kept; its whole text stands in the comment that asked people.
const MOST_REASON: usize = 1_000;
/// Hexadecimal digits of the check sum: it finds what was cut or retyped, not what was forged.
const SUM: usize = 8;

/// What stands in a progress comment about its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How often the run was saved, where the comment is the memory.
    generation: u64,
    /// The stage that the run takes on with the write which follows: its last words stand before it lets go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<Stage>,
    /// The claim wrote it: the claim's server time is the comment's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_claim: bool,
    /// The run, without what the comment itself tells.
    run: Run,
}

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is none.
    #[error("its comment holds no record")]
    Missing,
    /// Cut, retyped, or not ours.
    #[error("the record in its comment is damaged")]
    Damaged,
    /// A newer program wrote it.
    #[error("the record in its comment was written by a newer roundsman (format {0}); upgrade this one")]
    Newer(u32),
}

impl Record {
    /// Of a run as it stands.
    pub fn of(run: &Run) -> Self {
        Self { generation: run.generation.0.max(1), then: None, is_claim: false, run: slim(run) }
    }

    /// Of a run that is being claimed: when, only the service knows.
    pub fn of_claim(run: &Run) -> Self {
        Self { is_claim: true, ..Self::of(run) }
    }

    /// Of a run in the stage `before` that takes on its own stage with the next write.
    pub fn foretelling(run: &Run, before: &Stage) -> Self {
        let run = &Run { stage: before.clone(), ..run.clone() };
        Self { then: None, ..Self::of(run) }
    }

    /// The same, with that stage.
    #[must_use]
    pub fn then(self, stage: &Stage) -> Self {
        Self { then: Some(short(stage)), ..self }
    }

    /// The run as it was saved; what was about to follow has happened if the labels say so.
    pub fn run(&self, labels: &Labels, names: &LabelNames, written_at: Timestamp) -> Run {
        let mut run = self.run.clone();
        run.generation = Generation(self.generation);
        if self.is_claim {
            run.claimed_at = written_at;
        }
        if let Some(then) = self.then.as_ref().filter(|then| has_happened(then, &run.stage, labels, names)) {
            run.stage = then.clone();
        }
        run
    }

    /// How often the run was saved.
    pub fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    /// Whether saving this over `stored` would tell nothing that matters. Our own edits make revisions of the item;
    /// how far its discussion was read must not make another one.
    pub fn tells_what(&self, stored: &Self) -> bool {
        let plain = |record: &Self| Self {
            generation: 0,
            then: None,
            is_claim: false,
            run: Run { heard: None, stage: self.run.stage.clone(), ..record.run.clone() },
        };
        let stage = stored.then.as_ref().unwrap_or(&stored.run.stage);
        let is_staged = self.then.as_ref().unwrap_or(&self.run.stage) == stage;
        is_staged && !stored.is_claim && plain(self) == plain(stored)
    }

    /// What must be written again when it changes: the words, and what of the record must outlive our memory.
    pub fn digest(&self, words: &str) -> ProgressDigest {
        ProgressDigest { words: digest(words), record: self.weight() }
    }

    /// A digest of what must not be lost: budgets, inputs answered, doubts. Which step runs is told by its worker.
    pub fn weight(&self) -> String {
        let mut run = Run { heard: None, progress_comment: None, progress_digest: None, ..self.run.clone() };
        for turn in &mut run.turns {
            // Their workers tell it again, and the next word is written soon.
            turn.usage = crate::domain::Usage::default();
            turn.ended_at = None;
        }
        // The claim writes its record before it knows its own time.
        run.claimed_at = Timestamp::UNIX_EPOCH;
        run.stage = Stage::Claimed;
        // While nothing can be read, nothing is written about it either.
        run.doubts.gap_since = None;
        digest(&to_json(&run))
    }

    /// `html`, a comment with a marker, with this record folded up behind it.
    pub fn attached_to(&self, html: &str) -> String {
        let html = detached(html);
        format!("{}{OPEN}{} {FIELD} {}{CLOSE}", html.trim_end(), marker::SEPARATOR, self.packed())
    }

    /// The record of `run` in a comment, whatever the service did to it.
    pub fn find(text: &str, run: RunId) -> Result<Self, Unreadable> {
        let text = marker::visible_text(text);
        let (_, packed) =
            text.rsplit_once(&format!("{} {FIELD} ", marker::SEPARATOR)).ok_or(Unreadable::Missing)?;
        let mut parts = packed.splitn(4, '.').map(str::trim);
        let mut next = || parts.next().ok_or(Unreadable::Damaged);
        let version: u32 = next()?.parse().map_err(|_| Unreadable::Damaged)?;
        if version != VERSION {
            return Err(Unreadable::Newer(version));
        }
        let (sum, length, rest) = (next()?, next()?, next()?);
        let length: usize = length.parse().map_err(|_| Unreadable::Damaged)?;
        let body: String = rest.chars().filter(|c| !c.is_whitespace()).take(length).collect();
        let json = URL_SAFE_NO_PAD.decode(&body).ok().and_then(|packed| unpack(&packed));
        let json = json.filter(|json| hex(json, SUM) == sum).ok_or(Unreadable::Damaged)?;
        let record: Self = serde_json::from_slice(&json).map_err(|_| Unreadable::Damaged)?;
        if record.run.id == run { Ok(record) } else { Err(Unreadable::Damaged) }
    }

    fn packed(&self) -> String {
        let json = to_json(self);
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        // Writing to a vector cannot fail.
        _ = packer.write_all(json.as_bytes());
        let body = URL_SAFE_NO_PAD.encode(packer.finish().unwrap_or_default());
        let chars: Vec<char> = body.chars().collect();
        let lines: Vec<String> = chars.chunks(LINE).map(|line| line.iter().collect()).collect();
        format!("{VERSION}.{}.{}.{}", hex(json.as_bytes(), SUM), body.len(), lines.join(" "))
    }
}

/// Equal for equal text.
pub fn digest(text: &str) -> String {
    hex(text.as_bytes(), ProgressDigest::DIGITS)
}

/// A comment of ours without its record.
pub fn detached(html: &str) -> String {
    if let Some((words, _)) = html.rsplit_once(OPEN) {
        return words.to_owned();
    }
    // Comments that are older than the folding have it at the end of the marker's line.
    let field = format!(" {} {FIELD} {VERSION}.", marker::SEPARATOR);
    match html.rsplit_once(&field) {
        Some((words, rest)) => format!("{words}{}", if rest.contains("</p>") { "</p>" } else { "" }),
        None => html.to_owned(),
    }
}

/// A comment of ours as the service stored it, with a footer that tells how `run` stands now.
pub fn renewed(stored: &str, run: &Run, record: &Record) -> String {
    // Our last line is the footer; what sanitizers make of it (`<hr/>`) still begins like this.
    let words = stored.rfind("<hr").map_or("", |rule| stored[..rule].trim_end());
    let footer = format!("<hr>\n<p>{}</p>", neutral::html(&Marker::of(run).render()));
    record.attached_to(format!("{words}\n{footer}").trim_start())
}

/// A label moves in the same write as the stage, so it tells whether that write went in.
fn has_happened(then: &Stage, before: &Stage, labels: &Labels, names: &LabelNames) -> bool {
    let (asked, claimed) = (labels.has(&names.human), labels.has(&names.in_progress));
    match then {
        // The later run owns the label.
        Stage::Closed { outcome: Outcome::Superseded, .. } => true,
        Stage::Closed {
            outcome: Outcome::Merged | Outcome::Green | Outcome::Declined | Outcome::HandedBack,
            ..
        } => match before {
            Stage::Escalated { .. } => !asked,
            Stage::Claimed
            | Stage::Working { .. }
            | Stage::Pushed { .. }
            | Stage::InReview { .. }
            | Stage::Closed { .. } => !claimed,
        },
        Stage::Escalated { .. } => asked && !claimed,
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => false,
    }
}

/// Without what the comment tells by itself, and with texts cut.
fn slim(run: &Run) -> Run {
    let mut run = Run { progress_comment: None, generation: Generation::NEW, ..run.clone() };
    run.stage = short(&run.stage);
    // The worker tells it again; it stands above, too.
    if let Some(said) = &mut run.said {
        said.plan = None;
    }
    if let Some(stuck) = &mut run.doubts.stuck {
        stuck.why = neutral::cap(&stuck.why, MOST_REASON);
    }
    shed::fitting(run)
}

fn short(stage: &Stage) -> Stage {
    match stage {
        Stage::Escalated { reason, since } => {
            Stage::Escalated { reason: neutral::cap(reason, MOST_REASON), since: *since }
        }
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::InReview { .. }
        | Stage::Closed { .. } => stage.clone(),
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::new();
    DeflateDecoder::new(packed).take(MOST_BYTES).read_to_end(&mut json).ok()?;
    Some(json)
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types have string keys only")
}

fn hex(bytes: &[u8], digits: usize) -> String {
    format!("{:x}", Sha256::digest(bytes))[..digits].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Trigger, TurnKind, TurnNumber, TurnRecord},
        words::samples,
    };

    fn page(run: &Run) -> String {
        format!("<p>An agent works.</p>\n<hr>\n<p>{}</p>", Marker::of(run).render())
    }

    fn labels(run_has: &[&str]) -> Labels {
        Labels::new(run_has.iter().copied())
    }

    fn read(text: &str, has: &[&str]) -> Run {
        let record = Record::find(text, samples::run().id).unwrap();
        record.run(&labels(has), &LabelNames::default(), samples::run().claimed_at)
    }

    #[test]
    fn what_is_written_is_read_back_whatever_renders_it() {
        let run = Run { generation: Generation(7), ..samples::fixing() };
        let text = Record::of(&run).attached_to(&page(&run));
        let expected = Run { progress_comment: None, ..run.clone() };
        for text in [
            text.clone(),
            text.replace(' ', "&nbsp; ").replace("<p>", "<p style=\"x\">"),
            text.replace(' ', "<br>\n"),
            text.replace('·', "&middot;"),
            format!("<div>{text}</div> and a word more"),
            Record::of(&run).attached_to(&text),
        ] {
            assert_eq!(read(&text, &["agent-in-progress"]), expected, "{text}");
            assert_eq!(Marker::find(&text), Some(Marker::of(&run)), "the marker is still read");
        }
        assert_eq!(detached(&text), page(&run));
        let next = Run { turns: Vec::new(), ..run.clone() };
        let stored = text.replace("<hr>", "<hr/>").replace('·', "&middot;");
        let text = renewed(&stored, &next, &Record::of(&next));
        assert_eq!(text, Record::of(&next).attached_to(&page(&next)), "its words stay, its footer is new");
    }

    /// At the end of the marker's line, as it stood there before it was folded up.
    fn in_the_open(run: &Run) -> String {
        let text = page(run);
        let open = text.strip_suffix("</p>").unwrap();
        format!("{open} {} {FIELD} {}</p>", marker::SEPARATOR, Record::of(run).packed())
    }

    #[test]
    fn comments_of_before_the_folding_are_read_and_taken_over() {
        let run = Run { generation: Generation(1), ..samples::fixing() };
        let old = in_the_open(&run);
        assert_eq!(read(&old, &["agent-in-progress"]), Run { progress_comment: None, ..run.clone() });
        assert_eq!(Marker::find(&old), Some(Marker::of(&run)));
        assert_eq!(detached(&old), page(&run));
        let new = Record::of(&run).attached_to(&page(&run));
        assert_eq!(Record::of(&run).attached_to(&old), new);
        assert_eq!(renewed(&old, &run, &Record::of(&run)), new);
    }

    /// What becomes of the folding is in no document of the service: dropped with its words or without, or shown as text.
    #[test]
    fn whatever_becomes_of_the_folding_the_record_is_read() {
        let run = Run { generation: Generation(1), ..samples::fixing() };
        let text = Record::of(&run).attached_to(&page(&run));
        let without =
            |text: &str, tags: &[&str]| tags.iter().fold(text.to_owned(), |text, tag| text.replace(tag, ""));
        let tags = ["<details>", "</details>", "<summary>", "</summary>"];
        let escaped = tags.iter().fold(text.clone(), |text, tag| {
            text.replace(tag, &tag.replace('<', "&lt;").replace('>', "&gt;"))
        });
        for shown in [
            without(&text, &tags),
            without(&text, &["<details>", "</details>"]),
            escaped,
            text.replace("<details>", "<details open=\"\">").replace('\n', ""),
            without(&without(&text, &tags), &["For programs: what they need to go on with this run"]),
        ] {
            assert_eq!(
                read(&shown, &["agent-in-progress"]),
                Run { progress_comment: None, ..run.clone() },
                "{shown}"
            );
            assert_eq!(Marker::find(&shown), Some(Marker::of(&run)), "{shown}");
            assert_eq!(renewed(&shown, &run, &Record::of(&run)), text, "{shown}");
        }
    }

    #[test]
    fn a_plan_does_not_ride_along() {
        let mut run = samples::fixing();
        let turn = TurnNumber(2);
        let said =
            crate::domain::Claimed { turn, summary: "It is done.".into(), checks_passed: None, plan: None };
        run.said = Some(said.clone());
        let short = Record::of(&run);
        run.said = Some(crate::domain::Claimed { plan: Some("1. look".repeat(200)), ..said });
        assert_eq!(Record::of(&run), short, "nothing to write, and no more to carry");
    }

    #[test]
    fn a_record_that_was_cut_or_retyped_says_nothing() {
        let run = samples::fixing();
        let text = Record::of(&run).attached_to(&page(&run));
        let packed = text.split_once(" record ").unwrap().1.trim_end_matches(CLOSE);
        let find = |packed: &str| Record::find(&format!("x · record {packed}"), run.id);
        assert!(find(packed).is_ok());
        for cut in 0..packed.len() {
            assert!(find(&packed[..cut]).is_err(), "{cut}");
        }
        let (start, end) = packed.split_at(packed.len() / 2);
        let other = if end.starts_with('A') { "B" } else { "A" };
        assert_eq!(find(&format!("{start}{other}{}", &end[1..])), Err(Unreadable::Damaged));
        assert_eq!(find(&packed.replacen("1.", "2.", 1)), Err(Unreadable::Newer(2)));
        assert_eq!(Record::find(&page(&run), run.id), Err(Unreadable::Missing));
        assert_eq!(Record::find(&text, "1-r1".parse().unwrap()), Err(Unreadable::Damaged), "another run's");
    }

    #[test]
    fn what_was_about_to_follow_has_happened_when_the_labels_moved() {
        let run = samples::fixing();
        let asked = Stage::Escalated { reason: "why".into(), since: run.claimed_at };
        let over = Stage::Closed { outcome: Outcome::Merged, at: run.claimed_at };
        let told = |before: &Stage, then: &Stage| {
            Record::foretelling(&run, before).then(then).attached_to(&page(&run))
        };
        let text = told(&run.stage, &asked);
        assert_eq!(read(&text, &["agent-in-progress"]).stage, run.stage);
        assert_eq!(read(&text, &["ready-for-human"]).stage, asked);
        let text = told(&run.stage, &over);
        assert_eq!(read(&text, &["agent-in-progress"]).stage, run.stage);
        assert_eq!(read(&text, &[]).stage, over);
        let text = told(&asked, &over);
        assert_eq!(read(&text, &["ready-for-human"]).stage, asked);
        assert_eq!(read(&text, &[]).stage, over);
    }

    #[test]
    fn the_time_of_a_claim_is_the_comments_own() {
        let run = samples::run();
        let text = Record::of_claim(&run).attached_to(&page(&run));
        let later = samples::at(99);
        let record = Record::find(&text, run.id).unwrap();
        let found = record.run(&labels(&["agent-in-progress"]), &LabelNames::default(), later);
        assert_eq!((found.claimed_at, found.generation), (later, Generation(1)));
        assert!(!Record::of(&found).tells_what(&record), "the next save settles it");
    }

    #[test]
    fn reading_on_is_no_reason_to_write() {
        let run = samples::fixing();
        let heard = Run { heard: Some(crate::domain::Revision(40)), ..run.clone() };
        assert!(Record::of(&heard).tells_what(&Record::of(&run)));
        let more = Run { reminded_at: Some(samples::at(9)), ..run.clone() };
        assert!(!Record::of(&more).tells_what(&Record::of(&run)));
        assert_ne!(Record::of(&more).weight(), Record::of(&run).weight());
        let moved = Run { stage: Stage::InReview { since: samples::at(3) }, ..run.clone() };
        assert!(!Record::of(&moved).tells_what(&Record::of(&run)));
        assert_eq!(Record::of(&moved).weight(), Record::of(&run).weight());
    }

    #[test]
    fn a_long_life_still_fits_into_a_comment() {
        let mut run = samples::fixing();
        let head = run.pushed.clone().unwrap().head;
        for number in 1..=20 {
            let signature = hex(&[u8::try_from(number).unwrap()], 16);
            let trigger = Trigger::FailingChecks { head: head.clone(), signature, builds: vec![] };
            let kind = TurnKind::FixForward;
            run.turns.push(TurnRecord::reserved(TurnNumber(number), kind, trigger.key(), run.claimed_at));
        }
        run.stage = Stage::Escalated { reason: "<b>ä</b> ".repeat(10_000), since: run.claimed_at };
        let text = Record::of(&run).attached_to(&page(&run));
        assert!(text.len() < 6_000, "{}", text.len());
        let folded = text.strip_prefix(&page(&run)).and_then(|rest| rest.strip_prefix(OPEN)).unwrap();
        assert!(!folded.strip_suffix(CLOSE).unwrap().contains(['<', '>', '&', '#', '@', '!']));
    }
}
