//! What people said, as given to the sweep.

use super::{
    super::{Asked, Command, Gap, Note, Place, Remark, Seen, Source, What},
    Given, ID, Voice, later, now, who,
};
use crate::domain::{Awaiting, CommentId, LabelledBy, Revision, RunId, TextChange, ThreadId, TurnNumber};
use jiff::Timestamp;
use std::time::Duration;

impl Given {
    pub(super) fn discussion(&self) -> Seen<Vec<Remark>> {
        let said = |id: u32, by: &str, what: What| Remark { id: CommentId(id), by: who(by), at: now(), what };
        let command = |command: Command| vec![said(5, "ana", What::Command(command))];
        let note = |note: Note| What::Note(note);
        let asks = |asks: bool| note(Note { asks: Some(asks), ..Note::of(ID) });
        let resumed = note(Note { resumed: Some((Revision(13), TurnNumber(1))), ..Note::of(ID) });
        Seen::Known(match self.voice {
            Voice::Silent | Voice::InThread => return Seen::NotAsked,
            Voice::Unread => {
                return Seen::Unknown(Gap { source: Source::Threads, why: "timed out".into() });
            }
            Voice::Nothing | Voice::Labelled | Voice::LabelledByStranger | Voice::LabelledByNobody => {
                Vec::new()
            }
            Voice::Status => command(Command::Status),
            Voice::Explain => command(Command::Explain),
            Voice::Stop => command(Command::Stop),
            Voice::Pause => command(Command::Pause),
            Voice::Resume | Voice::TextChanged => command(Command::Resume),
            Voice::Retry => command(Command::Retry),
            Voice::Dance => command(Command::Unknown),
            Voice::Stranger => vec![said(5, "mallory", What::Command(Command::Stop))],
            Voice::Answered => {
                let answers = Some(Place::Item(CommentId(5)));
                let answer = note(Note { answers, ..Note::of(ID) });
                command(Command::Status).into_iter().chain([said(6, "bot", answer)]).collect()
            }
            Voice::Answer => vec![said(4, "bot", asks(true)), said(5, "ana", What::Words)],
            Voice::StrangersAnswer => vec![said(4, "bot", asks(true)), said(5, "mallory", What::Words)],
            Voice::WordsAfterNoQuestion => vec![said(4, "bot", asks(false)), said(5, "ana", What::Words)],
            Voice::AnswerInReview | Voice::StrangersReview => {
                let before = Timestamp::from_second(now().as_second() - 7200).unwrap();
                vec![Remark { at: before, ..said(4, "bot", asks(true)) }]
            }
            Voice::ReviewBeforeQuestion => vec![said(4, "bot", asks(true))],
            Voice::ReviewAfterNoQuestion => {
                let before = Timestamp::from_second(now().as_second() - 7200).unwrap();
                vec![Remark { at: before, ..said(4, "bot", asks(false)) }]
            }
            Voice::TakenBack => vec![said(4, "bot", asks(true)), said(5, "bot", resumed)],
            Voice::ClaimedAnew => {
                vec![said(6, "bot", What::Claim(RunId { revision: Revision(14), ..ID }))]
            }
        })
    }

    pub(super) fn commands(&self) -> Seen<Vec<Asked>> {
        let place = Place::Thread(Awaiting::of(ThreadId(8), CommentId(1)));
        let asked = Asked { place, by: who("ana"), at: now(), command: Command::Retry };
        if self.voice == Voice::InThread { Seen::Known(vec![asked]) } else { Seen::NotAsked }
    }

    pub(super) fn labelled(&self) -> Seen<Option<LabelledBy>> {
        let by = |name: &str| LabelledBy {
            by: who(name),
            authorized_as: None,
            revision: Revision(13),
            at: now(),
            is_person: true,
            text_changed_since_by: Vec::new(),
        };
        if self.voice == Voice::Labelled {
            Seen::Known(Some(by("ana")))
        } else if self.voice == Voice::LabelledByStranger {
            Seen::Known(Some(by("mallory")))
        } else if self.voice == Voice::LabelledByNobody {
            Seen::Known(None)
        } else {
            Seen::NotAsked
        }
    }

    pub(super) fn text_changes(&self) -> Seen<Vec<TextChange>> {
        if self.voice == Voice::TextChanged {
            let (by, at) = (who("mallory"), later(now(), Duration::from_secs(1)));
            Seen::Known(vec![TextChange { by, revision: Revision(13), at }])
        } else if matches!(self.voice, Voice::Resume | Voice::Retry | Voice::InThread) {
            Seen::Known(Vec::new())
        } else {
            Seen::NotAsked
        }
    }
}
