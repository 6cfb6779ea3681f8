//! The agent files: whole, honest, and free of slots that nobody fills.

use super::{
    Wanted, all, find,
    template::{BEFORE, LATER, Word, slots},
};
use crate::runtime::spec::{BriefWay, InstructionsWay};

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_file_is_an_agent_with_a_name_of_its_own() {
    let names: Vec<&str> = all().iter().map(|agent| agent.name.as_str()).collect();
    let mut ordered = names.clone();
    ordered.sort_unstable();
    ordered.dedup();
    assert_eq!(names, ordered);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    files.sort();
    assert_eq!(names, files, "a file that nobody reads");
}

#[test]
fn every_agent_says_once_whether_it_was_seen_to_work() {
    for agent in all() {
        assert!(agent.verified.is_some() != agent.unverified.is_some(), "{}", agent.name);
        let said = agent.verified.iter().chain(&agent.unverified).next().unwrap();
        assert!(said.contains("2026-"), "{}: when? {said}", agent.name);
    }
    let verified: Vec<&str> =
        all().iter().filter(|agent| agent.verified.is_some()).map(|agent| agent.name.as_str()).collect();
    assert_eq!(verified, ["claude", "codex", "command", "opencode", "scripted"]);
}

#[test]
fn every_slot_is_known_and_everything_that_is_needed_has_one() {
    for agent in all() {
        let name = &agent.name;
        let call = &agent.call;
        let start: Vec<&String> = call.start.iter().flat_map(Word::words).collect();
        let resume: Vec<&String> = call.resume.iter().flat_map(Word::words).collect();
        let mut everything: Vec<&str> = start.iter().chain(&resume).map(|word| word.as_str()).collect();
        everything.extend(call.work.iter().chain(call.plan.iter().flatten()).map(String::as_str));
        everything.extend(agent.config.iter().map(|config| config.text.as_str()));
        everything.extend(agent.switches.values().chain(agent.plan_switches.values()).map(String::as_str));
        for slot in everything.iter().flat_map(|word| slots(word)) {
            assert!(BEFORE.contains(&slot) || LATER.contains(&slot), "{name}: nobody fills {slot}");
        }
        let has = |list: &[&String], slot: &str| list.iter().any(|word| word.contains(slot));
        assert!(has(&start, "{command}"), "{name}: the operator can add nothing");
        assert_eq!(has(&start, "{mode}"), !(call.work.is_empty() && call.plan.is_none()), "{name}: {{mode}}");
        assert!(!has(&start, "{session}"), "{name}: a new conversation has no name");
        if !resume.is_empty() {
            assert!(has(&resume, "{session}") && has(&resume, "{command}"), "{name}: resume");
            assert_eq!(has(&resume, "{mode}"), has(&start, "{mode}"), "{name}: resume");
        }
        let slot = match agent.brief {
            BriefWay::Stdin => None,
            BriefWay::Argument => Some("{brief}"),
            BriefWay::File => Some("{brief_file}"),
        };
        for (way, here) in
            [("{brief}", has(&start, "{brief}")), ("{brief_file}", has(&start, "{brief_file}"))]
        {
            assert_eq!(here, slot == Some(way), "{name}: {way}");
        }
        let config = agent.config.as_ref().is_some_and(|config| config.text.contains("{instructions}"));
        assert_eq!(config, agent.instructions == InstructionsWay::Config, "{name}: instructions");
        let is_ours = ["command", "scripted"].contains(&name.as_str());
        assert_eq!(
            agent.hides.is_empty(),
            is_ours,
            "{name}: nothing of the repository's configuration is hidden"
        );
        assert!(
            agent.hides.iter().all(|path| !path.starts_with('/') && !path.contains(['*', '!'])),
            "{name}"
        );
        for host in &agent.hosts {
            let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            assert!(port.is_some(), "{name}: {host} has no port");
        }
    }
}

#[test]
fn calls_are_resolved_but_for_what_only_a_step_knows() {
    let (operator, worker) = (words(&["my-agent", "--fast"]), words(&["roundsman", "worker"]));
    let wanted = Wanted { command: &operator, worker: &worker, ..Wanted::default() };
    assert_eq!(find("command").unwrap().call(wanted).command, operator);
    let play = words(&["play"]);
    let scripted = find("scripted").unwrap();
    assert_eq!(
        scripted.call(Wanted { command: &play, ..wanted }).command,
        ["roundsman", "worker", "scripted", "play"]
    );
    assert!(find("command").unwrap().needs_command && scripted.needs_command);

    let opencode = find("opencode").unwrap();
    assert!(!opencode.needs_command);
    let call = opencode.call(Wanted { model: Some("fake/ok"), ..Wanted::default() });
    assert_eq!(
        call.command,
        ["opencode", "run", "--format", "json", "--dir", "{workspace}", "--model", "fake/ok", "{mode}"]
    );
    assert_eq!(call.resume[call.resume.len() - 2..], ["--session", "{session}"]);
    let bare = opencode.call(Wanted::default());
    assert!(!bare.command.iter().any(|word| word == "--model" || word == "--variant"), "{:?}", bare.command);
}
