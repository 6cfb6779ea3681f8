//! Settings as an operator meets them: variables in, one value or all problems out.

use roundsman::{
    domain::{Brake, CloseOn, Receiver, RingKind},
    settings::{Egress, Problems, Settings, vars},
};
use secrecy::ExposeSecret;
use std::time::Duration;

const LEAST: [(&str, &str); 2] =
    [("ROUNDSMAN_ADO_URL", "https://dev.azure.com/acme"), ("ROUNDSMAN_ADO_TOKEN", "canary-token")];

fn read(more: &[(&str, &str)]) -> Result<Settings, Problems> {
    let all = LEAST.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::from_vars(all)
}

fn good(more: &[(&str, &str)]) -> Settings {
    read(more).expect("these settings are good")
}

fn bad(more: &[(&str, &str)]) -> String {
    read(more).expect_err("these settings are bad").to_string()
}

#[test]
fn two_variables_are_enough_and_start_nothing() {
    let settings = good(&[]);
    assert_eq!(settings.brake, Brake::On);
    assert!(settings.policy().trusted.is_empty() && settings.policy().repositories.is_empty());
    assert_eq!(settings.ado.token().unwrap().expose_secret(), "canary-token");
    assert_eq!(settings.store.path.to_str(), Some("./.roundsman/runs.sqlite"));
    let warnings = settings.warnings().join("\n");
    for part in
        ["the brake is on", "nobody is trusted", "nothing may be worked on", "nothing is polled", "no agent"]
    {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let told = bad(&[
        ("ROUNDSMAN_POLICY_TURN_LIMIT", "45"),
        ("ROUNDSMAN_INTAKE_TRUSTED", "Somebody"),
        ("ROUNDSMAN_RUNTIME_KIND", "kubernetes"),
        ("ROUNDSMAN_INTAKE_LABEL_STOP", "Agent-Paused"),
        ("ROUNDSMAN_CONCURRENCY", "0"),
    ]);
    insta::assert_snapshot!(told, @r"
    5 problems with the settings:
      ROUNDSMAN_CONCURRENCY is out of range; write a number from 1 to 32
      ROUNDSMAN_INTAKE_TRUSTED has an item, number 1, that is not an identity's id; write the GUID of the identity; names and mail addresses can be chosen by anybody
      ROUNDSMAN_INTAKE_LABEL_STOP is the same label as ROUNDSMAN_INTAKE_LABEL_PAUSED; give each its own label
      ROUNDSMAN_POLICY_TURN_LIMIT is not a duration; write a number and a unit, for example `45m`, `6h` or `3d`
      ROUNDSMAN_RUNTIME_KIND names a runtime that comes with a later version; write `docker` or `process`
    ");
    let nothing = Settings::from_vars(std::iter::empty()).expect_err("an address is needed").to_string();
    assert!(
        nothing.contains("ROUNDSMAN_ADO_URL is not set")
            && nothing.contains("ROUNDSMAN_ADO_TOKEN_FILE is not set")
    );
}

#[test]
fn a_misspelt_name_is_a_problem_with_a_suggestion() {
    assert!(bad(&[("ROUNDSMAN_KILLSWITCH", "off")]).contains("did you mean ROUNDSMAN_KILL_SWITCH?"));
    assert!(bad(&[("ROUNDSMAN_INTAKE_TRUSTD", "")]).contains("did you mean ROUNDSMAN_INTAKE_TRUSTED?"));
    assert!(bad(&[("ROUNDSMAN_intake_trusted", "x")]).contains("did you mean ROUNDSMAN_INTAKE_TRUSTED?"));
    assert!(!bad(&[("ROUNDSMAN_SOMETHING_ELSE_ENTIRELY", "x")]).contains("did you mean"));
}

#[test]
fn names_that_a_step_hands_to_its_programs_are_not_ours() {
    for name in vars::RESERVED {
        good(&[(name, "whatever")]);
    }
    good(&[("HOME", "/somewhere"), ("ROUNDSMANLIKE", "x")]);
}

#[test]
fn no_value_is_ever_repeated() {
    const CANARY: &str = "canary-9b1d";
    for var in vars::ALL {
        // Twice: where the text itself is wrong, and where it is part of something longer.
        for value in [CANARY.to_owned(), format!("https://user:{CANARY}@host.example/{CANARY}, {CANARY}='")] {
            if let Err(problems) = read(&[(var.name, &value)]) {
                let told = format!("{problems} {problems:?}");
                assert!(!told.contains(CANARY), "{told}");
                assert!(told.contains(var.name), "{told}");
            }
        }
    }
    let told = bad(&[("ROUNDSMAN_UNKNOWN_THING", CANARY)]);
    assert!(!told.contains(CANARY), "{told}");
    let settings = good(&[
        ("ROUNDSMAN_DOORBELL_WEBHOOK", "https://hooks.example/canary-hook"),
        ("ROUNDSMAN_DOORBELL_SECRET", "canary-key"),
        ("ROUNDSMAN_DOORBELL_SLACK", "https://hooks.example/canary-slack"),
        ("ROUNDSMAN_DOORBELL_NTFY", "https://ntfy.example/agents?auth=canary"),
        ("ROUNDSMAN_DOORBELL_TEAMS_FILE", "/canary/teams"),
        ("ROUNDSMAN_AGENT_COMMAND", "agent --key canary-argument"),
        ("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_KEY"),
        ("MODEL_KEY", "canary-model"),
    ]);
    let shown = format!("{}{:?}", settings.describe(), settings.warnings());
    assert!(!shown.contains("canary"), "{shown}");
    // What a log line could hold by accident; the command is not a secret there.
    let debug = format!("{:?} {:?} {:?}", settings.ado, settings.doorbells, settings.agent.environment);
    assert!(!debug.contains("canary"), "{debug}");
}

#[test]
fn empty_is_absent() {
    let empty: Vec<(&str, &str)> = vars::ALL
        .iter()
        .filter(|var| !LEAST.iter().any(|(name, _)| *name == var.name))
        .map(|var| (var.name, " "))
        .collect();
    assert_eq!(good(&empty).describe(), good(&[]).describe());
    let told = Settings::from_vars([("ROUNDSMAN_ADO_URL".to_owned(), String::new())].into_iter());
    assert!(told.expect_err("empty").to_string().contains("ROUNDSMAN_ADO_URL is not set"));
}

#[test]
fn zero_is_zero_and_not_without_limit() {
    let policy = good(&[
        ("ROUNDSMAN_INTAKE_MAX_RUNS", "0"),
        ("ROUNDSMAN_POLICY_FIX_FORWARD_ATTEMPTS", "0"),
        ("ROUNDSMAN_POLICY_QUIET_PERIOD", "0"),
    ])
    .policy();
    assert_eq!((policy.max_runs, policy.fix_forward_attempts, policy.quiet_period), (0, 0, Duration::ZERO));
}

#[test]
fn the_kill_switch_is_never_a_problem() {
    for (text, brake) in [
        ("off", Brake::Off),
        ("FALSE", Brake::Off),
        ("0", Brake::Off),
        ("drain", Brake::Drain),
        ("stop", Brake::Stop),
        ("on", Brake::On),
        ("pause", Brake::On),
        ("1", Brake::On),
        ("", Brake::On),
        ("of", Brake::On),
        ("off # for now", Brake::On),
    ] {
        let settings = good(&[("ROUNDSMAN_KILL_SWITCH", text)]);
        assert_eq!((settings.brake, settings.policy().brake), (brake, brake), "{text:?}");
    }
}

#[test]
fn the_policy_is_what_was_written() {
    let settings = good(&[
        ("ROUNDSMAN_INTAKE_REPOSITORIES", "Shop/Web, Shop/api"),
        ("ROUNDSMAN_INTAKE_TRUSTED", "0F1E2D3C00004000800000000000000C"),
        ("ROUNDSMAN_INTAKE_ROUTES", r"Web\Shop=Shop/Web; Web = Shop/site"),
        ("ROUNDSMAN_POLICY_CLOSE_ON", "Green"),
        ("ROUNDSMAN_POLICY_DRAFT", "yes"),
        ("ROUNDSMAN_POLICY_REVIEW_LIMIT", "1d 12h"),
        ("ROUNDSMAN_POLICY_FIX_FORWARD_ATTEMPTS", "50"),
        ("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_KEY, OTHER_KEY"),
        ("MODEL_KEY", " with spaces "),
    ]);
    let policy = settings.policy();
    assert!(policy.allows("shop/web") && policy.allows("Shop/API") && !policy.allows("Shop/site"));
    assert_eq!((policy.close_on, policy.open_as_draft), (CloseOn::Green, true));
    assert_eq!(policy.review_limit, Duration::from_hours(36));
    assert!(u32::from(policy.max_turns) > policy.fix_forward_attempts, "the net holds what is allowed");
    assert_eq!(
        policy.trusted.iter().next().map(roundsman::domain::IdentityId::as_str),
        Some("0f1e2d3c-0000-4000-8000-00000000000c")
    );
    assert_eq!(settings.intake.routes[0].area, r"Web\Shop");
    assert_eq!(settings.agent.environment["MODEL_KEY"].expose_secret(), " with spaces ");
    assert_eq!(settings.agent.absent, ["OTHER_KEY"]);
    assert!(settings.warnings().iter().any(|text| text.contains("INTAKE_ROUTES leads to a repository")));
}

#[test]
fn a_secret_has_one_source() {
    let told = bad(&[("ROUNDSMAN_ADO_TOKEN_FILE", "/run/token"), ("ROUNDSMAN_DOORBELL_SECRET", "x")]);
    assert!(told.contains("ROUNDSMAN_ADO_TOKEN is set, and ROUNDSMAN_ADO_TOKEN_FILE too"), "{told}");
    assert!(told.contains("ROUNDSMAN_DOORBELL_WEBHOOK is not set, but"), "{told}");
    let told = bad(&[("ROUNDSMAN_AGENT_ENVIRONMENT", "PATH, ROUNDSMAN_ADO_TOKEN")]);
    assert!(told.contains("agents never get our settings"), "{told}");
}

#[test]
fn a_receiver_has_one_address_and_hears_what_it_wants() {
    let bells = good(&[
        ("ROUNDSMAN_DOORBELL_SLACK", "https://hooks.example/x"),
        ("ROUNDSMAN_DOORBELL_NTFY_FILE", "/run/ntfy"),
        ("ROUNDSMAN_DOORBELL_NTFY_EVENTS", "Frozen, needs-human"),
    ])
    .doorbells;
    assert_eq!(bells.iter().map(|bell| bell.receiver).collect::<Vec<_>>(), [Receiver::Slack, Receiver::Ntfy]);
    assert_eq!(bells[0].events, RingKind::ALL.into());
    assert_eq!(bells[1].events, [RingKind::NeedsHuman, RingKind::Frozen].into());
    let told = bad(&[
        ("ROUNDSMAN_DOORBELL_SLACK", "https://hooks.example/x"),
        ("ROUNDSMAN_DOORBELL_SLACK_FILE", "/run/slack"),
        ("ROUNDSMAN_DOORBELL_TEAMS_EVENTS", "done"),
        ("ROUNDSMAN_DOORBELL_NTFY", "https://ntfy.example/agents"),
        ("ROUNDSMAN_DOORBELL_NTFY_EVENTS", "done, never"),
    ]);
    assert!(
        told.contains("ROUNDSMAN_DOORBELL_SLACK is set, and ROUNDSMAN_DOORBELL_SLACK_FILE too"),
        "{told}"
    );
    assert!(told.contains("ROUNDSMAN_DOORBELL_TEAMS is not set, but"), "{told}");
    assert!(told.contains("ROUNDSMAN_DOORBELL_NTFY_EVENTS has an item, number 2"), "{told}");
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    let usual = good(&[]).describe();
    for var in vars::ALL {
        if let vars::Absent::Is(value) = var.default {
            assert_eq!(good(&[(var.name, value)]).describe(), usual, "{}", var.name);
        }
        for text in [var.meaning, var.why, var.since] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{}: {text}", var.name);
        }
    }
    let described: Vec<&str> = usual.lines().filter_map(|line| line.split(" = ").next()).collect();
    let documented: Vec<&str> = vars::ALL.iter().map(|var| var.name).collect();
    assert_eq!(described, documented, "everything is described, in the order of the documentation");
}

#[test]
fn the_table_for_the_readme() {
    insta::assert_snapshot!(vars::table());
}

#[test]
fn the_walls_of_a_step_are_what_was_written() {
    let sandbox = good(&[
        ("ROUNDSMAN_RUNTIME_KIND", "Docker"),
        ("ROUNDSMAN_RUNTIME_IMAGES", "Shop/Web=shop-ci:1; Shop/api=other"),
        ("ROUNDSMAN_RUNTIME_MEMORY", "512MiB"),
        ("ROUNDSMAN_RUNTIME_CPUS", "0.5"),
        ("ROUNDSMAN_RUNTIME_EGRESS", "none"),
        ("DOCKER_HOST", "tcp://engine.example:2376"),
        ("DOCKER_CERT_PATH", "/run/engine"),
    ])
    .runtime
    .sandbox;
    assert_eq!((sandbox.memory, sandbox.milli_cpus), (512 << 20, 500));
    assert_eq!(sandbox.egress, Egress::Listed(Vec::new()));
    assert_eq!(sandbox.image_of("shop", "WEB"), Some("shop-ci:1"));
    assert_eq!(sandbox.image_of("Shop", "other"), None);
    assert_eq!(sandbox.engine.as_deref(), Some("tcp://engine.example:2376"));
    let own = good(&[("DOCKER_HOST", "tcp://127.0.0.1:1"), ("ROUNDSMAN_RUNTIME_DOCKER_HOST", "unix:///x")]);
    assert_eq!(own.runtime.sandbox.engine.as_deref(), Some("unix:///x"), "our own name wins");
    let told = bad(&[
        ("ROUNDSMAN_RUNTIME_MEMORY", "4GB"),
        ("ROUNDSMAN_RUNTIME_EGRESS", "https://models.example"),
        ("ROUNDSMAN_RUNTIME_IMAGE", "--privileged"),
        ("ROUNDSMAN_RUNTIME_PROXY", "http://user:pass@proxy.example"),
        ("ROUNDSMAN_AGENT_MODEL", "--dangerous"),
    ]);
    assert_eq!(told.lines().count(), 6, "{told}");
}

#[test]
fn a_readable_token_must_be_wanted() {
    let address = ("ROUNDSMAN_ADO_URL", "http://tfs.example/tfs/Main");
    let told = |more: &[(&str, &str)]| {
        Settings::from_vars(
            [("ROUNDSMAN_ADO_TOKEN", "x"), address]
                .iter()
                .chain(more)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    };
    assert!(told(&[]).expect_err("http").to_string().contains("not encrypted"));
    let settings = told(&[("ROUNDSMAN_ADO_ALLOW_HTTP", "yes")]).expect("wanted");
    assert!(settings.warnings().join("\n").contains("the token can be read on the way"));
}
