//! Decision tables: one row per rung, per row of the ancestors' tables, and per hole that those left open.

use super::{
    Decision, Down, EscalateReason, Gap, Missing, Observation, Pause, Seen, Source, WaitReason, WorkerState,
    budget::Limit,
    catch_up, decide,
    given::{Age, At, Branch, Ck, Fact, Given, Hole, Item, On, Past, Pr, Rules, Spend, Talk, Work, World},
    plan,
};
use crate::domain::{
    AgentFailure, AgentResult, Brake, FetchResult, Run, Stage, Started, Step, StepResult, TurnKind, Usage,
    Worker,
};
use insta::assert_snapshot;
use std::time::Duration;

fn table(rows: &[(&str, Given)]) -> String {
    let row = |(name, given): &(&str, Given)| {
        let World { run, seen, policy, now } = given.world();
        let run = catch_up(&run, &seen, &policy, now);
        format!("{name}: {}\n", decide(&run, &seen, &policy, now))
    };
    rows.iter().map(row).collect()
}

fn given() -> Given {
    Given::default()
}

fn working(on: On, step: Step, work: Work) -> Given {
    Given { at: At::Working(on, step, Started::Seen), work, ..given() }
}

#[test]
fn the_ladder_rung_by_rung() {
    let red = Given { checks: Ck::Failing, ..given() };
    let rows = [
        (
            "1 stop, worker lives",
            Given { brake: Brake::Stop, ..working(On::Item, Step::Agent, Work::Running) },
        ),
        ("1 stop, nothing lives", Given { brake: Brake::Stop, ..given() }),
        ("2 merged", Given { pr: Pr::Completed, ..given() }),
        ("2 merged and item closed", Given { pr: Pr::Completed, item: Item::Over, ..given() }),
        ("3 item closed", Given { item: Item::Over, ..given() }),
        ("3 item gone, first look", Given { item: Item::Gone, ..given() }),
        ("3 item gone, second look", Given { item: Item::Gone, second_look: true, ..given() }),
        ("3 label removed", Given { item: Item::LabelGone, ..given() }),
        ("3 stop label", Given { item: Item::StopLabel, ..given() }),
        ("3 stop asked", Given { item: Item::StopAsked, ..given() }),
        ("3 item shown as before the claim", Given { item: Item::Stale, ..given() }),
        ("3 ... for hours", Given { item: Item::Stale, second_look: true, age: Age::Hours, ..given() }),
        ("4 abandoned", Given { pr: Pr::Abandoned, ..given() }),
        ("4 branch gone, first look", Given { branch: Branch::Gone, ..given() }),
        ("4 branch gone, second look", Given { branch: Branch::Gone, second_look: true, ..given() }),
        ("4 branch missed before, unread now", Given { second_look: true, holes: 4, ..given() }),
        (
            "4 branch gone before its pull request",
            Given { at: At::Pushed, pr: Pr::None, branch: Branch::Gone, second_look: true, ..given() },
        ),
        ("5 people were asked", Given { at: At::Escalated, ..given() }),
        (
            "5 ... and labelled it again beside",
            Given { at: At::Escalated, item: Item::AskedAndReady, ..given() },
        ),
        ("5 ... and a new claim has it", Given { at: At::Escalated, item: Item::Claimed, ..given() }),
        ("5 ... and took the label off", Given { at: At::Escalated, item: Item::LabelGone, ..given() }),
        ("5 ... and a worker lives", Given { at: At::Escalated, work: Work::Running, ..given() }),
        ("5 paused by label", Given { item: Item::Paused, ..given() }),
        ("5 draft by a person", Given { pr: Pr::Draft, ..given() }),
        ("5 assigned to a person", Given { item: Item::Assigned, ..given() }),
        ("6 gap", Given { holes: 16, ..given() }),
        ("6 gap for hours", Given { holes: 16, second_look: true, age: Age::Hours, ..given() }),
        ("7 running", working(On::Item, Step::Agent, Work::Running)),
        ("7 running too long", Given { age: Age::Hour, ..working(On::Item, Step::Agent, Work::Running) }),
        (
            "7 running although stopped",
            Given { age: Age::Hours, ..working(On::Item, Step::Agent, Work::Running) },
        ),
        ("8 first turn", Given { at: At::Claimed, ..given() }),
        ("8 step due", Given { at: At::Working(On::Item, Step::Fetch, Started::NotYet), ..given() }),
        ("8 fetched", working(On::Item, Step::Fetch, Work::FetchReady)),
        ("8 worked", working(On::Item, Step::Agent, Work::Worked)),
        ("8 pushed", working(On::Item, Step::Publish, Work::Pushed)),
        ("8 answered", working(On::Threads, Step::Agent, Work::Replied)),
        ("9 crashed", working(On::Item, Step::Agent, Work::Crashed)),
        (
            "9 crashed, backed off",
            Given { age: Age::Minutes, ..working(On::Item, Step::Agent, Work::Crashed) },
        ),
        (
            "9 crashed once too often",
            Given { past: Past::Spent, ..working(On::Item, Step::Agent, Work::Crashed) },
        ),
        ("9 worker gone, first look", working(On::Item, Step::Agent, Work::None)),
        (
            "9 worker gone, second look",
            Given { second_look: true, age: Age::Minutes, ..working(On::Item, Step::Agent, Work::None) },
        ),
        ("9 cannot be started", Given { age: Age::Hour, ..working(On::Item, Step::Fetch, Work::Created) }),
        (
            "9 failed",
            Given { age: Age::Minutes, ..working(On::Item, Step::Agent, Work::Failed(AgentFailure::Idle)) },
        ),
        (
            "9 failed again",
            Given { past: Past::Spent, ..working(On::Item, Step::Agent, Work::Failed(AgentFailure::Idle)) },
        ),
        ("9 nothing changed", working(On::Item, Step::Agent, Work::Nothing)),
        ("9 question", working(On::Item, Step::Agent, Work::Question)),
        ("9 refused", working(On::Item, Step::Publish, Work::Refused)),
        ("9 person pushed meanwhile", working(On::Red, Step::Fetch, Work::FetchMoved)),
        ("9 person pushed in review", Given { branch: Branch::Foreign, second_look: true, ..given() }),
        ("10 open", Given { at: At::Pushed, pr: Pr::None, ..given() }),
        ("10 pull request unread", Given { at: At::Pushed, holes: 8, ..given() }),
        (
            "10 pull request not looked at",
            Given { at: At::Pushed, holes: 8, hole: Hole::NotAsked, ..given() },
        ),
        ("10 pull request not shown any more", Given { pr: Pr::None, ..given() }),
        ("11 respond", Given { talk: Talk::Awaiting, ..given() }),
        ("11 still writing", Given { talk: Talk::StillWriting, ..given() }),
        ("11 answered, reply not shown yet", Given { talk: Talk::Awaiting, past: Past::Answered, ..given() }),
        (
            "11 answered, reply never shown",
            Given { talk: Talk::Awaiting, past: Past::Answered, age: Age::Minutes, ..given() },
        ),
        ("11 answered, reply shown", Given { talk: Talk::Answered, past: Past::Answered, ..given() }),
        (
            "11 being answered",
            Given { talk: Talk::Awaiting, ..working(On::Threads, Step::Agent, Work::Running) },
        ),
        ("11 rounds are spent", Given { talk: Talk::Awaiting, past: Past::Spent, ..given() }),
        ("12 expired", Given { checks: Ck::Expired, ..given() }),
        ("12 never started", Given { checks: Ck::NeverStarted, age: Age::Minutes, ..given() }),
        ("12 link missing", Given { checks: Ck::LinkMissing, ..given() }),
        ("12 draft by rule", Given { pr: Pr::Draft, rules: Rules::DraftAndAuto, ..given() }),
        ("13 conflicts", Given { pr: Pr::Conflicts, ..given() }),
        ("13 conflicts again", Given { pr: Pr::Conflicts, past: Past::Answered, ..given() }),
        ("13 conflicts once too often", Given { pr: Pr::Conflicts, past: Past::Spent, ..given() }),
        ("13 cannot merge", Given { pr: Pr::MergeFailed, ..given() }),
        ("14 red", red),
        ("14 red on the target too", Given { fact: Fact::TargetRed, ..red }),
        ("14 known flake", Given { fact: Fact::Flake, ..red }),
        ("14 known flake, retried", Given { fact: Fact::Flake, past: Past::Spent, ..red }),
        ("14 infrastructure", Given { checks: Ck::Infrastructure, ..given() }),
        ("14 same failure after two fixes", Given { past: Past::SameTwice, ..red }),
        ("14 answered", Given { past: Past::Answered, ..red }),
        ("14 attempts are spent", Given { past: Past::Spent, ..red }),
        ("14 red for too long", Given { age: Age::Hours, ..red }),
        ("14 green by fewer tests", Given { fact: Fact::Weakened, ..given() }),
        ("14 all turns gone", Given { past: Past::TurnsGone, ..red }),
        ("14 broken", Given { checks: Ck::Broken, ..given() }),
        ("14 canceled", Given { checks: Ck::Canceled, ..given() }),
        ("14 canceled by a person", Given { checks: Ck::Stopped, ..given() }),
        ("14 canceled by a person for weeks", Given { checks: Ck::Stopped, age: Age::Weeks, ..given() }),
        ("14 canceled again", Given { checks: Ck::Canceled, past: Past::Spent, ..given() }),
        ("14 partial", Given { checks: Ck::Partial, ..given() }),
        ("15 pending", Given { checks: Ck::Pending, ..given() }),
        (
            "15 pending for hours",
            Given { checks: Ck::Pending, second_look: true, age: Age::Hours, ..given() },
        ),
        ("15 pending again after days", Given { checks: Ck::Pending, age: Age::Days, ..given() }),
        ("15 stale head", Given { checks: Ck::Pending, pr: Pr::Stale, ..given() }),
        ("15 approval", Given { checks: Ck::Approval, second_look: true, age: Age::Hours, ..given() }),
        ("15 no checks yet", Given { checks: Ck::Nothing, ..given() }),
        ("16 voted down silently", Given { pr: Pr::VotedDown, ..given() }),
        ("17 green", given()),
        ("17 green, people open", Given { checks: Ck::PeopleOpen, ..given() }),
        ("17 green, not shown yet", Given { pr: Pr::Stale, ..given() }),
        ("17 green, never shown", Given { pr: Pr::Stale, age: Age::Hours, ..given() }),
        ("17 green is enough", Given { rules: Rules::Green, ..given() }),
        ("17 green, threads not asked", Given { rules: Rules::Green, talk: Talk::NotAsked, ..given() }),
        ("17 auto-complete", Given { rules: Rules::DraftAndAuto, ..given() }),
        ("17 no checks", Given { checks: Ck::Nothing, age: Age::Minutes, ..given() }),
        (
            "17 no checks are never green",
            Given { checks: Ck::Nothing, age: Age::Minutes, rules: Rules::Green, ..given() },
        ),
        ("17 reminder", Given { age: Age::Days, ..given() }),
        ("17 nobody", Given { age: Age::Weeks, ..given() }),
        ("17 cold", Given { checks: Ck::NotAsked, talk: Talk::NotAsked, ..given() }),
        ("budget: time", Given { spend: Spend::Time, ..red }),
        ("budget: tokens", Given { spend: Spend::Tokens, ..red }),
        ("budget: money", Given { spend: Spend::Cost, ..red }),
        ("budget: nothing accepted", Given { spend: Spend::Unaccepted, ..red }),
        ("budget: unknown price", Given { spend: Spend::Unpriced, ..red }),
        ("budget: pushes", Given { spend: Spend::Pushes, ..red }),
        ("budget: the day", Given { spend: Spend::Day, ..red }),
        ("budget: an outage", Given { spend: Spend::Down, ..red }),
        ("budget: an outage, others try first", Given { spend: Spend::DownForOthers, ..red }),
        (
            "budget: people are answered within it too",
            Given { spend: Spend::Cost, talk: Talk::Awaiting, ..given() },
        ),
        ("budget: green needs none", Given { spend: Spend::Cost, ..given() }),
        (
            "9 no answer for a day",
            Given {
                past: Past::Unanswered,
                age: Age::Days,
                ..working(On::Item, Step::Agent, Work::Failed(AgentFailure::Provider))
            },
        ),
        (
            "9 no answer for hours",
            Given {
                past: Past::Unanswered,
                age: Age::Hours,
                ..working(On::Item, Step::Agent, Work::Failed(AgentFailure::Provider))
            },
        ),
        ("9 a commit without a change", working(On::Red, Step::Agent, Work::Empty)),
        ("10 cut short", Given { past: Past::Cut, pr: Pr::Draft, ..given() }),
        ("brake on: no turn", Given { brake: Brake::On, ..red }),
        (
            "brake on: what runs is watched",
            Given { brake: Brake::On, ..working(On::Item, Step::Agent, Work::Running) },
        ),
        ("brake on: people still end it", Given { brake: Brake::On, item: Item::LabelGone, ..given() }),
        ("brake drain: the road goes on", Given { brake: Brake::Drain, ..red }),
    ];
    assert_snapshot!(table(&rows), @r#"
    1 stop, worker lives: stop workers: the kill switch is on stop
    1 stop, nothing lives: wait: the kill switch is on stop; the operator takes it off
    2 merged: close: merged
    2 merged and item closed: close: merged
    3 item closed: close: handed-back
    3 item gone, first look: wait: the work item was not there; the next tick looks again before that counts
    3 item gone, second look: close: handed-back
    3 label removed: close: handed-back
    3 stop label: close: handed-back
    3 stop asked: close: handed-back
    3 item shown as before the claim: wait: the work item was read as it was before the claim; the next tick looks again
    3 ... for hours: escalate: for too long, the work item could not be read: it is shown as it was before the claim
    4 abandoned: close: declined
    4 branch gone, first look: wait: our branch was not there; the next tick looks again before that counts
    4 branch gone, second look: close: declined
    4 branch missed before, unread now: wait: our branch could not be read: timed out
    4 branch gone before its pull request: close: declined
    5 people were asked: wait: a person was asked and has not answered yet
    5 ... and labelled it again beside: wait: a person was asked and has not answered yet
    5 ... and a new claim has it: close: superseded
    5 ... and took the label off: close: handed-back
    5 ... and a worker lives: stop workers: people were asked
    5 paused by label: wait: paused by label; a person removes it
    5 draft by a person: wait: a person turned the pull request into a draft; they publish it
    5 assigned to a person: wait: the work item is assigned to a person; they hand it back
    6 gap: wait: checks and policies could not be read: timed out
    6 gap for hours: escalate: for too long, checks and policies could not be read: timed out
    7 running: wait: a step has been at work since 2026-01-09T23:06:10Z
    7 running too long: stop workers: the step is past its deadline
    7 running although stopped: escalate: a worker is long past its deadline and does not end although it was stopped
    8 first turn: proceed: the first turn is due
    8 step due: proceed: start the fetch step
    8 fetched: proceed: the agent step is due
    8 worked: proceed: the publish step is due
    8 pushed: proceed: the turn pushed bbbbbbbb
    8 answered: proceed: the turn's answer is enough
    9 crashed: wait: the turn is started again at 2026-01-09T23:07:10Z
    9 crashed, backed off: redispatch: the executor lost the turn (exit 137)
    9 crashed once too often: escalate: the executor lost the agent's work too often; last time: exit 137
    9 worker gone, first look: wait: the worker was not there; the next tick looks again before that counts
    9 worker gone, second look: redispatch: the executor lost the turn (its worker was removed)
    9 cannot be started: redispatch: the executor lost the turn (its worker could not be started)
    9 failed: redispatch: the agent failed (Idle)
    9 failed again: escalate: the agent went silent and was stopped: it broke
    9 nothing changed: escalate: the agent ended without changing anything and says: as designed
    9 question: escalate: the agent has a question: which shop?
    9 refused: escalate: the change was not pushed because it breaks rules: `ci.yml` is protected
    9 person pushed meanwhile: escalate: a person pushed to the agent's branch, so the agent stands down
    9 person pushed in review: escalate: a person pushed to the agent's branch, so the agent stands down
    10 open: proceed: open the pull request
    10 pull request unread: wait: the pull request could not be read: timed out
    10 pull request not looked at: wait: the pull request could not be read: it was not looked at
    10 pull request not shown any more: wait: the pull request could not be read: it is not shown any more
    11 respond: respond: threads 3 await an answer
    11 still writing: wait: somebody is still writing; the review counts as whole at 2026-01-09T23:09:40Z
    11 answered, reply not shown yet: wait: our reply was not there; the next tick looks again before that counts
    11 answered, reply never shown: escalate: one of its respond turns answered this already, and it is still there
    11 answered, reply shown: wait: all checks are green; a person decides
    11 being answered: wait: a step has been at work since 2026-01-09T23:06:10Z
    11 rounds are spent: escalate: the run has used all its respond turns
    12 expired: proceed: queue an expired or missing build validation
    12 never started: proceed: queue an expired or missing build validation
    12 link missing: proceed: link the work item
    12 draft by rule: proceed: publish the draft
    13 conflicts: fix forward: aaaaaaaa conflicts with its target
    13 conflicts again: escalate: one of its conflict turns answered this already, and it is still there
    13 conflicts once too often: escalate: the run has used all its conflict turns
    13 cannot merge: escalate: Azure DevOps cannot merge the pull request, and it is not a conflict
    14 red: fix forward: checks are red on aaaaaaaa
    14 red on the target too: wait: the target branch fails the same way; it has to be mended first
    14 known flake: proceed: run the failed jobs of build 638 once more
    14 known flake, retried: escalate: the run has used all its fix-forward turns
    14 infrastructure: proceed: run the failed jobs of build 638 once more
    14 same failure after two fixes: escalate: the same failure came back after a fix
    14 answered: escalate: one of its fix-forward turns answered this already, and it is still there
    14 attempts are spent: escalate: the run has used all its fix-forward turns
    14 red for too long: escalate: the checks have been red for longer than the agent may try
    14 green by fewer tests: escalate: the fix weakened the tests: 40 tests ran before it, 39 ran after it
    14 all turns gone: escalate: the run has used all its turns
    14 broken: proceed: queue an expired or missing build validation
    14 canceled: proceed: run the failed jobs of build 638 once more
    14 canceled by a person: wait: ana cancelled a build, so there is no verdict; whoever wants one queues it again
    14 canceled by a person for weeks: escalate: a build was cancelled
    14 canceled again: escalate: a build was cancelled
    14 partial: escalate: a build succeeded only partially
    15 pending: wait: checks are running
    15 pending for hours: escalate: no check has given a verdict for too long
    15 pending again after days: wait: checks are running
    15 stale head: wait: Azure DevOps has not looked at the newest commit yet
    15 approval: wait: a pipeline waits for a person's approval
    15 no checks yet: wait: checks are running
    16 voted down silently: escalate: ben voted against the change without saying why
    17 green: wait: all checks are green; a person decides
    17 green, people open: wait: all checks are green; people still have to: two reviewers
    17 green, not shown yet: wait: Azure DevOps has not looked at the newest commit yet
    17 green, never shown: escalate: no check has given a verdict for too long
    17 green is enough: close: green
    17 green, threads not asked: wait: all checks are green; a person decides
    17 auto-complete: proceed: arm auto-complete
    17 no checks: wait: nothing checks pull requests here; a person has to look closely
    17 no checks are never green: wait: nothing checks pull requests here; a person has to look closely
    17 reminder: proceed: remind the reviewers
    17 nobody: escalate: nobody has reviewed the pull request for too long
    17 cold: wait: nothing moved; it is looked at closely every few ticks
    budget: time: escalate: agents have worked on this work item for 8 h 0 min, of 8 h 0 min allowed
    budget: tokens: escalate: this work item has used 60000000 tokens, of 60000000 allowed
    budget: money: escalate: this work item has cost 60.00 USD, of 60.00 USD allowed
    budget: nothing accepted: escalate: 40.00 USD were spent without a change that passes its checks, of 40.00 USD allowed
    budget: unknown price: escalate: money is limited, and nobody knows what the tokens of this run cost: the operator sets ROUNDSMAN_AGENT_PRICE_INPUT and ROUNDSMAN_AGENT_PRICE_OUTPUT, or every limit in dollars to `none`
    budget: pushes: escalate: 1 pushes were made, which is as many as are allowed
    budget: the day: wait: all runs together have used what they may in one day; it goes on at 2026-01-10T00:06:40Z
    budget: an outage: wait: the model provider does not answer any run; one of them tries again at 2026-01-09T23:16:40Z
    budget: an outage, others try first: wait: the model provider does not answer any run; one of them tries again at 2026-01-09T23:06:40Z
    budget: people are answered within it too: escalate: this work item has cost 60.00 USD, of 60.00 USD allowed
    budget: green needs none: wait: all checks are green; a person decides
    9 no answer for a day: escalate: the model provider has not answered for too long; last time: it broke
    9 no answer for hours: redispatch: the model provider did not answer (it broke)
    9 a commit without a change: escalate: the agent ended without changing anything and says: did it
    10 cut short: escalate: a limit cut the agent off before it was done; what it had done is in the pull request, a draft, and nobody has checked whether it is whole
    brake on: no turn: wait: the kill switch is on: nothing new starts until the operator takes it off
    brake on: what runs is watched: wait: a step has been at work since 2026-01-09T23:06:10Z
    brake on: people still end it: close: handed-back
    brake drain: the road goes on: fix forward: checks are red on aaaaaaaa
    "#);
}

/// `seeds.md` §3.13, newest table, and the holes that it left.
#[test]
fn the_ancestors_rows() {
    let live = |checks| Given { checks, ..working(On::Red, Step::Agent, Work::Running) };
    let late = |checks| Given { age: Age::Hour, ..live(checks) };
    let rows = [
        ("1 pushed, running", live(Ck::Failing)),
        ("2 pushed, running past its time, red", late(Ck::Failing)),
        ("3 pushed, running past its time, green", late(Ck::Passing)),
        ("4 pushed, running past its time, pending", late(Ck::Pending)),
        ("5 pushed, idle, green", given()),
        ("6 pushed, idle, red, budget", Given { checks: Ck::Failing, ..given() }),
        ("7 pushed, idle, red, no budget", Given { checks: Ck::Failing, past: Past::Spent, ..given() }),
        ("8 pushed, idle, pending", Given { checks: Ck::Pending, ..given() }),
        (
            "9 not pushed, vanished",
            Given { second_look: true, age: Age::Minutes, ..working(On::Item, Step::Agent, Work::None) },
        ),
        (
            "10 not pushed, vanished, no budget",
            Given { second_look: true, past: Past::Spent, ..working(On::Item, Step::Agent, Work::None) },
        ),
        ("11 not pushed, idle", working(On::Item, Step::Agent, Work::Nothing)),
        ("12 not pushed, running", working(On::Item, Step::Agent, Work::Running)),
        ("no verdict", Given { checks: Ck::NothingYet, second_look: true, age: Age::Hours, ..given() }),
        ("hole: wedged turn", Given { age: Age::Hour, ..working(On::Item, Step::Agent, Work::Running) }),
        (
            "hole: runner unreachable",
            Given {
                holes: 2,
                second_look: true,
                age: Age::Hours,
                ..working(On::Item, Step::Agent, Work::Running)
            },
        ),
        ("hole: long first turn, then red", Given { at: At::InReview, checks: Ck::Failing, ..given() }),
        ("hole: abandoned", Given { pr: Pr::Abandoned, ..given() }),
        ("hole: merged by a person", Given { pr: Pr::Completed, ..given() }),
        ("hole: closed by a person", Given { item: Item::Over, ..given() }),
        ("hole: kill switch", Given { brake: Brake::Stop, ..working(On::Item, Step::Agent, Work::Running) }),
        ("hole: paused", Given { item: Item::Paused, ..given() }),
        ("hole: escalated stays with people", Given { at: At::Escalated, item: Item::Asked, ..given() }),
    ];
    assert_snapshot!(table(&rows), @r#"
    1 pushed, running: wait: a step has been at work since 2026-01-09T23:06:10Z
    2 pushed, running past its time, red: stop workers: the step is past its deadline
    3 pushed, running past its time, green: stop workers: the step is past its deadline
    4 pushed, running past its time, pending: stop workers: the step is past its deadline
    5 pushed, idle, green: wait: all checks are green; a person decides
    6 pushed, idle, red, budget: fix forward: checks are red on aaaaaaaa
    7 pushed, idle, red, no budget: escalate: the run has used all its fix-forward turns
    8 pushed, idle, pending: wait: checks are running
    9 not pushed, vanished: redispatch: the executor lost the turn (its worker was removed)
    10 not pushed, vanished, no budget: escalate: the executor lost the agent's work too often; last time: its worker was removed
    11 not pushed, idle: escalate: the agent ended without changing anything and says: as designed
    12 not pushed, running: wait: a step has been at work since 2026-01-09T23:06:10Z
    no verdict: escalate: no check has given a verdict for too long
    hole: wedged turn: stop workers: the step is past its deadline
    hole: runner unreachable: escalate: for too long, the executor's workers could not be read: timed out
    hole: long first turn, then red: fix forward: checks are red on aaaaaaaa
    hole: abandoned: close: declined
    hole: merged by a person: close: merged
    hole: closed by a person: close: handed-back
    hole: kill switch: stop workers: the kill switch is on stop
    hole: paused: wait: paused by label; a person removes it
    hole: escalated stays with people: wait: a person was asked and has not answered yet
    "#);
}

/// A run whose every turn ends in `ends`, in turn, visited once an hour until people were asked.
fn doomed(ends: &[Work]) -> Run {
    let World { mut run, seen, policy, mut now } =
        Given { age: Age::Minutes, ..working(On::Threads, Step::Fetch, Work::None) }.world();
    for round in 0..200 {
        let work = ends[usize::from(run.turns.last().map_or(0, |t| t.number.0)) % ends.len()];
        let step = if matches!(work, Work::Crashed) { Step::Fetch } else { Step::Agent };
        let seen = match run.current_turn() {
            Some((turn, now_at)) => {
                let base = super::given::head();
                let fetched = FetchResult::Ready { base: base.clone(), target: base };
                let state = if now_at != step {
                    WorkerState::Finished(StepResult::Fetch(fetched))
                } else if let Work::Failed(class) = work {
                    let detail = "again".into();
                    let result = AgentResult::Failed { class, detail };
                    WorkerState::Finished(StepResult::Agent { result, usage: Usage::default() })
                } else {
                    WorkerState::Crashed { hint: "again".into() }
                };
                Observation {
                    workers: Seen::Known(vec![Worker { turn: turn.clone(), step: now_at, state }]),
                    ..seen.clone()
                }
            }
            None => seen.clone(),
        };
        let caught = catch_up(&run, &seen, &policy, now);
        run = plan(&caught, &decide(&caught, &seen, &policy, now), now).next;
        if matches!(run.stage, Stage::Escalated { .. }) {
            return run;
        }
        now = super::deadline::later(now, Duration::from_hours(1));
        assert!(round < 100, "it never ends: {:?}", run.turns);
    }
    unreachable!("the loop asserts its own end")
}

#[test]
fn a_turn_that_is_lost_again_and_again_ends_with_a_person() {
    let lost = doomed(&[Work::Crashed]);
    assert_eq!((lost.lost(), lost.turns.len()), (3, 5), "one turn and three more, each of its own kind");
    assert!(lost.turns.iter().skip(1).all(|turn| turn.kind == TurnKind::Respond));
    let failed = doomed(&[Work::Failed(AgentFailure::Agent)]);
    assert_eq!((failed.spent(TurnKind::Redispatch), failed.lost(), failed.turns.len()), (1, 0, 3));
    let both = doomed(&[Work::Crashed, Work::Failed(AgentFailure::Timeout)]);
    assert!(
        both.lost() <= 3 && both.spent(TurnKind::Redispatch) <= 1 && both.turns.len() <= 6,
        "{:?}",
        both.turns
    );
}

#[test]
fn every_reason_is_one_sentence() {
    let gap = || Gap { source: Source::PullRequest, why: "timed out".into() };
    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut waits = vec![
        WaitReason::Over,
        WaitReason::Gap(gap()),
        WaitReason::StaleItem,
        WaitReason::StepRunning { since: at },
        WaitReason::BackingOff { until: at },
        WaitReason::AskedPeople,
        WaitReason::QuietPeriod { until: at },
        WaitReason::NotCurrentYet,
        WaitReason::ChecksRunning,
        WaitReason::TargetRed,
        WaitReason::AwaitingApproval,
        WaitReason::BuildStopped { by: "Ana".into() },
        WaitReason::NoChecks,
        WaitReason::AwaitingReview { open: Vec::new(), optional: Vec::new() },
        WaitReason::AwaitingReview { open: Vec::new(), optional: vec!["lint".into()] },
        WaitReason::AwaitingReview {
            open: vec!["two reviewers".into(), "linked item".into()],
            optional: Vec::new(),
        },
        WaitReason::Outage { what: Down::Provider, until: at },
        WaitReason::Outage { what: Down::Executor, until: at },
        WaitReason::Outage { what: Down::Pipelines, until: at },
        WaitReason::DaySpent { until: at },
        WaitReason::SpendingUnknown { why: "the query was not answered".into() },
        WaitReason::Cold,
    ];
    waits.extend([Brake::On, Brake::Stop].map(WaitReason::Brake));
    waits.extend([Pause::Label, Pause::Draft, Pause::Assigned].map(WaitReason::Paused));
    waits.extend(
        [Missing::Item, Missing::Branch, Missing::Worker, Missing::OwnHead, Missing::Reply]
            .map(WaitReason::LookAgain),
    );
    let detail = || "disk full".to_owned();
    let hours = Duration::from_hours;
    let mut escalations = vec![
        EscalateReason::Gap(gap()),
        EscalateReason::TurnTooLong,
        EscalateReason::InfrastructureBudget { detail: detail() },
        EscalateReason::NothingChanged { answer: String::new() },
        EscalateReason::NothingChanged { answer: "as designed".into() },
        EscalateReason::Question { question: "which shop?".into() },
        EscalateReason::Refused { rules: vec!["one".into(), "two".into()] },
        EscalateReason::PersonPushed,
        EscalateReason::RedTooLong,
        EscalateReason::SameFailureAgain,
        EscalateReason::TestsWeakened { detail: "40 tests became 39".into() },
        EscalateReason::CheckBroken { name: "CI".into() },
        EscalateReason::PartlyGreen,
        EscalateReason::Canceled,
        EscalateReason::NoVerdict,
        EscalateReason::VotedDownSilently { who: super::given::who("Ben") },
        EscalateReason::NobodyReviews,
        EscalateReason::TooManyTurns,
        EscalateReason::CannotMerge,
        EscalateReason::BudgetExceeded(Limit::Time { used: hours(9), allowed: hours(8) }),
        EscalateReason::BudgetExceeded(Limit::Tokens { used: 7, allowed: 5 }),
        EscalateReason::BudgetExceeded(Limit::Cost { used: 61_004_999, allowed: 60_000_000 }),
        EscalateReason::BudgetExceeded(Limit::Unaccepted { used: 40_000_000, allowed: 40_000_000 }),
        EscalateReason::BudgetExceeded(Limit::Pushes { used: 15 }),
        EscalateReason::BudgetExceeded(Limit::UnknownPrice),
        EscalateReason::CutShort,
        EscalateReason::ProviderDown { detail: detail() },
    ];
    escalations
        .extend(AgentFailure::ALL.map(|class| EscalateReason::AgentFailed { class, detail: detail() }));
    escalations.extend(TurnKind::ALL.map(EscalateReason::BudgetSpent));
    escalations.extend(TurnKind::ALL.map(EscalateReason::SameInputAgain));
    let frozen = |reason: &EscalateReason| if reason.is_freeze() { " (frozen)" } else { "" };
    let told = escalations
        .iter()
        .map(|reason| format!("{}{}\n", Decision::Escalate(reason.clone()), frozen(reason)));
    let waited = waits.iter().map(|reason| format!("{}\n", Decision::Wait(reason.clone())));
    assert_snapshot!(waited.chain(told).collect::<String>(), @r#"
    wait: the run is over
    wait: the pull request could not be read: timed out
    wait: the work item was read as it was before the claim; the next tick looks again
    wait: a step has been at work since 1970-01-01T00:00:00Z
    wait: the turn is started again at 1970-01-01T00:00:00Z
    wait: a person was asked and has not answered yet
    wait: somebody is still writing; the review counts as whole at 1970-01-01T00:00:00Z
    wait: Azure DevOps has not looked at the newest commit yet
    wait: checks are running
    wait: the target branch fails the same way; it has to be mended first
    wait: a pipeline waits for a person's approval
    wait: Ana cancelled a build, so there is no verdict; whoever wants one queues it again
    wait: nothing checks pull requests here; a person has to look closely
    wait: all checks are green; a person decides
    wait: all required checks are green, optional ones are red (lint); a person decides
    wait: all checks are green; people still have to: two reviewers, linked item
    wait: the model provider does not answer any run; one of them tries again at 1970-01-01T00:00:00Z
    wait: the executor does not answer any run; one of them tries again at 1970-01-01T00:00:00Z
    wait: the build infrastructure of this repository does not answer any run; one of them tries again at 1970-01-01T00:00:00Z
    wait: all runs together have used what they may in one day; it goes on at 1970-01-01T00:00:00Z
    wait: what all runs together have used could not be read, so nothing more is paid for until it can: the query was not answered
    wait: nothing moved; it is looked at closely every few ticks
    wait: the kill switch is on: nothing new starts until the operator takes it off
    wait: the kill switch is on stop; the operator takes it off
    wait: paused by label; a person removes it
    wait: a person turned the pull request into a draft; they publish it
    wait: the work item is assigned to a person; they hand it back
    wait: the work item was not there; the next tick looks again before that counts
    wait: our branch was not there; the next tick looks again before that counts
    wait: the worker was not there; the next tick looks again before that counts
    wait: our branch is at a commit that we did not push; the next tick looks again before that counts
    wait: our reply was not there; the next tick looks again before that counts
    escalate: for too long, the pull request could not be read: timed out
    escalate: a worker is long past its deadline and does not end although it was stopped
    escalate: the executor lost the agent's work too often; last time: disk full
    escalate: the agent ended without changing anything
    escalate: the agent ended without changing anything and says: as designed
    escalate: the agent has a question: which shop?
    escalate: the change was not pushed because it breaks rules: one; two
    escalate: a person pushed to the agent's branch, so the agent stands down
    escalate: the checks have been red for longer than the agent may try (frozen)
    escalate: the same failure came back after a fix (frozen)
    escalate: the fix weakened the tests: 40 tests became 39 (frozen)
    escalate: the check `CI` could not be evaluated
    escalate: a build succeeded only partially
    escalate: a build was cancelled
    escalate: no check has given a verdict for too long
    escalate: Ben voted against the change without saying why
    escalate: nobody has reviewed the pull request for too long
    escalate: the run has used all its turns
    escalate: Azure DevOps cannot merge the pull request, and it is not a conflict
    escalate: agents have worked on this work item for 9 h 0 min, of 8 h 0 min allowed
    escalate: this work item has used 7 tokens, of 5 allowed
    escalate: this work item has cost 61.00 USD, of 60.00 USD allowed
    escalate: 40.00 USD were spent without a change that passes its checks, of 40.00 USD allowed
    escalate: 15 pushes were made, which is as many as are allowed
    escalate: money is limited, and nobody knows what the tokens of this run cost: the operator sets ROUNDSMAN_AGENT_PRICE_INPUT and ROUNDSMAN_AGENT_PRICE_OUTPUT, or every limit in dollars to `none`
    escalate: a limit cut the agent off before it was done; what it had done is in the pull request, a draft, and nobody has checked whether it is whole
    escalate: the model provider has not answered for too long; last time: disk full
    escalate: the agent could not be run: disk full
    escalate: the agent got no answer from its model provider: disk full
    escalate: the agent was rejected by its model provider: disk full
    escalate: the agent ended with an error: disk full
    escalate: the agent went silent and was stopped: disk full
    escalate: the agent took longer than a turn may take and was stopped: disk full
    escalate: the agent wrote more output than is allowed and was stopped: disk full
    escalate: the agent used more than a turn may and was stopped: disk full
    escalate: the agent left an unfinished merge behind: disk full
    escalate: the agent left files that must not be committed: disk full
    escalate: the agent was stopped: disk full
    escalate: the run has used all its implement turns
    escalate: the run has used all its fix-forward turns (frozen)
    escalate: the run has used all its respond turns
    escalate: the run has used all its conflict turns
    escalate: the run has used all its redispatch turns
    escalate: one of its implement turns answered this already, and it is still there
    escalate: one of its fix-forward turns answered this already, and it is still there (frozen)
    escalate: one of its respond turns answered this already, and it is still there
    escalate: one of its conflict turns answered this already, and it is still there
    escalate: one of its redispatch turns answered this already, and it is still there
    "#);
}
