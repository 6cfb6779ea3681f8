//! Which threads await us: the newest word in them is a trusted person's, and we have not answered it.
//!
//! System threads and deleted comments never get here (`ado` drops them). Whether a person *may* steer is policy; what
//! they say is never read here.

use crate::domain::{Awaiting, Comment, IdentityId, Policy, Thread, ThreadStatus};
use jiff::Timestamp;

/// The threads that await an answer of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Ordered by thread.
    pub awaiting: Vec<Awaiting>,
    /// When the newest of those words was written.
    pub newest_at: Option<Timestamp>,
}

/// Folds the threads of our pull request.
pub fn conversation(threads: &[Thread], me: &IdentityId, policy: &Policy) -> Conversation {
    let mut folded = Conversation::default();
    for thread in threads.iter().filter(|thread| is_open(thread.status)) {
        // Comments of people whose words do not count neither ask nor answer.
        let heard =
            |comment: &&Comment| comment.author.id == *me || policy.trusted.contains(&comment.author.id);
        let Some(newest) = thread.comments.iter().rev().find(heard) else { continue };
        if newest.author.id == *me {
            continue;
        }
        folded.awaiting.push(Awaiting { thread: thread.id, comment: newest.id });
        folded.newest_at = folded.newest_at.max(Some(newest.changed_at));
    }
    folded.awaiting.sort_unstable();
    folded
}

/// Whether `who` said anything on the pull request.
pub fn has_spoken(threads: &[Thread], who: &IdentityId) -> bool {
    threads.iter().any(|thread| thread.comments.iter().any(|comment| comment.author.id == *who))
}

fn is_open(status: ThreadStatus) -> bool {
    match status {
        ThreadStatus::Active | ThreadStatus::Pending => true,
        ThreadStatus::Settled | ThreadStatus::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CommentId, Identity, ThreadId};

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

    #[test]
    fn only_the_unanswered_words_of_trusted_people_await_us() {
        let policy = Policy { trusted: [IdentityId::new("reviewer")].into(), ..Policy::default() };
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
            // A stranger's word after the reviewer's does not hide the reviewer's.
            thread(8, ThreadStatus::Active, vec![said(1, "reviewer", 9), said(2, "stranger", 10)]),
            thread(9, ThreadStatus::Other, vec![said(1, "reviewer", 10)]),
        ];
        let found = conversation(&threads, &me, &policy);
        let ids: Vec<_> = found.awaiting.iter().map(|a| (a.thread.0, a.comment.0)).collect();
        assert_eq!(ids, [(3, 3), (4, 1), (8, 1)]);
        assert_eq!(found.newest_at, Timestamp::from_second(12).ok());
    }
}
