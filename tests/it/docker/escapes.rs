//! Agents that want out. A program plays the agent and tries what could be tried; each attempt must have been made, and
//! must have failed. What only the publish step can refuse is left as bundles; what uses up a machine runs last, in
//! containers of its own with small limits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::cage::{Cage, Caps, Tap, USUAL, Watch, datagrams, docker};
use crate::worker::run_id;
use roundsman::{
    domain::{AgentFailure, AgentResult, BranchName, FetchResult, PublishResult, Step, StepResult},
    runtime::spec::WorkerSpec,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

const ESCAPES: &str = include_str!("../../../fixtures/probe/escapes.sh");
const BUNDLES: &str = include_str!("../../../fixtures/probe/bundles.sh");
const HOGS: &str = include_str!("../../../fixtures/probe/hogs.sh");

/// Attempts that some machines cannot make, and why that is all right.
const UNTESTED: &[(&str, &str)] = &[];

/// Fewer than this many attempts were not the whole probe.
const LEAST: usize = 60;

type Evidence = BTreeMap<String, (String, String)>;

fn evidence(text: &str) -> Evidence {
    let rows = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, '\t');
        Some((parts.next()?.to_owned(), (parts.next()?.to_owned(), parts.next()?.to_owned())))
    });
    rows.collect()
}

/// Prints the table and returns what is not as it should be.
fn findings(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, (result, detail)) in evidence {
        println!("{name:28} {result:9} {detail}");
        let is_excused = result == "untested" && UNTESTED.iter().any(|(excused, _)| excused == name);
        if result != "held" && !is_excused {
            wrong.push(format!("{name}: {result}: {detail}"));
        }
    }
    wrong
}

fn host_addresses(gateway: IpAddr) -> String {
    let output = std::process::Command::new("hostname").arg("-I").output().unwrap();
    let own = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut all: Vec<&str> = own.split_whitespace().filter(|ip| ip.parse::<Ipv4Addr>().is_ok()).collect();
    let gateway = gateway.to_string();
    if !all.contains(&gateway.as_str()) {
        all.push(&gateway);
    }
    all.join(" ")
}

fn fetched(cage: &Cage, turn: u16) {
    let done = cage.step(&cage.spec(Step::Fetch, turn, "", None), "bridge");
    assert!(
        matches!(done.status, Some(StepResult::Fetch(FetchResult::Ready { .. }))),
        "{:?} {}",
        done.status,
        done.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_a_container_stays_inside() {
    let Some(cage) = Cage::new("escapes").await else { return };
    let secrets = cage.canaries.spellings();
    let watch = Watch::start(secrets.clone());
    fetched(&cage, 1);

    // Around it: the host, another run, and the one target that it may reach.
    let host = Tap::canary(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let loopback = Tap::canary(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let datagrams = datagrams(host.address.port());
    let allowed = Tap::mirror(cage.gateway);
    cage.other_volume();
    let elsewhere = cage.network("elsewhere");
    let other = cage.gate(&elsewhere, "");
    let network = cage.network("agent");
    let gate = cage.gate(&network, &allowed.address.to_string());
    let keys = cage.keys(&[
        ("PROBE_HOST", host_addresses(cage.gateway)),
        ("PROBE_PORT", host.address.port().to_string()),
        ("PROBE_LOOPBACK", loopback.address.port().to_string()),
        ("PROBE_OTHER", format!("{}:3128", Cage::address(&other, &elsewhere))),
        ("PROBE_ALLOWED", allowed.address.to_string()),
    ]);

    let spec = cage.spec(Step::Agent, 1, ESCAPES, None);
    let agent = cage.create(&spec, "", &network, &USUAL);
    let done = cage.run(&agent, &spec, &keys);
    let text =
        Cage::read(&agent, "/out/evidence/probe.tsv").unwrap_or_else(|| panic!("no evidence: {}", done.log));
    let tried = evidence(&text);
    let mut wrong = findings(&tried);
    assert!(
        tried.contains_key("end") && tried.len() > LEAST,
        "the probe did not end: {}\n{}",
        tried.len(),
        done.log
    );

    // What only shows from outside.
    let mut judge = |name: &str, holds: bool, detail: String| {
        println!("{name:28} {:9} {detail}", if holds { "held" } else { "ESCAPED" });
        if !holds {
            wrong.push(format!("{name}: {detail}"));
        }
    };
    judge("host_canary", host.arrived() == 0, format!("{} arrived", host.arrived()));
    judge("loopback_canary", loopback.arrived() == 0, format!("{} arrived", loopback.arrived()));
    let packets = *datagrams.lock().unwrap();
    judge("datagrams", packets == 0, format!("{packets} arrived"));
    judge("allowed_target", allowed.arrived() > 1, format!("{} arrived", allowed.arrived()));
    judge(
        "status_is_the_workers",
        matches!(done.status, Some(StepResult::Agent(AgentResult::Worked { .. }))),
        format!("{:?}", done.status),
    );
    let said = String::from_utf8_lossy(&docker(&["logs", &gate]).stdout).into_owned();
    judge(
        "gate_log",
        said.contains(&format!("allowed {}", allowed.address))
            && said.contains("refused evil.example.com:443")
            && !said.contains("smuggled"),
        format!("{} lines", said.lines().count()),
    );
    let top = docker(&["top", &agent]);
    judge(
        "left_behind_is_dead",
        !top.status.success(),
        String::from_utf8_lossy(&top.stderr).trim().to_owned(),
    );
    let left = Cage::list(&agent, "/out");
    let executed: Vec<&String> = left.iter().filter(|name| name.contains("executed")).collect();
    judge(
        "hostile_repository",
        left.len() > 3 && executed.is_empty(),
        format!("{} entries, {executed:?}", left.len()),
    );

    // The work goes on, and carries nothing of it.
    let published = cage.step(&cage.spec(Step::Publish, 1, "", None), "bridge");
    let head = match &published.status {
        Some(StepResult::Publish(PublishResult::Pushed { head, .. })) => Some(head.clone()),
        _ => None,
    };
    judge("work_is_published", head.is_some(), format!("{:?}", published.status));
    // What was planted for the next turn is not there for it.
    let next = cage.step(&cage.spec(Step::Fetch, 2, "", head), "bridge");
    let spec = cage.spec(
        Step::Agent,
        2,
        "ls -A .git/hooks .git/info; cat .git/config; echo second >> README.md",
        None,
    );
    let second = cage.create(&spec, "", "none", &USUAL);
    let second = cage.run(&second, &spec, &cage.keys(&[]));
    judge(
        "next_turn",
        matches!(next.status, Some(StepResult::Fetch(FetchResult::Ready { .. })))
            && matches!(second.status, Some(StepResult::Agent(AgentResult::Worked { .. })))
            && !second.log.contains("executed"),
        format!("{:?} {:?}", next.status, second.status),
    );
    let (seen, arguments) = watch.end();
    judge("arguments", seen > 0 && arguments.is_empty(), format!("{seen} looks at workers, {arguments:?}"));
    let leaks = cage.leaks(&secrets);
    judge("leaks", leaks.is_empty(), format!("{leaks:?}"));
    judge("image_layers", !cage.image_has(&secrets), "saved and searched".into());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), tried.len(), wrong.join("\n"));
}

/// Tricks that are taken, because nothing about them is dangerous once they are cleaned.
const TAKEN: [&str; 1] = ["accepted"];

#[tokio::test(flavor = "multi_thread")]
async fn publish_refuses_every_bundle_that_breaks_a_rule() {
    let Some(cage) = Cage::new("bundles").await else { return };
    fetched(&cage, 1);
    let spec = cage.spec(Step::Agent, 1, BUNDLES, None);
    let agent = cage.create(&spec, "", "none", &USUAL);
    let done = cage.run(&agent, &spec, &cage.keys(&[]));
    let names =
        Cage::read(&agent, "/out/evidence/tricks.txt").unwrap_or_else(|| panic!("no bundles: {}", done.log));
    let publish = |name: &str| {
        let mut spec: WorkerSpec = cage.spec(Step::Publish, 1, "", None);
        spec.places.output = format!("/out/tricks/{name}").into();
        let container = cage.create(&spec, &format!("-{}", name.replace('_', "-")), "bridge", &USUAL);
        cage.run(&container, &spec, &cage.credential())
    };
    let branch = BranchName::of_run(run_id());
    let head = || cage.emulator.head(&cage.repository, &branch.full());
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in names.lines().filter(|name| !TAKEN.contains(name)) {
        count += 1;
        let done = publish(name);
        let (holds, detail) = match &done.status {
            Some(StepResult::Publish(PublishResult::Refused { rules })) => (true, rules.join("; ")),
            other => (false, format!("{other:?}")),
        };
        println!(
            "{name:28} {:9} {}",
            if holds { "held" } else { "ESCAPED" },
            &detail.chars().take(120).collect::<String>()
        );
        if !holds {
            wrong.push(format!("{name}: {detail}"));
        }
        if head().is_some() {
            wrong.push(format!("{name}: a branch is there"));
        }
    }
    assert!(count > 40, "only {count} bundles: {}", done.log);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));

    let done = publish("accepted");
    let Some(StepResult::Publish(PublishResult::Pushed { head: pushed, .. })) = &done.status else {
        panic!("{:?} {}", done.status, done.log)
    };
    let object = cage.commit(pushed.as_str());
    println!("{object}");
    assert!(object.contains("author Roundsman <roundsman@example.invalid> 1767323045 +0000"), "{object}");
    assert!(object.contains("committer Roundsman <roundsman@example.invalid>"), "{object}");
    for forged in [
        "skip ci",
        "NO_CI",
        "azurepipelines skip",
        "##vso[",
        "skip-checks",
        "Agent-Run: 1-r1",
        "Agent-Turn: 99",
    ] {
        assert!(!object.contains(forged), "{forged}: {object}");
    }
    assert!(object.ends_with(&format!("Agent-Run: {}\nAgent-Turn: 1", run_id())), "{object}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_uses_up_everything_uses_up_their_own_container() {
    let Some(cage) = Cage::new("hogs").await else { return };
    fetched(&cage, 1);
    let small = Caps { memory: "192m", pids: "64", tmp: "32m", fsize: "67108864" };
    let hog = |name: &str| {
        let mut spec = cage.spec(Step::Agent, 1, HOGS, None);
        spec.limits.output_bytes = 1 << 20;
        let container = cage.create(&spec, &format!("-{}", name.replace('_', "-")), "none", &small);
        (container, spec, cage.keys(&[("PROBE_HOG", name.to_owned())]))
    };
    let mut all = Evidence::new();
    for name in ["fork_bomb", "memory_hog", "large_file", "full_tmp", "flood"] {
        let (container, spec, keys) = hog(name);
        let done = cage.run(&container, &spec, &keys);
        println!(
            "{name}: code {} oom {} {:?} {:?}",
            done.exit_code, done.out_of_memory, done.took, done.status
        );
        let text = Cage::read(&container, "/out/evidence/probe.tsv").unwrap_or_default();
        all.extend(evidence(&text));
        if name == "flood" {
            let is_ended = matches!(
                done.status,
                Some(StepResult::Agent(AgentResult::Failed { class: AgentFailure::TooMuchOutput, .. }))
            );
            let result = if is_ended { "held" } else { "ESCAPED" };
            all.insert(name.into(), (result.into(), format!("{:?}", done.took)));
        }
    }
    // It ignores every polite signal: asked to stop, it is over soon all the same.
    let (container, spec, keys) = hog("deaf");
    let done = thread::scope(|scope| {
        let running = scope.spawn(|| cage.run(&container, &spec, &keys));
        let mut looks = 0;
        while !String::from_utf8_lossy(
            &docker(&["exec", &container, "cat", "/out/evidence/probe.tsv"]).stdout,
        )
        .contains("deaf")
        {
            looks += 1;
            assert!(looks < 200, "it did not begin");
            thread::sleep(Duration::from_millis(100));
        }
        docker(&["stop", "--time", "40", &container]);
        running.join().unwrap()
    });
    let is_stopped = matches!(
        done.status,
        Some(StepResult::Agent(AgentResult::Failed { class: AgentFailure::Stopped, .. }))
    );
    let result = if is_stopped && done.took < Duration::from_secs(30) { "held" } else { "ESCAPED" };
    all.insert("deaf".into(), (result.into(), format!("{:?} {:?}", done.took, done.status)));
    let wrong = findings(&all);
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
