//! The exhaustive sweep: every combination of small enums that can matter together, and laws instead of examples.
//!
//! The whole product has some 10^12 cases, so four blocks each multiply the axes that one part of the ladder looks
//! at and leave the others at their quiet default: people (rungs 1 to 5), gaps (6), turns (7 to 9) and the review
//! (10 to 17). A decision sees an axis of another block only through a rung above, which that block covers.

use super::{
    Decision, Effect, EscalateReason, ItemSeen, Observation, Plan, Proceed, RedispatchCause, Seen, StopCause,
    Verdict, WaitReason, catch_up,
    deadline::Deadline,
    decide,
    given::{
        Age, At, Branch, Ck, Fact, Given, Hole, Item, On, Past, Pr, Rules, Talk, Work, World, handed_over,
        years_later,
    },
    needed_gap, plan,
    verdict::{Procedure, verdict},
};
use crate::domain::{
    Brake, CloseOn, Outcome, Policy, PullRequestStatus, Run, Stage, Started, Step, Trigger, TurnKind,
    WorkerState,
};
use insta::assert_snapshot;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Names the variants of a reason. A new variant does not compile until it is named here, and the sweep fails until
/// it is reached.
macro_rules! names {
    ($($name:ident, $all:ident: $reason:ident { $($variant:ident),* $(,)? })*) => {$(
        fn $name(reason: &$reason) -> &'static str {
            match reason { $($reason::$variant { .. } => stringify!($variant)),* }
        }
        const $all: &[&str] = &[$(stringify!($variant)),*];
    )*};
}

names! {
    waits, WAITS: WaitReason {
        Brake, Over, Paused, Gap, StaleItem, LookAgain, StepRunning, BackingOff, AskedPeople, QuietPeriod,
        NotCurrentYet, ChecksRunning, TargetRed, AwaitingApproval, NoChecks, AwaitingReview, Cold,
    }
    escalates, ESCALATES: EscalateReason {
        Gap, TurnTooLong, InfrastructureBudget, AgentFailed, NothingChanged, Question, Refused, PersonPushed,
        BudgetSpent, SameInputAgain, RedTooLong, SameFailureAgain, TestsWeakened, CheckBroken, PartlyGreen,
        Canceled, NoVerdict, VotedDownSilently, NobodyReviews, TooManyTurns, CannotMerge,
    }
    redispatches, REDISPATCHES: RedispatchCause { Lost, Failed }
    proceeds, PROCEEDS: Proceed {
        Implement, Start, Next, TurnPushed, TurnAnswered, OpenPullRequest, Do, Remind,
    }
    procedures, PROCEDURES: Procedure { Requeue, LinkWorkItem, Publish, ArmAutoComplete, RetryBuild }
    outcomes, OUTCOMES: Outcome { Merged, Green, Declined, HandedBack, Superseded }
    stops, STOPS: StopCause { Brake, TooLong, AskedPeople }
}

fn name(decision: &Decision) -> (&'static str, &'static str) {
    let why = match decision {
        Decision::Wait(reason) => waits(reason),
        Decision::StopWorkers(cause) => stops(cause),
        Decision::Proceed(Proceed::Do(procedure)) => return ("do", procedures(procedure)),
        Decision::Proceed(proceed) => proceeds(proceed),
        Decision::Redispatch(cause) => redispatches(cause),
        Decision::FixForward(trigger) | Decision::Respond(trigger) => trigger.kind().word(),
        Decision::Escalate(reason) => escalates(reason),
        Decision::Close(outcome) => outcomes(outcome),
    };
    (decision.word(), why)
}

#[derive(Default)]
struct Digest {
    counts: BTreeMap<(&'static str, &'static str), u32>,
    cases: u32,
}

impl Digest {
    fn add(&mut self, given: &Given) {
        let decision = obeys_the_laws(given);
        *self.counts.entry(name(&decision)).or_default() += 1;
        self.cases += 1;
    }

    fn table(&self) -> String {
        let rows = self.counts.iter().map(|((word, why), count)| format!("{word:<13}{why:<21}{count:>7}\n"));
        rows.chain([format!("{} cases", self.cases)]).collect()
    }

    fn missing(&self) -> Vec<String> {
        let all = [
            ("wait", WAITS),
            ("escalate", ESCALATES),
            ("redispatch", REDISPATCHES),
            ("do", PROCEDURES),
            ("close", OUTCOMES),
            ("stop-workers", STOPS),
            ("proceed", PROCEEDS),
        ];
        let named = all.iter().flat_map(|(word, names)| names.iter().map(|name| (*word, *name)));
        named
            // Procedures are counted one by one.
            .filter(|name| *name != ("proceed", "Do") && !self.counts.contains_key(name))
            .map(|(word, why)| format!("{word} {why}"))
            .collect()
    }
}

fn stages() -> Vec<At> {
    let mut all = vec![At::Claimed];
    for on in [On::Item, On::Threads] {
        for step in Step::ALL {
            all.extend([At::Working(on, step, Started::NotYet), At::Working(on, step, Started::Seen)]);
        }
    }
    all.extend([At::Pushed, At::InReview, At::EscalatedEarly, At::Escalated, At::Closed]);
    all
}

/// Rungs 1 to 5: the kill switch and what people do, against every stage.
fn people(digest: &mut Digest) {
    for at in stages() {
        for item in Item::ALL {
            for brake in Brake::ALL {
                for pr in [Pr::None, Pr::Current, Pr::Draft, Pr::Completed, Pr::Abandoned] {
                    for work in [Work::None, Work::Running, Work::Crashed] {
                        for (branch, second_look) in [
                            (Branch::Ours, false),
                            (Branch::Ours, true),
                            (Branch::Gone, false),
                            (Branch::Gone, true),
                        ] {
                            let quiet = Given {
                                at,
                                item: *item,
                                brake,
                                pr,
                                work,
                                branch,
                                second_look,
                                ..Given::default()
                            };
                            digest.add(&quiet);
                        }
                    }
                }
            }
        }
    }
}

/// Rung 6: every set of unreadable or unread parts.
fn gaps(digest: &mut Digest) {
    for at in stages() {
        for holes in 0..64 {
            for hole in Hole::ALL {
                for (age, second_look) in
                    [(Age::Seconds, false), (Age::Seconds, true), (Age::Hours, true), (Age::Weeks, true)]
                {
                    for pr in [Pr::None, Pr::Current, Pr::Completed, Pr::Abandoned] {
                        let work = Work::None;
                        let case =
                            Given { at, holes, hole: *hole, age, second_look, pr, work, ..Given::default() };
                        if pr == Pr::Current || age == Age::Hours {
                            digest.add(&case);
                        }
                        if pr == Pr::Current {
                            digest.add(&Given { branch: Branch::Gone, ..case });
                            digest.add(&Given { item: Item::Gone, ..case });
                            digest.add(&Given { work: Work::Running, ..case });
                            digest.add(&Given { brake: Brake::On, ..case });
                        }
                    }
                }
            }
        }
    }
}

/// Rungs 7 to 9: every report of every step of every kind of turn.
fn turns(digest: &mut Digest) {
    for on in On::ALL {
        for step in Step::ALL {
            for started in [Started::NotYet, Started::Seen] {
                for work in Work::all() {
                    for past in Past::ALL {
                        for age in [Age::Seconds, Age::Minutes, Age::Hour, Age::Hours] {
                            let at = At::Working(on, step, started);
                            let case = Given { at, work, past: *past, age, ..Given::default() };
                            digest.add(&case);
                            digest.add(&Given { second_look: true, ..case });
                            if *past == Past::Few {
                                digest.add(&Given { branch: Branch::Foreign, second_look: true, ..case });
                                digest.add(&Given { branch: Branch::Foreign, ..case });
                                for brake in [Brake::Drain, Brake::On, Brake::Stop] {
                                    digest.add(&Given { brake, ..case });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Rungs 10 to 17: pull request, checks and threads against turns, clocks and settings.
fn review(digest: &mut Digest) {
    for at in [At::Pushed, At::InReview] {
        for pr in Pr::ALL {
            for checks in Ck::ALL {
                for talk in Talk::ALL {
                    for age in Age::ALL {
                        let case = Given {
                            at,
                            pr: *pr,
                            checks: *checks,
                            talk: *talk,
                            age: *age,
                            ..Given::default()
                        };
                        for past in Past::ALL {
                            digest.add(&Given { past: *past, second_look: true, ..case });
                        }
                        digest.add(&Given { brake: Brake::On, ..case });
                        for rules in [Rules::Green, Rules::DraftAndAuto] {
                            digest.add(&Given { rules, ..case });
                        }
                        if *talk == Talk::Silent {
                            for fact in [Fact::TargetRed, Fact::Flake, Fact::Weakened] {
                                digest.add(&Given { fact, ..case });
                            }
                            digest.add(&Given { branch: Branch::Foreign, ..case });
                            digest.add(&Given { branch: Branch::Foreign, second_look: true, ..case });
                            digest.add(&Given { work: Work::Running, ..case });
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_decision_obeys_the_laws_and_every_reason_is_reached() {
    let blocks = [people, gaps, turns, review];
    let digests: Vec<Digest> = std::thread::scope(|scope| {
        let sweeps = blocks.map(|block| {
            scope.spawn(move || {
                let mut digest = Digest::default();
                block(&mut digest);
                digest
            })
        });
        sweeps.into_iter().map(|sweep| sweep.join().expect("a law is broken, see above")).collect()
    });
    let mut all = Digest::default();
    for digest in digests {
        all.cases += digest.cases;
        for (name, count) in digest.counts {
            *all.counts.entry(name).or_default() += count;
        }
    }
    assert_eq!(all.missing(), Vec::<String>::new(), "not reached by any case");
    assert_snapshot!(all.table(), @r#"
    close        Declined               16226
    close        Green                     96
    close        HandedBack             14280
    close        Merged                 16712
    close        Superseded               288
    do           ArmAutoComplete          168
    do           LinkWorkItem            1512
    do           Publish                  504
    do           Requeue                 2772
    do           RetryBuild              2016
    escalate     AgentFailed              384
    escalate     BudgetSpent             2952
    escalate     Canceled                 144
    escalate     CannotMerge             3720
    escalate     CheckBroken             1296
    escalate     Gap                    19621
    escalate     InfrastructureBudget    3456
    escalate     NoVerdict               1356
    escalate     NobodyReviews            450
    escalate     NothingChanged           784
    escalate     PartlyGreen             1296
    escalate     PersonPushed            2066
    escalate     Question                 448
    escalate     RedTooLong               364
    escalate     Refused                  448
    escalate     SameFailureAgain         144
    escalate     SameInputAgain          1446
    escalate     TestsWeakened            192
    escalate     TooManyTurns            4470
    escalate     TurnTooLong             1281
    escalate     VotedDownSilently        646
    fix-forward  conflict                2010
    fix-forward  fix-forward              216
    proceed      Implement                232
    proceed      Next                     896
    proceed      OpenPullRequest         3441
    proceed      Remind                   389
    proceed      Start                   1326
    proceed      TurnAnswered             112
    proceed      TurnPushed               448
    redispatch   Failed                  1296
    redispatch   Lost                   12492
    respond      respond                 4500
    stop-workers AskedPeople             1628
    stop-workers Brake                   4176
    stop-workers TooLong                  531
    wait         AskedPeople             6584
    wait         AwaitingApproval        1080
    wait         AwaitingReview          1140
    wait         BackingOff              6208
    wait         Brake                  15545
    wait         ChecksRunning           1872
    wait         Cold                    1678
    wait         Gap                    18118
    wait         LookAgain               7460
    wait         NoChecks                 496
    wait         NotCurrentYet           1118
    wait         Over                    5824
    wait         Paused                 10548
    wait         QuietPeriod             6660
    wait         StaleItem               2160
    wait         StepRunning             1866
    wait         TargetRed                 44
    223632 cases
    "#);
}

/// One case through the whole room. Every law is asserted on every case.
fn obeys_the_laws(given: &Given) -> Decision {
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
    if run.is_closed() {
        case.is_left_alone();
        return decision;
    }
    case.moves_legally();
    case.starts_one_worker_at_most();
    case.obeys_the_brake();
    case.obeys_people();
    case.closes_on_evidence_only();
    case.knows_before_it_acts();
    case.keeps_budgets();
    case.stops_before_the_end();
    case.waits_idly_and_not_for_ever();
    case.stays_escalated();
    decision
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

    fn starts_one_worker_at_most(&self) {
        law!(self, self.starts() <= 1, "one worker at a time");
        law!(self, self.starts() == 0 || !self.is_live(), "never a worker beside a live one");
        law!(self, !self.decision.starts_turn() || !self.is_live(), "never a turn beside a live worker");
        law!(self, self.starts() == 0 || self.seen.workers.known().is_some(), "never a worker in the dark");
        let reserved = |effect: &Effect| match effect {
            Effect::StartStep { turn, .. } => self.caught.turns.iter().any(|t| t.number == turn.number),
            _ => true,
        };
        law!(self, self.plan.effects.iter().all(reserved), "a turn is reserved before its worker starts");
    }

    fn obeys_the_brake(&self) {
        let brake = self.policy.brake;
        if brake.allows_turns() {
            return;
        }
        let is_new = |effect: &Effect| match effect {
            Effect::StartStep { .. } | Effect::OpenPullRequest | Effect::Do(_) | Effect::Remind => true,
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
            Item::Claimed => is_escalated,
            Item::Here | Item::Gone | Item::Paused | Item::Assigned | Item::Asked => false,
            Item::AskedAndReady | Item::Stale => false,
        };
        let closes = matches!(self.decision, Decision::Close(_));
        if self.policy.brake == Brake::Stop {
            return;
        }
        law!(self, !ended || self.item().is_none() || closes, "a person's stop always closes");
        let is_over = matches!(self.status(), Some(PullRequestStatus::Completed));
        law!(self, !is_over || *self.decision == Decision::Close(Outcome::Merged), "merged is merged");
        if self.given.item == Item::Paused && self.item().is_some() {
            let holds = closes || matches!(self.decision, Decision::Wait(_) | Decision::StopWorkers(_));
            law!(self, holds, "paused is paused");
        }
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
            | Decision::Respond(_) => false,
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
        let most = usize::from(policy.max_turns).max(before.turns.len());
        law!(self, next.turns.len() <= most, "no turn beyond all budgets together");
        let new = match self.decision {
            Decision::FixForward(trigger) | Decision::Respond(trigger) => Some(trigger.clone()),
            Decision::Proceed(Proceed::Implement) => Some(Trigger::WorkItem { revision: before.id.revision }),
            _ => None,
        };
        let is_burnt = new.is_some_and(|trigger| {
            before.has_answered(&trigger)
                || before
                    .turns
                    .iter()
                    .any(|t| t.trigger == trigger.key() && t.end != Some(crate::domain::TurnEnd::Lost))
        });
        law!(self, !is_burnt, "an answered input never starts another turn");
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
        let is_somebodys = match reason {
            WaitReason::Brake(_) | WaitReason::Over | WaitReason::Paused(_) | WaitReason::AskedPeople => true,
            WaitReason::Gap(_)
            | WaitReason::StaleItem
            | WaitReason::LookAgain(_)
            | WaitReason::StepRunning { .. }
            | WaitReason::BackingOff { .. }
            | WaitReason::QuietPeriod { .. }
            | WaitReason::NotCurrentYet
            | WaitReason::ChecksRunning
            | WaitReason::TargetRed
            | WaitReason::AwaitingApproval
            | WaitReason::NoChecks
            | WaitReason::AwaitingReview { .. }
            | WaitReason::Cold => false,
        };
        let later = self.at(&self.plan.next, self.seen, years_later(self.now));
        law!(self, is_somebodys || name(&later) != name(self.decision), "no wait is for ever");
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
            _ => false,
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
}
