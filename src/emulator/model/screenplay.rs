//! The demo's screenplay as a model plays it: recognises what it is asked for by the words of the brief, and answers with
//! one command that writes, commits and reports; then with a last word.
//!
//! A scene is a folder: `tree/` (files of the workspace), `pr.md`, `title.txt`, `summary.txt`, `plan.md`, `reply.md` (the
//! answer to every thread that awaits one). It understands nothing: everything it leaves says that it came from a script.

use super::ask::{Answer, Ask};
use serde_json::json;
use std::collections::BTreeMap;

/// Stands in everything that is left.
const HONESTY: &str = "Played from a script for the demo; no model wrote this.";
/// Ends the output of a command that did all it should.
const PLAYED: &str = "scene played";
/// Ends quoted text in a command.
const END: &str = "END_OF_SCENE";
/// The target branch's tip, where a conflict is to be solved.
const TARGET: &str = "refs/roundsman/target";

/// What is played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screenplay {
    files: BTreeMap<String, String>,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Plan,
    Work,
    /// What an earlier prompt of the conversation asked for.
    CarryOut,
    Repair,
    Tidy,
}

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Implement,
    FixForward,
    Respond,
    Conflict,
}

impl Task {
    fn folder(self) -> &'static str {
        match self {
            Self::Implement => "implement",
            Self::FixForward => "fix-forward",
            Self::Respond => "respond",
            Self::Conflict => "conflict",
        }
    }
}

/// By its headings: the first of all says what the call is for, the first that names a task which. Foreign text follows.
fn recognise(prompt: &str) -> (Option<Purpose>, Option<Task>) {
    let (mut purpose, mut is_titled) = (None, false);
    for line in prompt.lines() {
        // An agent may wrap what it was given into quotation marks.
        let line = line.trim_start_matches('"').trim_end();
        if let Some(title) = line.strip_prefix("# ").filter(|_| !is_titled) {
            is_titled = true;
            let title = title.to_ascii_lowercase();
            let title = title.strip_prefix("this call: ").unwrap_or(&title);
            purpose = [
                ("plan only", Purpose::Plan),
                ("implement", Purpose::CarryOut),
                ("go on", Purpose::CarryOut),
                ("repair", Purpose::Repair),
                ("tidy up", Purpose::Tidy),
            ]
            .into_iter()
            .find_map(|(begin, purpose)| title.starts_with(begin).then_some(purpose));
        }
        if let Some(title) = line.strip_prefix("## Your task: ") {
            let task = [
                ("implement", Task::Implement),
                ("fix forward", Task::FixForward),
                ("respond", Task::Respond),
                ("resolve conflicts", Task::Conflict),
            ]
            .into_iter()
            .find_map(|(begin, task)| title.starts_with(begin).then_some(task));
            return (purpose.or(task.map(|_| Purpose::Work)), task);
        }
    }
    (purpose, None)
}

/// Threads that await an answer, as a brief lists them.
fn awaiting(prompt: &str) -> Vec<u32> {
    let mut threads = Vec::new();
    for (at, heading) in prompt.match_indices("### Thread ") {
        let rest = &prompt[at + heading.len()..];
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let said = rest.lines().skip(1).find(|line| !line.trim().is_empty()).unwrap_or_default();
        if let (Ok(number), true) = (number.parse(), said.trim_end().ends_with("awaits you.")) {
            threads.push(number);
        }
    }
    threads.dedup();
    threads
}

impl Screenplay {
    /// Of files by their path below the screenplay's folder.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |(path, text): (&str, &str)| (path.to_owned(), text.to_owned());
        Self { files: files.into_iter().map(own).collect() }
    }

    /// Answers one request.
    pub(super) fn play(&self, ask: &Ask) -> Answer {
        let prompt = ask.prompts().next().unwrap_or_default();
        let (text, command, played) = match recognise(prompt) {
            (Some(Purpose::CarryOut), _) => {
                let told = ask.prompts().find_map(|prompt| Some((recognise(prompt).1?, prompt)));
                told.map_or_else(none, |(task, prompt)| self.turn(task, prompt))
            }
            (Some(Purpose::Plan), task) => {
                let plan = self.plan(task);
                let wanted = prompt.split("\n---\n").next().is_some_and(|head| head.contains("plan.md"));
                let command = wanted.then(|| script(&[left("plan.md", &plan)]));
                (plan, command, "scene plan".to_owned())
            }
            (Some(Purpose::Repair | Purpose::Tidy), _) => {
                (said("A script has nothing to add here."), None, "nothing to add".to_owned())
            }
            (Some(Purpose::Work), Some(task)) => self.turn(task, prompt),
            (Some(Purpose::Work) | None, _) => none(),
        };
        let results = ask.results();
        let Some(command) = command else { return Answer::measured(ask, text, None, played) };
        if results.is_empty() {
            let about = format!("Play the {played} of the script");
            return match ask.shell(&command, &about) {
                Some(call) => Answer::measured(ask, format!("{about}."), Some(call), played),
                None => Answer::measured(
                    ask,
                    said("No tool here runs a command; nothing was done."),
                    None,
                    played,
                ),
            };
        }
        let worked = results.iter().any(|result| result.contains(PLAYED));
        let failed = || format!("{text}\n\nThe command did not end well; its output says why.");
        let text = if worked { text } else { failed() };
        Answer::measured(ask, text, None, format!("{played}, its end"))
    }

    /// What is said, run and remembered of a turn's work.
    fn turn(&self, task: Task, prompt: &str) -> (String, Option<String>, String) {
        match self.work(task, prompt) {
            Some(command) => (said(&self.summary(task)), Some(command), format!("scene {}", task.folder())),
            None => none(),
        }
    }

    fn told(&self, task: Task, name: &str) -> Option<&str> {
        self.files.get(&format!("{}/{name}", task.folder())).map(|text| text.trim())
    }

    fn summary(&self, task: Task) -> String {
        self.told(task, "summary.txt").unwrap_or("Applied the prepared change.").to_owned()
    }

    fn plan(&self, task: Option<Task>) -> String {
        let told = task.and_then(|task| self.told(task, "plan.md"));
        format!("{}\n\n_{HONESTY}_", told.unwrap_or("- Copy the prepared files.\n- Commit them."))
    }

    /// The command of a scene; nothing when there is no such scene.
    fn work(&self, task: Task, prompt: &str) -> Option<String> {
        let tree = format!("{}/tree/", task.folder());
        let files: Vec<(&str, &str)> = self
            .files
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(&tree)?, text.as_str())))
            .collect();
        let merge =
            (task == Task::Conflict).then(|| format!("git merge --quiet --no-edit -X theirs {TARGET}"));
        if files.is_empty() && merge.is_none() && self.told(task, "reply.md").is_none() {
            return None;
        }
        let summary = said(&self.summary(task));
        let mut steps: Vec<String> = merge.into_iter().collect();
        for (path, text) in &files {
            if let Some((folder, _)) = path.rsplit_once('/') {
                steps.push(format!("mkdir -p {}", quoted(folder)));
            }
            steps.push(written(&quoted(path), text));
        }
        if !files.is_empty() {
            let names: Vec<String> = files.iter().map(|(path, _)| quoted(path)).collect();
            steps.push(format!("git add -- {}", names.join(" ")));
            let message = quoted(&format!("[scripted] {}", self.summary(task)));
            let honesty = quoted(HONESTY);
            steps.push(format!("git diff --cached --quiet || git commit --quiet -m {message} -m {honesty}"));
        }
        let signed = |text: &str| format!("{text}\n\n_{HONESTY}_");
        if let Some(text) = self.told(task, "pr.md") {
            steps.push(left("pr.md", &signed(text)));
        }
        if let Some(text) = self.told(task, "title.txt") {
            steps.push(left("title.txt", text));
        }
        if let Some(text) = self.told(task, "reply.md") {
            steps.push("mkdir -p \"$ROUNDSMAN_OUT/replies\"".to_owned());
            let replies = awaiting(prompt).into_iter();
            steps.extend(replies.map(|thread| left(&format!("replies/{thread}.md"), &signed(text))));
        }
        let outcome = json!({"outcome": "done", "summary": summary, "answer": ""});
        steps.push(left("outcome.json", &outcome.to_string()));
        Some(script(&steps))
    }
}

fn none() -> (String, Option<String>, String) {
    (said("This script has no scene for that; nothing was changed."), None, "no scene".to_owned())
}

fn said(text: &str) -> String {
    format!("[scripted] {text} {HONESTY}")
}

/// The steps one after the other, ended by the first that fails; in a shell of their own, which may be left.
fn script(steps: &[String]) -> String {
    let steps = steps.join("\n");
    format!("(\nset -eu\n: \"${{ROUNDSMAN_OUT:?names no folder}}\"\n{steps}\necho '{PLAYED}'\n)")
}

fn left(name: &str, text: &str) -> String {
    written(&format!("\"$ROUNDSMAN_OUT/{name}\""), text)
}

/// Writes a file; `place` is quoted already. Whether it can be executed is the repository's business and stays.
fn written(place: &str, text: &str) -> String {
    let mut end = END.to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    format!("cat > {place} <<'{end}'\n{}\n{end}", text.strip_suffix('\n').unwrap_or(text))
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recognised_by_their_headings() {
        let brief = "# Work item 7, run 7-r3\n\nYou are.\n\n## Your task: fix forward (attempt 1 of 3)\n\n## Your task: implement\n";
        let task = Some(Task::FixForward);
        assert_eq!(recognise(brief), (Some(Purpose::Work), task));
        let again = format!("# Read this first: an earlier turn was lost\n\n{brief}");
        assert_eq!(recognise(&again), (Some(Purpose::Work), task));
        for head in ["# Plan only", "# This call: plan only", "\"# This call: plan only"] {
            assert_eq!(
                recognise(&format!("{head}\n\n---\n\n{brief}")),
                (Some(Purpose::Plan), task),
                "{head}"
            );
        }
        assert_eq!(recognise("# This call: repair\n"), (Some(Purpose::Repair), None));
        assert_eq!(recognise(&format!("# Repair 1 of 3\n\n{brief}")), (Some(Purpose::Repair), task));
        assert_eq!(recognise("# This call: tidy up\n"), (Some(Purpose::Tidy), None));
        assert_eq!(recognise("# Tidy up\n"), (Some(Purpose::Tidy), None));
        assert_eq!(recognise("# This call: implement\n\nYour plan stands."), (Some(Purpose::CarryOut), None));
        let additions = format!("# Work item 7\n\n# Repair shop\n\n{brief}");
        assert_eq!(recognise(&additions), (Some(Purpose::Work), task));
        assert_eq!(recognise("# This call: go on\n"), (Some(Purpose::CarryOut), None));
        assert_eq!(recognise("## Your task: respond to a review").1, Some(Task::Respond));
        assert_eq!(recognise("## Your task: resolve conflicts with `main`").1, Some(Task::Conflict));
        assert_eq!(recognise("Please implement this."), (None, None));
    }

    #[test]
    fn only_threads_that_await_are_answered() {
        let prompt = "### Thread 12\n\nAbout `/a` line 3; awaits you.\n\n### Thread 7\n\nAbout the pull request as a whole; \
                      context only, do not answer.\n\n### Thread x\n\nawaits you.\n";
        assert_eq!(awaiting(prompt), [12]);
    }

    #[test]
    fn text_never_ends_its_own_quotation() {
        let text = "a\nEND_OF_SCENE\nrm -rf .\n";
        assert_eq!(written("x", text), format!("cat > x <<'END_OF_SCENE_'\n{text}END_OF_SCENE_"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
