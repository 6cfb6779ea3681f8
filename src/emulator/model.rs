//! A pretend model provider: three dialects over real HTTP, with behaviour that is data.
//!
//! It serves the demo and the traps. It knows what real coding agents send (`OpenAI` chat completions and responses, Anthropic
//! messages), wants the right key, and plays either a trap, chosen by the model's name (see [`behaviour`]), or the demo's
//! screenplay. It remembers requests and nothing else: whether a tool was already called, the request itself says. Knows
//! nothing of work items, of git, or of the rest of this program; what it says, it says as a script.

mod ask;
mod behaviour;
mod chat;
mod messages;
mod responses;
mod screenplay;
mod serve;

pub use behaviour::NAMES;
pub use screenplay::Screenplay;

use super::{
    connection::{Gate, Scissors},
    locked,
};
use serde_json::Value;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

/// How to start a model server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The key without which everything is refused.
    pub key: String,
    /// What the model named `screenplay` plays.
    pub screenplay: Screenplay,
}

/// One request as it is remembered. Headers are not; the key is nowhere in it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The model that was asked for; empty when none was.
    pub model: String,
    /// Names of the tools that were offered.
    pub tools: Vec<String>,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// What was played: a trap's name, `scene implement`, `title`; empty when nothing was.
    pub played: String,
    /// The body; null when it was no JSON.
    pub body: Value,
}

/// What handler and handles share.
#[derive(Debug)]
struct Desk {
    key: String,
    screenplay: Screenplay,
    asked: Mutex<Vec<Asked>>,
    numbers: AtomicU64,
}

impl Desk {
    /// Makes the identifiers of answers differ.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn remember(&self, asked: Asked) {
        let clean = |text: &str| text.replace(&self.key, "[key]");
        let body = serde_json::from_str(&clean(&asked.body.to_string())).unwrap_or_default();
        let path = clean(&asked.path);
        locked(&self.asked).push(Asked { path, body, ..asked });
    }
}

/// Ends the server when the last handle goes.
#[derive(Debug)]
struct Server {
    task: JoinHandle<()>,
    closed: Scissors,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.closed.cut();
    }
}

/// A running model server. Clones are handles of the same one; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Model {
    desk: Arc<Desk>,
    address: SocketAddr,
    _server: Arc<Server>,
}

impl Model {
    /// Starts listening. Must be called inside a tokio runtime. Fails when the address is taken, or the key is empty.
    pub async fn start(options: Options) -> io::Result<Self> {
        if options.key.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a model server needs a key"));
        }
        let listener = TcpListener::bind(options.address).await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            key: options.key,
            screenplay: options.screenplay,
            asked: Mutex::default(),
            numbers: AtomicU64::new(0),
        });
        let closed = Scissors::default();
        let gate = Gate { listener, closed: closed.clone() };
        let service = axum::Router::new()
            .fallback(serve::handle)
            .with_state(Arc::clone(&desk))
            .into_make_service_with_connect_info::<Scissors>();
        let task = tokio::spawn(async move {
            // Ends only by being aborted; accepting never fails for good.
            let _ = axum::serve(gate, service).await;
        });
        Ok(Self { desk, address, _server: Arc::new(Server { task, closed }) })
    }

    /// `http://127.0.0.1:PORT`, without `/v1`: as seen from this machine.
    pub fn url(&self) -> String {
        let mut seen = self.address;
        if seen.ip().is_unspecified() {
            seen.set_ip(match seen {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{seen}")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was asked, oldest first.
    pub fn requests(&self) -> Vec<Asked> {
        locked(&self.desk.asked).clone()
    }
}
