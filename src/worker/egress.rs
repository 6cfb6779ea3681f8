//! The gate: the only way out of an agent's network. A small forward proxy that lets exactly what the operator listed
//! through.
//!
//! ```text
//! roundsman-worker egress --listen 0.0.0.0:3128 --allow host[:port],… [--upstream http://proxy:port]
//!                         --lifetime <seconds> [--idle <seconds>]
//! ```
//!
//! It runs in a container of its own, with the agent on one side and a route on the other. It resolves the names, so an
//! agent needs no name server; it judges every address that a name stands for; it ends by itself. What it writes down
//! are targets, each once: no path, no header, no byte of what passes. Behind an encrypted tunnel it sees nothing, and it
//! trusts the hosts that were listed with whatever they are sent.
//!
//! The rules are in `rules`, the reading of heads in `head`, both pure; the bytes move in `relay`.

mod head;
mod relay;
mod rules;

use super::{EXIT_BROKEN, EXIT_DONE, EXIT_USAGE};
use rules::List;
use std::{
    collections::BTreeSet,
    io::Write as _,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

/// Connections at once. A coding agent and its package manager open a dozen.
const CONNECTIONS: usize = 64;
/// Time for a head: it is sent in one piece by everybody who means well.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Time for a name, and for a connection to one address.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Silence in both directions, seconds, unless `--idle` says otherwise: as long as an agent may be silent itself.
const IDLE_SECONDS: u64 = 600;
/// Threads that resolve names: the gate's container allows few processes.
const RESOLVERS: usize = 8;
/// Lines of the log. An agent chooses what is refused, and must not fill a disk with it.
const MOST_LINES: usize = 500;
/// Pause after a connection could not be taken (no file descriptor is left): the others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const USAGE: &str = "usage: roundsman-worker egress --listen <address:port> --allow <host[:port],…> \
                     [--upstream http://<proxy:port>] --lifetime <seconds> [--idle <seconds>]";

/// The gate program: `arguments` behind its name.
pub(super) fn main(arguments: &[&str]) -> ExitCode {
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(why) => return super::complain(EXIT_USAGE, &format!("{why}\n{USAGE}")),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build();
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(run(options));
        // A name server that does not answer keeps nobody here.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::from(EXIT_DONE),
        Err(error) => super::complain(EXIT_BROKEN, &format!("roundsman egress: {error}")),
    }
}

/// What the operator asked for.
#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    lifetime: Duration,
    idle: Duration,
    list: List,
    upstream: Option<Upstream>,
}

/// A proxy between the gate and the world, chosen by the operator and therefore not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Upstream {
    host: String,
    port: u16,
}

impl Options {
    fn read(arguments: &[&str]) -> Result<Self, String> {
        let (mut listen, mut lifetime, mut idle, mut upstream) = (None, None, None, None);
        let mut list = List::default();
        let mut listed = false;
        let (pairs, rest) = arguments.as_chunks::<2>();
        if let [odd] = rest {
            return Err(format!("`{odd}` has no value, or is one without a name"));
        }
        for [name, value] in pairs {
            let is_new = match *name {
                "--listen" => {
                    let address =
                        value.parse().map_err(|_| format!("--listen: `{value}` is no address:port"))?;
                    listen.replace(address).is_none()
                }
                "--lifetime" => lifetime.replace(seconds(name, value)?).is_none(),
                "--idle" => idle.replace(seconds(name, value)?).is_none(),
                "--upstream" => upstream.replace(Upstream::read(value)?).is_none(),
                "--allow" => {
                    listed = true;
                    list.add(value).map_err(|why| format!("--allow: {why}"))?;
                    true
                }
                unknown => return Err(format!("`{unknown}` is not an option")),
            };
            if !is_new {
                return Err(format!("{name} is given twice"));
            }
        }
        if !listed {
            return Err("--allow is missing; nothing at all is `--allow \"\"`".into());
        }
        Ok(Self {
            listen: listen.ok_or("--listen is missing")?,
            lifetime: lifetime.ok_or("--lifetime is missing")?,
            idle: idle.unwrap_or(Duration::from_secs(IDLE_SECONDS)),
            list,
            upstream,
        })
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    match value.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        Ok(0) | Err(_) => Err(format!("{name}: `{value}` is not a number of seconds")),
    }
}

impl Upstream {
    fn read(value: &str) -> Result<Self, String> {
        // The value could carry a password: it is not repeated.
        let wrong = || "--upstream: not of the form http://proxy:port".to_owned();
        let url = url::Url::parse(value).map_err(|_| wrong())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "--upstream: a password has no place in an argument, where everybody reads it; use a proxy \
                        that lets this machine through"
                    .into(),
            );
        }
        let is_bare =
            url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if is_bare => {
                Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
            }
            _ => Err(wrong()),
        }
    }
}

/// What all connections share.
struct Gate {
    list: List,
    upstream: Option<Upstream>,
    limits: Limits,
    journal: Journal,
}

/// Times of one connection.
struct Limits {
    head: Duration,
    connect: Duration,
    idle: Duration,
}

async fn run(options: Options) -> std::io::Result<()> {
    let mut asked_to_end = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(options.listen).await?;
    let gate = Arc::new(Gate {
        list: options.list,
        upstream: options.upstream,
        limits: Limits { head: HEAD_PATIENCE, connect: CONNECT_PATIENCE, idle: options.idle },
        journal: Journal::default(),
    });
    gate.journal.say(&format!("listens on {}", listener.local_addr()?));
    let why = tokio::select! {
        never = accept(&listener, &gate) => match never {},
        () = tokio::time::sleep(options.lifetime) => "its time is over",
        _ = asked_to_end.recv() => "it was asked to",
    };
    // Connections end with the runtime.
    gate.journal.say(&format!("ends: {why}"));
    Ok(())
}

async fn accept(listener: &TcpListener, gate: &Arc<Gate>) -> std::convert::Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                match Arc::clone(&room).try_acquire_owned() {
                    Err(_) => {
                        gate.journal.say("refused a connection: too many at once");
                        relay::turn_away(&stream);
                    }
                    Ok(place) => {
                        let gate = Arc::clone(gate);
                        tokio::task::spawn_local(async move {
                            relay::serve(&gate, stream).await;
                            drop(place);
                        });
                    }
                }
            }
        })
        .await
}

/// What is worth knowing afterwards: each thing once, and not more than a person reads.
#[derive(Default)]
struct Journal {
    said: Mutex<BTreeSet<String>>,
}

impl Journal {
    fn say(&self, what: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST_LINES || !said.insert(what.to_owned()) {
            return;
        }
        let rest = if said.len() == MOST_LINES { "\nroundsman egress: says no more" } else { "" };
        // Nobody has to read along.
        _ = writeln!(std::io::stdout(), "roundsman egress: {what}{rest}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_read_and_mistakes_are_named() {
        let read = |line: &str| Options::read(&line.split(' ').collect::<Vec<_>>());
        let good = "--listen 0.0.0.0:3128 --allow a.example,*.b.example:8443 --upstream http://proxy.example:8080 \
                    --lifetime 60";
        let options = read(good).unwrap();
        assert_eq!(options.upstream, Some(Upstream { host: "proxy.example".into(), port: 8080 }));
        assert_eq!((options.lifetime.as_secs(), options.idle.as_secs()), (60, IDLE_SECONDS));
        let nothing = Options::read(&["--listen", "[::]:1", "--allow", "", "--lifetime", "1"]).unwrap();
        assert_eq!(nothing.list, List::default());
        for (line, says) in [
            ("--listen 0.0.0.0:1 --lifetime 60", "--allow is missing"),
            ("--allow a --lifetime 60", "--listen is missing"),
            ("--allow a --listen 0.0.0.0:1", "--lifetime is missing"),
            ("--listen here --allow a --lifetime 60", "no address:port"),
            ("--listen 0.0.0.0:1 --allow a --lifetime 0", "seconds"),
            ("--listen 0.0.0.0:1 --allow a:b --lifetime 1", "`a:b`"),
            ("--listen 0.0.0.0:1 --listen 0.0.0.0:2", "twice"),
            ("--listen", "no value"),
            ("--port 1", "not an option"),
            ("--upstream https://p:1", "http://proxy:port"),
            ("--upstream http://p:1/x", "http://proxy:port"),
        ] {
            let said = read(line).unwrap_err();
            assert!(said.contains(says), "{line}: {said}");
        }
        let said = read("--upstream http://me:s3cret@p:1").unwrap_err();
        assert!(said.contains("password") && !said.contains("s3cret"), "{said}");
    }
}
