//! What tests are given: a run and a look at it, told by small enums. `Given::default()` is a run in review whose
//! checks are green, with time left and nobody in the way.

mod axes;
mod voice;

pub(super) use axes::{
    Age, At, Branch, Ck, Fact, Hole, Item, On, Past, Pr, Rules, Spend, Successor, Talk, Voice, Work,
};

use super::{
    Checks, Down, FleetFacts, Gap, ItemSeen, Observation, Outage, Seen, Source, TestsSeen, deadline::later,
    verdict::signature,
};
use crate::domain::{
    AgentFailure, AgentResult, Awaiting, Brake, BranchName, Budget, Build, BuildId, BuildState, Claim,
    CloseOn, Comment, CommentId, CommitId, DiffStat, Doubts, ExecutorId, FailedTask, FailedTest, FetchResult,
    Identity, IdentityId, Judged, Labels, MergeState, Outcome, OwnWord, Parked, Policy, PolicyEvaluation,
    PolicyKind, PolicyStatus, PublishResult, PullRequest, PullRequestId, PullRequestStatus, Pushed,
    Repository, Reviewer, Revision, Run, RunId, Said, Stage, Step, StepResult, Stuck, TestTotals, Thread,
    ThreadId, ThreadStatus, Trigger, Turn, TurnEnd, TurnKind, TurnNumber, TurnRecord, Usage, Vote, WorkItem,
    WorkItemId, Worker, WorkerState,
    budget::{DAY_COST, ITEM_COST, ITEM_TIME, ITEM_TOKENS, UNACCEPTED_COST},
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// One case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) at: At,
    pub(super) work: Work,
    pub(super) pr: Pr,
    pub(super) branch: Branch,
    pub(super) checks: Ck,
    pub(super) talk: Talk,
    pub(super) item: Item,
    pub(super) brake: Brake,
    pub(super) past: Past,
    pub(super) age: Age,
    pub(super) fact: Fact,
    pub(super) rules: Rules,
    /// What people said to us.
    pub(super) voice: Voice,
    pub(super) spend: Spend,
    pub(super) successor: Successor,
    /// Whether an earlier look already missed what is missing now.
    pub(super) second_look: bool,
    /// Bits by position in `Source::ALL`.
    pub(super) holes: u8,
    pub(super) hole: Hole,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            at: At::InReview,
            work: Work::None,
            pr: Pr::Current,
            branch: Branch::Ours,
            checks: Ck::Passing,
            talk: Talk::Silent,
            item: Item::Here,
            brake: Brake::Off,
            past: Past::Few,
            age: Age::Seconds,
            fact: Fact::None,
            rules: Rules::Default,
            voice: Voice::Silent,
            spend: Spend::Little,
            successor: Successor::NotAsked,
            second_look: false,
            holes: 0,
            hole: Hole::Unknown,
        }
    }
}

/// A case, built.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) run: Run,
    pub(super) seen: Observation,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_768_000_000).unwrap()
}

pub(super) fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

/// What we pushed.
pub(super) fn head() -> CommitId {
    commit('a')
}

pub(super) fn who(name: &str) -> Identity {
    Identity { id: IdentityId::new(name), name: name.to_owned() }
}

pub(super) fn reviewer(name: &str, vote: Vote) -> Reviewer {
    Reviewer { who: who(name), vote, is_required: false }
}

pub(super) const ID: RunId = RunId { item: WorkItemId(4711), revision: Revision(12) };
const AWAITING: Awaiting = Awaiting::of(ThreadId(3), CommentId(1));

pub(super) fn failed_tasks(infrastructure: bool) -> Vec<FailedTask> {
    let message = if infrastructure {
        "##[error]We stopped hearing from agent Hosted 7. Verify the agent machine."
    } else {
        "error CS1002: ; expected (src/shop.cs:17)"
    };
    vec![FailedTask { name: "Build › Compile".into(), messages: vec![message.into()], log: Some(7) }]
}

pub(super) fn failed_test() -> FailedTest {
    FailedTest { name: "Shop.Tests.Basket".into(), message: "expected 1".into(), stack: String::new() }
}

fn failing_signature() -> String {
    signature(&["CI".into()], &failed_tasks(false), &[failed_test()])
}

fn totals(executed: u32) -> TestTotals {
    TestTotals { executed, ..TestTotals::default() }
}

fn red_trigger(head: CommitId) -> Trigger {
    Trigger::FailingChecks { head, signature: failing_signature(), builds: vec![BuildId(638)] }
}

fn threads_trigger() -> Trigger {
    Trigger::Threads { head: head(), awaiting: vec![AWAITING] }
}

fn trigger(on: On) -> Trigger {
    match on {
        On::Item => Trigger::WorkItem { revision: ID.revision },
        On::Red => red_trigger(head()),
        On::Threads => threads_trigger(),
        On::Conflict => Trigger::Conflict { head: head() },
        On::Answer => Trigger::Answer { words: vec![CommentId(5)] },
    }
}

pub(super) fn repository() -> Repository {
    Repository {
        id: "r".into(),
        name: "shop".into(),
        project_id: "p".into(),
        project: "Web".into(),
        clone_url: "https://dev.azure.com/o/Web/_git/shop".into(),
        default_branch: Some(BranchName::new("main")),
    }
}

impl Given {
    fn since(&self) -> Timestamp {
        let age = i64::try_from(self.age.duration().as_secs()).unwrap();
        Timestamp::from_second(now().as_second() - age).unwrap()
    }

    fn has_pushed(&self) -> bool {
        match self.at {
            At::Claimed | At::EscalatedEarly | At::Working(On::Item, ..) => false,
            At::Working(On::Red | On::Threads | On::Conflict | On::Answer, ..)
            | At::Pushed
            | At::InReview
            | At::Escalated
            | At::Closed => true,
        }
    }

    pub(super) fn world(&self) -> World {
        let policy = Policy {
            brake: self.brake,
            trusted: [IdentityId::new("ana"), IdentityId::new("eva")].into(),
            pause_when_assigned: true,
            close_on: if self.rules == Rules::Green { CloseOn::Green } else { CloseOn::Merged },
            open_as_draft: self.rules == Rules::DraftAndAuto,
            auto_complete: self.rules == Rules::DraftAndAuto,
            drill: (self.rules == Rules::Drill).then(|| "web/shop".into()),
            ..Policy::default()
        };
        let policy = match self.spend {
            Spend::Pushes => Policy { budget: Budget { pushes: 0, ..Budget::default() }, ..policy },
            Spend::Unpriced => {
                Policy { budget: Budget { chooses_money: true, ..Budget::default() }, ..policy }
            }
            Spend::Little
            | Spend::Time
            | Spend::Tokens
            | Spend::Cost
            | Spend::Unaccepted
            | Spend::Day
            | Spend::Down
            | Spend::Unread
            | Spend::DownForOthers => policy,
        };
        let mut run = self.run();
        run.before = self.before();
        run.out_of_budget = matches!(run.stage, Stage::Escalated { .. }) && self.spend != Spend::Little;
        if self.spend == Spend::Unaccepted
            && let Some(first) = run.turns.first_mut()
        {
            let usage = Usage { input_tokens: 1, cost_micro_usd: Some(UNACCEPTED_COST), ..Usage::default() };
            first.usage = usage;
        }
        World { seen: self.seen(&run), run, policy, now: now() }
    }

    /// What earlier runs of the item used up.
    fn before(&self) -> Usage {
        let tokens = |input_tokens: u64, cost: Option<u64>| Usage {
            input_tokens,
            cost_micro_usd: cost,
            ..Usage::default()
        };
        match self.spend {
            Spend::Time => Usage { seconds: ITEM_TIME.as_secs(), ..Usage::default() },
            Spend::Tokens => tokens(ITEM_TOKENS, Some(1)),
            Spend::Cost => tokens(1, Some(ITEM_COST)),
            Spend::Unpriced => tokens(1, None),
            Spend::Little
            | Spend::Unaccepted
            | Spend::Pushes
            | Spend::Day
            | Spend::Down
            | Spend::Unread
            | Spend::DownForOthers => Usage::default(),
        }
    }

    fn fleet(&self) -> FleetFacts {
        let day_ends = Some(later(now(), Duration::from_hours(1)));
        let outage = |until: Timestamp, order: Vec<RunId>| FleetFacts {
            outage: Some(Outage { what: Down::Provider, until, trying: None, order }),
            day_ends,
            ..FleetFacts::default()
        };
        let other = RunId { item: WorkItemId(1), revision: Revision(1) };
        match self.spend {
            Spend::Day => FleetFacts { day_cost: DAY_COST, day_ends, ..FleetFacts::default() },
            Spend::Unread => FleetFacts::unknown("the query was not answered"),
            Spend::Down => outage(later(now(), Duration::from_mins(10)), vec![ID]),
            Spend::DownForOthers => outage(now(), vec![other, ID]),
            Spend::Little
            | Spend::Time
            | Spend::Tokens
            | Spend::Cost
            | Spend::Unaccepted
            | Spend::Unpriced
            | Spend::Pushes => FleetFacts { day_ends, ..FleetFacts::default() },
        }
    }

    fn run(&self) -> Run {
        let since = self.since();
        let mut turns: Vec<TurnRecord> = Vec::new();
        let mut note = |kind: TurnKind, trigger: Trigger, end: Option<TurnEnd>| {
            let number = TurnNumber(u16::try_from(turns.len()).unwrap() + 1);
            turns.push(TurnRecord { end, ..TurnRecord::reserved(number, kind, trigger.key(), since) });
            number
        };
        let has_pushed = self.has_pushed();
        let lost = Some(TurnEnd::Lost);
        if has_pushed {
            note(TurnKind::Implement, trigger(On::Item), Some(TurnEnd::Pushed { head: head() }));
        }
        let older = |digit: char| Some(TurnEnd::Pushed { head: commit(digit) });
        match self.past {
            Past::Few => {}
            Past::Spent => {
                for digit in ['1', '2', '3', '4', '5'] {
                    let red = Trigger::FailingChecks {
                        head: commit(digit),
                        signature: digit.to_string(),
                        builds: Vec::new(),
                    };
                    note(TurnKind::FixForward, red, older(digit));
                    let word = Awaiting::of(ThreadId(90), CommentId(u32::from(digit)));
                    let words = Trigger::Threads { head: commit(digit), awaiting: vec![word] };
                    note(TurnKind::Respond, words, Some(TurnEnd::Answered));
                }
                for digit in ['6', '7'] {
                    note(TurnKind::Conflict, Trigger::Conflict { head: commit(digit) }, older(digit));
                }
                note(TurnKind::Redispatch, trigger(On::Item), Some(TurnEnd::Failed));
                for _ in 0..3 {
                    note(TurnKind::Implement, trigger(On::Item), lost.clone());
                }
            }
            Past::TurnsGone => {
                for _ in 0..17 {
                    note(
                        TurnKind::Implement,
                        Trigger::Conflict { head: commit('8') },
                        Some(TurnEnd::Answered),
                    );
                }
                for _ in 0..2 {
                    note(TurnKind::Implement, Trigger::Conflict { head: commit('8') }, lost.clone());
                }
            }
            Past::Answered => {
                for on in On::ALL {
                    note(trigger(on).kind(), trigger(on), Some(TurnEnd::Answered));
                }
            }
            Past::Unanswered => {
                for _ in 0..4 {
                    note(TurnKind::Implement, trigger(On::Item), lost.clone());
                }
            }
            Past::Cut => {}
            Past::SameTwice => {
                for digit in ['1', '2'] {
                    note(TurnKind::FixForward, red_trigger(commit(digit)), older(digit));
                }
            }
        }
        for turn in &mut turns {
            if self.past == Past::Unanswered && turn.end == lost {
                (turn.fault, turn.ended_at) = (Some(AgentFailure::Provider), Some(since));
            }
            if self.past == Past::Cut && turn.number == TurnNumber::FIRST {
                turn.fault = Some(AgentFailure::Exhausted);
            }
        }
        let mut note = |kind: TurnKind, trigger: Trigger, end: Option<TurnEnd>| {
            let number = TurnNumber(u16::try_from(turns.len()).unwrap() + 1);
            turns.push(TurnRecord { end, ..TurnRecord::reserved(number, kind, trigger.key(), since) });
            number
        };
        if self.fact == Fact::Weakened {
            let red = Trigger::FailingChecks { head: commit('3'), signature: "3".into(), builds: Vec::new() };
            note(TurnKind::FixForward, red, Some(TurnEnd::Pushed { head: head() }));
        }
        let stage = match self.at {
            At::Claimed => Stage::Claimed,
            At::Working(on, step, started) => {
                let number = note(trigger(on).kind(), trigger(on), None);
                let base = has_pushed.then(head);
                let turn =
                    Turn { number, kind: trigger(on).kind(), trigger: trigger(on), base, work_of: None };
                Stage::Working { turn, step, since, started }
            }
            At::Pushed => Stage::Pushed { since },
            At::InReview => Stage::InReview { since },
            At::EscalatedEarly | At::Escalated => Stage::Escalated { reason: "asked".into(), since },
            At::Closed => Stage::Closed { outcome: Outcome::Merged, at: since },
        };
        let has_pull_request = has_pushed && self.at != At::Pushed;
        let doubt = self.second_look.then_some(since);
        let has_red = matches!(self.checks, Ck::Failing | Ck::Infrastructure);
        let claim = Claim {
            id: ID,
            executor: ExecutorId("here".into()),
            nonce: "n".into(),
            repository: repository(),
            target: BranchName::new("main"),
            kind: "Bug".into(),
            title: "t".into(),
            requested_by: Some(who("ana")),
            claimed_at: since,
        };
        Run {
            stage,
            turns,
            pushed: has_pushed.then(|| Pushed { head: head(), at: since }),
            pull_request: has_pull_request.then_some(PullRequestId(57)),
            red_since: has_red.then_some(since),
            doubts: Doubts {
                item_gone_since: doubt,
                branch_gone_since: doubt,
                worker_gone_since: doubt,
                foreign_head_since: doubt,
                gap_since: doubt,
                pending_since: doubt,
                unheard_since: (self.fact == Fact::Unheard).then_some(since),
                stuck: (self.fact == Fact::Stuck).then(|| Stuck {
                    since,
                    why: "the text could not be read".into(),
                    may_heal: false,
                }),
            },
            judged: (self.fact == Fact::Weakened)
                .then(|| Judged { head: commit('3'), totals: Some(totals(40)) }),
            parked: matches!(self.fact, Fact::TargetMended | Fact::TargetRed).then(|| Parked {
                signature: failing_signature(),
                since,
                released: (self.fact == Fact::TargetMended).then_some(since),
            }),
            procedures: if self.past == Past::Spent { spent_procedures() } else { BTreeSet::new() },
            ..Run::claimed(claim)
        }
    }

    fn seen(&self, run: &Run) -> Observation {
        let known = |fact: Fact| self.fact == fact;
        Observation {
            me: IdentityId::new("bot"),
            item: self.part(0, Source::Item, Seen::Known(self.item())),
            workers: self.part(1, Source::Workers, Seen::Known(self.workers(run))),
            branch: self.part(2, Source::Branch, Seen::Known(self.branch())),
            pull_request: self.part(3, Source::PullRequest, Seen::Known(self.pull_request())),
            checks: self.part(4, Source::Checks, self.checks()),
            threads: self.part(5, Source::Threads, self.threads()),
            target_failures: match self.fact {
                Fact::TargetRed => Seen::Known([failing_signature()].into()),
                Fact::TargetUnknown => Seen::Unknown(Gap { source: Source::Checks, why: "timed out".into() }),
                Fact::None
                | Fact::TargetMended
                | Fact::Flake
                | Fact::Weakened
                | Fact::Unheard
                | Fact::Stuck => Seen::Known(BTreeSet::new()),
            },
            known_flakes: Seen::Known(if known(Fact::Flake) {
                [failed_test().name].into()
            } else {
                BTreeSet::new()
            }),
            tests: Seen::Known(TestsSeen {
                totals: known(Fact::Weakened).then(|| totals(39)),
                ..TestsSeen::default()
            }),
            said: self.part(5, Source::Threads, self.said()),
            unsure: false,
            replaced: match self.successor {
                Successor::NotAsked => Seen::NotAsked,
                Successor::None => Seen::Known(false),
                Successor::There => Seen::Known(true),
                Successor::Unknown => Seen::Unknown(Gap { source: Source::Item, why: "timed out".into() }),
            },
            branch_by: self.part(2, Source::Branch, Seen::Known(self.branch_by())),
            discussion: self.discussion(),
            commands: self.commands(),
            labelled: self.labelled(),
            text_changes: self.text_changes(),
            fleet: self.fleet(),
        }
    }

    fn part<T>(&self, bit: u8, source: Source, value: Seen<T>) -> Seen<T> {
        match (self.holes & (1 << bit) != 0, self.hole) {
            (false, _) => value,
            (true, Hole::Unknown) => Seen::Unknown(Gap { source, why: "timed out".into() }),
            (true, Hole::NotAsked) => Seen::NotAsked,
        }
    }

    fn item(&self) -> ItemSeen {
        let is_escalated = matches!(self.at, At::Escalated | At::EscalatedEarly);
        let held = if is_escalated { "ready-for-human" } else { "agent-in-progress" };
        let labels: &[&str] = match self.item {
            Item::Gone => return ItemSeen::Gone,
            Item::Here | Item::Over | Item::StopAsked | Item::Assigned | Item::Stale => &[held],
            Item::LabelGone => &["Customer-X"],
            Item::StopLabel => &[held, "agent-stop"],
            Item::Paused => &[held, "agent-paused"],
            Item::Asked => &["ready-for-human"],
            Item::AskedAndReady => &["ready-for-human", "ready-for-agent"],
            Item::Claimed => &["agent-in-progress"],
        };
        let item = WorkItem {
            id: ID.item,
            revision: if self.item == Item::Stale { ID.revision } else { Revision(13) },
            project: "Web".into(),
            kind: "Bug".into(),
            title: "t".into(),
            state: "Active".into(),
            labels: Labels::new(labels.iter().copied()),
            area: "Web".into(),
            assigned_to: (self.item == Item::Assigned).then(|| who("ana")),
            priority: None,
            changed_at: self.since(),
            changed_by: None,
            is_described: Some(true),
            links: Vec::new(),
        };
        ItemSeen::Here {
            item: Box::new(item),
            is_over: self.item == Item::Over,
            stop_asked: self.item == Item::StopAsked,
        }
    }

    fn workers(&self, run: &Run) -> Vec<Worker> {
        let (turn, step) = match run.current_turn() {
            Some((turn, step)) => (turn.clone(), step),
            None => {
                let kind = TurnKind::Implement;
                (
                    Turn {
                        number: TurnNumber(1),
                        kind,
                        trigger: trigger(On::Item),
                        base: None,
                        work_of: None,
                    },
                    Step::Publish,
                )
            }
        };
        let replies = vec![AWAITING.thread];
        let detail = || "it broke".to_owned();
        let changed = DiffStat { files: 1, insertions: 1, deletions: 0 };
        let worked = |changed, replies| {
            let (summary, checks_passed, cut) = ("did it".into(), None, None);
            AgentResult::Worked {
                summary,
                checks_passed,
                changed,
                replies,
                plan: None,
                red_before: Vec::new(),
                review: None,
                cut,
            }
        };
        let fetch = |result| WorkerState::Finished(StepResult::Fetch(result));
        let agent = |result| WorkerState::Finished(StepResult::Agent { result, usage: Usage::default() });
        let publish = |result| WorkerState::Finished(StepResult::Publish(result));
        let state = match self.work {
            Work::None => return Vec::new(),
            Work::Created => WorkerState::Created,
            Work::Running => WorkerState::Running { since: self.since() },
            Work::Crashed => WorkerState::Crashed { hint: "exit 137".into() },
            Work::FetchReady => fetch(FetchResult::Ready { base: commit('0'), target: commit('0') }),
            Work::FetchGone => fetch(FetchResult::Moved { found: None }),
            Work::FetchMoved => fetch(FetchResult::Moved { found: Some(commit('f')) }),
            Work::FetchFailed => fetch(FetchResult::Failed { detail: detail() }),
            Work::Worked => agent(worked(changed, replies)),
            Work::Empty => agent(worked(DiffStat::default(), Vec::new())),
            Work::Replied => agent(AgentResult::NothingChanged { answer: "as designed".into(), replies }),
            Work::Nothing => {
                agent(AgentResult::NothingChanged { answer: "as designed".into(), replies: Vec::new() })
            }
            Work::Question => agent(AgentResult::Question { question: "which shop?".into() }),
            Work::Failed(class) => agent(AgentResult::Failed { class, detail: detail() }),
            Work::Pushed => publish(PublishResult::Pushed { head: commit('b'), changed, doubts: Vec::new() }),
            Work::Refused => publish(PublishResult::Refused { rules: vec!["`ci.yml` is protected".into()] }),
            Work::Diverged => publish(PublishResult::Diverged { found: Some(commit('f')) }),
            Work::PublishFailed => publish(PublishResult::Failed { detail: detail() }),
        };
        vec![Worker { turn, step, state }]
    }

    fn branch_by(&self) -> Option<IdentityId> {
        match self.branch {
            Branch::Ours => Some(IdentityId::new("bot")),
            Branch::Gone => None,
            Branch::Foreign => Some(IdentityId::new("eva")),
        }
    }

    fn branch(&self) -> Option<CommitId> {
        match self.branch {
            Branch::Ours => self.has_pushed().then(head),
            Branch::Gone => None,
            Branch::Foreign => Some(commit('f')),
        }
    }

    fn pull_request(&self) -> Option<PullRequest> {
        let mut pr = PullRequest {
            id: PullRequestId(57),
            repository_id: "r".into(),
            status: PullRequestStatus::Active,
            source: BranchName::of_run(ID),
            target: BranchName::new("main"),
            head: Some(head()),
            merge: MergeState::Clean,
            merge_commit: None,
            is_draft: false,
            created_by: who("bot"),
            reviewers: Vec::new(),
            auto_complete_by: None,
            title: "t".into(),
        };
        match self.pr {
            Pr::None => return None,
            Pr::Current if self.talk == Talk::Opposed => {
                pr.reviewers = vec![reviewer("ana", Vote::Rejected), reviewer("eva", Vote::Approved)];
            }
            Pr::Current => {}
            Pr::Stale => pr.head = Some(commit('9')),
            Pr::Conflicts => pr.merge = MergeState::Conflicts,
            Pr::MergeFailed => pr.merge = MergeState::Failed,
            Pr::Draft => pr.is_draft = true,
            Pr::MergesAtOnce => pr.auto_complete_by = Some(IdentityId::new("ben")),
            Pr::MergesAtOnceInConflict => {
                pr.auto_complete_by = Some(IdentityId::new("ben"));
                pr.merge = MergeState::Conflicts;
            }
            Pr::VotedDown => pr.reviewers = vec![reviewer("ben", Vote::Rejected)],
            Pr::Completed => pr.status = PullRequestStatus::Completed,
            Pr::Abandoned => pr.status = PullRequestStatus::Abandoned,
            Pr::Other => pr.status = PullRequestStatus::Other,
        }
        Some(pr)
    }

    fn checks(&self) -> Seen<Checks> {
        let with = |evaluations: Vec<PolicyEvaluation>| Checks {
            evaluations,
            is_validated: true,
            ..Checks::default()
        };
        let branch = |state: BuildState| Checks { builds: vec![build(638, state)], ..Checks::default() };
        let people = |kind: PolicyKind, status: PolicyStatus| PolicyEvaluation {
            kind,
            build: None,
            name: "two reviewers".into(),
            id: "people".into(),
            ..evaluation(status)
        };
        Seen::Known(match self.checks {
            Ck::NotAsked => return Seen::NotAsked,
            Ck::Nothing => Checks::default(),
            Ck::NothingYet => with(Vec::new()),
            Ck::Pending => with(vec![evaluation(PolicyStatus::Running)]),
            Ck::Failing | Ck::Infrastructure => Checks {
                failed_tasks: failed_tasks(self.checks == Ck::Infrastructure),
                failed_tests: if self.checks == Ck::Failing { vec![failed_test()] } else { Vec::new() },
                ..with(vec![evaluation(PolicyStatus::Rejected)])
            },
            Ck::Broken => with(vec![evaluation(PolicyStatus::Broken)]),
            Ck::Canceled => branch(BuildState::Canceled),
            Ck::Stopped => {
                let stopped = Build { canceled_by: Some(who("ana")), ..build(638, BuildState::Canceled) };
                Checks { builds: vec![stopped], ..Checks::default() }
            }
            Ck::Partial => branch(BuildState::PartiallySucceeded),
            Ck::Passing => with(vec![evaluation(PolicyStatus::Approved)]),
            Ck::PeopleOpen => with(vec![
                evaluation(PolicyStatus::Approved),
                people(PolicyKind::MinimumReviewers, PolicyStatus::Queued),
            ]),
            Ck::Expired => {
                with(vec![PolicyEvaluation { is_expired: true, ..evaluation(PolicyStatus::Approved) }])
            }
            Ck::LinkMissing => with(vec![
                evaluation(PolicyStatus::Approved),
                people(PolicyKind::WorkItemLink, PolicyStatus::Rejected),
            ]),
            Ck::NeverStarted => {
                with(vec![PolicyEvaluation { build: None, ..evaluation(PolicyStatus::Queued) }])
            }
            Ck::NoAgent => Checks {
                builds: vec![build(638, BuildState::Queued)],
                ..with(vec![evaluation(PolicyStatus::Queued)])
            },
            Ck::OptionalRed => with(vec![
                evaluation(PolicyStatus::Approved),
                PolicyEvaluation {
                    id: "lint".into(),
                    name: "lint".into(),
                    gates: false,
                    build: Some(BuildId(639)),
                    ..evaluation(PolicyStatus::Rejected)
                },
            ]),
            Ck::Approval => Checks {
                builds: vec![build(638, BuildState::AwaitingApproval)],
                ..with(vec![evaluation(PolicyStatus::Running)])
            },
        })
    }

    fn said(&self) -> Seen<Vec<OwnWord>> {
        Seen::Known(match self.talk {
            Talk::NotAsked => return Seen::NotAsked,
            Talk::Silent | Talk::Awaiting | Talk::StillWriting => Vec::new(),
            Talk::Answered | Talk::Opposed => vec![own_word(2)],
            Talk::Twice => vec![own_word(2), own_word(3)],
        })
    }

    fn threads(&self) -> Seen<Vec<Thread>> {
        let said = |id: u32, name: &str, at: Timestamp| Comment {
            id: CommentId(id),
            author: who(name),
            text: "why?".into(),
            changed_at: at,
        };
        let an_hour_ago = Timestamp::from_second(now().as_second() - 3600).unwrap();
        let asked = said(1, "ana", an_hour_ago);
        let ana = [Voice::AnswerInReview, Voice::ReviewBeforeQuestion, Voice::ReviewAfterNoQuestion];
        let in_review = if ana.contains(&self.voice) {
            Some("ana")
        } else {
            (self.voice == Voice::StrangersReview).then_some("mallory")
        };
        if let Some(by) = in_review {
            let comments = vec![said(1, by, an_hour_ago)];
            let thread = Thread { id: AWAITING.thread, status: ThreadStatus::Active, place: None, comments };
            return Seen::Known(vec![thread]);
        }
        let comments = match self.talk {
            Talk::NotAsked => return Seen::NotAsked,
            Talk::Silent => return Seen::Known(Vec::new()),
            Talk::Awaiting => vec![asked],
            Talk::StillWriting => vec![said(1, "ana", now())],
            Talk::Answered => vec![asked, said(2, "bot", now())],
            Talk::Twice => vec![asked, said(2, "bot", now()), said(3, "bot", now())],
            Talk::Opposed => {
                vec![said(1, "eva", an_hour_ago), said(2, "bot", now()), said(3, "ana", an_hour_ago)]
            }
        };
        Seen::Known(vec![Thread { id: AWAITING.thread, status: ThreadStatus::Active, place: None, comments }])
    }
}

fn own_word(comment: u32) -> OwnWord {
    let said = Said::Answer { to: CommentId(1), changed: true, as_of: None };
    OwnWord { thread: AWAITING.thread, comment: CommentId(comment), said }
}

fn spent_procedures() -> BTreeSet<String> {
    let short = head().short().to_owned();
    [format!("retry:638@{short}"), format!("requeue:ci@{short}"), format!("link@{short}")].into()
}

/// Build validation on our head.
pub(super) fn evaluation(status: PolicyStatus) -> PolicyEvaluation {
    PolicyEvaluation {
        id: "ci".into(),
        kind: PolicyKind::Build,
        name: "CI".into(),
        status,
        gates: true,
        build: Some(BuildId(638)),
        is_expired: false,
        head: Some(head()),
    }
}

/// A build of our branch at our head.
pub(super) fn build(id: u32, state: BuildState) -> Build {
    Build {
        id: BuildId(id),
        pipeline: "CI".into(),
        pipeline_id: 42,
        state,
        source_ref: BranchName::of_run(ID).full(),
        source_commit: Some(head()),
        validation_errors: Vec::new(),
        canceled_by: None,
        url: "https://example.org".into(),
    }
}

/// `world` as people find it after we handed the item to them.
pub(super) fn handed_over(seen: &Observation) -> Observation {
    let mut seen = seen.clone();
    if let Seen::Known(ItemSeen::Here { item, .. }) = &mut seen.item {
        item.labels = item.labels.changed(&["ready-for-human"], &["agent-in-progress"]);
    }
    seen
}

/// A moment so late that every deadline is over.
pub(super) fn years_later(at: Timestamp) -> Timestamp {
    later(at, Duration::from_hours(175_680))
}
