//! The exhaustive sweep: every combination of small enums that can matter together, and laws instead of examples.
//!
//! The whole product has some 10^12 cases, so four blocks each multiply the axes that one part of the ladder looks
//! at and leave the others at their quiet default: people (rungs 1 to 5), gaps (6), turns (7 to 9) and the review
//! (10 to 17). A decision sees an axis of another block only through a rung above, which that block covers.

mod laws;

use super::{
    Decision, EscalateReason, Proceed, RedispatchCause, StopCause, WaitReason,
    given::{Age, At, Branch, Ck, Fact, Given, Hole, Item, On, Past, Pr, Rules, Talk, Work},
    verdict::Procedure,
};
use crate::domain::{Brake, Outcome, Started, Step};
use insta::assert_snapshot;
use laws::obeys_the_laws;
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
        Canceled, NoVerdict, VotedDownSilently, NobodyReviews, TooManyTurns, CannotMerge, Stuck,
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
                for (age, second_look) in [(Age::Seconds, false), (Age::Seconds, true), (Age::Hours, true)] {
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
                                digest.add(&Given { fact: Fact::Stuck, ..case });
                                digest.add(&Given { fact: Fact::Stuck, brake: Brake::On, ..case });
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
                        // Turns of the past are asked for by threads that await us, and by red under silence.
                        let is_quiet = matches!(talk, Talk::NotAsked | Talk::StillWriting);
                        let pasts = if is_quiet { &[Past::Few] } else { Past::ALL };
                        for past in pasts {
                            digest.add(&Given { past: *past, second_look: true, ..case });
                        }
                        digest.add(&Given { brake: Brake::On, ..case });
                        for rules in [Rules::Green, Rules::DraftAndAuto] {
                            digest.add(&Given { rules, ..case });
                        }
                        if *talk == Talk::Silent {
                            for fact in [Fact::TargetRed, Fact::Flake, Fact::Weakened, Fact::Stuck] {
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
    let mut all = Digest::default();
    for block in [people, gaps, turns, review] {
        block(&mut all);
    }
    assert_eq!(all.missing(), Vec::<String>::new(), "not reached by any case");
    assert_snapshot!(all.table(), @r#"
    close        Declined               14210
    close        Green                     96
    close        HandedBack             13192
    close        Merged                 15272
    close        Superseded               288
    do           ArmAutoComplete          168
    do           LinkWorkItem            1296
    do           Publish                  504
    do           Requeue                 2376
    do           RetryBuild              1728
    escalate     AgentFailed              832
    escalate     BudgetSpent             1608
    escalate     Canceled                  96
    escalate     CannotMerge             3150
    escalate     CheckBroken             1104
    escalate     Gap                    11813
    escalate     InfrastructureBudget    3584
    escalate     NoVerdict               1038
    escalate     NobodyReviews            361
    escalate     NothingChanged           784
    escalate     PartlyGreen             1104
    escalate     PersonPushed            2066
    escalate     Question                 448
    escalate     RedTooLong               340
    escalate     Refused                  448
    escalate     SameFailureAgain          96
    escalate     SameInputAgain           814
    escalate     TestsWeakened            192
    escalate     TooManyTurns            4408
    escalate     TurnTooLong             1101
    escalate     VotedDownSilently        646
    fix-forward  conflict                1876
    fix-forward  fix-forward              216
    proceed      Implement                192
    proceed      Next                     896
    proceed      OpenPullRequest         2721
    proceed      Remind                   310
    proceed      Start                   1326
    proceed      TurnAnswered             112
    proceed      TurnPushed               448
    redispatch   Failed                  1296
    redispatch   Lost                   12678
    respond      respond                 4500
    stop-workers AskedPeople             1500
    stop-workers Brake                   4176
    stop-workers TooLong                  531
    wait         AskedPeople             5624
    wait         AwaitingApproval         920
    wait         AwaitingReview           864
    wait         BackingOff              6408
    wait         Brake                  15519
    wait         ChecksRunning           1642
    wait         Cold                    1434
    wait         Gap                    17758
    wait         LookAgain               6830
    wait         NoChecks                 400
    wait         NotCurrentYet            950
    wait         Over                    5184
    wait         Paused                  9108
    wait         QuietPeriod             4500
    wait         StaleItem               2160
    wait         StepRunning             1866
    wait         TargetRed                 44
    199152 cases
    "#);
}
