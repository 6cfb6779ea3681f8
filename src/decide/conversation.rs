//! Which threads await us: the newest word in them is a trusted person's, and we have not answered it. What we said
//! twice. Whether two people pull in opposite directions, or somebody votes without a word.
//!
//! A word is what it says: a comment that was changed after the wording which we answered awaits us again, once for each
//! change. Wordings are told apart by the service's own time of them, and an answer of ours names the newest that it saw.
//!
//! A thread that a person set to fixed is not listened to, not even when a trusted person writes in it later. The service
//! tells that a thread changed, but neither who settled it nor when, and it moves that time for a like; and *Reply & resolve*
//! writes the closing word first. So a word after our answer may be the one that settled it as well as one that asks anew,
//! and answering every thank-you with a turn is worse. Whoever wants more of us opens the thread again.
//!
//! System threads and deleted comments never get here (`ado` drops them). Whether a person *may* steer is policy; what
//! they say is never read here.

use crate::domain::{
    Awaiting, Comment, CommentId, Identity, IdentityId, OwnWord, Policy, ResolveThreads, Reviewer, Said,
    Thread, ThreadId, ThreadStatus, Vote,
};
use jiff::Timestamp;

/// The threads that await an answer of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Ordered by thread.
    pub awaiting: Vec<Awaiting>,
    /// When the newest of those words was written or changed.
    pub newest_at: Option<Timestamp>,
}

/// Folds the threads of our pull request.
pub fn conversation(threads: &[Thread], said: &[OwnWord], me: &IdentityId, policy: &Policy) -> Conversation {
    let mut folded = Conversation::default();
    for thread in threads {
        if let Some(word) = awaiting(thread, said, me, policy) {
            folded.awaiting.push(word);
            folded.newest_at = folded.newest_at.max(word.as_of);
        }
    }
    folded.awaiting.sort_unstable();
    folded
}

/// The trusted word in `thread` that we owe an answer.
fn awaiting(thread: &Thread, said: &[OwnWord], me: &IdentityId, policy: &Policy) -> Option<Awaiting> {
    let key =
        |comment: &Comment| said.iter().find(|word| (word.thread, word.comment) == (thread.id, comment.id));
    let answers = |comment: &Comment| key(comment).map(|word| word.said);
    let is_listened_to = match thread.status {
        ThreadStatus::Active | ThreadStatus::Pending => true,
        // A reply does not open a fixed thread again. Where it was us who fixed it, the person's word counts.
        ThreadStatus::Fixed => {
            policy.resolve_threads == ResolveThreads::Answered
                && thread
                    .comments
                    .iter()
                    .any(|comment| matches!(answers(comment), Some(Said::Answer { changed: true, .. })))
        }
        ThreadStatus::Settled | ThreadStatus::Other => false,
    };
    if !is_listened_to {
        return None;
    }
    // Comments of people whose words do not count neither ask nor answer; robots are such people.
    let asks = |comment: &&Comment| comment.author.id != *me && policy.trusted.contains(&comment.author.id);
    let newest = thread.comments.iter().rev().find(asks)?;
    // Whoever changes an earlier comment speaks anew, too.
    let as_of = thread.comments.iter().filter(asks).map(|comment| comment.changed_at).max();
    let answered: Vec<&Comment> = thread
        .comments
        .iter()
        .filter(|comment| comment.author.id == *me)
        .filter(|own| match answers(own) {
            // An answer to an earlier word can arrive late, and is no answer to this one.
            Some(Said::Answer { to, .. }) => to >= newest.id,
            Some(Said::Notice(_)) | None => own.id > newest.id,
        })
        .collect();
    let has_seen = |own: &&Comment| match key(own) {
        Some(word) => word.has_seen(own.changed_at, as_of),
        None => as_of.is_none_or(|wording| own.changed_at >= wording),
    };
    let again = !answered.is_empty();
    (!answered.iter().any(has_seen)).then_some(Awaiting {
        thread: thread.id,
        comment: newest.id,
        as_of,
        again,
    })
}

/// The younger copy of a word that we said twice: an answer was lost and its request arrived after all, or two of us
/// spoke at once. Everybody who looks finds the same copy, so that one of them always stays.
pub fn said_twice(said: &[OwnWord]) -> Option<(ThreadId, CommentId)> {
    let mut sorted = said.to_vec();
    sorted.sort_unstable_by_key(|word| (word.thread, word.comment));
    let is_again = |(place, word): &(usize, &OwnWord)| sorted[..*place].iter().any(|one| one.repeats(word));
    sorted.iter().enumerate().find(is_again).map(|(_, word)| (word.thread, word.comment))
}

/// Two trusted people who want opposite things, the one that spoke last first.
///
/// What they say is not read, so only what cannot be a question, a follow-up or a thank-you counts. In one thread that
/// awaits us, the last word that a commit of ours answered was another person's than the one who speaks now, and either
///
/// - *formally*: who speaks now stands against the change by vote, while the other stands for it; or
/// - *there, back and there again*: commits answered the other, the one who speaks now, and the other again.
///
/// A word that was answered without a commit was a question or a thank-you, and is not counted. Everything softer is
/// the agent's to notice: its brief tells it to ask.
pub fn contradiction(
    threads: &[Thread],
    said: &[OwnWord],
    talk: &Conversation,
    reviewers: &[Reviewer],
    policy: &Policy,
) -> Option<[Identity; 2]> {
    let votes = |who: &Identity, wanted: &[Vote]| {
        reviewers.iter().any(|reviewer| reviewer.who.id == who.id && wanted.contains(&reviewer.vote))
    };
    talk.awaiting.iter().find_map(|asked| {
        let thread = threads.iter().find(|thread| thread.id == asked.thread)?;
        let author = |id: CommentId| thread.comments.iter().find(|one| one.id == id).map(|one| &one.author);
        let speaker = author(asked.comment)?;
        let mut commits: Vec<(CommentId, &Identity)> = said
            .iter()
            .filter(|word| word.thread == thread.id)
            .filter_map(|word| match word.said {
                Said::Answer { to, changed: true, as_of: _ } => Some((to, author(to)?)),
                Said::Answer { changed: false, .. } | Said::Notice(_) => None,
            })
            .filter(|(_, who)| policy.trusted.contains(&who.id))
            .collect();
        commits.sort_unstable_by_key(|(to, _)| *to);
        commits.dedup_by_key(|(to, _)| *to);
        let served: Vec<&Identity> = commits.into_iter().map(|(_, who)| who).collect();
        let other = *served.last().filter(|other| other.id != speaker.id)?;
        let formally = votes(speaker, &[Vote::WaitingForAuthor, Vote::Rejected])
            && votes(other, &[Vote::Approved, Vote::ApprovedWithSuggestions]);
        let swings = served.len() >= 3
            && served[served.len() - 2].id == speaker.id
            && served[served.len() - 3].id == other.id;
        (formally || swings).then(|| [speaker.clone(), other.clone()])
    })
}

/// Who voted against it without a word anywhere on the pull request.
pub fn voted_down_silently(reviewers: &[Reviewer], threads: &[Thread]) -> Option<Identity> {
    let is_against = |vote: Vote| match vote {
        Vote::WaitingForAuthor | Vote::Rejected => true,
        Vote::Approved | Vote::ApprovedWithSuggestions | Vote::None => false,
    };
    reviewers
        .iter()
        .find(|reviewer| is_against(reviewer.vote) && !has_spoken(threads, &reviewer.who.id))
        .map(|reviewer| reviewer.who.clone())
}

/// Whether `who` said anything on the pull request.
fn has_spoken(threads: &[Thread], who: &IdentityId) -> bool {
    threads.iter().any(|thread| thread.comments.iter().any(|comment| comment.author.id == *who))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Notice;

    fn who(name: &str) -> Identity {
        Identity { id: IdentityId::new(name), name: name.to_owned() }
    }

    fn said(id: u32, author: &str, at: i64) -> Comment {
        Comment {
            id: CommentId(id),
            author: who(author),
            text: "please".into(),
            changed_at: Timestamp::from_second(at).unwrap(),
        }
    }

    fn thread(id: u32, status: ThreadStatus, comments: Vec<Comment>) -> Thread {
        Thread { id: ThreadId(id), status, place: None, comments }
    }

    fn word(thread: u32, comment: u32, said: Said) -> OwnWord {
        OwnWord { thread: ThreadId(thread), comment: CommentId(comment), said }
    }

    fn answer(thread: u32, comment: u32, to: u32, changed: bool) -> OwnWord {
        word(thread, comment, Said::Answer { to: CommentId(to), changed, as_of: None })
    }

    fn policy(trusted: &[&str]) -> Policy {
        Policy { trusted: trusted.iter().map(|name| IdentityId::new(name)).collect(), ..Policy::default() }
    }

    fn ids(talk: &Conversation) -> Vec<(u32, u32)> {
        talk.awaiting.iter().map(|a| (a.thread.0, a.comment.0)).collect()
    }

    #[test]
    fn only_the_unanswered_words_of_trusted_people_await_us() {
        let policy = policy(&["reviewer"]);
        let me = IdentityId::new("bot");
        let threads = [
            thread(4, ThreadStatus::Active, vec![said(1, "reviewer", 10)]),
            thread(
                3,
                ThreadStatus::Pending,
                vec![said(1, "reviewer", 10), said(2, "bot", 11), said(3, "reviewer", 12)],
            ),
            thread(5, ThreadStatus::Active, vec![said(1, "reviewer", 10), said(2, "bot", 11)]),
            thread(6, ThreadStatus::Settled, vec![said(1, "reviewer", 10)]),
            thread(7, ThreadStatus::Active, vec![said(1, "stranger", 10)]),
            // A stranger's word after the reviewer's does not hide the reviewer's; nor does another robot's.
            thread(8, ThreadStatus::Active, vec![said(1, "reviewer", 9), said(2, "robot", 10)]),
            thread(9, ThreadStatus::Other, vec![said(1, "reviewer", 10)]),
            thread(10, ThreadStatus::Fixed, vec![said(1, "reviewer", 10)]),
        ];
        let found = conversation(&threads, &[], &me, &policy);
        assert_eq!(ids(&found), [(3, 3), (4, 1), (8, 1)]);
        assert_eq!(found.newest_at, Timestamp::from_second(12).ok());
    }

    #[test]
    fn an_answer_that_arrives_late_hides_no_newer_word() {
        let talk = vec![said(1, "reviewer", 10), said(2, "reviewer", 11), said(3, "bot", 12)];
        let threads = [thread(3, ThreadStatus::Active, talk)];
        let (me, policy) = (IdentityId::new("bot"), policy(&["reviewer"]));
        let late = conversation(&threads, &[answer(3, 3, 1, true)], &me, &policy);
        assert_eq!(ids(&late), [(3, 2)]);
        let answered = conversation(&threads, &[answer(3, 3, 2, true)], &me, &policy);
        assert_eq!(ids(&answered), []);
        assert_eq!(ids(&conversation(&threads, &[], &me, &policy)), [], "a word of ours without a footer");
    }

    #[test]
    fn a_changed_word_awaits_us_once_for_each_change() {
        let (me, policy) = (IdentityId::new("bot"), policy(&["reviewer"]));
        let at = |second| Timestamp::from_second(second).ok();
        let found = |comments: &[Comment], own: &[OwnWord]| {
            conversation(&[thread(3, ThreadStatus::Active, comments.to_vec())], own, &me, &policy)
        };
        let to_wording = |comment, to, second| {
            word(3, comment, Said::Answer { to: CommentId(to), changed: true, as_of: at(second) })
        };
        let first = to_wording(2, 1, 10);
        let changed = [said(1, "reviewer", 20), said(2, "bot", 12)];
        let asked = Awaiting { as_of: at(20), again: true, ..Awaiting::of(ThreadId(3), CommentId(1)) };
        let talk = found(&changed, &[first]);
        assert_eq!((talk.awaiting, talk.newest_at), (vec![asked], at(20)));
        let during = [said(1, "reviewer", 11), said(2, "bot", 12)];
        assert_eq!(ids(&found(&during, &[first])), [(3, 1)], "the answer was to the wording before");

        let second = to_wording(3, 1, 20);
        let [one, two] = changed;
        let answered = [one, two.clone(), said(3, "bot", 30)];
        assert_eq!(ids(&found(&answered, &[first, second])), []);
        let lags = [said(1, "reviewer", 10), two.clone(), said(3, "bot", 30)];
        assert_eq!(ids(&found(&lags, &[first, second])), [], "a list that lags");

        let earlier = [said(1, "reviewer", 40), two, said(3, "reviewer", 13), said(4, "bot", 14)];
        let talk = found(&earlier, &[first, to_wording(4, 3, 13)]);
        assert_eq!((ids(&talk), talk.newest_at), (vec![(3, 3)], at(40)), "not only the last comment");
        let stranger = [said(1, "reviewer", 10), said(2, "bot", 12), said(3, "stranger", 50)];
        assert_eq!(ids(&found(&stranger, &[first])), []);

        let old = [answer(3, 2, 1, true)];
        assert_eq!(ids(&found(&during, &old)), [], "an older version tells no wording");
        assert_eq!(ids(&found(&[said(1, "reviewer", 20), said(2, "bot", 12)], &old)), [(3, 1)]);
    }

    #[test]
    fn a_word_in_a_thread_that_we_fixed_still_counts() {
        let talk = vec![said(1, "reviewer", 10), said(2, "bot", 11), said(3, "reviewer", 12)];
        let threads = [thread(3, ThreadStatus::Fixed, talk)];
        let (me, said) = (IdentityId::new("bot"), [answer(3, 2, 1, true)]);
        let no = policy(&["reviewer"]);
        assert_eq!(ids(&conversation(&threads, &said, &me, &no)), [], "a person fixed it");
        let answered = Policy { resolve_threads: ResolveThreads::Answered, ..no };
        assert_eq!(ids(&conversation(&threads, &said, &me, &answered)), [(3, 3)]);
        let told_only = [answer(3, 2, 1, false)];
        assert_eq!(ids(&conversation(&threads, &told_only, &me, &answered)), [], "not fixed by us");
    }

    #[test]
    fn of_two_equal_words_the_younger_goes() {
        let reminder = Said::Notice(Notice::Reminder);
        let twice = |said: &[OwnWord]| said_twice(said).map(|(thread, comment)| (thread.0, comment.0));
        assert_eq!(twice(&[answer(3, 2, 1, true), answer(4, 2, 1, true), answer(3, 5, 4, true)]), None);
        assert_eq!(twice(&[answer(3, 5, 1, false), answer(3, 2, 1, true)]), Some((3, 5)));
        assert_eq!(twice(&[word(9, 1, reminder), word(7, 1, reminder)]), Some((9, 1)));
        assert_eq!(twice(&[word(9, 1, reminder), word(7, 1, Said::Notice(Notice::Description))]), None);
        let three = [answer(3, 2, 1, true), answer(3, 3, 1, true), answer(3, 4, 1, true)];
        assert_eq!(twice(&three), Some((3, 3)), "one at a time");
    }

    /// `talk` is one thread: who spoke, or `+`/`-` for our answer to the word before with or without a commit.
    fn opposed(talk: &[&str], votes: &[(&str, Vote)]) -> Option<String> {
        let (mut comments, mut own) = (Vec::new(), Vec::new());
        for (id, name) in (1..).zip(talk) {
            match *name {
                "+" | "-" => {
                    own.push(answer(3, id, id - 1, *name == "+"));
                    comments.push(said(id, "bot", 10));
                }
                name => comments.push(said(id, name, 10)),
            }
        }
        let threads = [thread(3, ThreadStatus::Active, comments)];
        let policy = policy(&["ana", "ben"]);
        let reviewers: Vec<Reviewer> = votes
            .iter()
            .map(|(name, vote)| Reviewer { who: who(name), vote: *vote, is_required: false })
            .collect();
        let talk = conversation(&threads, &own, &IdentityId::new("bot"), &policy);
        contradiction(&threads, &own, &talk, &reviewers, &policy)
            .map(|[one, other]| format!("{} against {}", one.name, other.name))
    }

    #[test]
    fn two_people_contradict_each_other_by_facts_only() {
        let opposite = [("ana", Vote::WaitingForAuthor), ("ben", Vote::Approved)];
        let found = Some("ana against ben".to_owned());
        assert_eq!(opposed(&["ana", "+", "ben", "+", "ana"], &opposite), found, "by vote");
        assert_eq!(opposed(&["ben", "+", "ana"], &opposite), found, "after one attempt");
        assert_eq!(opposed(&["ben", "+", "ana", "+", "ben", "+", "ana"], &[]), found, "there and back");
        // A follow-up, a thank-you, a question, one person alone, and words that we have not tried yet.
        assert_eq!(opposed(&["ana", "+", "ben", "+", "ana"], &[]), None);
        assert_eq!(opposed(&["ana", "+", "ben", "+", "ana"], &[("ana", Vote::Approved)]), None);
        assert_eq!(opposed(&["ben", "-", "ana"], &opposite), None);
        assert_eq!(opposed(&["ana", "+", "ana"], &opposite), None);
        assert_eq!(opposed(&["ben", "ana"], &opposite), None);
        assert_eq!(opposed(&["ben", "+", "ana", "-", "ben", "+", "ana"], &[]), None);
        assert_eq!(opposed(&["eve", "+", "ana"], &[("ana", Vote::Rejected), ("eve", Vote::Approved)]), None);
    }
}
