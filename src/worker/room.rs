//! Whether there is room where a step writes. A full disk is nobody's attempt, however it shows: as a word of git, as an
//! error of ours, or as an agent that could not write and gave up.
//!
//! What an agent says about a disk is not believed; it is asked here. An agent that has used up more than a turn may is
//! ended before this, as exhausted.

use super::{git::GitError, job::Job};
use crate::domain::AgentFailure;
use std::{
    io::{self, Write as _},
    path::Path,
};

/// The system's words for a full disk and for a used-up quota, which git passes on.
const WORDS: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
/// Bytes that must fit: enough for a commit and a status, too much for what a failed write leaves free.
const NEEDED: usize = 64 << 10;

/// Whether git failed because of a full disk.
pub(super) fn is_told(error: &GitError) -> bool {
    let said = error.to_string();
    WORDS.iter().any(|word| said.contains(word))
}

/// Whether one of the places of a step takes nothing any more.
pub(super) fn is_used_up(job: &Job) -> bool {
    let places = &job.spec.places;
    [&places.workspace, &places.output, &places.home, &job.directory].into_iter().any(|place| is_full(place))
}

fn is_full(place: &Path) -> bool {
    let tried = tempfile::tempfile_in(place).and_then(|mut file| file.write_all(&vec![0; NEEDED]));
    tried.is_err_and(|error| is_about_room(&error))
}

fn is_about_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What a failure counts as where there is no room: whatever an agent may only have left undone because of that is not
/// its own.
pub(super) fn without_room(class: AgentFailure) -> AgentFailure {
    match class {
        AgentFailure::Infrastructure
        | AgentFailure::Agent
        | AgentFailure::LeftConflict
        | AgentFailure::Untidy => AgentFailure::Infrastructure,
        AgentFailure::Provider
        | AgentFailure::Rejected
        | AgentFailure::Idle
        | AgentFailure::Timeout
        | AgentFailure::TooMuchOutput
        | AgentFailure::Exhausted
        | AgentFailure::Stopped => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_its_kind_and_by_gits_words() {
        for (code, is_one) in [(28, true), (122, true), (27, false), (13, false)] {
            assert_eq!(is_about_room(&io::Error::from_raw_os_error(code)), is_one, "{code}");
        }
        let git = |said: &str| GitError::of("add", said);
        assert!(is_told(&git("error: unable to write file x: No space left on device")));
        assert!(is_told(&git("fatal: write error: Disk quota exceeded")));
        assert!(!is_told(&git("fatal: not a git repository")));
    }

    #[test]
    fn a_place_with_room_is_not_full_and_one_that_is_missing_is_not_either() {
        let place = tempfile::tempdir().unwrap();
        assert!(!is_full(place.path()));
        assert!(!is_full(&place.path().join("missing")));
        // The kernel's own full device stands for a disk.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        assert!(full.and_then(|mut file| file.write_all(&vec![0; NEEDED])).is_err_and(|e| is_about_room(&e)));
    }

    #[test]
    fn without_room_nothing_is_charged_that_room_would_have_prevented() {
        let charged = AgentFailure::ALL.map(|class| (class, without_room(class)));
        let changed: Vec<AgentFailure> =
            charged.into_iter().filter(|(before, after)| before != after).map(|(before, _)| before).collect();
        assert_eq!(changed, [AgentFailure::Agent, AgentFailure::LeftConflict, AgentFailure::Untidy]);
        assert_eq!(without_room(AgentFailure::Agent), AgentFailure::Infrastructure);
    }
}
