//! Rung 5: whether people let an escalated run go on, and what it is then.
//!
//! Four ways lead out: the label for agents put on again, a command, an answer to the agent's question, in the discussion
//! or on the pull request, and the operator's hand. People have to be trusted; the text of the item counts as they saw
//! it, and somebody untrusted who changed it since undoes their word, as at intake.

use super::{
    Decision, WaitReason,
    budget::{Limit, item_is_spent},
    catch_up::after_push,
    command::Command,
    gaps::{is_old, needed_gap},
    heard::{self, Asked},
    observation::{ItemSeen, Observation, Seen},
    plan::reserve,
};
use crate::domain::{
    Awaiting, CommentId, CommitId, Doubts, Identity, LabelledBy, Policy, Pushed, Resumed, Revision, Run,
    Stage, Started, Summed, Trigger, TurnEnd, TurnKind, TurnNumber, WorkItem,
};
use jiff::Timestamp;
use std::fmt;

/// A run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// Who said so; none for the operator.
    pub by: Option<Identity>,
    /// How.
    pub cause: ResumeCause,
    /// The item as it was decided on: what the write tests.
    pub tested: Revision,
    /// The revision whose text counts from now on.
    pub text: Revision,
    /// Where the branch is: what a person committed to it is part of the work from now on.
    pub head: Option<CommitId>,
}

/// How a run was let go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeCause {
    /// The label was put on again.
    Label,
    /// A command, which this acknowledges.
    Command(Asked),
    /// An answer in the discussion.
    Answer(Vec<CommentId>),
    /// Words on the pull request while a question waits for an answer; they are answered there.
    Review(Vec<Awaiting>),
    /// The operator's hand.
    Operator,
}

/// Why somebody's word did not let the run go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotResumed {
    /// The item's history does not tell who put the label on.
    NobodyLabelled,
    /// Not somebody whose word counts.
    NotTrusted {
        /// Their name.
        name: String,
    },
    /// Somebody untrusted changed the text after that word.
    TextChanged {
        /// Their name.
        name: String,
    },
    /// The work item has used up what only the operator can raise; what was said still counts when it is raised.
    LimitStands(Limit),
}

impl fmt::Display for NotResumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyLabelled => {
                write!(f, "the run does not go on: the item's history does not tell who labelled it again")
            }
            Self::NotTrusted { name } => {
                write!(
                    f,
                    "the run does not go on: {name} labelled it again and is not on the list of trusted people"
                )
            }
            Self::TextChanged { name } => write!(
                f,
                "the run does not go on: {name} changed the item's text since; a trusted person says it once more"
            ),
            Self::LimitStands(limit) => {
                write!(f, "the run does not go on: {limit}")?;
                match limit.setting() {
                    Some(setting) => {
                        write!(f, "; it goes on by itself once the operator has changed {setting}")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// Whether people's word lets it go on, whatever else holds it at the moment.
pub(super) fn is_asked_for(run: &Run, seen: &Observation, policy: &Policy) -> bool {
    let Stage::Escalated { .. } = run.stage else { return false };
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else { return false };
    matches!(word(run, seen, policy, item), Some(Ok(_)))
}

/// What becomes of a run about which people were asked.
pub(super) fn escalated(run: &Run, seen: &Observation, policy: &Policy) -> Decision {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else {
        return Decision::Wait(WaitReason::AskedPeople);
    };
    match word(run, seen, policy, item) {
        None => Decision::Wait(WaitReason::AskedPeople),
        Some(Err(why)) => Decision::Wait(WaitReason::NotResumed(why)),
        Some(Ok((by, cause, text))) => match only_the_operator(run, seen, policy, &cause) {
            Some(limit) => Decision::Wait(WaitReason::NotResumed(NotResumed::LimitStands(limit))),
            None => go_on(run, seen, item, by, cause, text),
        },
    }
}

/// The limit of the item that would stop the run again at once: asking people the same again helps nobody. What people
/// did themselves on the branch may need no agent any more.
fn only_the_operator(run: &Run, seen: &Observation, policy: &Policy, cause: &ResumeCause) -> Option<Limit> {
    let limit = item_is_spent(run, policy)?;
    let head = seen.branch.known().and_then(Option::as_ref);
    let is_moved = head.is_some_and(|head| run.pushed.as_ref().is_none_or(|pushed| pushed.head != *head));
    let needs_agent = run.out_of_budget || run.pushed.is_none() || matches!(cause, ResumeCause::Answer(_));
    (needs_agent && !is_moved).then_some(limit)
}

/// The operator's hand. It names a run and shows no text: what somebody untrusted wrote into the item since the approved
/// text needs the word of a person who saw it.
pub(super) fn by_operator(run: &Run, seen: &Observation, policy: &Policy) -> Decision {
    let Some(ItemSeen::Here { item, .. }) = seen.item.known() else {
        return Decision::Wait(WaitReason::AskedPeople);
    };
    let changes = match &seen.text_changes {
        Seen::Known(changes) => changes,
        Seen::Unknown(gap) => return Decision::Wait(WaitReason::Gap(gap.clone())),
        Seen::NotAsked => return Decision::Wait(WaitReason::AskedPeople),
    };
    let stranger = changes
        .iter()
        .find(|change| change.revision > run.text_revision() && !policy.trusted.contains(&change.by.id));
    match stranger {
        Some(change) => {
            let name = change.by.name.clone();
            Decision::Wait(WaitReason::NotResumed(NotResumed::TextChanged { name }))
        }
        None => go_on(run, seen, item, None, ResumeCause::Operator, item.revision),
    }
}

fn go_on(
    run: &Run,
    seen: &Observation,
    item: &WorkItem,
    by: Option<Identity>,
    cause: ResumeCause,
    text: Revision,
) -> Decision {
    if needed_gap(run, seen).is_some() {
        // What was said is still there when the rest can be read again.
        return Decision::Wait(WaitReason::AskedPeople);
    }
    let head = seen.branch.known().cloned().flatten();
    Decision::Resume(Resumption { by, cause, tested: item.revision, text, head })
}

type Word = (Option<Identity>, ResumeCause, Revision);

/// The first word that counts; else why the one that was said does not.
fn word(run: &Run, seen: &Observation, policy: &Policy, item: &WorkItem) -> Option<Result<Word, NotResumed>> {
    if is_old(run, item.revision) {
        return None;
    }
    let mut refused = None;
    if item.labels.has(&policy.labels.ready) {
        match seen.labelled.known() {
            Some(Some(labelled)) => match refusal(labelled, policy) {
                None => return Some(Ok((Some(labelled.by.clone()), ResumeCause::Label, item.revision))),
                Some(why) => refused = Some(why),
            },
            Some(None) => refused = Some(NotResumed::NobodyLabelled),
            None => {}
        }
    }
    if let Some(asked) = asked_to_go_on(run, seen, policy)
        && let Some(changes) = seen.text_changes.known()
    {
        match changes.iter().find(|c| c.at > asked.at && !policy.trusted.contains(&c.by.id)) {
            None => {
                let by = Some(asked.by.clone());
                return Some(Ok((by, ResumeCause::Command(asked), item.revision)));
            }
            Some(change) => refused = Some(NotResumed::TextChanged { name: change.by.name.clone() }),
        }
    }
    let words = heard::answer(run, seen, policy);
    if let Some(first) = words.first() {
        // An answer approves nothing but itself: the text stays the one that was approved.
        let cause = ResumeCause::Answer(words.iter().map(|said| said.id).collect());
        return Some(Ok((Some(first.by.clone()), cause, run.text_revision())));
    }
    if let Some((by, words)) = heard::answer_on_pull_request(run, seen, policy) {
        return Some(Ok((Some(by), ResumeCause::Review(words), run.text_revision())));
    }
    refused.map(Err)
}

/// The command that would let the run go on, if one awaits us.
pub fn asked_to_go_on(run: &Run, seen: &Observation, policy: &Policy) -> Option<Asked> {
    heard::pending(run, seen, policy).into_iter().find(|asked| match asked.command {
        Command::Resume | Command::Retry => true,
        Command::Status | Command::Explain | Command::Stop | Command::Pause | Command::Unknown => false,
    })
}

fn refusal(labelled: &LabelledBy, policy: &Policy) -> Option<NotResumed> {
    let is_trusted = policy.trusted.contains(&labelled.by.id)
        && labelled.authorized_as.as_ref().is_none_or(|account| policy.trusted.contains(account));
    if !is_trusted {
        return Some(NotResumed::NotTrusted { name: labelled.by.name.clone() });
    }
    let stranger = labelled.text_changed_since_by.iter().find(|who| !policy.trusted.contains(&who.id));
    stranger.map(|who| NotResumed::TextChanged { name: who.name.clone() })
}

/// The run as it is once it goes on: where its work stands, with fresh attempts and without old doubts.
pub(super) fn resume(next: &mut Run, how: &Resumption, now: Timestamp) {
    let after = next.turns.last().map_or(TurnNumber(0), |turn| turn.number);
    begin_again(next, how.by.clone(), how.text, after, now);
    // What the write makes of the item is ours; the discussion was read up to it.
    next.heard = Some(Revision(how.tested.0.saturating_add(1)));
    if let Some(head) = &how.head
        && next.pushed.as_ref().is_none_or(|pushed| pushed.head != *head)
    {
        next.pushed = Some(Pushed { head: head.clone(), at: now });
    }
    next.stage = where_it_stands(next, now);
    if let ResumeCause::Answer(words) = &how.cause {
        reserve(next, TurnKind::Respond, Trigger::Answer { words: words.clone() }, now);
    }
}

/// What memory did not hold: we died between letting it go on and remembering it.
pub(super) fn remember(run: &mut Run, text: Revision, after: TurnNumber, now: Timestamp) {
    begin_again(run, None, text, after, now);
    let stands = where_it_stands(run, now);
    // A memory from before people were asked may have a turn at work that pushed nothing; it is over, and the next follows.
    if run.stage.can_become(&stands) {
        run.stage = stands;
    } else if let Stage::Working { started, .. } = &mut run.stage {
        // It waits for no start, so whatever is still there of it is overdue in its time.
        *started = Started::Seen;
    }
}

fn begin_again(run: &mut Run, by: Option<Identity>, text: Revision, after: TurnNumber, now: Timestamp) {
    run.resumed = Some(Resumed { at: now, by, after, revision: text });
    for turn in run.turns.iter_mut().filter(|turn| turn.number <= after && turn.end.is_none()) {
        turn.end = Some(TurnEnd::Answered);
    }
    if let Some(summed) = &mut run.summed {
        *summed = Summed::until(summed.until);
    }
    run.doubts = Doubts::default();
    run.out_of_budget = false;
    run.red_since = None;
    run.reminded_at = None;
    run.procedures.clear();
}

fn where_it_stands(run: &Run, now: Timestamp) -> Stage {
    if run.pushed.is_some() { after_push(run, now) } else { Stage::Claimed }
}
