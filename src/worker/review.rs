//! A second agent looks at the change before it is published: a session of its own, read-only, one question.
//!
//! Its findings go to the first agent once. It decides nothing and holds nothing up: whoever cannot be asked, or answers
//! in riddles, is told of and passed over.

use super::{
    agent::{Session, Why},
    calls::Told,
    evidence,
    machine::text,
    memory, prompts,
};
use crate::{
    domain::{AgentResult, Review, ReviewSaid},
    runtime::process::files,
};
use std::fs;

/// Where it answers.
const ANSWER: &str = "review.md";
/// Bytes that are read of it.
const ANSWER_LIMIT: u64 = 64 << 10;
/// Characters of findings: what a repair call and a pull request can use.
const FINDINGS: usize = 4_000;
/// Characters of why nothing came of it.
const WHY: usize = 300;

impl Session<'_> {
    /// Asks the second agent, if there is one. An error is a stop: nothing else that it does ends the step.
    pub(super) fn review(&mut self) -> Result<Option<Review>, AgentResult> {
        let job = self.job;
        let Some(reviewer) = &job.spec.reviewer else { return Ok(None) };
        let tip = self.tip(&self.git).map_err(|e| self.broken(&e))?;
        let (base, head) = (self.base.as_str(), tip.as_str());
        let options = ["diff", "--no-ext-diff", "--no-textconv", "--no-color", base, head, "--"];
        let diff = self.git.local(&self.workspace, &options).map_err(|e| self.broken(&e))?;
        let prompt = prompts::review(&self.brief, &String::from_utf8_lossy(&diff));

        let output = &job.spec.places.output;
        _ = fs::remove_file(output.join(ANSWER));
        // Everything that the first agent said stays said, and its conversation goes on where it was.
        let own = (self.call, self.conversation.take(), self.is_told, self.last);
        let words = (self.outcome.clone(), self.last_words.clone(), self.plan_text.clone());
        let file = fs::read(output.join("outcome.json")).ok();
        self.call = reviewer;
        self.is_told = false;
        let asked = self.ask(Why::Review, &Told { fresh: prompt.clone(), again: prompt });
        let said = self.plan_text.clone();
        (self.call, self.conversation, self.is_told, self.last) = own;
        (self.outcome, self.last_words, self.plan_text) = words;
        let kept = self.conversation.as_ref().map(|kept| (kept.session.clone(), kept.usage));
        // Nobody goes on with the reviewer's own conversation.
        memory::remember(job, &reviewer.name, None);
        memory::remember(job, &self.call.name, kept.as_ref().map(|(name, usage)| (name.as_str(), *usage)));
        match file {
            Some(bytes) => _ = files::write_atomically(&output.join("outcome.json"), &bytes),
            None => _ = fs::remove_file(output.join("outcome.json")),
        }

        self.put_back(&tip).map_err(|e| self.broken(&e))?;
        if job.stop.asked() {
            return asked.map(|()| None);
        }
        let said = match asked {
            Ok(()) => {
                let left = files::read_left(output, ANSWER, ANSWER_LIMIT).ok().flatten();
                understood(&job.clean(&left.unwrap_or(said), FINDINGS))
            }
            Err(AgentResult::Failed { detail, .. }) => ReviewSaid::Failed { why: job.clean(&detail, WHY) },
            Err(
                AgentResult::Worked { .. }
                | AgentResult::NothingChanged { .. }
                | AgentResult::Question { .. },
            ) => ReviewSaid::Failed { why: "it ended in an unexpected way".into() },
        };
        let review = Review { by: reviewer.name.clone(), said };
        let place = evidence::directory(job).join("review.json");
        _ = files::write_atomically(&place, &serde_json::to_vec_pretty(&review).unwrap_or_default());
        job.say(&format!("the reviewer's answer is in {}", text(&place)));
        Ok(Some(review))
    }
}

/// The first word decides; whatever else stands there is for people.
fn understood(answer: &str) -> ReviewSaid {
    let is_mark = |c: char| !c.is_alphanumeric();
    let (first, rest) = answer.trim().split_once('\n').unwrap_or((answer.trim(), ""));
    let word = first.trim_matches(is_mark).to_lowercase();
    let rest = rest.trim();
    match word.as_str() {
        "approve" | "approved" => ReviewSaid::Approved,
        "findings" if !rest.is_empty() => ReviewSaid::Findings { text: rest.to_owned() },
        "" => ReviewSaid::Failed { why: "it answered nothing".into() },
        _ => ReviewSaid::Failed { why: "its answer begins with neither `approve` nor `findings`".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_verdict_and_everything_else_is_none() {
        for yes in ["approve", "**Approve**\nNice work.", "APPROVED.\n"] {
            assert_eq!(understood(yes), ReviewSaid::Approved, "{yes}");
        }
        assert_eq!(
            understood("findings\n\n- a.rs:1 is wrong"),
            ReviewSaid::Findings { text: "- a.rs:1 is wrong".into() }
        );
        for riddle in ["", "findings", "I would approve this", "approve with findings\n- x", "Looks good"] {
            assert!(matches!(understood(riddle), ReviewSaid::Failed { .. }), "{riddle}");
        }
    }
}
