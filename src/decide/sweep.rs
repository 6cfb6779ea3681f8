//! The exhaustive sweep: every combination of small enums that can matter together, and laws instead of examples.
//!
//! The whole product has some 10^13 cases, so five blocks each multiply the axes that one part of the ladder looks
//! at and leave the others at their quiet default: people (rungs 1 to 5), what they say, gaps (6), turns (7 to 9) and the review
//! (10 to 17). A decision sees an axis of another block only through a rung above, which that block covers.

mod laws;

use super::{
    Answer, Decision, EscalateReason, NotResumed, Obedience, Proceed, RedispatchCause, Reply, ResumeCause,
    StopCause, WaitReason,
    given::{Age, At, Branch, Ck, Fact, Given, Hole, Item, On, Past, Pr, Rules, Spend, Talk, Voice, Work},
    procedure::Procedure,
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
Brake, Over, Paused, Gap, StaleItem, LookAgain, StepRunning, BackingOff, AskedPeople, Unheard, NotResumed, QuietPeriod,
        NotCurrentYet, ChecksRunning, TargetRed, AwaitingApproval, NoChecks, AwaitingReview, Outage, DaySpent, Cold,
    }
    escalates, ESCALATES: EscalateReason {
        Gap, TurnTooLong, InfrastructureBudget, AgentFailed, NothingChanged, Question, Refused, PersonPushed,
        BudgetSpent, SameInputAgain, RedTooLong, SameFailureAgain, TestsWeakened, CheckBroken, PartlyGreen,
        Canceled, NoBuildAgent, BuildInfrastructure, NoVerdict, VotedDownSilently, Contradiction, NobodyReviews, TooManyTurns, CannotMerge, Stuck, BudgetExceeded, CutShort, ProviderDown,
    }
    not_resumed, NOT_RESUMED: NotResumed { NobodyLabelled, NotTrusted, TextChanged }
    resumes, RESUMES: ResumeCause { Label, Command, Answer, Operator }
    replies, REPLIES: Reply { Status, Explain, Paused, Unpaused, NothingHeld, Refused, Unknown }
    redispatches, REDISPATCHES: RedispatchCause { Lost, Failed }
    proceeds, PROCEEDS: Proceed {
        Implement, Start, Next, TurnPushed, TurnAnswered, OpenPullRequest, Do, Remind, Unsay,
    }
    procedures, PROCEDURES: Procedure { Requeue, LinkWorkItem, Publish, ArmAutoComplete, RetryBuild }
    outcomes, OUTCOMES: Outcome { Merged, Green, Declined, HandedBack, Superseded }
    stops, STOPS: StopCause { Brake, TooLong, AskedPeople }
}

fn name(decision: &Decision) -> (&'static str, &'static str) {
    let why = match decision {
        Decision::Wait(WaitReason::NotResumed(why)) => return ("stay", not_resumed(why)),
        Decision::Obey(Obedience { answer: Some(Answer { reply, .. }), .. }) => replies(reply),
        Decision::Obey(Obedience { answer: None, .. }) => "Operator",
        Decision::Resume(how) => resumes(&how.cause),
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
            ("stay", NOT_RESUMED),
            ("resume", RESUMES),
            ("obey", REPLIES),
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
            .filter(|name| *name != ("proceed", "Do") && *name != ("wait", "NotResumed"))
            // The operator's hand is no part of the ladder.
            .filter(|name| *name != ("resume", "Operator") && !self.counts.contains_key(name))
            .map(|(word, why)| format!("{word} {why}"))
            .collect()
    }
}

fn stages() -> Vec<At> {
    let mut all = vec![At::Claimed];
    for on in [On::Item, On::Threads, On::Answer] {
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
                for pr in [Pr::None, Pr::Current, Pr::Draft, Pr::MergesAtOnce, Pr::Completed, Pr::Abandoned] {
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

/// What people say, against every stage, what they do at the same time, and what cannot be seen meanwhile.
fn voices(digest: &mut Digest) {
    for at in stages() {
        for voice in Voice::ALL {
            for item in Item::ALL {
                for brake in Brake::ALL {
                    for pr in [Pr::None, Pr::Current, Pr::MergesAtOnceInConflict, Pr::Completed] {
                        for work in [Work::None, Work::Running, Work::Question] {
                            let case =
                                Given { at, voice: *voice, item: *item, brake, pr, work, ..Given::default() };
                            digest.add(&case);
                            if pr == Pr::Current {
                                digest.add(&Given { branch: Branch::Foreign, second_look: true, ..case });
                                for holes in [1, 2, 4, 8] {
                                    digest.add(&Given { holes, ..case });
                                }
                            }
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
                            if *past == Past::Unanswered && age == Age::Hours {
                                digest.add(&Given { age: Age::Days, ..case });
                            }
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
                        for rules in [Rules::Green, Rules::DraftAndAuto, Rules::Drill] {
                            digest.add(&Given { rules, ..case });
                        }
                        if *talk == Talk::Silent {
                            for fact in &Fact::ALL[1..] {
                                let fact = *fact;
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

/// Whatever starts a turn, against everything that may be used up.
fn budgets(digest: &mut Digest) {
    for spend in Spend::ALL {
        for at in stages() {
            for work in Work::all() {
                for age in [Age::Minutes, Age::Hours] {
                    digest.add(&Given { at, work, age, spend: *spend, ..Given::default() });
                }
            }
        }
        for pr in [Pr::Current, Pr::Conflicts, Pr::Draft] {
            for checks in [Ck::Failing, Ck::Pending, Ck::Passing] {
                for talk in [Talk::Silent, Talk::Awaiting] {
                    for past in Past::ALL {
                        let case = Given { pr, checks, talk, past: *past, spend: *spend, ..Given::default() };
                        digest.add(&case);
                        digest.add(&Given { brake: Brake::On, ..case });
                    }
                }
            }
        }
    }
}

#[test]
fn every_decision_obeys_the_laws_and_every_reason_is_reached() {
    let mut all = Digest::default();
    for block in [people, voices, gaps, turns, review, budgets] {
        block(&mut all);
    }
    assert_eq!(all.missing(), Vec::<String>::new(), "not reached by any case");
    assert_snapshot!(all.table(), @r#"
    close        Declined               17270
    close        Green                     96
    close        Declined               16550
    close        Green                    144
    close        HandedBack             13192
close Merged 18332 17612
    close        Superseded               288
    do           ArmAutoComplete          168
    do           LinkWorkItem            1356
    do           Publish                  504
    do           Requeue                 2496
    do           RetryBuild              1808
    do           ArmAutoComplete          252
    do           LinkWorkItem            1512
    do           Publish                  174
    do           Requeue                 4740
    do           RetryBuild              2136
    escalate     AgentFailed              832
    escalate     BudgetSpent             2508
    escalate     BudgetSpent             1704
    escalate     BuildInfrastructure       96
    escalate     Canceled                  96
    escalate     CannotMerge             3260
    escalate     CheckBroken             1144
    escalate     Contradiction           1440
    escalate     Gap                    12263
    escalate     CannotMerge             3998
    escalate     CheckBroken               96
    escalate     Gap                    11921
    escalate     InfrastructureBudget    3584
    escalate     NoVerdict               1056
    escalate     NobodyReviews            377
    escalate     NoBuildAgent             264
    escalate     NoVerdict               1212
    escalate     NobodyReviews            456
    escalate     NothingChanged           784
    escalate     PartlyGreen             1144
    escalate     PersonPushed            2066
    escalate     PartlyGreen             1332
    escalate     PersonPushed            2222
    escalate     Question                 448
escalate RedTooLong 364 454
    escalate     Refused                  448
    escalate     SameFailureAgain          96
    escalate     SameInputAgain           814
    escalate     Stuck                   2847
    escalate     TestsWeakened            192
    escalate     TooManyTurns            5308
    escalate     TurnTooLong             1101
    escalate     VotedDownSilently        676
    fix-forward  conflict                1986
    fix-forward  fix-forward              232
    escalate     SameInputAgain           898
    escalate     TestsWeakened            288
    escalate     TooManyTurns            4576
    escalate     TurnTooLong             1179
    escalate     VotedDownSilently        928
    fix-forward  conflict                2592
    fix-forward  fix-forward              762
    proceed      Implement                192
    proceed      Next                     896
    proceed      OpenPullRequest         4056
    proceed      Remind                   326
    proceed      OpenPullRequest         3693
    proceed      Remind                   398
    proceed      Start                   1326
    proceed      TurnAnswered             112
    proceed      TurnPushed               448
    proceed      Unsay                   7740
    redispatch   Failed                  1296
    redispatch   Lost                   12678
respond respond 9180 6324
    stop-workers AskedPeople             1500
    stop-workers Brake                   4176
    stop-workers TooLong                  557
    wait         AskedPeople             5624
    wait         AwaitingApproval         952
    wait         AwaitingReview           896
    wait         AwaitingApproval        1110
    wait         AwaitingReview          1294
    wait         BackingOff              6408
    wait         Brake                  17679
    wait         ChecksRunning           1702
    wait         Cold                    1482
    wait         Gap                    18838
    wait         LookAgain               6830
    wait         NoChecks                 416
    wait         NotCurrentYet            982
    wait         Brake                  15982
    wait         ChecksRunning           2874
    wait         Cold                    1674
    wait         Gap                    20146
    wait         LookAgain               7070
    wait         NoChecks                 472
    wait         NotCurrentYet           1478
    wait         Over                    5184
    wait         Paused                 11808
    wait         QuietPeriod             4500
    wait         Paused                 11328
    wait         QuietPeriod             6324
    wait         StaleItem               2160
    wait         StepRunning             1918
    wait         TargetRed                 44
    wait         Unheard                  195
    229752 cases
    222552 cases
    "#);
}
