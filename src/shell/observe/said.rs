//! What we said on a pull request: the footers of our own words. Read from threads that are read anyway; costs no call.

use crate::{
    domain::{IdentityId, OwnWord, Thread},
    words::footer,
};

/// The keys of all words of ours that have one.
pub(in crate::shell) fn said(threads: &[Thread], me: &IdentityId) -> Vec<OwnWord> {
    let own = |thread: &Thread| -> Vec<OwnWord> {
        let ours = thread.comments.iter().filter(|comment| comment.author.id == *me);
        ours.filter_map(|comment| {
            let said = footer::read(&comment.text)?;
            Some(OwnWord { thread: thread.id, comment: comment.id, said })
        })
        .collect()
    };
    threads.iter().flat_map(own).collect()
}
