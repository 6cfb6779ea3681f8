//! What people read, as it is rendered. Knows no Azure DevOps: whether it shows it so is a matter for the wire contract.

use super::*;
use crate::{
    decide::{Down, EscalateReason, Pause, WaitReason, budget::Limit},
    domain::{
        AgentFailure, DiffStat, FailedTask, IdentityId, LabelNames, Policy, Stage, Step, TurnEnd, Usage,
    },
    words::{
        marker::Marker,
        samples::{self, at, fixing, head},
    },
};
use proptest::prelude::*;

fn links() -> Links {
    Links {
        pull_request: Some("https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&b=2".into()),
        branch: None,
        build: Some("https://dev.azure.com/o/p/_build/results?buildId=9".into()),
    }
}

#[test]
fn a_fresh_claim() {
    insta::assert_snapshot!(claim_history(&Progress::of(&samples::run(), &Links::default(), ProgressNote::default())), @r"
    <p><b>An agent takes care of this work item.</b></p>
    <ul>
    <li>✓ claimed</li>
    <li>☐ agent at work</li>
    <li>☐ pushed</li>
    <li>☐ pull request</li>
    <li>☐ checks</li>
    <li>☐ review</li>
    <li>☐ done</li>
    </ul>
    <hr>
    <p>roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns none</p>
    ");
}

#[test]
fn a_fix_under_way_with_everything_to_tell() {
    let note = ProgressNote {
        sentence: Some("Check `build` failed on 01234567: attempt 1 of 5.".into()),
        waiting: Some(Waiting { whom: "the agent".into(), until: Some("2026-09-21 15:00 UTC".into()) }),
        needs_person: false,
        open: vec!["Ana <b> rejected it #99".into(), "it is a draft".into()],
        checks: Checks::Failed,
        changed: Some(DiffStat { files: 2, insertions: 10, deletions: 3 }),
        summary: Some("Fixes #99 <script>x</script> @<d291> ##vso[task]".into()),
        checks_claimed: Some(true),
        plan: Some("1. look\n2. change a < b".into()),
        used: Some("7 tokens (+ 3 cached), 0.02 USD, 3 min of agents' work".into()),
        edited_by: Some("Ana <b>".into()),
    };
    insta::assert_snapshot!(progress(&Progress::of(&fixing(), &links(), note)), @r#"
    <p><b>An agent is working on this, turn 2: fix-forward.</b></p>
    <ul>
    <li>✓ claimed</li>
    <li>▸ agent at work (turn 2: fix-forward)</li>
    <li>✓ pushed (01234567)</li>
    <li>✓ <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a></li>
    <li>▸ <a href="https://dev.azure.com/o/p/_build/results?buildId=9">checks (failed)</a></li>
    <li>☐ review</li>
    <li>☐ done</li>
    </ul>
    <p>Check <code>build</code> failed on 01234567: attempt 1 of 5.</p>
    <p>Ana &lt;b&gt; edited this work item after it was approved. The agent goes on with the text as it was approved, and does not read the new one. If the new text shall be worked on, end this run by taking its label off; then a trusted person reads the text and labels the item again.</p>
    <p>Waiting for the agent until 2026-09-21 15:00 UTC.</p>
    <p>What still stands between the pull request and its merge:</p>
    <ul>
    <li>☐ Ana &lt;b&gt; rejected it # 99</li>
    <li>☐ it is a draft</li>
    </ul>
    <p>Measured: branch agent/4711-r12 at 01234567, 2 files, +10 −3.</p>
    <p>Used so far: 7 tokens (+ 3 cached), 0.02 USD, 3 min of agents&#39; work.</p>
    <p>Claimed by the agent, not verified:</p>
    <blockquote>Fixes # 99 &lt;script&gt;x&lt;/script&gt; @ &lt;d291&gt; # #vso[task]<br>The repository's own checks passed at the end of the turn.</blockquote>
    <details><summary>The agent's plan</summary>
    <blockquote>1. look<br>2. change a &lt; b</blockquote></details>
    <hr>
    <p>roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns implement 1, fix-forward 1</p>
    "#);
}

#[test]
fn in_review_and_it_is_a_persons_move() {
    let run = Run { stage: Stage::InReview { since: at(100) }, ..fixing() };
    let note = ProgressNote { needs_person: true, checks: Checks::Passed, ..ProgressNote::default() };
    insta::assert_snapshot!(progress(&Progress::of(&run, &links(), note)), @r##"
    <p><b>The agent&#39;s change is with checks and reviewers.</b></p>
    <ul>
    <li>✓ claimed</li>
    <li>✓ agent at work (2 turns)</li>
    <li>✓ pushed (01234567)</li>
    <li>✓ <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a></li>
    <li>✓ checks (passed)</li>
    <li>▸ review</li>
    <li>☐ done</li>
    </ul>
    <p><a href="#" data-vss-mention="version:2.0,d291b0c4-a05c-4ea6-8df1-4b41d5f39eff">@Requester &amp; Co</a>: it is your move.</p>
    <p>Measured: branch agent/4711-r12 at 01234567.</p>
    <p>To take the change back after the merge, choose Revert on the page of <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a>: it prepares a branch that undoes it, for a pull request into main.</p>
    <hr>
    <p>roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns implement 1, fix-forward 1</p>
    "##);
}

#[test]
fn how_it_is_taken_back_is_told_where_people_merge() {
    let closed = |outcome| Stage::Closed { outcome, at: at(200) };
    let told = |stage: Stage| {
        let run = Run { stage, target: crate::domain::BranchName::new("release/<2>"), ..fixing() };
        let text = progress(&Progress::of(&run, &links(), ProgressNote::default()));
        text.lines().find(|line| line.contains("Revert")).map(str::to_owned)
    };
    assert_eq!(told(fixing().stage), None);
    assert_eq!(told(closed(Outcome::Declined)), None);
    assert_eq!(told(closed(Outcome::Green)), told(Stage::InReview { since: at(100) }));
    insta::assert_snapshot!(told(closed(Outcome::Green)).unwrap(), @r#"
    <p>To take the change back after the merge, choose Revert on the page of <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a>: it prepares a branch that undoes it, for a pull request into release/&lt;2&gt;.</p>
    "#);
    insta::assert_snapshot!(told(closed(Outcome::Merged)).unwrap(), @r#"
    <p>To take the change back, choose Revert on the page of <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a>: it prepares a branch that undoes it, for a pull request into release/&lt;2&gt;.</p>
    "#);
}

#[test]
fn a_list_without_end_is_cut() {
    let open = (1..=25).map(|number| format!("policy {number}")).collect();
    let run = Run { stage: Stage::InReview { since: at(100) }, ..fixing() };
    let text = progress(&Progress::of(&run, &links(), ProgressNote { open, ..ProgressNote::default() }));
    assert!(text.contains("<li>☐ policy 20</li>\n<li>and 5 more</li>\n</ul>"), "{text}");
}

#[test]
fn equal_state_renders_equal_text_whatever_the_clock_says() {
    let mut later = fixing();
    if let Stage::Working { since, step, .. } = &mut later.stage {
        (*since, *step) = (at(4_000), Step::Publish);
    }
    let text = |run: &Run| progress(&Progress::of(run, &links(), ProgressNote::default()));
    assert_eq!(text(&fixing()), text(&later));
}

#[test]
fn only_the_progress_comment_carries_the_marker() {
    let run = fixing();
    let text = progress(&Progress::of(&run, &links(), ProgressNote::default()));
    assert_eq!(Marker::find(&text), Some(Marker::of(&run)), "{text}");
    for outcome in Outcome::ALL {
        assert_eq!(Marker::find(&closed(&run, outcome, &links())), None);
    }
    assert_eq!(
        Marker::find(&escalated(&run, &Escalation::default(), &links(), &LabelNames::default())),
        None
    );
}

#[test]
fn endings() {
    insta::assert_snapshot!(closing_history(&fixing(), Outcome::Merged, &links()), @r#"
    <p>The pull request was merged; this run is done. To take the change back, choose Revert on the page of <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a>: it prepares a branch that undoes it, for a pull request into main.</p>
    "#);
    insta::assert_snapshot!(handed_back(&fixing(), &links()), @r#"
    <p>A person took this work item back; this run is closed. The agent has stopped. What it pushed stays on agent/4711-r12 at 01234567. See <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a>.</p>
    "#);
    let escalation = Escalation {
        reason: "The same check failed again after a fix.".into(),
        tried: vec!["turn 2, fix-forward: pushed 01234567".into()],
        agent_text: Some("Which of #1 and #2?".into()),
        // Who asked for the run is mentioned once, whatever else they are.
        people: fixing().requested_by.into_iter().collect(),
        asks: true,
        ..Escalation::default()
    };
    insta::assert_snapshot!(escalated(&fixing(), &escalation, &links(), &LabelNames::default()), @r##"
    <p><a href="#" data-vss-mention="version:2.0,d291b0c4-a05c-4ea6-8df1-4b41d5f39eff">@Requester &amp; Co</a>: <b>this run needs a person.</b> The same check failed again after a fix.</p>
    <p>The agent says:</p>
    <blockquote>Which of # 1 and # 2?</blockquote>
    <p>What was tried:</p>
    <ul>
    <li>turn 2, fix-forward: pushed 01234567</li>
    </ul>
    <p>Where to look: <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a> · <a href="https://dev.azure.com/o/p/_build/results?buildId=9">the failing build</a> · branch agent/4711-r12 at 01234567 · evidence: the operator's <code>roundsman show 4711-r12</code>.</p>
    <p>To go on with this run: answer with a comment here or in a thread of the pull request, or put the label ready-for-agent on the work item again, or write /agent resume in a comment. What you write here before is read by the next turn. To take it over yourself: remove the label ready-for-human; what was pushed stays.</p>
    <hr>
    <p>roundsman-note 4711-r12 · asks yes · end</p>
    "##);
}

/// Three turns: one lost to the provider, one cut off by a limit, one that failed.
fn tired() -> Run {
    let mut run = fixing();
    let usage = Usage {
        calls: 2,
        input_tokens: 1_000,
        output_tokens: 200,
        cost_micro_usd: Some(1_250_000),
        seconds: 600,
        ..Usage::default()
    };
    let first = run.turns[0].clone();
    run.turns[0].usage = usage;
    run.turns[0].changed = Some(DiffStat { files: 2, insertions: 10, deletions: 3 });
    run.turns[0].fault = Some(AgentFailure::Exhausted);
    run.turns[1].end = Some(TurnEnd::Lost);
    run.turns[1].fault = Some(AgentFailure::Provider);
    run.turns.push(crate::domain::TurnRecord {
        number: crate::domain::TurnNumber(3),
        end: Some(TurnEnd::Failed),
        fault: Some(AgentFailure::Idle),
        usage,
        ..first
    });
    run.before = Usage { seconds: 3_600, ..usage };
    run
}

#[test]
fn a_hand_over_tells_what_was_tried_what_fails_and_what_it_cost() {
    let run = tired();
    let escalation = Escalation {
        reason: "the run has used all its fix-forward turns".into(),
        tried: tried(&run),
        failing: vec![FailedTask {
            name: "Build › Test".into(),
            messages: vec!["error: <b>2 of 7</b> tests failed".into(), "more".into()],
            log: Some(7),
        }],
        used: used(&run, &Policy::default()),
        ..Escalation::default()
    };
    insta::assert_snapshot!(escalated(&run, &escalation, &links(), &LabelNames::default()), @r##"
    <p><a href="#" data-vss-mention="version:2.0,d291b0c4-a05c-4ea6-8df1-4b41d5f39eff">@Requester &amp; Co</a>: <b>this run needs a person.</b> the run has used all its fix-forward turns</p>
    <p>What was tried:</p>
    <ul>
    <li>turn 1, implement: pushed 01234567 (2 files, +10 −3), cut off by a limit; 2 calls, 1000 tokens in (+ 0 cached), 200 out, 1.25 USD</li>
    <li>turn 2, fix-forward: lost, and not counted: the agent got no answer from its model provider</li>
    <li>turn 3, implement: failed: the agent went silent and was stopped; 2 calls, 1000 tokens in (+ 0 cached), 200 out, 1.25 USD</li>
    </ul>
    <p>What fails:</p>
    <ul>
    <li>Build › Test: error: &lt;b&gt;2 of 7&lt;/b&gt; tests failed</li>
    </ul>
    <p>Used so far: 3600 tokens (+ 0 cached), 3.75 USD, 1 h 20 min of agents&#39; work, earlier runs of this work item included.</p>
    <p>Where to look: <a href="https://dev.azure.com/o/p/_git/web/pullrequest/57?a=1&amp;b=2">pull request !57</a> · <a href="https://dev.azure.com/o/p/_build/results?buildId=9">the failing build</a> · branch agent/4711-r12 at 01234567 · evidence: the operator's <code>roundsman show 4711-r12</code>.</p>
    <p>To go on with this run: put the label ready-for-agent on the work item again, or write /agent resume in a comment. What you write here before is read by the next turn. To take it over yourself: remove the label ready-for-human; what was pushed stays.</p>
    <hr>
    <p>roundsman-note 4711-r12 · asks no · end</p>
    "##);
}

#[test]
fn html_of_ours_shows_no_backticks() {
    let reasons = [
        EscalateReason::CheckBroken { name: "CI".into() },
        EscalateReason::NoBuildAgent { pipeline: "CI".into() },
        EscalateReason::BudgetExceeded(Limit::UnknownPrice),
        EscalateReason::Refused { rules: vec!["`ci.yml` is protected".into()] },
    ];
    for reason in reasons {
        let reason = reason.to_string();
        assert!(reason.contains('`'), "a log shows it so: {reason}");
        let asks = Escalation { reason: reason.clone(), ..Escalation::default() };
        let told = escalated(&fixing(), &asks, &links(), &LabelNames::default());
        let note = ProgressNote { sentence: Some(reason), ..ProgressNote::default() };
        let stands = progress(&Progress::of(&fixing(), &links(), note));
        for html in [told, stands] {
            assert!(!html.contains('`') && html.contains("<code>"), "{html}");
        }
    }
    for evidence in [Evidence::WithOperator, Evidence::NotAttached] {
        assert!(!evidence.told(&fixing()).contains('`'));
    }
}

#[test]
fn whose_move_it_is() {
    let waits = [
        WaitReason::StepRunning { since: at(0) },
        WaitReason::BackingOff { until: at(60) },
        WaitReason::ChecksRunning,
        WaitReason::AwaitingReview { open: vec!["two reviewers".into()], optional: Vec::new() },
        WaitReason::AwaitingReview { open: Vec::new(), optional: Vec::new() },
        WaitReason::Paused(Pause::Label),
        WaitReason::Paused(Pause::Draft),
        WaitReason::Paused(Pause::Assigned),
        WaitReason::TargetRed,
        WaitReason::AwaitingApproval,
        WaitReason::BuildStopped { by: "Ana".into() },
        WaitReason::Outage { what: Down::Provider, until: at(600) },
        WaitReason::DaySpent { until: at(6_000) },
        WaitReason::SpendingUnknown { why: "the query was not answered".into() },
    ];
    let rows =
        waits.iter().filter_map(|reason| waiting(reason, Some("Ana"), &Policy::default())).map(|waiting| {
            let until = waiting.until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("{}{until}", waiting.whom)
        });
    insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r"
    the agent until 2026-09-21 14:58 UTC
    the next try until 2026-09-21 14:14 UTC
    the checks
    people: two reviewers
    a reviewer
    a person, who takes the label agent-paused off
    a person, who publishes the draft
    Ana, to whom the work item is assigned
    whoever mends the target branch
    a person, who approves the pipeline's stage
    Ana, who cancelled a build
    the model provider to answer again until 2026-09-21 14:23 UTC
    the next day until 2026-09-21 15:53 UTC
    the operator, unless what all runs have used can be read again at the next visit
    ");
    assert_eq!(waiting(&WaitReason::Cold, None, &Policy::default()), None);
}

#[test]
fn answers_to_reviewers() {
    insta::assert_snapshot!(reply_to_thread("Done, see !4.\n\n<b>@requester</b>", &head()), @r"
    Commit 01234567 answers this. The agent writes:

    > Done, see ! 4.
    >
    > &lt;b>@ requester&lt;/b>
    ");
    insta::assert_snapshot!(reply_to_thread(" \u{200b}", &head()), @"Commit 01234567 was made with this thread in view, but the agent left no answer of its own. Please check whether it settles the point.");
    insta::assert_snapshot!(reply_to_suggestion("And its test.", &head()), @r#"
    Your suggestion is commit 01234567, to the letter. The agent writes:

    > And its test.
    "#);
    insta::assert_snapshot!(reply_to_suggestion("", &head()), @"Your suggestion is commit 01234567, to the letter.");
    insta::assert_snapshot!(nothing_changed_reply("It is right as it is."), @r"
    No change was made for this. The agent writes:

    > It is right as it is.
    ");
    insta::assert_snapshot!(nothing_changed_reply(""), @"No change was made for this, and the agent left no reason. Please say what should be different, or settle the thread.");
    let requester = samples::run().requested_by.unwrap();
    let group = Identity { id: IdentityId::new("Reviewers"), name: "The @<x> team".into() };
    insta::assert_snapshot!(reminder(&[requester, group]), @"@<d291b0c4-a05c-4ea6-8df1-4b41d5f39eff>, The @ &lt;x> team: this pull request waits for a review. This is the only reminder.");
    assert!(reply_to_thread(&"x".repeat(100_000), &head()).len() < MAX_AGENT_TEXT + 200);
}

#[test]
fn only_web_addresses_become_links() {
    assert_eq!(anchor("javascript:alert(1)", "x"), "x");
    assert_eq!(
        anchor("https://x.example/\"><b>", "x"),
        "<a href=\"https://x.example/&quot;&gt;&lt;b&gt;\">x</a>"
    );
}

proptest! {
    #[test]
    fn no_foreign_text_adds_a_tag_a_mention_or_a_marker(
        text in "(<|>|&|\"|'|`|\n|@|·|#1|x| |roundsman 1-r1 |</p>|<!--|data-vss-mention){0,30}",
    ) {
        let mut run = fixing();
        run.requested_by = Some(Identity { id: IdentityId::new(&text), name: text.clone() });
        let note = ProgressNote {
            sentence: Some(text.clone()),
            waiting: Some(Waiting { whom: text.clone(), until: Some(text.clone()) }),
            needs_person: true,
            open: vec![text.clone()],
            summary: Some(text.clone()),
            plan: Some(text.clone()),
            ..ProgressNote::default()
        };
        let escalation =
            Escalation {
                reason: text.clone(),
                tried: vec![text.clone()],
                agent_text: Some(text.clone()),
                failing: vec![FailedTask { name: text.clone(), messages: vec![text.clone()], log: None }],
                used: None,
                evidence: Evidence::Attached(text.clone()),
                people: Vec::new(),
                asks: false,
                first: None,
            };
        let links = Links { pull_request: Some(format!("https://x.example/{text}")), ..Links::default() };
        let texts = [
            (progress(&Progress::of(&run, &links, note)), Some(Marker::of(&run))),
            (escalated(&run, &escalation, &links, &LabelNames::default()), None),
        ];
        for (rendered, marker) in texts {
            prop_assert_eq!(Marker::find(&rendered), marker);
            prop_assert!(!rendered.contains("data-vss-mention="));
            for tag in rendered.split('<').skip(1) {
                let name = tag.trim_start_matches('/').split(['>', ' ']).next().unwrap();
                prop_assert!(["p", "b", "ul", "li", "a", "br", "hr", "code", "blockquote", "details", "summary"].contains(&name), "{}", tag);
            }
        }
    }
}
