//! One connection to the gate, from its head to its end: read, judge, resolve, connect, pass bytes on.
//!
//! Resolves a name once and connects to the very addresses that were judged, so that a second answer of the name
//! server changes nothing. Looks at no byte behind the head, except where a body of plain HTTP ends: what follows it is
//! never sent on. Remembers nothing.

use super::{
    Gate, Upstream,
    head::{self, Body, HEAD_LIMIT, Head, Wish},
    rules::{self, Host, Reach, Target, Verdict},
};
use crate::worker::machine::{Instant, now};
use std::{
    cell::Cell,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// What is moved at once, bytes; 64 connections both ways stay below 3 MiB of the gate's 64.
const CHUNK: usize = 16 << 10;
/// Longest line between two chunks, bytes: a length, and extensions that nobody uses.
const CHUNK_LINE: usize = 256;
/// Lines that may follow the last chunk.
const TRAILERS: usize = 16;
/// Time in which a refused sender may read why before the connection goes.
const LINGER: Duration = Duration::from_secs(1);
/// What is read and thrown away meanwhile, bytes: unread bytes would reset the connection and our answer with it.
const LINGER_BYTES: u64 = 64 << 10;

type Client = BufReader<TcpStream>;

/// Why a connection ends early: a status of HTTP and a sentence.
struct No {
    status: &'static str,
    why: String,
}

fn no(status: &'static str, why: impl Into<String>) -> No {
    No { status, why: why.into() }
}

/// Serves one connection.
pub(super) async fn serve(gate: &Gate, stream: TcpStream) {
    _ = stream.set_nodelay(true);
    let mut client = BufReader::with_capacity(HEAD_LIMIT, stream);
    match open(gate, &mut client).await {
        // Nobody said anything.
        Ok(None) => {}
        Ok(Some((wish, server))) => pass(gate, wish, client, server).await,
        Err(no) => answer(client, &no).await,
    }
}

/// Answers without having read anything: too many connections.
pub(super) fn turn_away(stream: &TcpStream) {
    let no = no("503 Service Unavailable", "roundsman egress: too many connections at once");
    // A new connection has room for it; whoever cannot take it learns it from the end.
    _ = stream.try_write(no.text().as_bytes());
}

impl No {
    fn text(&self) -> String {
        let Self { status, why } = self;
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{why}\n",
            why.len() + 1
        )
    }
}

async fn answer(mut client: Client, no: &No) {
    let told = async {
        client.write_all(no.text().as_bytes()).await?;
        client.shutdown().await?;
        tokio::io::copy(&mut client.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    _ = timeout(LINGER, told).await;
}

/// Everything up to the connection to the target.
async fn open(gate: &Gate, client: &mut Client) -> Result<Option<(Wish, Client)>, No> {
    let bytes = match timeout(gate.limits.head, read_head(client)).await {
        Err(_) => return Err(no("408 Request Timeout", "roundsman egress: the head took too long")),
        Ok(Ok(bytes)) if bytes.is_empty() => return Ok(None),
        Ok(Ok(bytes)) if bytes.len() >= HEAD_LIMIT => {
            gate.journal.say("refused a request: its head is too long");
            return Err(no("431 Request Header Fields Too Large", "roundsman egress: the head is too long"));
        }
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Ok(None),
    };
    let Head { target, wish } = head::parse(&bytes).map_err(|why| {
        gate.journal.say(&format!("refused a request: {why}"));
        no("400 Bad Request", format!("roundsman egress: {why}"))
    })?;
    let refused = |why: &str| {
        gate.journal.say(&format!("refused {target}: {why}"));
        no("403 Forbidden", format!("roundsman egress: {target} {why}"))
    };
    let reach = match rules::judge(&target, &gate.list) {
        Verdict::Allowed(reach) => reach,
        Verdict::Refused(why) => return Err(refused(why)),
    };
    let failed = |why: &str| no("502 Bad Gateway", format!("roundsman egress: {target} {why}"));
    let server = match &gate.upstream {
        None => {
            let addresses = resolve(gate, &target).await.ok_or_else(|| failed("has no address"))?;
            for address in &addresses {
                rules::admit(*address, reach).map_err(refused)?;
            }
            gate.journal.say(&format!("allowed {target}"));
            let stream = connect(gate, &addresses, target.port).await;
            BufReader::with_capacity(CHUNK, stream.ok_or_else(|| failed("does not answer"))?)
        }
        Some(upstream) => {
            // A host that the operator wrote down is theirs to reach. Another name must not lead inside as far as we
            // can tell; one that has no address here is resolved and judged by the proxy alone.
            if reach == Reach::Public {
                for address in resolve(gate, &target).await.unwrap_or_default() {
                    rules::admit(address, reach).map_err(refused)?;
                }
            }
            gate.journal.say(&format!("allowed {target}"));
            through(gate, upstream, &target).await.map_err(|why| failed(&why))?
        }
    };
    Ok(Some((wish, server)))
}

/// Reads up to and including the empty line, [`HEAD_LIMIT`] at most. Nothing at the end of the stream.
async fn read_head(client: &mut Client) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < HEAD_LIMIT && !bytes.ends_with(b"\r\n\r\n") {
        let room = (HEAD_LIMIT - bytes.len()) as u64;
        if (&mut *client).take(room).read_until(b'\n', &mut bytes).await? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// The target's addresses, at least one; an address stands for itself.
async fn resolve(gate: &Gate, target: &Target) -> Option<Vec<IpAddr>> {
    let name = match &target.host {
        Host::Address(address) => return Some(vec![*address]),
        Host::Name(name) => name.as_str(),
    };
    let found = timeout(gate.limits.connect, lookup_host((name, target.port))).await.ok()?.ok()?;
    let addresses: Vec<IpAddr> = found.map(|found| found.ip()).collect();
    (!addresses.is_empty()).then_some(addresses)
}

async fn connect(gate: &Gate, addresses: &[IpAddr], port: u16) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(Ok(stream)) =
            timeout(gate.limits.connect, TcpStream::connect(SocketAddr::new(*address, port))).await
        {
            _ = stream.set_nodelay(true);
            return Some(stream);
        }
    }
    None
}

/// A tunnel to the target through the operator's own proxy.
async fn through(gate: &Gate, upstream: &Upstream, target: &Target) -> Result<Client, String> {
    let opened = async {
        let stream = TcpStream::connect((upstream.host.as_str(), upstream.port)).await?;
        _ = stream.set_nodelay(true);
        let mut proxy = BufReader::with_capacity(HEAD_LIMIT, stream);
        proxy.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
        let head = read_head(&mut proxy).await?;
        io::Result::Ok((proxy, head))
    };
    // A proxy resolves and connects before it answers, which it may do address by address.
    let patience = gate.limits.connect * 3;
    let (proxy, head) = timeout(patience, opened)
        .await
        .map_err(|_| "was not reached: the proxy does not answer".to_owned())?
        .map_err(|error| format!("was not reached: the proxy: {}", error.kind()))?;
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status: Option<u16> = std::str::from_utf8(line)
        .ok()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    match status {
        Some(200..=299) if head.ends_with(b"\r\n\r\n") => Ok(proxy),
        Some(status) => Err(format!("was not reached: the proxy answered {status}")),
        None => Err("was not reached: the proxy does not speak HTTP/1.1".to_owned()),
    }
}

/// Passes bytes on until both sides are done, or neither says anything for too long.
async fn pass(gate: &Gate, wish: Wish, mut client: Client, mut server: Client) {
    let quiet = Quiet { since: Cell::new(now()), limit: gate.limits.idle };
    match wish {
        Wish::Tunnel => {
            if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err() {
                return;
            }
            let (mut client_in, mut client_out) = tokio::io::split(client);
            let (mut server_in, mut server_out) = tokio::io::split(server);
            let there = stream(&quiet, &mut client_in, &mut server_out);
            let back = stream(&quiet, &mut server_in, &mut client_out);
            // One side may be done before the other; an error of either ends both.
            _ = tokio::try_join!(there, back);
        }
        Wish::Forward { head, body } => {
            if quiet.wait(server.write_all(head.as_bytes())).await.is_err() {
                return;
            }
            let (client_in, mut client_out) = tokio::io::split(client);
            let (mut server_in, mut server_out) = tokio::io::split(server);
            let mut client_in = BufReader::with_capacity(CHUNK, client_in);
            let there = async {
                match body {
                    Body::Length(length) => exactly(&quiet, &mut client_in, &mut server_out, length).await?,
                    Body::Chunked => chunks(&quiet, &mut client_in, &mut server_out).await?,
                }
                // Whatever follows belongs to no request that was judged.
                std::future::pending::<io::Result<()>>().await
            };
            tokio::select! {
                _ = stream(&quiet, &mut server_in, &mut client_out) => {}
                _ = there => {}
            }
        }
    }
}

/// How long a connection has been silent, in both directions together.
struct Quiet {
    since: Cell<Instant>,
    limit: Duration,
}

impl Quiet {
    /// Waits for `what`, as long as the other direction moves.
    async fn wait<T>(&self, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::pin!(what);
        loop {
            let left = (self.since.get() + self.limit).saturating_duration_since(now());
            if let Ok(result) = timeout(left, &mut what).await {
                self.since.set(now());
                return result;
            }
            if now().duration_since(self.since.get()) >= self.limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Everything up to the end of the stream, which is passed on too.
async fn stream(
    quiet: &Quiet,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = quiet.wait(from.read(&mut buffer)).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        quiet.wait(to.write_all(&buffer[..count])).await?;
    }
}

async fn exactly(
    quiet: &Quiet,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: u64,
) -> io::Result<()> {
    let (mut left, mut buffer) = (length, vec![0; CHUNK]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let count = quiet.wait(from.read(&mut buffer[..most])).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        quiet.wait(to.write_all(&buffer[..count])).await?;
        left -= count as u64;
    }
    Ok(())
}

/// A body in chunks, its framing written anew: bare lengths, no extensions, no trailers.
async fn chunks(
    quiet: &Quiet,
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let line = line(quiet, from).await?;
        let digits = line.split(';').next().unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let length = u64::from_str_radix(digits, 16).map_err(|_| bad())?;
        if length == 0 {
            break;
        }
        quiet.wait(to.write_all(format!("{length:x}\r\n").as_bytes())).await?;
        exactly(quiet, from, to, length).await?;
        if !self::line(quiet, from).await?.is_empty() {
            return Err(bad());
        }
        quiet.wait(to.write_all(b"\r\n")).await?;
    }
    for _ in 0..TRAILERS {
        if line(quiet, from).await?.is_empty() {
            return quiet.wait(to.write_all(b"0\r\n\r\n")).await;
        }
    }
    Err(bad())
}

/// A line between chunks, without its end.
async fn line(quiet: &Quiet, from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    quiet.wait((&mut *from).take(CHUNK_LINE as u64).read_until(b'\n', &mut bytes)).await?;
    let text = bytes.strip_suffix(b"\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let is_plain = text.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_control());
    if !is_plain {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}
