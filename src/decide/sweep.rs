//! The exhaustive sweep: every combination of small enums that can matter together, and laws instead of examples.
//!
//! The whole product has some 10^13 cases, so seven blocks each multiply the axes that one part of the ladder looks
//! at and leave the others at their quiet default: people (rungs 1 to 5), what they say, gaps (6), turns (7 to 9), the review
//! (10 to 17), budgets, and a run that another executor may have taken over. A decision sees an axis of another block only through a rung above, which that block covers.

mod laws;

use super::{
    Answer, Decision, EscalateReason, NotResumed, Obedience, Proceed, RedispatchCause, Reply, ResumeCause,
    StopCause, WaitReason,
    given::{
        Age, At, Branch, Ck, Fact, Given, Hole, Item, On, Past, Pr, Rules, Spend, Successor, Talk, Voice,
        Work,
    },
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
        NotCurrentYet, ChecksRunning, TargetRed, AwaitingApproval, BuildStopped, NoChecks, AwaitingReview, Outage, DaySpent, SpendingUnknown, Cold,
    }
    escalates, ESCALATES: EscalateReason {
        Gap, TurnTooLong, InfrastructureBudget, AgentFailed, NothingChanged, Question, Refused, PersonPushed,
        BudgetSpent, SameInputAgain, RedTooLong, SameFailureAgain, TestsWeakened, CheckBroken, PartlyGreen,
        Canceled, NoBuildAgent, BuildInfrastructure, NoVerdict, VotedDownSilently, Contradiction, NobodyReviews, TooManyTurns, CannotMerge, Stuck, BudgetExceeded, CutShort, ProviderDown,
    }
    not_resumed, NOT_RESUMED: NotResumed { NobodyLabelled, NotTrusted, TextChanged, LimitStands }
    resumes, RESUMES: ResumeCause { Label, Command, Answer, Review, Operator }
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
        for at in [At::EscalatedEarly, At::Escalated] {
            for voice in Voice::ALL {
                digest.add(&Given { at, voice: *voice, spend: *spend, ..Given::default() });
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

/// A run that another executor took over, or may have, against everything that people do and say meanwhile.
fn successors(digest: &mut Digest) {
    for successor in [Successor::None, Successor::There, Successor::Unknown] {
        for at in stages() {
            for brake in Brake::ALL {
                for pr in [Pr::None, Pr::Current, Pr::Completed, Pr::Abandoned] {
                    for work in [Work::None, Work::Running] {
                        let case = Given { at, work, pr, brake, successor, ..Given::default() };
                        for item in Item::ALL {
                            digest.add(&Given { item: *item, ..case });
                        }
                        for voice in Voice::ALL {
                            digest.add(&Given { voice: *voice, ..case });
                        }
                        digest.add(&Given { branch: Branch::Foreign, second_look: true, ..case });
                    }
                }
            }
        }
    }
}

#[test]
fn every_decision_obeys_the_laws_and_every_reason_is_reached() {
    let mut all = Digest::default();
    for block in [people, voices, gaps, turns, review, budgets, successors] {
        block(&mut all);
    }
    assert_eq!(all.missing(), Vec::<String>::new(), "not reached by any case");
    assert_snapshot!(all.table(), @r#"
    close        Declined               32216
    close        Green                    216
    close        HandedBack            188438
    close        Merged                 97574
    close        Superseded             22302
    do           ArmAutoComplete          252
    do           LinkWorkItem            2304
    do           Publish                  174
    do           Requeue                 7088
    do           RetryBuild              3012
    escalate     AgentFailed             1392
    escalate     BudgetExceeded          3192
    escalate     BudgetSpent             4396
    escalate     BuildInfrastructure      120
    escalate     Canceled                 273
    escalate     CannotMerge             4796
    escalate     CheckBroken              120
    escalate     Contradiction           2160
    escalate     CutShort               10116
    escalate     Gap                    17573
    escalate     InfrastructureBudget    4800
    escalate     NoBuildAgent             390
    escalate     NoVerdict               1560
    escalate     NobodyReviews            704
    escalate     NothingChanged          2380
    escalate     PartlyGreen             1836
    escalate     PersonPushed            4075
    escalate     ProviderDown              10
    escalate     Question                3288
    escalate     RedTooLong               653
    escalate     Refused                  934
    escalate     SameFailureAgain         142
    escalate     SameInputAgain          1560
    escalate     Stuck                   4050
    escalate     TestsWeakened            384
    escalate     TooManyTurns            6903
    escalate     TurnTooLong             1959
    escalate     VotedDownSilently       1066
    fix-forward  conflict                3294
    fix-forward  fix-forward              836
    obey         Explain                 5248
    obey         NothingHeld            12180
    obey         Paused                  5248
    obey         Refused                 1405
    obey         Status                  5248
    obey         Unknown                 5248
    obey         Unpaused                3060
    proceed      Implement                920
    proceed      Next                    1980
    proceed      OpenPullRequest         6999
    proceed      Remind                   763
    proceed      Start                   5046
    proceed      TurnAnswered             200
    proceed      TurnPushed               934
    proceed      Unsay                  15768
    redispatch   Failed                  2544
    redispatch   Lost                   28667
    respond      respond                15852
    resume       Answer                   690
    resume       Command                 2706
    resume       Label                    376
    resume       Review                   914
    stay         LimitStands               20
    stay         NobodyLabelled          1035
    stay         NotTrusted              1035
    stay         TextChanged             1089
    stop-workers AskedPeople            29804
    stop-workers Brake                  74916
    stop-workers TooLong                  876
    wait         AskedPeople            58373
    wait         AwaitingApproval        1530
    wait         AwaitingReview          4020
    wait         BackingOff             19593
    wait         Brake                 181643
    wait         BuildStopped            1530
    wait         ChecksRunning           4250
    wait         Cold                    2454
    wait         DaySpent                 555
    wait         Gap                   139837
    wait         LookAgain              43232
    wait         NoChecks                 760
    wait         NotCurrentYet           1654
    wait         Outage                  1110
    wait         Over                   43816
    wait         Paused                 85012
    wait         QuietPeriod             8856
    wait         SpendingUnknown          555
    wait         StaleItem              38556
    wait         StepRunning            13722
    wait         TargetRed                 55
    wait         Unheard                  306
    1320728 cases
    "#);
}
