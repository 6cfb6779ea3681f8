//! Whatever an agent writes, and wherever it is relayed: it mentions nobody, links nothing, commands no pipeline.

use super::{
    comments, notices,
    pull_request::{self, Description},
    samples::{head, run},
};
use crate::domain::{Doubt, Review, ReviewSaid, WorkItemId};
use proptest::prelude::*;

/// What acts in a text of the service: the first character that would, with what stands before it.
fn acts(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let found = chars.windows(2).position(|pair| {
        matches!((pair[0], pair[1]), ('#' | '!', '0'..='9')) || (pair[0] == '@' && pair[1] == '<')
    });
    let command = ["##vso[", "##["].iter().find(|command| text.contains(**command));
    found
        .map(|at| chars[at.saturating_sub(8)..(at + 2).min(chars.len())].iter().collect())
        .or_else(|| command.map(|command| (*command).to_owned()))
}

proptest! {
    #[test]
    fn nothing_that_is_relayed_acts(text in "([@#!<\\-\\[ \n1-9a-c`\u{200b}\u{7}]|vso\\[|AB#|@<d291b0c4-a05c>|##){0,40}") {
        let review = Review { by: text.clone(), said: ReviewSaid::Findings { text: text.clone() } };
        let whole = Description {
            filled: Some(text.clone()),
            red_before: vec![text.clone()],
            review: Some(review),
            doubts: vec![Doubt::NotChanged { path: text.clone() }, Doubt::TestRemoved { path: text.clone() }],
            ..Description::default()
        };
        let short = Description { summary: Some(text.clone()), ..Description::default() };
        let relayed = [
            pull_request::title(&text, WorkItemId(1)),
            pull_request::description(&run(), &whole),
            pull_request::description(&run(), &short).replace("# 99", ""),
            comments::reply_to_thread(&text, &head()),
            comments::reply_to_suggestion(&text, &head()),
            comments::nothing_changed_reply(&text),
            notices::proposal_title(&text),
            // Entities and tags of our own HTML are no numbers of items and no mentions.
            notices::proposal(&run(), &text).replace("&#39;", "'").replace("<br>", "\n").replace("</", " </"),
        ];
        for one in relayed {
            prop_assert_eq!(acts(&one), None, "{}", one);
        }
    }
}
