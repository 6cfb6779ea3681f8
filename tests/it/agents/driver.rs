//! The driver with programs that print what real ones were recorded to print.

use super::{began, calls, error, evidence, out, shell, step, turn, turn_after};
use crate::worker::{World, git, run_id};
use roundsman::{
    domain::{AgentFailure, AgentResult, TurnNumber, Usage},
    runtime::{
        Handover,
        spec::{AgentCall, Limits, SessionKeep},
    },
};
use std::{collections::BTreeMap, fs};

fn failed(result: &AgentResult) -> (AgentFailure, &str) {
    match result {
        AgentResult::Failed { class, detail } => (*class, detail),
        other => panic!("{other:?}"),
    }
}

/// Remembers its conversation in a file, keeps what it is told, and does what `turn` says besides.
fn remembers(turn: &str) -> AgentCall {
    shell(&format!(
        "if [ $1 = again ] && [ ! -e \"$HOME/store/x/$2.txt\" ]; then echo 'Error: Session not found' >&2; exit 1; fi\n\
         mkdir -p \"$HOME/store/x\"; echo said >> \"$HOME/store/x/ses_1.txt\"\n\
         echo \"$ROUNDSMAN_CALL $1 $2 $PWD\" >> \"$ROUNDSMAN_OUT/calls\"; cat > \"$ROUNDSMAN_OUT/told-$ROUNDSMAN_CALL\"\n\
         find \"$HOME\" -type f | sed \"s,$HOME/,,\" | sort > \"$ROUNDSMAN_OUT/home\"\n\
         if [ $ROUNDSMAN_CALL = plan ]; then echo plan > \"$ROUNDSMAN_OUT/plan.md\"; else echo x >> new.txt; fi\n\
         {turn}\n{}",
        step("stop"),
    ))
}

fn left(world: &World, number: u16, name: &str) -> String {
    fs::read_to_string(out(world, number).join(name)).unwrap()
}

#[tokio::test]
async fn a_later_turn_goes_on_with_the_conversation_and_a_lost_one_begins_afresh() {
    let mut world = World::new();
    world.plan_first = true;
    let agent = remembers("");
    let (result, usage) = turn(&world, 1, &agent, &Handover::default()).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    assert_eq!(calls(&world, 1), ["plan new: answered", "implement again: answered"]);
    let used = Usage { calls: 2, steps: 2, input_tokens: 1_400, output_tokens: 70, ..Usage::default() };
    assert_eq!(usage, Usage { cost_micro_usd: Some(6_000), ..used });
    let told = left(&world, 1, "told-implement");
    assert!(
        told.contains("Your plan stands") && !told.contains("Do it."),
        "the brief is not paid for twice: {told}"
    );
    let workspace = world.runtime.places(run_id(), TurnNumber(1)).workspace;
    let first = left(&world, 1, "calls");
    assert_eq!(first, format!("plan new  {0}\nimplement again ses_1 {0}\n", workspace.display()));

    turn_after(&world, 2, &agent, &Handover::default(), Some(1)).await;
    assert_eq!(calls(&world, 2), ["plan again: answered", "implement again: answered"]);
    let told = left(&world, 2, "told-plan");
    assert!(told.contains("Euro, please.") && !told.contains("Do it."), "only what is new: {told}");
    assert_eq!(began(&world, 2), "goes on with that of turn 1");

    // The transcript is there, and its program does not know it.
    world.plan_first = false;
    let forgets = shell(&format!(
        "if [ $1 = again ]; then echo 'Error: Session not found' >&2; exit 1; fi\n\
         cat > \"$ROUNDSMAN_OUT/told\"; echo x >> new.txt; {}",
        step("stop")
    ));
    let (result, _) = turn_after(&world, 3, &forgets, &Handover::default(), Some(2)).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "not charged: {result:?}");
    assert_eq!(calls(&world, 3), ["implement again: did not know its session", "implement new: answered"]);
    assert!(left(&world, 3, "told").contains("Do it."));
}

#[tokio::test]
async fn of_a_home_only_the_conversation_outlives_its_turn() {
    let world = World::new();
    let evil = "mkdir -p \"$HOME/.config\" \"$HOME/store/.x\"; echo evil > \"$HOME/.config/plugin.js\"; \
        echo evil > \"$HOME/store/x/settings\"; ln -s \"$HOME/.config\" \"$HOME/store/link\"; \
        echo evil > \"$HOME/.config/ses_1.txt\"; chmod 500 \"$HOME/.config\"";
    turn(&world, 1, &remembers(evil), &Handover::default()).await;
    turn_after(&world, 2, &remembers(""), &Handover::default(), Some(1)).await;
    assert_eq!(left(&world, 2, "home"), "store/x/ses_1.txt\n", "what configured it is gone");
    assert_eq!(began(&world, 2), "goes on with that of turn 1");
    turn(&world, 3, &remembers(evil), &Handover::default()).await;
    assert_eq!(began(&world, 3), "begins afresh: this turn has a conversation of its own");
    assert_eq!(calls(&world, 3), ["implement new: answered"]);
    assert_eq!(left(&world, 3, "home"), "store/x/ses_1.txt\n", "its own, of this turn");
}

#[tokio::test]
async fn only_the_same_agent_goes_on_and_only_where_the_turn_ended_well() {
    let world = World::new();
    let agent = remembers("");
    let plain = Handover::default();
    turn(&world, 1, &agent, &plain).await;
    turn_after(&world, 2, &AgentCall { model: Some("other".into()), ..agent.clone() }, &plain, Some(1)).await;
    assert_eq!(began(&world, 2), "begins afresh: another model was asked for");
    let newer = AgentCall {
        model: Some("other".into()),
        version: ["echo", "2"].map(str::to_owned).to_vec(),
        ..agent.clone()
    };
    turn_after(&world, 3, &newer, &plain, Some(2)).await;
    assert_eq!(began(&world, 3), "begins afresh: the agent's program has another version");
    let nothing = AgentCall { keep: SessionKeep::default(), ..newer.clone() };
    turn_after(&world, 4, &nothing, &plain, Some(3)).await;
    assert_eq!(began(&world, 4), "begins afresh: conversations of opencode end with their turn");
    turn(&world, 5, &agent, &plain).await;
    turn_after(&world, 7, &agent, &plain, Some(6)).await;
    assert_eq!(began(&world, 7), "begins afresh: turn 6 left no conversation of opencode");

    let (result, _) = turn(&world, 8, &remembers("exit 3"), &plain).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "it left work: {result:?}");
    turn_after(&world, 9, &agent, &plain, Some(8)).await;
    assert_eq!(began(&world, 9), "begins afresh: turn 8 left no conversation of opencode");
    assert_eq!(calls(&world, 9), ["implement new: answered"]);
}

#[tokio::test]
async fn what_a_program_exported_it_is_given_to_import() {
    let world = World::new();
    let mut agent = remembers("");
    let script = |text: &str| ["sh", "-c", text, "move"].map(str::to_owned).to_vec();
    let with = |mut words: Vec<String>, word: &str| {
        words.push(word.to_owned());
        words
    };
    agent.keep = SessionKeep {
        files: Vec::new(),
        export: with(script("echo exported $1"), "{session}"),
        import: with(
            script("mkdir -p \"$HOME/store/x\"; cat \"$1\" > \"$HOME/store/x/ses_1.txt\""),
            "{session_file}",
        ),
    };
    turn(&world, 1, &agent, &Handover::default()).await;
    turn_after(&world, 2, &agent, &Handover::default(), Some(1)).await;
    assert_eq!(calls(&world, 2), ["implement again: answered"]);
    let home = world.runtime.places(run_id(), TurnNumber(1)).home;
    assert_eq!(fs::read_to_string(home.join("store/x/ses_1.txt")).unwrap(), "exported ses_1\nsaid\n");
    agent.keep.import = script("exit 1");
    turn_after(&world, 3, &agent, &Handover::default(), Some(2)).await;
    assert_eq!(began(&world, 3), "begins afresh: the agent's program did not take the conversation back");
}

#[tokio::test]
async fn a_conversation_of_another_directory_is_never_gone_on_with() {
    let world = World::new();
    let home = world.runtime.places(run_id(), TurnNumber(1)).home;
    fs::create_dir_all(home.join("store/x")).unwrap();
    let known = |session: &str, directory: &str| {
        serde_json::json!({"opencode": {"session": session, "directory": directory, "after": 1}}).to_string()
    };
    let workspace = world.runtime.places(run_id(), TurnNumber(1)).workspace.display().to_string();
    let agent = shell(&format!("echo x > new.txt; {}", step("stop")));
    for (number, text) in (2..).zip([
        known("ses_9", "/elsewhere"),
        known("--last", &workspace),
        known("../x/ses_9", &workspace),
        "{".into(),
    ]) {
        fs::create_dir_all(home.join("store/x")).unwrap();
        fs::write(home.join("store/x/ses_9.txt"), "").unwrap();
        fs::write(home.join("roundsman-session.json"), &text).unwrap();
        turn_after(&world, number, &agent, &Handover::default(), Some(1)).await;
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
