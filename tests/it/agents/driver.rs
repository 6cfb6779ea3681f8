//! The driver with programs that print what real ones were recorded to print.

use super::{calls, error, evidence, out, shell, step, turn};
use crate::worker::{World, git, run_id};
use roundsman::{
    domain::{AgentFailure, AgentResult, TurnNumber, Usage},
    runtime::{Handover, spec::Limits},
};
use std::{collections::BTreeMap, fs};

fn failed(result: &AgentResult) -> (AgentFailure, &str) {
    match result {
        AgentResult::Failed { class, detail } => (*class, detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_later_turn_goes_on_with_the_conversation_and_a_lost_one_begins_afresh() {
    let mut world = World::new();
    world.plan_first = true;
    let memory = world.path().join("knows");
    fs::write(&memory, "").unwrap();
    let program = format!(
        "if [ $1 = again ] && [ ! -e {0} ]; then echo 'Error: Session not found' >&2; exit 1; fi\n\
         echo \"$ROUNDSMAN_CALL $1 $2 $PWD\" >> \"$ROUNDSMAN_OUT/calls\"; cat > \"$ROUNDSMAN_OUT/told-$ROUNDSMAN_CALL\"\n\
         if [ $ROUNDSMAN_CALL = plan ]; then echo plan > \"$ROUNDSMAN_OUT/plan.md\"; else echo x >> new.txt; fi\n{1}",
        memory.display(),
        step("stop"),
    );
    let agent = shell(&program);
    let (result, usage) = turn(&world, 1, &agent, &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    assert_eq!(calls(&world, 1), ["plan new: answered", "implement again: answered"]);
    let used = Usage { calls: 2, steps: 2, input_tokens: 1_400, output_tokens: 70, ..Usage::default() };
    assert_eq!(usage, Usage { cost_micro_usd: Some(6_000), ..used });
    let told = fs::read_to_string(out(&world, 1).join("told-implement")).unwrap();
    assert!(
        told.contains("Your plan stands") && !told.contains("Do it."),
        "the brief is not paid for twice: {told}"
    );
    let workspace = world.runtime.places(run_id(), TurnNumber(1)).workspace;
    let first = fs::read_to_string(out(&world, 1).join("calls")).unwrap();
    assert_eq!(first, format!("plan new  {0}\nimplement again ses_1 {0}\n", workspace.display()));

    turn(&world, 2, &agent, &Handover::default()).await;
    assert_eq!(calls(&world, 2), ["plan again: answered", "implement again: answered"]);
    let told = fs::read_to_string(out(&world, 2).join("told-plan")).unwrap();
    assert!(told.contains("Do it."), "a new turn has a new brief: {told}");

    fs::remove_file(&memory).unwrap();
    world.plan_first = false;
    let (result, _) = turn(&world, 3, &agent, &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "not charged: {result:?}");
    assert_eq!(calls(&world, 3), ["implement again: did not know its session", "implement new: answered"]);
    assert!(fs::read_to_string(out(&world, 3).join("told-implement")).unwrap().contains("Do it."));
}

#[tokio::test]
async fn a_conversation_of_another_directory_is_never_gone_on_with() {
    let world = World::new();
    let home = world.runtime.places(run_id(), TurnNumber(1)).home;
    fs::create_dir_all(&home).unwrap();
    let known = |session: &str, directory: &str| {
        serde_json::json!({"opencode": {"session": session, "directory": directory}}).to_string()
    };
    let workspace = world.runtime.places(run_id(), TurnNumber(1)).workspace.display().to_string();
    let agent = shell(&format!("echo x > new.txt; {}", step("stop")));
    for (number, text) in
        [known("ses_9", "/elsewhere"), known("--last", &workspace), "{".into()].iter().enumerate()
    {
        fs::write(home.join("roundsman-session.json"), text).unwrap();
        let number = u16::try_from(number).unwrap() + 1;
        turn(&world, number, &agent, &Handover::default()).await;
        assert_eq!(calls(&world, number), ["implement new: answered"], "{text}");
    }
}

#[tokio::test]
async fn planning_that_changed_something_is_undone() {
    let mut world = World::new();
    world.plan_first = true;
    let program = format!(
        "if [ $ROUNDSMAN_CALL = plan ]; then\n\
           echo plan > \"$ROUNDSMAN_OUT/plan.md\"; echo evil > README.md; echo evil > evil.txt\n\
           git checkout -q -b other; git add -A; git commit -qm early; touch .git/index.lock\n\
         else\n\
           git status --porcelain > \"$ROUNDSMAN_OUT/status\"; git branch --show-current > \"$ROUNDSMAN_OUT/branch\"\n\
           echo good > good.txt\n\
         fi\n{}",
        step("stop")
    );
    let (result, _) = turn(&world, 1, &shell(&program), &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    assert_eq!(fs::read_to_string(out(&world, 1).join("status")).unwrap(), "");
    assert_eq!(
        fs::read_to_string(out(&world, 1).join("branch")).unwrap().trim(),
        format!("agent/{}", run_id())
    );
    assert_eq!(world.saved(1), ["good.txt"]);
}

#[tokio::test]
async fn whoever_can_only_read_plans_by_answering() {
    let mut world = World::new();
    world.plan_first = true;
    let text = r#"echo '{"type":"text","sessionID":"ses_1","part":{"text":"- first this, then that"}}'"#;
    let program = format!("echo \"$1 $2\" >> \"$ROUNDSMAN_OUT/modes\"; {text}; {}", step("stop"));
    let mut agent = shell(&program);
    agent.plan = Some(vec!["read".into()]);
    agent.command = ["sh", "-c", &program, "agent", "{mode}"].map(str::to_owned).to_vec();
    agent.work = vec!["write".into(), "more".into()];
    agent.resume = Vec::new();
    let (result, _) = turn(&world, 1, &agent, &Handover::default()).await;
    assert!(matches!(&result, AgentResult::NothingChanged { .. }), "{result:?}");
    assert_eq!(fs::read_to_string(out(&world, 1).join("plan.md")).unwrap(), "- first this, then that");
    assert_eq!(fs::read_to_string(out(&world, 1).join("modes")).unwrap(), "read \nwrite more\n");
    assert!(
        evidence(&world, 1, "02-implement.brief.md").contains("plan.md"),
        "who forgets is told where the plan is"
    );
}

#[tokio::test]
async fn what_never_ends_is_cut_by_the_limit_that_it_meets() {
    let forever = format!("while :; do {}; done", step("unknown"));
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits { grace_seconds: 1, ..Limits::default() };
        change(&mut limits);
        limits
    };
    let filler = "head -c 30000000 /dev/zero > big; sleep 60".to_owned();
    let cases: [(Limits, &str, &str); 3] = [
        (limits(|l| l.steps = 20), &forever, "steps, of 20 allowed"),
        (limits(|l| (l.steps, l.tokens) = (u32::MAX, 9_000)), &forever, "tokens, of 9000 allowed"),
        (
            limits(|l| (l.steps, l.cost_micro_usd) = (u32::MAX, 50_000)),
            &forever,
            "micro dollars, of 50000 allowed",
        ),
    ];
    for (limits, program, expected) in cases {
        let mut world = World::new();
        world.limits = limits;
        let (result, usage) = turn(&world, 1, &shell(program), &Handover::default()).await;
        let (class, detail) = failed(&result);
        assert_eq!(class, AgentFailure::Exhausted, "{detail}");
        assert!(detail.contains(expected), "{expected}: {detail}");
        assert_eq!(usage.calls, 1);
    }
    // What it had done before it was cut is handed on as unfinished work, and says why it ended.
    let mut world = World::new();
    world.limits = limits(|l| l.disk_bytes = 20_000_000);
    let (result, usage) = turn(&world, 1, &shell(&filler), &Handover::default()).await;
    let AgentResult::Worked { cut: Some(why), .. } = &result else { panic!("{result:?}") };
    assert!(why.contains("bytes of disk, of 20000000 allowed"), "{why}");
    assert_eq!(usage.calls, 1);
}

#[tokio::test]
async fn a_provider_that_fails_for_now_is_asked_once_more() {
    let mut world = World::new();
    world.limits.provider_pause_seconds = 0;
    let once = format!(
        "if [ ! -e \"$ROUNDSMAN_OUT/once\" ]; then touch \"$ROUNDSMAN_OUT/once\"; {}; exit 1; fi; echo x > new.txt; {}",
        error(503),
        step("stop")
    );
    let (result, usage) = turn(&world, 1, &shell(&once), &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    assert_eq!(usage.calls, 2);

    let cases = [
        // Half of the work is there; nobody may take it for the whole.
        (format!("echo half > half.txt; {}; exit 1", error(500)), 2, AgentFailure::Provider),
        (format!("echo half > half.txt; {}", step("unknown")), 2, AgentFailure::Provider),
        // A wrong key is no outage: nobody mends it by waiting.
        (format!("{}; exit 1", error(401)), 1, AgentFailure::Rejected),
    ];
    for (number, (program, expected, class)) in (2..).zip(cases) {
        let (result, usage) = turn(&world, number, &shell(&program), &Handover::default()).await;
        assert_eq!(failed(&result).0, class, "{result:?}");
        assert_eq!(usage.calls, expected, "{program}");
    }
}

#[tokio::test]
async fn h03_a_zero_exit_with_an_error_and_without_work_is_the_providers_fault() {
    let claude = |line: &str| {
        let program = format!("cat > /dev/null; echo '{line}'");
        roundsman::runtime::spec::AgentCall {
            name: "claude".into(),
            command: ["sh", "-c", &program].map(str::to_owned).to_vec(),
            dialect: roundsman::runtime::spec::Dialect::Claude,
            ..Default::default()
        }
    };
    let is_error = r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error: 529 Overloaded","session_id":"s","num_turns":1,"usage":{"input_tokens":0,"output_tokens":0}}"#;
    let zero =
        r#"{"type":"error","sessionID":"ses_1","error":{"name":"APIError","data":{"message":"Overloaded"}}}"#;
    let cases = [
        // The text of an error, and exit 0.
        (shell(&error(503)), AgentFailure::Provider),
        // `is_error` although its own word for the end is success.
        (claude(is_error), AgentFailure::Provider),
        // Not a single token.
        (shell(&format!("echo '{zero}'")), AgentFailure::Provider),
    ];
    for (agent, expected) in cases {
        let mut world = World::new();
        world.limits.provider_pause_seconds = 0;
        let (result, usage) = turn(&world, 1, &agent, &Handover::default()).await;
        let (class, detail) = failed(&result);
        assert_eq!(class, expected, "{detail}");
        assert_eq!(usage.calls, 2, "asked once more: {detail}");
    }
}

#[tokio::test]
async fn h03_a_refused_permission_is_no_success() {
    let world = World::new();
    let recording =
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/agents/opencode/permission-ask-rejected.jsonl");
    let (result, _) = turn(&world, 1, &shell(&format!("cat {recording}")), &Handover::default()).await;
    let (class, detail) = failed(&result);
    assert_eq!(class, AgentFailure::Agent);
    assert!(detail.contains("was refused a permission"), "{detail}");
}

#[tokio::test]
async fn nothing_of_an_outer_session_gets_in_and_everything_it_needs_does() {
    let mut world = World::new();
    let outer = [
        ("CLAUDECODE", "1"),
        ("CLAUDE_CODE_SESSION_ID", "outer"),
        ("OPENCODE_PID", "1"),
        ("CODEX_SANDBOX", "seatbelt"),
        ("HTTPS_PROXY", "http://egress:3128"),
        ("HTTP_PROXY", "http://egress:3128"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ];
    let outer: BTreeMap<String, String> = outer.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    world.runtime = world.runtime.clone().with_environment(outer);
    let handover = Handover {
        environment: BTreeMap::from([
            ("MODEL_KEY".to_owned(), "canary-key-0123456789".to_owned().into()),
            ("FEED_PASSWORD".to_owned(), "canary-feed-0123456789".to_owned().into()),
        ]),
        certificates: Some("-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n".into()),
        ..Handover::default()
    };
    let mut agent = shell(&format!(
        "env | sort > \"$ROUNDSMAN_OUT/env\"; pwd -P > \"$ROUNDSMAN_OUT/pwd\"; cp \"$SSL_CERT_FILE\" \"$ROUNDSMAN_OUT/pem\"\n\
         echo \"the key is $MODEL_KEY\"; echo \"the key is $MODEL_KEY\" >&2; echo sk-proj-0123456789abcdefghij > new.txt; {}",
        step("stop")
    ));
    agent.checks_environment = vec!["FEED_PASSWORD".into()];
    agent.switches = BTreeMap::from([("SWITCH".into(), "off".into())]);
    let (result, _) = turn(&world, 1, &agent, &handover).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    let environment = fs::read_to_string(out(&world, 1).join("env")).unwrap();
    let has = |name: &str| environment.lines().any(|line| line.starts_with(&format!("{name}=")));
    for name in ["CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "OPENCODE_PID", "CODEX_SANDBOX", "FEED_PASSWORD"] {
        assert!(!has(name), "{name} got in:\n{environment}");
    }
    for name in [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "MODEL_KEY",
        "SWITCH",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "REQUESTS_CA_BUNDLE",
    ] {
        assert!(has(name), "{name} is missing:\n{environment}");
    }
    let pwd = fs::read_to_string(out(&world, 1).join("pwd")).unwrap();
    assert!(environment.contains(&format!("\nPWD={pwd}")), "{pwd} {environment}");
    assert!(fs::read_to_string(out(&world, 1).join("pem")).unwrap().contains("\nours\n"));

    for name in ["01-implement.events.jsonl", "01-implement.log", "diff.patch"] {
        let text = evidence(&world, 1, name);
        assert!(text.contains("[redacted]") && !text.contains("canary"), "{name}: {text}");
    }
    assert!(evidence(&world, 1, "stat.txt").contains("new.txt"));
    assert!(evidence(&world, 1, "usage.json").contains("\"input_tokens\": 700"));
}

#[tokio::test]
async fn an_agent_may_say_why_nothing_changed() {
    let world = World::new();
    let say = |reason: &str| {
        format!(
            "echo '{{\"outcome\":\"nothing-to-do\",\"reason\":\"{reason}\",\"answer\":\"See README.\"}}' > \"$ROUNDSMAN_OUT/outcome.json\"; {}",
            step("stop")
        )
    };
    for (number, reason, expected) in
        [(1, "already-done", "already done: See README."), (2, "it is friday", "See README.")]
    {
        let (result, _) = turn(&world, number, &shell(&say(reason)), &Handover::default()).await;
        let AgentResult::NothingChanged { answer, .. } = result else { panic!("{result:?}") };
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn the_repositorys_own_agent_configuration_is_not_there_and_not_lost() {
    let world = World::with(&[
        (".opencode/plugin/x.js", "evil"),
        ("opencode.json", "{}"),
        ("src/opencode.json", "{\"is\":\"data\"}"),
    ]);
    let mut agent = shell(&format!(
        "ls -A > \"$ROUNDSMAN_OUT/seen\"; ls src >> \"$ROUNDSMAN_OUT/seen\"; echo x > new.txt; git add -A; git commit -qm Work; {}",
        step("stop")
    ));
    agent.hides = [".opencode", "opencode.json", "opencode.jsonc"].map(str::to_owned).to_vec();
    let (result, _) = turn(&world, 1, &agent, &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    let seen = fs::read_to_string(out(&world, 1).join("seen")).unwrap();
    assert!(!seen.contains(".opencode"), "{seen}");
    assert_eq!(seen.matches("opencode.json").count(), 1, "{seen}");
    assert_eq!(world.saved(1), ["new.txt"], "what is hidden is not deleted");
    let workspace = world.runtime.places(run_id(), TurnNumber(1)).workspace;
    assert!(git(&workspace, &["ls-files"]).contains(".opencode/plugin/x.js"));
}
