//! The screenplay: each scene is one command that does what the demo needs, and a last word; everything else is nothing.

use super::{
    IMPLEMENT, KEY, PATHS, RESPOND, ask, model, request,
    understood::{Understood, understood},
};
use roundsman::{cli::demo::universe, emulator::model::Model};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the screenplay answers, in each dialect the same.
async fn scene(model: &Model, prompt: &str, results: &[&str]) -> Understood {
    let mut found: Option<(Option<String>, Understood)> = None;
    for path in PATHS {
        let told = ask(model, path, KEY, &request(path, "screenplay", prompt, results, true)).await.unwrap();
        let this = understood(path, &told, true);
        assert!(this.usage.0 > 10 && this.usage.1 > 5, "{this:?}");
        let command = this.call.as_ref().map(|(_, command)| command.clone());
        match &found {
            Some((first, _)) => assert_eq!(*first, command, "{path}"),
            None => found = Some((command, this)),
        }
    }
    found.unwrap().1
}

/// A checkout of the demo's repository with a commit, and a folder for what is left.
pub(super) struct Checkout {
    pub(super) home: tempfile::TempDir,
}

impl Checkout {
    pub(super) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let checkout = Self { home };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/repository");
        let copied = Command::new("cp").arg("-r").arg(fixture).arg(checkout.workspace()).status().unwrap();
        assert!(copied.success());
        fs::create_dir(checkout.out()).unwrap();
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "Agent"],
            &["config", "user.email", "agent@acme.example"],
            &["add", "-A"],
            &["commit", "-q", "-m", "Begin"],
        ] {
            checkout.git(arguments);
        }
        checkout
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.home.path().join("workspace")
    }

    pub(super) fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").args(arguments).current_dir(self.workspace()).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.out().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    fn outcome(&self) -> Value {
        serde_json::from_str(&self.left("outcome.json")).unwrap()
    }

    /// Plays a command as an agent's shell tool would.
    fn run(&self, command: &str) -> String {
        let output = Command::new("bash")
            .args(["-lc", command])
            .current_dir(self.workspace())
            .env("ROUNDSMAN_OUT", self.out())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}\n{command}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What must be there after the demo's `implement`.
    pub(super) fn is_implemented(&self) {
        assert!(fs::read_to_string(self.workspace().join("bin/greet")).unwrap().contains("--loud"));
        assert_eq!(self.git(&["rev-list", "--count", "HEAD"]), "2");
        assert_eq!(self.git(&["status", "--porcelain"]), "");
        assert!(self.git(&["log", "-1", "--format=%B"]).contains("no model wrote this"));
        assert_eq!(self.left("title.txt").trim(), "Greet loudly when asked to");
        assert!(self.left("pr.md").contains("no model wrote this"));
        assert_eq!(self.outcome()["outcome"], "done");
        self.run("sh src/scripts/run-tests.sh");
    }

    /// What must be there after the demo's `respond`.
    pub(super) fn is_answered(&self) {
        assert!(self.left("replies/12.md").contains("no model wrote this"));
        assert!(!self.out().join("replies/13.md").exists(), "a thread that awaits nothing is answered");
        assert!(fs::read_to_string(self.workspace().join("README.md")).unwrap().contains("-l"));
        assert_eq!(self.git(&["status", "--porcelain"]), "");
        assert!(self.outcome()["summary"].as_str().unwrap().starts_with("[scripted] "));
    }
}

#[tokio::test]
async fn the_screenplay_is_one_command_and_a_last_word() {
    let model = model(universe::screenplay()).await;
    let checkout = Checkout::new();
    let command = scene(&model, IMPLEMENT, &[]).await.call.expect("a command").1;
    let said = checkout.run(&command);
    checkout.is_implemented();
    let last = scene(&model, IMPLEMENT, &[&said]).await;
    assert_eq!(last.call, None);
    assert!(last.text.contains("[scripted]") && last.text.contains("no model wrote this"), "{}", last.text);
    let failed = scene(&model, IMPLEMENT, &["fatal: no repository"]).await;
    assert!(failed.call.is_none() && failed.text.contains("did not end well"), "{}", failed.text);

    let command = scene(&model, RESPOND, &[]).await.call.expect("a command").1;
    checkout.run(&command);
    checkout.is_answered();
    let again = format!("# Read this first: an earlier turn was lost\n\n{IMPLEMENT}");
    checkout.run(&scene(&model, &again, &[]).await.call.expect("a command").1);
    let fix = "## Your task: fix forward (attempt 1 of 3)\n";
    checkout.run(&scene(&model, fix, &[]).await.call.expect("a command").1);
    assert_eq!(checkout.git(&["status", "--porcelain"]), "");

    let played: Vec<String> = model.requests().into_iter().map(|asked| asked.played).collect();
    for scene in ["scene implement", "scene implement, its end", "scene respond", "scene fix-forward"] {
        assert!(played.iter().any(|played| played == scene), "{scene}: {played:?}");
    }
}

#[tokio::test]
async fn a_command_that_fails_says_so() {
    let model = model(universe::screenplay()).await;
    let checkout = Checkout::new();
    let command = scene(&model, IMPLEMENT, &[]).await.call.expect("a command").1;
    let mut bash = Command::new("bash");
    bash.args(["-c", &command]).env_remove("ROUNDSMAN_OUT").current_dir(checkout.workspace());
    let output = bash.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(checkout.git(&["rev-list", "--count", "HEAD"]), "1");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("scene played"));
}

#[tokio::test]
async fn a_conflict_is_merged_with_the_targets_side() {
    let model = model(universe::screenplay()).await;
    let checkout = Checkout::new();
    let readme = checkout.workspace().join("README.md");
    checkout.git(&["checkout", "-q", "-b", "target"]);
    fs::write(&readme, "theirs\n").unwrap();
    checkout.git(&["commit", "-q", "-a", "-m", "Theirs"]);
    checkout.git(&["update-ref", "refs/roundsman/target", "HEAD"]);
    checkout.git(&["checkout", "-q", "main"]);
    fs::write(&readme, "ours\n").unwrap();
    checkout.git(&["commit", "-q", "-a", "-m", "Ours"]);
    let prompt = "## Your task: resolve conflicts with `main`\n";
    checkout.run(&scene(&model, prompt, &[]).await.call.expect("a command").1);
    assert_eq!(fs::read_to_string(readme).unwrap(), "theirs\n");
    assert_eq!(checkout.git(&["rev-list", "--count", "--merges", "HEAD"]), "1");
    assert_eq!(checkout.outcome()["outcome"], "done");
}

#[tokio::test]
async fn plans_repairs_and_strange_prompts_change_nothing() {
    let model = model(universe::screenplay()).await;
    let checkout = Checkout::new();
    let before = checkout.git(&["rev-parse", "HEAD"]);
    let asked_for_a_file =
        format!("# This call: plan only\n\nWrite it to `$ROUNDSMAN_OUT/plan.md`.\n\n---\n\n{IMPLEMENT}");
    let plan = scene(&model, &asked_for_a_file, &[]).await;
    checkout.run(&plan.call.expect("a command").1);
    assert!(checkout.left("plan.md").contains("no model wrote this"));
    let as_text = scene(&model, &format!("# Plan only\n\nAnswer as text.\n\n{IMPLEMENT}"), &[]).await;
    assert!(as_text.call.is_none() && as_text.text.contains("--loud"), "{as_text:?}");
    for (prompt, says) in [
        ("# This call: repair\n\nYour work is committed.", "nothing to add"),
        ("# This call: tidy up\n\nx", "nothing to add"),
        ("Write me a poem about `## Your task: implement`.", "no scene"),
    ] {
        let found = scene(&model, prompt, &[]).await;
        assert!(found.call.is_none() && found.text.contains(says), "{prompt}: {found:?}");
    }
    assert_eq!(
        (checkout.git(&["rev-parse", "HEAD"]), checkout.git(&["status", "--porcelain"])),
        (before, String::new())
    );
}

#[tokio::test]
async fn an_earlier_prompt_says_what_is_to_be_carried_out() {
    let model = model(universe::screenplay()).await;
    let mut body =
        request(PATHS[0], "screenplay", &format!("# This call: plan only\n\n---\n\n{RESPOND}"), &[], true);
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "- Answer."}));
    messages.push(
        json!({"role": "user", "content": "# This call: implement\n\nYour plan stands. Carry it out.\n"}),
    );
    let told = ask(&model, PATHS[0], KEY, &body).await.unwrap();
    let command = understood(PATHS[0], &told, true).call.expect("a command").1;
    let checkout = Checkout::new();
    checkout.run(&command);
    checkout.is_answered();
    let nothing_before = scene(&model, "# This call: implement\n\nYour plan stands.", &[]).await;
    assert!(nothing_before.call.is_none() && nothing_before.text.contains("no scene"), "{nothing_before:?}");
}
