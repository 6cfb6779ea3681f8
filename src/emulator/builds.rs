//! The build agent: checks out the commit and runs the pipeline's command, for real.
//!
//! It knows processes and logs. Which builds exist and what their outcome causes is the world's business. A build sees the
//! search path and a few variables of its own, never the emulator's environment.

use super::{
    Inner, git,
    state::{
        Errand,
        builds::{Job, Lines},
    },
};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::Notify,
};

/// Starts and cancels what the world asked for. Must be called without holding the world.
pub(crate) fn errands(inner: &Arc<Inner>, errands: Vec<Errand>) {
    for errand in errands {
        match errand {
            Errand::Start(id) => {
                let cancel = Arc::new(Notify::new());
                inner.cancels().insert(id, Arc::clone(&cancel));
                inner.runtime.spawn(run(Arc::clone(inner), id, cancel));
            }
            Errand::Cancel(id) => {
                if let Some(cancel) = inner.cancels().get(&id) {
                    // One permit is kept, so a cancellation just before the agent listens is not lost.
                    cancel.notify_one();
                }
            }
        }
    }
}

async fn run(inner: Arc<Inner>, id: i64, cancel: Arc<Notify>) {
    let Ok(_agent) = inner.agents.acquire().await else { return };
    if let Some(job) = inner.change(|world| world.start_build(id)) {
        let result = work(&inner, &job, &cancel).await;
        inner.change(|world| world.finish_build(id, result));
    }
    let mut cancels = inner.cancels();
    if cancels.get(&id).is_some_and(|known| Arc::ptr_eq(known, &cancel)) {
        cancels.remove(&id);
    }
}

/// Log lines carry the agent's clock in front.
fn say(inner: &Inner, lines: &Lines, text: &str) {
    let at = inner.look_mut(super::state::World::now);
    if let Ok(mut lines) = lines.write() {
        lines.push(format!("{} {text}", super::wire::stamp7(at)));
    }
}

async fn work(inner: &Arc<Inner>, job: &Job, cancel: &Notify) -> &'static str {
    let [setup, checkout, task] = job.lines.as_slice() else { return "failed" };
    inner.change(|world| world.begin_step(job.id, 0));
    say(inner, setup, "##[section]Starting: Initialize job");
    say(inner, setup, "Agent name: 'Emulated Agent 1'");
    if job.forced == Some("lost-agent") {
        inner.change(|world| {
            if let Some(build) = world.build_mut(job.id) {
                build.lost_agent = true;
            }
        });
        return "failed";
    }
    say(inner, setup, "##[section]Finishing: Initialize job");
    inner.change(|world| world.end_step(job.id, 0, "succeeded"));

    inner.change(|world| world.begin_step(job.id, 1));
    say(inner, checkout, &format!("Syncing repository at {} ({})", job.version, job.branch));
    let folder = match check_out(job).await {
        Ok(folder) => folder,
        Err(error) => {
            say(inner, checkout, &format!("##[error]{error}"));
            inner.change(|world| world.end_step(job.id, 1, "failed"));
            return "failed";
        }
    };
    say(inner, checkout, &format!("HEAD is now at {}", job.version));
    inner.change(|world| world.end_step(job.id, 1, "succeeded"));

    inner.change(|world| world.begin_step(job.id, 2));
    say(inner, task, &format!("##[command]{}", job.command.join(" ")));
    if let Some(forced) = job.forced {
        let failed = forced == "failed";
        say(inner, task, if failed { "##[error]The outcome was forced." } else { "The outcome was forced." });
        inner.change(|world| world.end_step(job.id, 2, if failed { "failed" } else { "succeeded" }));
        return forced;
    }
    let outcome = execute(inner, job, folder.path(), task, cancel).await;
    let result = match outcome {
        Outcome::Exit(0) => "succeeded",
        Outcome::Exit(code) => {
            say(inner, task, &format!("##[error]Process completed with exit code {code}."));
            "failed"
        }
        Outcome::Failed(text) => {
            say(inner, task, &format!("##[error]{text}"));
            "failed"
        }
        Outcome::Cancelled => {
            say(inner, task, "##[error]The operation was canceled.");
            "canceled"
        }
    };
    inner.change(|world| world.end_step(job.id, 2, result));
    result
}

async fn check_out(job: &Job) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::Builder::new().prefix("build-").tempdir().map_err(|error| error.to_string())?;
    let source = job.git_dir.to_string_lossy().into_owned();
    let here = folder.path().join("s");
    let target = here.to_string_lossy().into_owned();
    let steps: [Vec<&str>; 2] = [
        // Objects are shared with the bare repository: a build costs a checkout, not a copy.
        vec!["clone", "--quiet", "--shared", "--no-checkout", &source, &target],
        vec!["-C", &target, "checkout", "--quiet", "--detach", &job.version],
    ];
    for args in steps {
        let mut command = Command::new(git::program());
        command.env_clear().envs(git::environment(folder.path())).args(&args).kill_on_drop(true);
        let output = command.output().await.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    Ok(folder)
}

enum Outcome {
    Exit(i32),
    Failed(String),
    Cancelled,
}

async fn execute(
    inner: &Arc<Inner>,
    job: &Job,
    folder: &std::path::Path,
    lines: &Lines,
    cancel: &Notify,
) -> Outcome {
    let mut command = Command::new("/bin/sh");
    // One pipe for both streams keeps their lines in order.
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).args(&job.command);
    command
        .current_dir(folder.join("s"))
        .env_clear()
        .env("PATH", git::search_path())
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("LC_ALL", "C.UTF-8")
        .env("TF_BUILD", "True")
        .env("BUILD_BUILDID", job.id.to_string())
        .env("BUILD_SOURCEBRANCH", &job.branch)
        .env("BUILD_SOURCEVERSION", &job.version);
    if let Some(pull) = job.pull {
        command.env("SYSTEM_PULLREQUEST_PULLREQUESTID", pull.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let kill = || {
        if let Some(group) = group {
            // Nobody left to kill is fine.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    };
    let reader = child.stdout.take().map(|stdout| {
        let (inner, lines) = (Arc::clone(inner), Arc::clone(lines));
        tokio::spawn(async move {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                say(&inner, &lines, String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        })
    });
    let outcome = tokio::select! {
        status = child.wait() => match status {
            Ok(status) => Outcome::Exit(status.code().unwrap_or(137)),
            Err(error) => Outcome::Failed(error.to_string()),
        },
        () = cancel.notified() => Outcome::Cancelled,
        () = tokio::time::sleep(job.timeout) => {
            let minutes = job.timeout.as_secs().div_ceil(60);
            Outcome::Failed(format!("The job running on agent Emulated Agent 1 ran longer than the maximum time of {minutes} minutes."))
        }
    };
    kill();
    if !matches!(outcome, Outcome::Exit(_)) {
        let _ = child.wait().await;
    }
    if let Some(reader) = reader {
        // A grandchild that left the group could hold the pipe open for ever.
        let _ = tokio::time::timeout(Duration::from_secs(5), reader).await;
    }
    outcome
}
