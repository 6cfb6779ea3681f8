//! The laws, each asserted on every case.

use super::{
    super::{
        Decision, Effect, EscalateReason, ItemSeen, Observation, Plan, Proceed, RedispatchCause, ResumeCause,
        Seen, Verdict, WaitReason, catch_up, checklist,
        checklist::Item as Listed,
        deadline::Deadline,
        decide,
        given::{Given, Item, Pr, Spend, Successor, Voice, World, handed_over, years_later},
        needed_gap, plan,
        trace::{Match, rung_holds, trace},
        verdict::verdict,
    },
    name,
};
use crate::domain::{
    Brake, CloseOn, Outcome, Policy, PullRequestStatus, Run, Stage, Started, Step, Trigger, TurnEnd,
    TurnKind, WorkerState,
};
use jiff::Timestamp;

/// One case through the whole room.
pub(super) fn obeys_the_laws(given: &Given) -> Decision {
    let World { run, seen, policy, now } = given.world();
    let caught = catch_up(&run, &seen, &policy, now);
    let decision = decide(&caught, &seen, &policy, now);
    let plan = plan(&caught, &decision, now);
    let case = Case {
        given,
        run: &run,
        caught: &caught,
        seen: &seen,
        policy: &policy,
        now,
        decision: &decision,
        plan: &plan,
    };

    case.is_the_same_twice();
    case.is_explained();
    if run.is_closed() {
        case.is_left_alone();
        return decision;
    }
    case.moves_legally();
    case.gives_way();
    if case.gave_way() {
        // Every word and deed of people is for whoever has the run now.
        return decision;
    }
    case.starts_one_worker_at_most();
    case.obeys_the_brake();
    case.obeys_people();
    case.hears_people();
    case.closes_on_evidence_only();
    case.knows_before_it_acts();
    case.keeps_budgets();
    case.does_lost_work_again();
    case.stops_before_the_end();
    case.waits_idly_and_not_for_ever();
    case.stays_escalated();
    case.speaks_once();
    case.is_never_stuck_for_ever();
    case.lists_what_it_waits_for();
    decision
}

fn counted(run: &Run) -> usize {
    run.counted().filter(|turn| !turn.is_unanswered()).count()
}

struct Case<'a> {
    given: &'a Given,
    run: &'a Run,
    caught: &'a Run,
    seen: &'a Observation,
    policy: &'a Policy,
    now: Timestamp,
    decision: &'a Decision,
    plan: &'a Plan,
}

macro_rules! law {
    ($case:expr, $holds:expr, $law:literal) => {
        assert!($holds, "{}\n{:?}\ndecided: {}", $law, $case.given, $case.decision)
    };
}

impl Case<'_> {
    fn at(&self, run: &Run, seen: &Observation, now: Timestamp) -> Decision {
        decide(&catch_up(run, seen, self.policy, now), seen, self.policy, now)
    }

    fn item(&self) -> Option<&ItemSeen> {
        self.seen.item.known()
    }

    fn status(&self) -> Option<PullRequestStatus> {
        self.seen.pull_request.known().and_then(Option::as_ref).map(|pr| pr.status)
    }

    fn is_live(&self) -> bool {
        let running = |state: &WorkerState| matches!(state, WorkerState::Running { .. });
        self.seen.workers.known().is_some_and(|workers| workers.iter().any(|w| running(&w.state)))
    }

    fn starts(&self) -> usize {
        self.plan.effects.iter().filter(|effect| matches!(effect, Effect::StartStep { .. })).count()
    }

    /// The trace marks one rung; nothing above it matches by its own facts, and it does not say that it does not match.
    fn is_explained(&self) {
        let rungs = trace(self.caught, self.seen, self.policy, self.now);
        law!(self, rungs.iter().filter(|rung| rung.is == Match::Decided).count() == 1, "one rung decides");
        for rung in &rungs {
            let holds = rung_holds(rung.number, self.caught, self.seen, self.policy);
            match rung.is {
                Match::Passed => {
                    assert!(holds != Some(true), "a rung above would have matched: {rung}\n{:?}", self.given);
                }
                Match::Decided => {
                    assert!(holds != Some(false), "the rung does not match: {rung}\n{:?}", self.given);
                }
                Match::NotReached | Match::Open | Match::Shut => {}
            }
            law!(self, !rung.fact.is_empty() && rung.fact.len() < 1_000, "a fact is short");
        }
    }

    fn is_the_same_twice(&self) {
        law!(
            self,
            decide(self.caught, self.seen, self.policy, self.now) == *self.decision,
            "same input, same answer"
        );
        let again = catch_up(self.caught, self.seen, self.policy, self.now);
        law!(self, again == *self.caught, "what was caught up with stays so");
    }

    fn is_left_alone(&self) {
        law!(self, self.caught == self.run && self.plan.next == *self.run, "closed runs are never changed");
        law!(self, self.plan.effects.is_empty(), "closed runs have no effects");
    }

    fn moves_legally(&self) {
        let legal = |from: &Stage, to: &Stage| from == to || from.can_become(to);
        law!(self, legal(&self.run.stage, &self.caught.stage), "catching up is a legal move");
        law!(self, legal(&self.caught.stage, &self.plan.next.stage), "a plan is a legal move");
        let (before, after) = (&self.caught.turns, &self.plan.next.turns);
        let same = before.iter().zip(after).all(|(a, b)| {
            (a.number, a.kind, &a.trigger) == (b.number, b.kind, &b.trigger)
                && (a.end.is_none() || a.end == b.end)
        });
        law!(self, same && after.len() >= before.len(), "no turn is forgotten or rewritten");
        law!(self, after.windows(2).all(|pair| pair[0].number < pair[1].number), "numbers of turns grow");
        law!(
            self,
            (after.len() > before.len()) == self.decision.starts_turn(),
            "a turn is reserved when one starts"
        );
    }

    fn gave_way(&self) -> bool {
        match self.given.successor {
            Successor::There | Successor::Unknown => true,
            Successor::NotAsked | Successor::None => false,
        }
    }

    /// Whoever was replaced owns neither label nor pull request: it ends its workers and lets go, and nothing else. Whoever
    /// may have been does nothing until it knows.
    fn gives_way(&self) {
        let is_allowed = |effect: &Effect| match (self.given.successor, effect) {
            (Successor::There, Effect::StopWorkers | Effect::Release { outcome: Outcome::Superseded }) => {
                true
            }
            (Successor::Unknown, effect) => {
                // The operator's brake is about the container, not about the run.
                *effect == Effect::StopWorkers && self.policy.brake == Brake::Stop
            }
            (Successor::NotAsked | Successor::None, _) => true,
            (Successor::There, _) => false,
        };
        law!(self, self.plan.effects.iter().all(is_allowed), "a replaced owner touches nothing");
        law!(self, !self.gave_way() || !self.decision.starts_turn(), "a replaced owner begins nothing");
        let is_over = *self.decision == Decision::Close(Outcome::Superseded);
        let may_close = self.policy.brake != Brake::Stop;
        law!(
            self,
            self.given.successor != Successor::There || !may_close || is_over,
            "a replaced owner lets go at once"
        );
    }

    fn starts_one_worker_at_most(&self) {
        law!(self, self.starts() <= 1, "one worker at a time");
        law!(self, self.starts() == 0 || !self.is_live(), "never a worker beside a live one");
        law!(self, !self.decision.starts_turn() || !self.is_live(), "never a turn beside a live worker");
        law!(self, self.starts() == 0 || self.seen.workers.known().is_some(), "never a worker in the dark");
        let reserved = |effect: &Effect| match effect {
            Effect::StartStep { turn, .. } => self.caught.turns.iter().any(|t| t.number == turn.number),
            Effect::StopWorkers
            | Effect::PostReplies { .. }
            | Effect::OpenPullRequest
            | Effect::Do(_)
            | Effect::Remind
            | Effect::Unsay { .. }
            | Effect::TakeBack(_)
            | Effect::Pause { .. }
            | Effect::Answer(_)
            | Effect::HandToPeople { .. }
            | Effect::Release { .. } => true,
        };
        law!(self, self.plan.effects.iter().all(reserved), "a turn is reserved before its worker starts");
    }

    fn obeys_the_brake(&self) {
        let brake = self.policy.brake;
        if brake.allows_turns() {
            return;
        }
        let is_new = |effect: &Effect| match effect {
            Effect::StartStep { .. }
            | Effect::OpenPullRequest
            | Effect::Do(_)
            | Effect::Remind
            | Effect::TakeBack(_)
            | Effect::Unsay { .. } => true,
            Effect::Pause { .. } | Effect::Answer(_) => false,
            Effect::StopWorkers
            | Effect::PostReplies { .. }
            | Effect::HandToPeople { .. }
            | Effect::Release { .. } => false,
        };
        law!(
            self,
            !self.decision.starts_turn() && !self.plan.effects.iter().any(is_new),
            "braked: nothing new"
        );
        if brake == Brake::Stop {
            let stops = |effect: &Effect| *effect == Effect::StopWorkers;
            law!(
                self,
                self.plan.effects.iter().all(stops),
                "brake on stop: workers end and nothing else happens"
            );
        }
    }

    fn obeys_people(&self) {
        let is_escalated = matches!(self.caught.stage, Stage::Escalated { .. });
        let ended = match self.given.item {
            Item::Over | Item::LabelGone | Item::StopLabel | Item::StopAsked => true,
            // Unless our own note tells that we took it back; and unread, nothing is told.
            Item::Claimed => is_escalated && matches!(self.given.voice, Voice::Silent | Voice::ClaimedAnew),
            Item::Here | Item::Gone | Item::Paused | Item::Assigned | Item::Asked => false,
            Item::AskedAndReady | Item::Stale => false,
        };
        let closes = matches!(self.decision, Decision::Close(_));
        if self.policy.brake == Brake::Stop {
            return;
        }
        let is_here = matches!(self.item(), Some(ItemSeen::Here { .. }));
        let ended = ended || (self.given.voice == Voice::Stop && is_here && !self.is_stale());
        law!(self, !ended || self.item().is_none() || closes, "a person's stop always closes");
        let is_over = matches!(self.status(), Some(PullRequestStatus::Completed));
        law!(self, !is_over || *self.decision == Decision::Close(Outcome::Merged), "merged is merged");
        if self.given.item == Item::Paused && self.item().is_some() {
            let holds = closes
                || matches!(
                    self.decision,
                    Decision::Wait(_) | Decision::StopWorkers(_) | Decision::Obey(_) | Decision::Resume(_)
                );
            law!(self, holds, "paused is paused");
        }
    }

    fn is_stale(&self) -> bool {
        self.given.item == Item::Stale
    }

    /// Nobody's word counts but that of trusted people, once, and never against an unread world.
    fn hears_people(&self) {
        let voice = self.given.voice;
        let is_escalated = matches!(self.caught.stage, Stage::Escalated { .. });
        if let Decision::Resume(how) = self.decision {
            law!(self, is_escalated && !self.is_live(), "only what stands goes on");
            let said = match how.cause {
                ResumeCause::Label => voice == Voice::Labelled && self.given.item == Item::AskedAndReady,
                ResumeCause::Command(_) => {
                    matches!(voice, Voice::Resume | Voice::Retry | Voice::InThread)
                }
                ResumeCause::Answer(_) => voice == Voice::Answer,
                ResumeCause::Review(_) => voice == Voice::AnswerInReview,
                ResumeCause::Operator => false,
            };
            law!(self, said, "a run goes on by a trusted person's word, and not by one that is outdated");
            let next = &self.plan.next;
            law!(
                self,
                next.resumed.as_ref().is_some_and(|resumed| next.text_revision() == resumed.revision)
                    && next.counted().count() == usize::from(self.decision.starts_turn()),
                "attempts begin anew"
            );
            law!(self, next.doubts == crate::domain::Doubts::default(), "old doubts are gone");
            law!(
                self,
                how.head.is_none() || how.head == next.pushed.as_ref().map(|p| p.head.clone()),
                "what is on the branch is the work"
            );
        }
        if let Decision::Obey(said) = self.decision {
            law!(self, said.answer.is_some(), "on the ladder every act for people is answered");
            law!(self, self.plan.next == *self.caught, "an answer moves no run");
            law!(
                self,
                !matches!(
                    voice,
                    Voice::Stranger | Voice::Answered | Voice::StrangersAnswer | Voice::ReviewBeforeQuestion
                ),
                "only trusted people's, once"
            );
            law!(self, self.caught.heard.is_none(), "what awaits an answer is read again");
        }
        let merges = matches!(self.given.pr, Pr::MergesAtOnce | Pr::MergesAtOnceInConflict)
            && self.seen.pull_request.known().is_some();
        let publishes = self
            .plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::StartStep { step: Step::Publish, .. }));
        law!(self, !merges || (!self.decision.starts_turn() && !publishes), "nothing is merged unseen");
    }

    fn closes_on_evidence_only(&self) {
        let Decision::Close(outcome) = self.decision else { return };
        let is_here = matches!(self.item(), Some(ItemSeen::Here { .. }));
        let holds = match outcome {
            Outcome::Merged => self.status() == Some(PullRequestStatus::Completed),
            Outcome::Declined => {
                let gone =
                    self.seen.branch.known() == Some(&None) && self.run.doubts.branch_gone_since.is_some();
                gone || self.status() == Some(PullRequestStatus::Abandoned)
            }
            Outcome::HandedBack => {
                let gone = self.item() == Some(&ItemSeen::Gone) && self.run.doubts.item_gone_since.is_some();
                gone || is_here
            }
            Outcome::Superseded => is_here && matches!(self.caught.stage, Stage::Escalated { .. }),
            Outcome::Green => {
                let (Some(checks), Some(pushed)) = (self.seen.checks.known(), &self.caught.pushed) else {
                    panic!("green without checks: {:?}", self.given)
                };
                let shown =
                    self.seen.pull_request.known().and_then(Option::as_ref).and_then(|pr| pr.head.as_ref());
                self.policy.close_on == CloseOn::Green
                    && shown == Some(&pushed.head)
                    && matches!(verdict(checks, &pushed.head), Verdict::Passing { .. })
                    && self.seen.threads.known().is_some()
            }
        };
        law!(self, holds, "a run closes on evidence only, and an absence takes two looks");
    }

    fn knows_before_it_acts(&self) {
        if needed_gap(self.caught, self.seen).is_none() {
            return;
        }
        let gap_is_over = Deadline::Gap.is_over(self.caught, self.policy, self.now);
        let holds = match self.decision {
            Decision::Wait(_) => true,
            // Evidence is another law; here it came from a rung above the gap.
            Decision::Close(outcome) => *outcome != Outcome::Green,
            Decision::Escalate(reason) => matches!(reason, EscalateReason::Gap(_)) && gap_is_over,
            Decision::StopWorkers(_) => self.seen.workers.known().is_some(),
            Decision::Proceed(_)
            | Decision::Redispatch(_)
            | Decision::FixForward(_)
            | Decision::Obey(_)
            | Decision::Respond(_) => false,
            // Checks and threads are no part of a run that stands.
            Decision::Resume(_) => self.seen.branch.known().is_some() && self.item().is_some(),
        };
        law!(self, holds, "nothing is done on too little knowledge");
    }

    fn keeps_budgets(&self) {
        let (before, policy) = (self.caught, self.policy);
        let next = &self.plan.next;
        let limits = [
            (TurnKind::FixForward, policy.fix_forward_attempts),
            (TurnKind::Respond, policy.respond_attempts),
            (TurnKind::Conflict, policy.conflict_attempts),
            (TurnKind::Redispatch, policy.redispatch_attempts),
        ];
        let kept = |(kind, limit): (TurnKind, u32)| next.spent(kind) <= limit.max(before.spent(kind));
        law!(self, limits.into_iter().all(kept), "no kind of turn beyond its budget");
        law!(
            self,
            next.lost() <= policy.infrastructure_attempts.max(before.lost()),
            "no infrastructure attempt beyond the budget"
        );
        let most = usize::from(policy.max_turns).max(counted(before));
        law!(self, counted(next) <= most, "no turn beyond all budgets together");
        self.pays_within_its_budget();
        let new = match self.decision {
            Decision::FixForward(trigger) | Decision::Respond(trigger) => Some(trigger.clone()),
            Decision::Proceed(Proceed::Implement) => {
                Some(Trigger::WorkItem { revision: before.text_revision() })
            }
            Decision::Proceed(_)
            | Decision::Wait(_)
            | Decision::StopWorkers(_)
            | Decision::Redispatch(_)
            | Decision::Obey(_)
            | Decision::Resume(_)
            | Decision::Escalate(_)
            | Decision::Close(_) => None,
        };
        let is_burnt = new.is_some_and(|trigger| {
            before.has_answered(&trigger)
                || before.counted().any(|t| t.trigger == trigger.key() && t.end != Some(TurnEnd::Lost))
        });
        law!(self, !is_burnt, "an answered input never starts another turn");
    }

    fn pays_within_its_budget(&self) {
        if !self.decision.starts_turn() {
            return;
        }
        let publishes =
            matches!(&self.plan.next.stage, Stage::Working { turn, .. } if turn.work_of.is_some());
        let is_free = match self.given.spend {
            Spend::Little => true,
            Spend::Pushes => false,
            // What the turn under way reports replaces what it was given, and green accepts what was spent.
            Spend::Unaccepted => {
                let is_word = matches!(self.decision, Decision::Resume(_));
                publishes || is_word || self.caught.usage().is_nothing() || self.caught.accepted.is_some()
            }
            Spend::Time
            | Spend::Tokens
            | Spend::Cost
            | Spend::Unpriced
            | Spend::Day
            | Spend::Down
            | Spend::DownForOthers
            | Spend::Unread => publishes,
        };
        law!(self, is_free, "nothing is paid for beyond a limit; publishing what was paid is free");
    }

    fn does_lost_work_again(&self) {
        let Decision::Redispatch(cause) = self.decision else { return };
        let (Some((old, old_step)), Stage::Working { turn, step, started, .. }) =
            (self.caught.current_turn(), &self.plan.next.stage)
        else {
            panic!("nothing to do again: {:?}", self.given)
        };
        let fresh = *started == Started::NotYet && turn.number > old.number;
        law!(self, fresh && turn.trigger == old.trigger, "the same input, not yet started");
        let only_publish = matches!(cause, RedispatchCause::Lost { .. })
            && old_step == Step::Publish
            && old.work_of.is_none();
        let expected = if only_publish { (Step::Publish, Some(old.number)) } else { (Step::Fetch, None) };
        law!(
            self,
            (*step, turn.work_of) == expected,
            "an agent's work is paid once, a lost publish retried once"
        );
        law!(self, !only_publish || turn.base == old.base, "what is published again starts where it started");
        let ended = self.plan.next.turns.iter().find(|t| t.number == old.number).and_then(|t| t.end.clone());
        let (end, kind) = match cause {
            RedispatchCause::Lost { .. } => (TurnEnd::Lost, old.kind),
            RedispatchCause::Failed { .. } => (TurnEnd::Failed, TurnKind::Redispatch),
        };
        law!(
            self,
            ended == Some(end) && turn.kind == kind,
            "what the cluster lost keeps its kind and costs nothing"
        );
    }

    fn stops_before_the_end(&self) {
        let is_last =
            |effect: &Effect| matches!(effect, Effect::HandToPeople { .. } | Effect::Release { .. });
        let effects = &self.plan.effects;
        if effects.iter().any(is_last) {
            let in_order =
                effects.first() == Some(&Effect::StopWorkers) && effects.last().is_some_and(is_last);
            law!(self, in_order, "workers are stopped first, the claim is let go last");
        }
        let is_stop = matches!(self.decision, Decision::StopWorkers(_));
        law!(self, !is_stop || self.is_live(), "only what lives is stopped");
    }

    fn waits_idly_and_not_for_ever(&self) {
        let Decision::Wait(reason) = self.decision else { return };
        law!(self, self.plan.effects.is_empty() && self.plan.next == *self.caught, "a wait does nothing");
        // Everything else has to end by itself; so has whatever reason is new.
        let is_somebodys = matches!(
            reason,
            WaitReason::Brake(_)
                | WaitReason::Over
                | WaitReason::SpendingUnknown { .. }
                | WaitReason::Paused(_)
                | WaitReason::AskedPeople
                | WaitReason::NotResumed(_)
        );
        let later = self.at(&self.plan.next, self.seen, years_later(self.now));
        law!(self, is_somebodys || name(&later) != name(self.decision), "no wait is for ever");
    }

    fn speaks_once(&self) {
        let speaks = |effect: &Effect| match effect {
            Effect::PostReplies { .. } | Effect::Remind => true,
            Effect::StartStep { .. }
            | Effect::StopWorkers
            | Effect::OpenPullRequest
            | Effect::Do(_)
            | Effect::Unsay { .. }
            | Effect::TakeBack(_)
            | Effect::Pause { .. }
            | Effect::Answer(_)
            | Effect::HandToPeople { .. }
            | Effect::Release { .. } => false,
        };
        let is_unheard = self.caught.doubts.unheard_since.is_some();
        law!(
            self,
            !is_unheard || !self.plan.effects.iter().any(speaks),
            "nothing is said while what was said last may still arrive"
        );
        let Decision::Proceed(Proceed::Unsay { thread, comment }) = self.decision else { return };
        let said = self.seen.said.known().map_or(&[][..], Vec::as_slice);
        let own = said.iter().find(|word| (word.thread, word.comment) == (*thread, *comment));
        let stays = own.is_some_and(|own| {
            said.iter()
                .any(|elder| elder.repeats(own) && (elder.thread, elder.comment) < (own.thread, own.comment))
        });
        law!(self, stays, "what is taken back was said before, and stays said");
    }

    fn is_never_stuck_for_ever(&self) {
        let is_told = matches!(self.decision, Decision::Escalate(EscalateReason::Stuck { .. }));
        let is_over = Deadline::Stuck.is_over(self.caught, self.policy, self.now);
        law!(self, !is_told || is_over, "people are not asked about what failed a moment ago");
        let may_try = self.policy.brake.allows_turns();
        law!(
            self,
            is_told || !is_over || !may_try || !self.decision.can_become_a_question(),
            "what fails is not tried for ever"
        );
    }

    fn stays_escalated(&self) {
        let Decision::Escalate(_) = self.decision else { return };
        let later = years_later(self.now);
        let undone = self.at(self.caught, self.seen, later);
        law!(self, !undone.starts_turn(), "time alone makes no turn of an escalation");
        let told = handed_over(self.seen);
        let next = self.at(&self.plan.next, &told, later);
        let is_quiet = match next {
            Decision::Wait(_) | Decision::Close(_) => true,
            Decision::StopWorkers(_) => self.is_live(),
            Decision::Proceed(_)
            | Decision::Redispatch(_)
            | Decision::FixForward(_)
            | Decision::Respond(_)
            | Decision::Escalate(_) => false,
            // Unless they have moved already.
            Decision::Obey(_) | Decision::Resume(_) => self.given.voice != Voice::Silent,
        };
        law!(self, is_quiet, "after an escalation people move next");
        if let Seen::Known(_) = self.seen.item {
            law!(
                self,
                !matches!(next, Decision::Close(Outcome::HandedBack)) || self.given.item == Item::Gone,
                "asking is not handing back"
            );
        }
    }
    /// Whoever waits for people has a list for them, and all that they owe is on it.
    fn lists_what_it_waits_for(&self) {
        let Decision::Wait(WaitReason::AwaitingReview { open, .. }) = self.decision else { return };
        let Some(list) = checklist(self.caught, self.seen, self.policy) else {
            let is_blind = self.seen.threads.known().is_none();
            return law!(self, is_blind, "only a look that knows less has no list");
        };
        let has = |owed: &String| {
            list.iter().any(|item| {
                matches!(item, Listed::Policy { name } if name == owed)
                    || matches!(item, Listed::Threads { policies, .. } if policies.contains(owed))
            })
        };
        law!(self, open.iter().all(has), "what people owe is listed");
    }
}
