//! Clones and pushes: git's own server program behind our credentials and our rules.
//!
//! It knows the CGI of `git http-backend` and enough of the push protocol to refuse by ref. Objects are git's business.

use super::{
    Inner,
    serve::{Incoming, authenticate, http},
    state::repositories::{RefUpdate, Refusal, Repository},
    wire::{Content, Problem, Reply, ZERO, decode},
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode},
};
use std::{process::Stdio, sync::Arc};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// Operation name and whether it writes.
pub(crate) fn operation(incoming: &Incoming) -> (&'static str, bool) {
    if incoming.path.ends_with("/git-receive-pack") {
        ("git: push", true)
    } else if incoming.path.ends_with("/git-upload-pack") {
        ("git: fetch", false)
    } else {
        ("git: discover", false)
    }
}

/// Serves `/{organization}/{project}/_git/{repository}/…`.
pub(crate) async fn serve(inner: &Arc<Inner>, incoming: &Incoming) -> (Option<String>, Response<Body>) {
    let Ok(me) = authenticate(inner, incoming) else {
        // Git itself gets a plain challenge, never the sign-in page.
        let reply =
            Reply::new(401, Content::Text("TF400813: The user is not authorized.".into(), "text/plain"))
                .header("WWW-Authenticate", "Bearer")
                .header("WWW-Authenticate", format!("Basic realm=\"{}\"", inner.origin));
        return (None, http(reply, None));
    };
    let name = inner.look(|world| world.account(&me).map(|account| account.display_name.clone()));
    let response = match locate(inner, incoming) {
        Err(problem) => refuse(&problem),
        Ok((repository, rest)) => run(inner, incoming, &me, &repository, &rest).await,
    };
    (name, response)
}

/// Git shows the plain text of a refusal behind `remote:`.
fn refuse(problem: &Problem) -> Response<Body> {
    http(Reply::new(problem.status, Content::Text(problem.message.clone(), "text/plain")), None)
}

fn locate(inner: &Inner, incoming: &Incoming) -> Result<(Arc<Repository>, String), Problem> {
    let missing = || {
        Problem::new(
            404,
            "GitRepositoryNotFoundException",
            "TF401019: The Git repository does not exist or you do not have permissions for the operation you are attempting.",
        )
    };
    let segments: Vec<String> = incoming.path.trim_matches('/').split('/').map(decode).collect();
    let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("_git")).ok_or_else(missing)?;
    let repository = segments.get(at + 1).ok_or_else(missing)?;
    // The short form names the repository after its project.
    let project = if at == 2 { &segments[1] } else { repository };
    if at == 0 || at > 2 || !segments[0].eq_ignore_ascii_case(&inner.organization) {
        return Err(missing());
    }
    let found = inner.look(|world| {
        let project = world.project(project)?;
        let found = world.repository(Some(&project.id), repository)?;
        if world.knobs.disabled_repositories.contains(&found.id) {
            return Err(Problem::new(
                403,
                "GitRepositoryDisabledException",
                format!("TF401022: The repository {} is disabled.", found.name),
            ));
        }
        Ok(found)
    })?;
    Ok((found, segments[at + 2..].join("/")))
}

async fn run(
    inner: &Arc<Inner>,
    incoming: &Incoming,
    me: &str,
    repository: &Arc<Repository>,
    rest: &str,
) -> Response<Body> {
    let known = matches!(
        (incoming.method.as_str(), rest),
        ("GET", "info/refs") | ("POST", "git-upload-pack" | "git-receive-pack")
    );
    if !known {
        inner.unknown(incoming);
        return refuse(&Problem::new(404, "", "TF401019: There is nothing here."));
    }
    let pushes = rest == "git-receive-pack" || incoming.query.contains("git-receive-pack");
    let account = inner.look(|world| world.account(me).cloned());
    if pushes && !account.as_ref().is_some_and(|account| account.contribute) {
        let text = format!(
            "TF401027: You need the Git 'GenericContribute' permission to perform this action. Details: identity '{me}', scope 'repository'."
        );
        return refuse(&Problem::new(403, "GitNeedsPermissionException", text));
    }
    let may_force = account.is_some_and(|account| account.force_push);
    if rest != "git-receive-pack" {
        return cgi(inner, incoming, me, repository, rest, may_force).await;
    }
    // One push at a time: what a push changed is found by comparing refs before and after.
    let _turn = inner.pushes.lock().await;
    let Some((commands, capabilities)) = commands(&incoming.body) else {
        return refuse(&Problem::argument("The push could not be read."));
    };
    let refusals: Vec<(String, Option<Refusal>)> = {
        let (inner, me, repository, commands) =
            (Arc::clone(inner), me.to_owned(), repository.id.clone(), commands.clone());
        let judged = tokio::task::spawn_blocking(move || {
            inner.look(|world| {
                let git = world.git(&repository);
                let judge = |command: &RefUpdate| {
                    let old = world.head(&repository, &command.name);
                    let rewinds = old.is_some_and(|old| {
                        command.new != ZERO
                            && git.has_commit(&command.new)
                            && !git.is_ancestor(&old, &command.new)
                    });
                    let refused = world.knobs.refused_pushes.get(&repository);
                    let by_rule = refused.map(|words| ("rejectedByPlugin", words.clone()));
                    let may = world.may_update(&repository, command, &me, rewinds);
                    (command.name.clone(), may.err().or(by_rule))
                };
                commands.iter().map(judge).collect()
            })
        });
        judged.await.unwrap_or_default()
    };
    if refusals.iter().any(|(_, refusal)| refusal.is_some()) {
        return refused_push(&refusals, &capabilities);
    }
    let response = cgi(inner, incoming, me, repository, rest, may_force).await;
    let (done, me, id) = (Arc::clone(inner), me.to_owned(), repository.id.clone());
    let after = tokio::task::spawn_blocking(move || {
        done.write(|world, _| {
            let refs = world.git(&id).refs().unwrap_or_default();
            let now =
                |name: &str| refs.iter().find(|(known, _)| known == name).map_or(ZERO, |(_, id)| id.as_str());
            let moved: Vec<RefUpdate> = commands
                .iter()
                .filter(|command| {
                    let before = world.head(&id, &command.name);
                    before.as_deref().unwrap_or(ZERO) != command.new && now(&command.name) == command.new
                })
                .cloned()
                .collect();
            if !moved.is_empty() {
                world.after_push(&id, &moved, &me);
            }
        });
    });
    // The answer waits until the world knows about the push, as the service's does.
    let _ = after.await;
    response
}

/// The commands at the head of a push, and its capabilities.
fn commands(body: &[u8]) -> Option<(Vec<RefUpdate>, String)> {
    let (mut found, mut capabilities, mut rest) = (Vec::new(), String::new(), body);
    loop {
        let length = usize::from_str_radix(std::str::from_utf8(rest.get(..4)?).ok()?, 16).ok()?;
        if length == 0 {
            return Some((found, capabilities));
        }
        let line = String::from_utf8_lossy(rest.get(4..length)?).into_owned();
        rest = rest.get(length..)?;
        let (command, extra) = line.split_once('\0').unwrap_or((line.as_str(), ""));
        if !extra.is_empty() {
            extra.trim_end().clone_into(&mut capabilities);
        }
        let mut words = command.trim_end().splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        if old.len() == 40 {
            found.push(RefUpdate { name: name.to_owned(), old: old.to_owned(), new: new.to_owned() });
        }
    }
}

fn packet(bytes: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", bytes.len() + 4).into_bytes();
    packet.extend(bytes);
    packet
}

/// A push of several refs is refused whole when one of them is: the others say so.
fn refused_push(refusals: &[(String, Option<Refusal>)], capabilities: &str) -> Response<Body> {
    let mut report = packet(b"unpack ok\n");
    for (name, refusal) in refusals {
        let why =
            refusal.as_ref().map_or("pushed together with a refused ref", |(_, message)| message.as_str());
        report.extend(packet(format!("ng {name} {why}\n").as_bytes()));
    }
    report.extend(b"0000");
    let body = if capabilities.contains("side-band") {
        let mut banded = vec![1];
        banded.extend(&report);
        let mut body = packet(&banded);
        body.extend(b"0000");
        body
    } else {
        report
    };
    http(Reply::new(200, Content::Bytes(body, "application/x-git-receive-pack-result")), None)
}

async fn cgi(
    inner: &Inner,
    incoming: &Incoming,
    me: &str,
    repository: &Repository,
    rest: &str,
    may_force: bool,
) -> Response<Body> {
    let root = inner.look(|world| world.root.as_ref().clone());
    let mut command = Command::new(super::git::program());
    command.arg("http-backend").env_clear().envs(super::git::environment(&root));
    command
        .env("GIT_CONFIG_COUNT", "3")
        .env("GIT_CONFIG_KEY_2", "receive.denyNonFastForwards")
        .env("GIT_CONFIG_VALUE_2", if may_force { "false" } else { "true" })
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}.git/{rest}", repository.id))
        .env("REQUEST_METHOD", &incoming.method)
        .env("QUERY_STRING", &incoming.query)
        .env("REMOTE_USER", me)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", incoming.body.len().to_string());
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
        ("user-agent", "HTTP_USER_AGENT"),
    ];
    for (header, variable) in passed {
        if let Some(value) = incoming.header(header) {
            command.env(variable, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |text: String| http(Reply::new(500, Content::Text(text, "text/plain")), None);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("git http-backend did not start: {error}")),
    };
    let stdin = child.stdin.take();
    let body = incoming.body.clone();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // The program may stop reading early; what it answers decides.
            let _ = stdin.write_all(&body).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = match output {
        Ok(output) => output,
        Err(error) => return failed(format!("git http-backend: {error}")),
    };
    parse(&output.stdout).unwrap_or_else(|| failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// A CGI answer: headers, an empty line, the rest.
fn parse(output: &[u8]) -> Option<Response<Body>> {
    let crlf = output.windows(4).position(|window| window == b"\r\n\r\n").map(|at| (at, 4));
    let (at, gap) =
        crlf.or_else(|| output.windows(2).position(|window| window == b"\n\n").map(|at| (at, 2)))?;
    let mut response = Response::new(Body::from(output[at + gap..].to_vec()));
    for line in String::from_utf8_lossy(&output[..at]).lines() {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next()?.parse().ok()?;
            *response.status_mut() = StatusCode::from_u16(code).ok()?;
        } else if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}
