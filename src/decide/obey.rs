//! What is done about a command, and what the answer is about. The sentences stand in `words`.

use super::{
    Decision, NotResumed, Pause, WaitReason,
    command::Command,
    gaps::{is_stale, needed_gap},
    heard::{self, Asked},
    observation::Observation,
};
use crate::domain::{Brake, Policy, Run, Stage};

/// A person's word, done and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obedience {
    /// Whether the pause label goes on or off; none = it stays as it is.
    pub pause: Option<bool>,
    /// The command to answer; none for the operator's hand.
    pub answer: Option<Answer>,
}

/// An answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The command.
    pub asked: Asked,
    /// What it is about.
    pub reply: Reply,
    /// What is decided about the run otherwise.
    pub standing: String,
}

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Where the run stands.
    Status,
    /// Why it stands there.
    Explain,
    /// It is held now.
    Paused,
    /// It is not held any more.
    Unpaused,
    /// Nothing holds it.
    NothingHeld,
    /// It does not go on.
    Refused(NotResumed),
    /// There is no such command.
    Unknown,
}

/// Whether a command comes before `decision`. What people end or let go on is acknowledged by its own words.
pub(super) fn obey(run: &Run, seen: &Observation, policy: &Policy, decision: &Decision) -> Option<Obedience> {
    match decision {
        Decision::Close(_) | Decision::StopWorkers(_) | Decision::Resume(_) | Decision::Obey(_) => {
            return None;
        }
        Decision::Wait(_)
        | Decision::Proceed(_)
        | Decision::Redispatch(_)
        | Decision::FixForward(_)
        | Decision::Respond(_)
        | Decision::Escalate(_) => {}
    }
    // Whoever may have been replaced answers for nobody.
    let in_the_dark = needed_gap(run, seen).is_some() || is_stale(run, seen) || seen.replaced.gap().is_some();
    if run.is_closed() || policy.brake == Brake::Stop || in_the_dark {
        return None;
    }
    heard::pending(run, seen, policy).into_iter().find_map(|asked| {
        let (pause, reply) = answer(run, seen, policy, decision, asked.command)?;
        let answer = Some(Answer { asked, reply, standing: decision.to_string() });
        Some(Obedience { pause, answer })
    })
}

fn answer(
    run: &Run,
    seen: &Observation,
    policy: &Policy,
    decision: &Decision,
    command: Command,
) -> Option<(Option<bool>, Reply)> {
    let is_escalated = matches!(run.stage, Stage::Escalated { .. });
    match (command, decision) {
        (Command::Status, _) => Some((None, Reply::Status)),
        (Command::Explain, _) => Some((None, Reply::Explain)),
        (Command::Unknown, _) => Some((None, Reply::Unknown)),
        (Command::Pause, _) => Some((Some(true), Reply::Paused)),
        (Command::Resume | Command::Retry, Decision::Wait(WaitReason::NotResumed(why))) => {
            Some((None, Reply::Refused(why.clone())))
        }
        // It goes on once what holds it is away; that answers it.
        (Command::Resume | Command::Retry, _) if is_escalated => None,
        (Command::Resume | Command::Retry, _) if super::paused(run, seen, policy) == Some(Pause::Label) => {
            Some((Some(false), Reply::Unpaused))
        }
        (Command::Resume | Command::Retry, _) => Some((None, Reply::NothingHeld)),
        // A rung of its own.
        (Command::Stop, _) => None,
    }
}
