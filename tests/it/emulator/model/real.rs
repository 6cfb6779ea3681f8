//! The real agents against the pretend provider, where they are installed.

use super::{IMPLEMENT, KEY, RESPOND, model, scenes::Checkout};
use crate::world::program;
use roundsman::{cli::demo::universe, emulator::model::Screenplay};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The agent's program where the project's own script installs it, or on the search path.
fn installed(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/agents");
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = [own.join("bin"), own.join("node_modules/.bin")];
    let found = folders.into_iter().chain(std::env::split_paths(&search)).map(|folder| folder.join(name));
    let found = { found }.find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: {name} is not installed");
    }
    found
}

/// A real agent's call in a home of its own, with nothing of ours but what it needs.
fn agent(program: &Path, name: &str, url: &str, model: &str, checkout: &Checkout) -> Command {
    let home = checkout.home.path().join("home");
    fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &home)
        .env("ROUNDSMAN_OUT", checkout.out())
        .env("PWD", checkout.workspace())
        .current_dir(checkout.workspace());
    match name {
        "opencode" => {
            let options = json!({"baseURL": format!("{url}/v1"), "apiKey": "{env:MODEL_KEY}"});
            let limit = json!({"limit": {"context": 128_000, "output": 4_096}});
            let provider =
                json!({"npm": "@ai-sdk/openai-compatible", "options": options, "models": {model: limit}});
            let full = format!("fake/{model}");
            let config = json!({"autoupdate": false, "share": "disabled", "enabled_providers": ["fake"],
                                "provider": {"fake": provider}, "model": full, "small_model": full});
            for switch in ["MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "PROJECT_CONFIG"]
            {
                command.env(format!("OPENCODE_DISABLE_{switch}"), "1");
            }
            command
                .env("OPENCODE_CONFIG_CONTENT", config.to_string())
                .env("MODEL_KEY", KEY)
                .args(["run", "--format", "json", "--auto", "-m", &full]);
        }
        "claude" => {
            command
                .env("ANTHROPIC_BASE_URL", url)
                .env("ANTHROPIC_API_KEY", KEY)
                .env("IS_SANDBOX", "1")
                .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
                .env("DISABLE_AUTOUPDATER", "1")
                .args(["-p", "--output-format", "stream-json", "--verbose", "--model", model])
                .arg("--dangerously-skip-permissions");
        }
        _ => {
            let state = home.join("codex");
            fs::create_dir_all(&state).unwrap();
            let provider = format!(
                "model_providers.fake={{name=\"fake\",base_url=\"{url}/v1\",env_key=\"MODEL_KEY\",wire_api=\"responses\",\
                 request_max_retries=1,stream_max_retries=1}}"
            );
            command
                .env("CODEX_HOME", state)
                .env("MODEL_KEY", KEY)
                .args(["exec", "--dangerously-bypass-approvals-and-sandbox", "--json", "-m", model])
                .args(["-c", "model_provider=fake", "-c", &provider, "-"]);
        }
    }
    command
}

/// Longer than any agent took with one call and a last word, on a machine that did other things too.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the agent with the prompt on its standard input; what it wrote there, and whether it ended well.
async fn run(command: Command, prompt: &str) -> (bool, String) {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::from(command)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(prompt.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// The real program plays two scenes; the model saw its tools, and its key stayed where it belongs.
async fn plays_for_real(name: &str) {
    let Some(program) = installed(name) else { return };
    let model = model(universe::screenplay()).await;
    let checkout = Checkout::new();
    for (prompt, scene) in [(IMPLEMENT, "implement"), (RESPOND, "respond")] {
        let begun = Instant::now();
        let command = agent(&program, name, &model.url(), "screenplay", &checkout);
        let (ended_well, said) = run(command, prompt).await;
        println!("{name} plays {scene}: {:?}", begun.elapsed());
        assert!(ended_well, "{said}");
        assert!(said.contains("[scripted]") && !said.contains(KEY), "{said}");
        match scene {
            "implement" => checkout.is_implemented(),
            _ => checkout.is_answered(),
        }
        let played: Vec<String> = model.requests().into_iter().map(|asked| asked.played).collect();
        let count = |wanted: &str| played.iter().filter(|played| *played == wanted).count();
        assert_eq!(count(&format!("scene {scene}")), 1, "one call: {played:?}\n{said}");
        assert_eq!(count(&format!("scene {scene}, its end")), 1, "one last word: {played:?}\n{said}");
    }
    assert!(model.requests().iter().all(|asked| asked.status == 200), "{:?}", model.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_plays_for_real() {
    plays_for_real("opencode").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_plays_for_real() {
    plays_for_real("claude").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_plays_for_real() {
    plays_for_real("codex").await;
}

/// The whole demo with the real program: the same work item ends the same way, and the model was really asked.
async fn plays_the_demo(name: &str) {
    if installed(name).is_none() {
        return;
    }
    let begun = Instant::now();
    let ended = program("roundsman", &["demo", "--agent", name, "--json"], []).await;
    println!("{name} plays the demo: {:?}", begun.elapsed());
    assert_eq!(ended.code, 0, "{ended:#?}");
    let summary = ended.json();
    assert_eq!(summary["outcome"], "merged", "{summary:#}");
    let promises = summary["promises"].as_array().unwrap();
    assert!(promises.iter().all(|promise| promise["kept"] == true), "{summary:#}");
    assert!(promises.iter().any(|promise| promise["name"] == "real-agent"), "{summary:#}");
    // A plan, a turn and its last word, in each of three turns.
    let asked = promises.iter().find(|promise| promise["name"] == "real-agent").unwrap();
    let asked = asked["found"].as_str().unwrap().split(' ').find_map(|word| word.parse::<u32>().ok());
    assert!(asked.unwrap() >= 9, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_plays_the_demo() {
    plays_the_demo("opencode").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_plays_the_demo() {
    plays_the_demo("claude").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_plays_the_demo() {
    plays_the_demo("codex").await;
}

/// What is not there is said at once, with what helps, and nothing is left behind.
#[test]
fn a_demo_without_its_agent_does_not_begin() {
    let nowhere = tempfile::tempdir().unwrap();
    for (arguments, says, code) in [
        (["--agent", "opencode"], "npm install --global opencode-ai@", 69),
        (["--agent", "claude"], "npm install --global @anthropic-ai/claude-code@", 69),
        (["--agent", "codex"], "npm install --global @openai/codex@", 69),
        (["--runtime", "docker"], "no `docker` on PATH", 71),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_roundsman"))
            .args(["demo", "--keep", "kept"])
            .args(arguments)
            .current_dir(nowhere.path())
            .env("PATH", nowhere.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says) && output.stdout.is_empty(), "{arguments:?}: {said}");
        assert!(!nowhere.path().join("kept").exists(), "{arguments:?}: something was started");
    }
}

/// A wrong key and a broken request end the real programs with an error; none takes it for success.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_real_agents() {
    for name in ["opencode", "claude", "codex"] {
        let Some(program) = installed(name) else { continue };
        let model = model(Screenplay::default()).await;
        let checkout = Checkout::new();
        let mut command = agent(&program, name, &model.url(), "err400", &checkout);
        let (ended_well, said) = run(command, "do it").await;
        assert!(!ended_well && said.contains("400"), "{name}: {said}");
        command = agent(&program, name, &model.url(), "ok", &checkout);
        command
            .env("MODEL_KEY", "sk-wrong")
            .env("ANTHROPIC_API_KEY", "sk-wrong")
            .env("CLAUDE_CODE_MAX_RETRIES", "1");
        let (ended_well, said) = run(command, "do it").await;
        assert!(!ended_well && said.contains("key"), "{name}: {said}");
    }
}
