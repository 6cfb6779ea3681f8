//! A pretend Azure DevOps: real HTTP, real git, real builds, and every unkindness of the real service.
//!
//! It serves the demo and the stories. Work items, pull requests, policies and builds live in memory; repositories are bare
//! git repositories behind git's own server; a build runs the repository's command. It knows nothing of runs, claims or
//! agents, and nothing of ours but this module uses its internals. Where the service is documented to be awkward (sign-in
//! pages with 203, merged tags, prefix matches, lagging merges) it is awkward in the same way; where the documents are
//! silent it answers with a clear error and remembers the request (see [`Emulator::unknown_requests`]).

mod backend;
mod builds;
mod connection;
mod faults;
mod git;
mod knobs;
mod look;
pub mod model;
mod page;
mod people;
mod pull_people;
mod record;
mod routes;
mod serve;
mod setup;
mod state;
mod wiql;
mod wire;

pub use faults::Fault;
pub use look::{
    BuildSnapshot, CommentSnapshot, FileSnapshot, ItemSnapshot, PullSnapshot, ThreadSnapshot, TimelineEntry,
};
pub use people::{NewItem, Refused};
pub use pull_people::Selection;
pub use record::{Calls, Logged};
pub use setup::{Identity, IdentityKind, NewPipeline, RepositoryHandle, SeedFile, Token};
pub use state::process::Process;

use connection::{Gate, Scissors};
use faults::{Faults, Wrong};
use record::{Exchange, Record};
use state::{Knobs, Past, World};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
};

/// How a missing or wrong credential is answered on GET and POST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignIn {
    /// 203 with an HTML page, the usual trap.
    #[default]
    Page,
    /// 302 to the sign-in page.
    Redirect,
    /// 401 without a body.
    Empty,
}

/// How to start an emulator.
#[derive(Clone, Debug)]
pub struct Options {
    /// The organization, the first segment of every path.
    pub organization: String,
    /// Where it listens: this machine only, or where containers reach it.
    pub address: IpAddr,
    /// The port there; 0 takes a free one.
    pub port: u16,
    /// Where bare repositories live; a directory of its own when absent.
    pub root: Option<PathBuf>,
    /// Where every exchange is appended as one line of JSON. Never credentials, never git's own traffic.
    pub record: Option<PathBuf>,
    /// For how many reads a pull request shows `queued` after its merge was recomputed.
    pub merge_lag: u32,
    /// For how many reads a completed pull request still shows `active`.
    pub completion_lag: u32,
    /// How many builds run at once.
    pub agents: usize,
    /// `false` plays Azure DevOps Server: no markdown fields, another deployment type.
    pub hosted: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organization: "acme".to_owned(),
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            root: None,
            record: None,
            merge_lag: 1,
            completion_lag: 1,
            agents: 2,
            hosted: true,
        }
    }
}

/// A request that waits to be applied late.
#[derive(Debug)]
struct Held {
    after: u32,
    request: serve::Incoming,
}

#[derive(Debug, Default)]
struct Desk {
    faults: Faults,
    record: Record,
    held: Vec<Held>,
    unknown: Vec<String>,
}

#[derive(Debug)]
struct Core {
    world: World,
    past: Past,
}

/// What the server, the agents and the handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    core: Mutex<Core>,
    desk: Mutex<Desk>,
    cancels: Mutex<BTreeMap<i64, Arc<Notify>>>,
    busy: watch::Sender<usize>,
    pub(crate) agents: Semaphore,
    pub(crate) pushes: tokio::sync::Mutex<()>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) organization: String,
    pub(crate) origin: String,
    _home: Option<tempfile::TempDir>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn with<T>(self: &Arc<Self>, remember: bool, work: impl FnOnce(&mut World, &Past) -> T) -> T {
        let (result, errands) = {
            let mut core = locked(&self.core);
            let Core { world, past } = &mut *core;
            if remember {
                past.remember(world);
            }
            let result = work(world, past);
            let busy = world.builds.values().filter(|build| build.busy()).count();
            self.busy.send_if_modified(|known| std::mem::replace(known, busy) != busy);
            (result, std::mem::take(&mut world.errands))
        };
        builds::errands(self, errands);
        result
    }

    /// A change that a lagging replica may not have seen yet.
    pub(crate) fn write<T>(self: &Arc<Self>, work: impl FnOnce(&mut World, &Past) -> T) -> T {
        self.with(true, work)
    }

    pub(crate) fn read<T>(self: &Arc<Self>, work: impl FnOnce(&mut World, &Past) -> T) -> T {
        self.with(false, work)
    }

    /// A change by the emulator itself.
    pub(crate) fn change<T>(self: &Arc<Self>, work: impl FnOnce(&mut World) -> T) -> T {
        self.with(false, |world, _| work(world))
    }

    /// The newest older answer that differs from the present one; the present one when there is none.
    pub(crate) fn stale(
        self: &Arc<Self>,
        work: impl Fn(&mut World, &Past) -> Result<wire::Reply, wire::Reply>,
    ) -> Result<wire::Reply, wire::Reply> {
        let core = locked(&self.core);
        let now = work(&mut core.world.replica(), &core.past);
        let shown = |outcome: &Result<wire::Reply, wire::Reply>| {
            let (Ok(reply) | Err(reply)) = outcome;
            match &reply.content {
                wire::Content::Json(value) => {
                    let mut value = value.clone();
                    if let Some(members) = value.as_object_mut() {
                        members.remove("asOf");
                    }
                    value.to_string()
                }
                other => format!("{other:?}"),
            }
        };
        let present = shown(&now);
        for world in core.past.backwards() {
            let then = work(&mut world.replica(), &core.past);
            if shown(&then) != present {
                return then;
            }
        }
        now
    }

    pub(crate) fn look<T>(&self, work: impl FnOnce(&World) -> T) -> T {
        work(&locked(&self.core).world)
    }

    pub(crate) fn look_mut<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut locked(&self.core).world)
    }

    pub(crate) fn cancels(&self) -> MutexGuard<'_, BTreeMap<i64, Arc<Notify>>> {
        locked(&self.cancels)
    }

    pub(crate) fn strike(&self, operation: &str, path: &str, write: bool) -> Option<(Wrong, String)> {
        locked(&self.desk).faults.strike(operation, path, write)
    }

    pub(crate) fn hold(&self, request: serve::Incoming, after: u32) {
        locked(&self.desk).held.push(Held { after, request });
    }

    /// The held requests whose time has come; every call is one further request.
    pub(crate) fn due(&self) -> Vec<serve::Incoming> {
        let mut desk = locked(&self.desk);
        for held in &mut desk.held {
            held.after = held.after.saturating_sub(1);
        }
        let (due, left) = std::mem::take(&mut desk.held).into_iter().partition(|held: &Held| held.after == 0);
        desk.held = left;
        due.into_iter().map(|held| held.request).collect()
    }

    pub(crate) fn unknown(&self, incoming: &serve::Incoming) {
        locked(&self.desk).unknown.push(format!("{} {}", incoming.method, incoming.path));
    }

    pub(crate) fn log(
        &self,
        incoming: &serve::Incoming,
        operation: &str,
        write: bool,
        who: Option<String>,
        status: u16,
        fault: Option<String>,
    ) {
        let at = self.look_mut(World::now);
        let path = match incoming.query.as_str() {
            "" => incoming.path.clone(),
            query => format!("{}?{query}", incoming.path),
        };
        let method = incoming.method.clone();
        let entry = Logged { at, method, path, operation: operation.to_owned(), who, status, fault, write };
        locked(&self.desk).record.log(entry);
    }

    pub(crate) fn recorded(&self, exchange: &Exchange<'_>) {
        locked(&self.desk).record.exchange(exchange);
    }
}

/// Ends the server when the last handle goes.
#[derive(Debug)]
struct Server {
    task: JoinHandle<()>,
    closed: Scissors,
    inner: Arc<Inner>,
}

impl Server {
    fn stop(&self) {
        self.task.abort();
        self.closed.cut();
        for cancel in self.inner.cancels().values() {
            cancel.notify_one();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A running emulator. Clones are handles of the same one; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub(crate) inner: Arc<Inner>,
    server: Arc<Server>,
}

impl Emulator {
    /// Starts listening. Must be called inside a tokio runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((options.address, options.port)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (root, home) = if let Some(root) = options.root {
            std::fs::create_dir_all(&root)?;
            (root, None)
        } else {
            let home = tempfile::Builder::new().prefix("emulator-").tempdir()?;
            (home.path().to_owned(), Some(home))
        };
        let knobs = Knobs {
            merge_lag: options.merge_lag,
            completion_lag: options.completion_lag,
            push_lag: 0,
            evaluation_lag: 0,
            work_item_link_lag: 0,
            index_lag: 0,
            anonymous_connection_data: false,
            sign_in: SignIn::Page,
            query_limit: 20_000,
            page_cap: 200,
            builds_never_start: false,
            legacy_comment_ids: false,
            folds: true,
            hosted: options.hosted,
            races: BTreeMap::new(),
            required_fields: BTreeSet::new(),
            disabled_repositories: BTreeSet::new(),
            unreadable_items: BTreeSet::new(),
            refused_pushes: BTreeMap::new(),
        };
        let base = format!("{origin}/{}", options.organization);
        let world = World::new(&base, &options.organization, root, knobs);
        let record = Record::to(options.record.as_deref())?;
        let inner = Arc::new(Inner {
            core: Mutex::new(Core { world, past: Past::default() }),
            desk: Mutex::new(Desk { record, ..Desk::default() }),
            cancels: Mutex::default(),
            busy: watch::Sender::new(0),
            agents: Semaphore::new(options.agents.max(1)),
            pushes: tokio::sync::Mutex::new(()),
            runtime: tokio::runtime::Handle::current(),
            organization: options.organization,
            origin,
            _home: home,
        });
        let closed = Scissors::default();
        let gate = Gate { listener, closed: closed.clone() };
        let service = axum::Router::new()
            .fallback(serve::handle)
            .with_state(Arc::clone(&inner))
            .into_make_service_with_connect_info::<Scissors>();
        let task = tokio::spawn(async move {
            // Ends only by being aborted; accepting never fails for good.
            let _ = axum::serve(gate, service).await;
        });
        let server = Arc::new(Server { task, closed, inner: Arc::clone(&inner) });
        Ok(Self { inner, server })
    }

    /// The organization's own id, as `connectionData` tells it.
    pub fn organization_id(&self) -> String {
        self.inner.look(|world| wire::guid(&world.organization))
    }

    /// `http://ADDRESS:PORT/acme`: the organization's address, as a client is configured with it.
    pub fn url(&self) -> String {
        format!("{}/{}", self.inner.origin, self.inner.organization)
    }

    /// Stops listening, cuts open connections, and cancels running builds. Handles stay usable for looking.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Completes when no build is queued or running. Builds that a knob keeps from starting do not count.
    pub async fn idle(&self) {
        let mut busy = self.inner.busy.subscribe();
        // The sender lives in `inner`, which this handle keeps alive.
        let _ = busy.wait_for(|count| *count == 0).await;
    }
}
