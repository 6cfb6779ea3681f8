//! Agents that want out. A program plays the agent and tries what could be tried; each attempt must have been made, and
//! must have failed. What only the publish step can refuse is left as bundles; what uses up a machine runs last, in
//! containers of its own with small limits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::{
    bench::DockerBench,
    cage::{
        Tap, Watch, cage, client, commit, datagrams, evidence, gate_of, gated, gateway, host_addresses,
        image_has, leaks, play, second, secrets, server, shell, step, told_to,
    },
};
use crate::{
    runtime::suite::{Bench, MODEL_KEY, TURN, fetch, handover},
    worker::run_id,
    world::World,
};
use roundsman::{
    domain::{
        AgentFailure, AgentResult, CommitId, FetchResult, PublishResult, Step, StepResult, ThreadId,
        TurnKind, WorkerState,
    },
    runtime::Left,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const ESCAPES: &str = include_str!("../../../fixtures/probe/escapes.sh");
const BUNDLES: &str = include_str!("../../../fixtures/probe/bundles.sh");
const HOGS: &str = include_str!("../../../fixtures/probe/hogs.sh");

/// Attempts that some machines cannot make, and why that is all right.
const UNTESTED: &[(&str, &str)] = &[];

/// What only the repository's checks are given.
const FEED: &str = "canary-feed-password-0123456789";
/// With which the doorbell signs.
const BELL: &str = "canary-bell-secret-0123456789";

/// Fewer attempts than this were not the whole probe.
const LEAST: usize = 70;

/// Attempts by name: result and detail.
type Table = BTreeMap<String, (String, String)>;

fn table(text: &str) -> Table {
    let rows = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, '\t');
        Some((parts.next()?.to_owned(), (parts.next()?.to_owned(), parts.next()?.to_owned())))
    });
    rows.collect()
}

fn judged(all: &mut Table, name: &str, holds: bool, detail: String) {
    let result = if holds { "held" } else { "ESCAPED" };
    all.insert(name.to_owned(), (result.to_owned(), detail));
}

/// Prints the table; every row must be held, or excused by name.
#[track_caller]
fn all_held(all: &Table, least: usize) {
    let mut wrong = Vec::new();
    for (name, (result, detail)) in all {
        let short: String = detail.chars().take(110).collect();
        println!("{name:27} {result:8} {short}");
        let is_excused = result == "untested" && UNTESTED.iter().any(|(excused, _)| excused == name);
        if result != "held" && !is_excused {
            wrong.push(format!("{name}: {result}: {detail}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert!(all.len() >= least, "only {} attempts", all.len());
}

fn published(state: &WorkerState) -> Option<&PublishResult> {
    match state {
        WorkerState::Finished(StepResult::Publish(result)) => Some(result),
        _ => None,
    }
}

fn pushed(state: &WorkerState) -> Option<CommitId> {
    match published(state) {
        Some(PublishResult::Pushed { head, .. }) => Some(head.clone()),
        _ => None,
    }
}

fn class_of(state: &WorkerState) -> Option<AgentFailure> {
    match state {
        WorkerState::Finished(StepResult::Agent { result: AgentResult::Failed { class, .. }, .. }) => {
            Some(*class)
        }
        _ => None,
    }
}

/// Another run of another installation: its gate is up, its agent waits, its volumes hold a text.
async fn another_run() -> Option<DockerBench> {
    let other = cage(gated(&["other.example".to_owned()])).await?;
    fetch(&other).await;
    let program = "echo canary-''other-text > /out/notes; sleep 600";
    other.runtime().start(&other.spec(Step::Agent, program), &handover()).await.unwrap();
    Some(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_a_container_stays_inside() {
    let allowed = match super::bench::host() {
        Some(_) => Tap::mirror(gateway()),
        None => return println!("skipped: no Docker engine"),
    };
    let Some(bench) = cage(gated(&[allowed.address.to_string()])).await else { return };
    let watch = Watch::start(secrets());
    let host = Tap::canary(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let loopback = Tap::canary(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let datagrams = datagrams(host.address.port());
    let other = another_run().await.unwrap();
    let (_, [inside, outside]) = gate_of(&other);

    let told = [
        ("PROBE_HOST", host_addresses()),
        ("PROBE_PORT", host.address.port().to_string()),
        ("PROBE_LOOPBACK", loopback.address.port().to_string()),
        ("PROBE_OTHER", format!("{inside}:3128")),
        ("PROBE_OTHER_OUTSIDE", format!("{outside}:3128")),
        ("PROBE_ALLOWED", allowed.address.to_string()),
    ];
    let done = play(&bench, ESCAPES, &told).await;
    let text = evidence(&bench, "probe.tsv").await.unwrap_or_else(|| panic!("no evidence: {}", done.log));
    let mut all = table(&text);
    assert!(all.contains_key("end"), "the probe did not end:\n{}", done.log);

    // What only shows from outside.
    let mut judge = |name: &str, holds: bool, detail: String| judged(&mut all, name, holds, detail);
    judge("seen: host canary", host.arrived() == 0, format!("{} arrived", host.arrived()));
    judge("seen: loopback canary", loopback.arrived() == 0, format!("{} arrived", loopback.arrived()));
    let packets = datagrams.load(Ordering::SeqCst);
    judge("seen: datagrams", packets == 0, format!("{packets} arrived"));
    judge("seen: allowed target", allowed.arrived() > 1, format!("{} arrived", allowed.arrived()));
    let is_workers_word = matches!(
        done.state,
        WorkerState::Finished(StepResult::Agent { result: AgentResult::Worked { .. }, .. })
    );
    judge("seen: status", is_workers_word, format!("{:?}", done.state));
    judge(
        "seen: log is plain",
        done.log.contains("forged") && !done.log.contains('\u{1b}'),
        format!("{} bytes", done.log.len()),
    );
    let (gate, _) = gate_of(&bench);
    let said = bench.docker(&["logs", &gate]);
    judge(
        "seen: gate's log",
        said.contains(&format!("allowed {}", allowed.address))
            && said.contains("refused evil.example.com:443")
            && !said.contains("smuggled"),
        format!("{} lines", said.lines().count()),
    );
    let top = client(&bench, &["top", &bench.name(Step::Agent)], "");
    judge(
        "seen: nothing lives on",
        !top.status.success(),
        String::from_utf8_lossy(&top.stderr).trim().to_owned(),
    );
    let executed = shell(&bench, false, "ls /look/t01-out; echo; find /look -name 'executed*'", "");
    let (listed, found) = executed.split_once("\n\n").unwrap_or_default();
    judge("seen: hostile repository", listed.contains("evidence") && found.is_empty(), found.to_owned());
    let mut followed = Vec::new();
    for left in [Left::PullRequest, Left::Plan, Left::Reply(ThreadId(7))] {
        followed.extend(bench.runtime().left(run_id(), TURN, &left).await.ok().flatten());
    }
    judge("seen: links in answers", followed.is_empty(), format!("{followed:?}"));
    let through = bench.runtime().read_evidence(run_id(), TURN, "evidence/root/etc/passwd", 100).await;
    judge("seen: link in evidence", matches!(through, Ok(None) | Err(_)), format!("{through:?}"));

    // The work goes on, and carries nothing of it.
    let publish = step(&bench, &bench.spec(Step::Publish, ""), &handover()).await;
    let head = pushed(&publish.state);
    judge("seen: work is published", head.is_some(), format!("{:?}", publish.state));
    let next_turn = |step: Step, program: &str| {
        let mut spec = second(bench.spec(step, program));
        spec.turn.kind = TurnKind::Redispatch;
        spec.source.expected.clone_from(&head);
        spec
    };
    let next = step(&bench, &next_turn(Step::Fetch, ""), &handover()).await;
    let program = "ls -A .git .git/hooks; cat .git/config; echo second >> README.md";
    let again = step(&bench, &next_turn(Step::Agent, program), &told_to(&[])).await;
    judge(
        "seen: the next turn",
        matches!(next.state, WorkerState::Finished(StepResult::Fetch(FetchResult::Ready { .. })))
            && matches!(
                again.state,
                WorkerState::Finished(StepResult::Agent { result: AgentResult::Worked { .. }, .. })
            )
            && again.log.contains("HEAD")
            && !again.log.contains("executed")
            && !again.log.contains("pre-push"),
        format!("{:?} {:?}", next.state, again.state),
    );
    let (looks, arguments) = watch.end();
    judge(
        "seen: arguments",
        looks > 0 && arguments.is_empty(),
        format!("{looks} looks at workers, {arguments:?}"),
    );
    let found = leaks(&bench, &secrets()).await;
    judge("seen: secrets anywhere", found.is_empty(), format!("{found:?}"));
    judge("seen: image layers", !image_has(&bench, &secrets()), "saved and searched".into());
    all_held(&all, LEAST);
}

/// Every trick, and a word of the reason for which it must be refused: another reason would prove another rule.
const TRICKS: &[(&str, &str)] = &[
    ("pipeline_yaml", "protected"),
    ("pipeline_folder", "protected"),
    ("workflow", "protected"),
    ("codeowners", "protected"),
    ("agent_instructions", "protected"),
    ("agent_settings", "protected"),
    ("opencode_settings", "protected"),
    ("our_settings", "protected"),
    ("committed_hook", "protected"),
    ("editor_tasks", "protected"),
    ("attributes_filter", "protected"),
    ("submodule_address", "protected"),
    ("submodule", "is a submodule"),
    ("secret_file", "looks like a secret"),
    ("link_out", "symbolic link"),
    ("link_up", "symbolic link"),
    ("link_to_git", "symbolic link"),
    ("executable_bit", "executed"),
    ("dot_git", "git's own checks"),
    ("dot_git_case", "git's own checks"),
    ("dot_git_short", "git's own checks"),
    ("dot_git_blank", "git's own checks"),
    ("dot_git_stream", "git's own checks"),
    ("dot_git_invisible", "git's own checks"),
    ("dot", "git's own checks"),
    ("dot_dot", "git's own checks"),
    ("slash_in_name", "git's own checks"),
    ("same_name_twice", "git's own checks"),
    ("not_utf8", "cannot be shown"),
    ("control_character", "cannot be shown"),
    ("huge_file", "bytes; 1048576 are allowed"),
    ("many_files", "10000 files"),
    ("many_commits", "201 commits"),
    ("secret_in_diff", "GitHub token"),
    ("secret_in_history", "GitHub token"),
    ("secret_in_message", "message of commit"),
    ("not_descending", "history was rewritten"),
    ("rewritten", "history was rewritten"),
    ("only_the_base", "no commit of its own"),
    ("second_reference", "2 references"),
    ("replaced_object", "2 references"),
    ("another_name", "references instead"),
    ("no_bundle", "left no bundle"),
    ("not_a_bundle", "cannot be read"),
    ("too_large", "too large"),
    ("a_link", "not a file"),
    ("a_pipe", "not a file"),
    ("a_directory", "not a file"),
    ("a_device", "not a file"),
    ("missing_objects", "git's own checks"),
    ("cut_off", "git's own checks"),
    ("missing_parent", "git's own checks"),
];

/// Tricks that publish still takes, and why. Each must still be open: what closes one moves it to [`TRICKS`].
const OPEN: &[(&str, &str)] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn publish_refuses_every_bundle_that_breaks_a_rule() {
    let Some(bench) = cage(|options| options.memory_bytes = 1 << 30).await else { return };
    let done = play(&bench, BUNDLES, &[]).await;
    let names = evidence(&bench, "tricks.txt").await.unwrap_or_else(|| panic!("no bundles: {}", done.log));
    let names: Vec<&str> = names.lines().collect();
    let mut all = Table::new();
    let listed = TRICKS.iter().chain(OPEN).map(|(name, _)| *name).chain(["accepted"]);
    let unknown: Vec<&str> =
        names.iter().copied().filter(|name| !listed.clone().any(|known| known == *name)).collect();
    assert!(unknown.is_empty(), "not in the tables: {unknown:?}");
    let spec = bench.spec(Step::Publish, "");
    let branch = spec.source.branch.full();
    let mut taken = None;
    for name in listed {
        assert!(names.contains(&name), "{name} was not left");
        let done = publish(&bench, name).await;
        let detail = match published(&done.state) {
            Some(PublishResult::Refused { rules }) => rules.join("; "),
            _ => format!("{:?}", done.state),
        };
        // The server says what happened, not the step.
        let head = server(&["ls-remote", &spec.source.url, &branch]);
        let head = head.split('\t').next().filter(|head| !head.is_empty());
        if let Some((_, why)) = TRICKS.iter().find(|(trick, _)| *trick == name) {
            judged(&mut all, name, head.is_none() && detail.contains(why), detail);
        } else if name == "accepted" {
            taken = head.map(|head| commit(&bench, head));
            judged(&mut all, name, taken.is_some(), detail);
        } else {
            judged(&mut all, name, head.is_some(), format!("OPEN: {detail}"));
        }
        if head.is_some() {
            // Back to where the next one starts.
            server(&["push", "--quiet", &spec.source.url, &format!(":{branch}")]);
        }
    }
    all_held(&all, TRICKS.len() + OPEN.len() + 1);
    clean(&taken.unwrap_or_default());
}

/// Publishes one trick: it becomes the turn's bundle, and an earlier worker of the name goes.
async fn publish(bench: &DockerBench, name: &str) -> super::cage::Done {
    let program = format!(
        "cd /look/t01-out && rm -rf work.bundle && cp -a tricks/{name}/work.bundle . 2> /dev/null; rm -rf /look/t01-publish/*"
    );
    client(bench, &["rm", "--force", &bench.name(Step::Publish)], "");
    shell(bench, true, &program, "");
    step(bench, &bench.spec(Step::Publish, ""), &handover()).await
}

/// A commit of ours has our name, our time and our trailers, whatever the agent wrote.
fn clean(commit: &str) {
    for line in [
        "author Roundsman <roundsman@example.invalid> 1767323045 +0000\n",
        "committer Roundsman <roundsman@example.invalid> 1767323045 +0000\n",
    ] {
        assert!(commit.contains(line), "{line}: {commit}");
    }
    for forged in
        ["skip ci", "NO_CI", "azurepipelines skip", "##vso[", "skip-checks", "Run: 1-r1", "Agent-Turn: 99"]
    {
        assert!(!commit.contains(forged), "{forged}: {commit}");
    }
    assert!(commit.ends_with(&format!("Agent-Run: {}\nAgent-Turn: 1", run_id())), "{commit}");
}

/// The whole way of a run, with an agent that has a key of its own: where nobody has to look for secrets, there are none.
#[tokio::test]
async fn no_credential_is_remembered_told_or_asked_with() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_API_KEY");
    world.set("MODEL_API_KEY", MODEL_KEY);
    world.set("ROUNDSMAN_AGENT_CHECKS_ENVIRONMENT", "FEED_PASSWORD");
    world.set("FEED_PASSWORD", FEED);
    // Nobody listens there: what is meant for a receiver waits in the memory, its key does not.
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", "http://127.0.0.1:9/hooks/canary-hook-0123456789");
    world.set("ROUNDSMAN_DOORBELL_SECRET", BELL);
    // The key is in what the agent is called with, prints and answers; none of it is for others.
    world.agent(
        "test -n \"$MODEL_API_KEY\" || exit 9; test -z \"${FEED_PASSWORD-}\" || exit 9; printf 'A line.\\n' >> README.md; \
         for text in plan.md pr.md title.txt; do echo \"key $MODEL_API_KEY\" > \"$ROUNDSMAN_OUT/$text\"; done; \
         printf '{\"outcome\":\"done\",\"summary\":\"Used %s.\"}' \"$MODEL_API_KEY\" > \"$ROUNDSMAN_OUT/outcome.json\"",
    );
    let item = world.ask().await;
    let pull = world.until_green().await;
    let others = [MODEL_KEY, FEED, BELL, "canary-hook-0123456789"].map(str::to_owned);
    let needles: Vec<String> = others.into_iter().chain([world.universe.token.clone()]).collect();
    let (item, pull) =
        (world.universe.emulator.item(item).unwrap(), world.universe.emulator.pull_request(pull).unwrap());
    let told = format!("{item:?} {pull:?} {:?}", world.universe.emulator.request_log());
    // What the agent wrote about it is told, without the key.
    assert!(pull.title == "key [redacted]" && told.contains("/_apis/"), "{pull:?}");
    for needle in &needles {
        assert!(!told.contains(needle), "{told}");
    }
    // The operator's own token file is where it belongs.
    let searched = std::process::Command::new("grep")
        .args(["-raFl", "-D", "skip", "--exclude=token"])
        .arg("-f")
        .arg(super::cage::patterns(&needles).path())
        .arg(world.home())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&searched.stdout), "");
    // The search reaches the memory: what must be there is found.
    let memory = std::process::Command::new("grep")
        .args(["-raFl", "-e", &item.title])
        .arg(&world.universe.state_dir)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&memory.stdout).contains("runs.sqlite"), "the memory was not searched");
}

/// A bench that is soon used up.
async fn small() -> Option<DockerBench> {
    let small = |options: &mut roundsman::runtime::docker::Options| {
        options.memory_bytes = 192 << 20;
        options.pids = 64;
        options.tmp_bytes = 32 << 20;
        options.fsize_bytes = 64 << 20;
    };
    let mut bench = cage(small).await?;
    bench.limits.output_bytes = 1 << 20;
    Some(bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn h14_whoever_uses_up_everything_uses_up_their_own_container() {
    let mut all = Table::new();
    for name in ["fork_bomb", "memory_hog", "large_file", "full_tmp", "flood"] {
        let Some(bench) = small().await else { return };
        let done = play(&bench, HOGS, &[("PROBE_HOG", name.to_owned())]).await;
        all.extend(table(&evidence(&bench, "probe.tsv").await.unwrap_or_default()));
        if name == "flood" {
            let is_cut = class_of(&done.state) == Some(AgentFailure::TooMuchOutput);
            judged(
                &mut all,
                name,
                is_cut && done.log.len() < 1 << 20,
                format!("{:?}", class_of(&done.state)),
            );
        }
    }
    // It ignores every polite signal: asked to stop, it is over soon all the same.
    let Some(bench) = small().await else { return };
    fetch(&bench).await;
    let spec = bench.spec(Step::Agent, HOGS);
    bench.runtime().start(&spec, &told_to(&[("PROBE_HOG", "deaf".to_owned())])).await.unwrap();
    let began = Instant::now();
    while !evidence(&bench, "probe.tsv").await.unwrap_or_default().contains("deaf") {
        assert!(began.elapsed() < crate::worker::PATIENCE, "it did not begin");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = Instant::now();
    bench.runtime().stop(run_id()).await.unwrap();
    let took = asked.elapsed();
    let workers = bench.runtime().workers_of(run_id()).await.unwrap();
    let state = &workers.into_iter().find(|worker| worker.step == Step::Agent).unwrap().state;
    let is_stopped = class_of(state) == Some(AgentFailure::Stopped) && took < Duration::from_secs(20);
    judged(&mut all, "deaf", is_stopped, format!("{took:?} {:?}", class_of(state)));
    all_held(&all, 6);
}
