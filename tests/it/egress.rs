//! The gate over real sockets: the built program listens, programs on both sides of it speak.
//!
//! Nothing on loopback may be reached through the gate, so targets listen on this machine's own address; a machine
//! without one skips those tests by name. A proxy behind the gate may be anywhere and is on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What "at once" means on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long something that must not come is waited for.
const NOTHING: Duration = Duration::from_millis(300);
/// More than all buffers on the way together.
const MUCH: usize = 8 << 20;
/// As `egress::CONNECTIONS`.
const CONNECTIONS: usize = 64;

struct Gate {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
}

impl Gate {
    fn start(allow: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_roundsman-worker"))
            .args(["egress", "--listen", "127.0.0.1:0", "--allow", allow])
            .args(if more.contains(&"--lifetime") { &[][..] } else { &["--lifetime", "120"] })
            .args(more)
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                _ = say.send(line);
            }
        });
        let first = lines.recv_timeout(PATIENCE).expect("the gate says where it listens");
        let address = first.strip_prefix("roundsman egress: listens on ").unwrap().parse().unwrap();
        Self { child, address, lines }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a head and reads everything that comes back.
    fn ask(&self, head: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        rest(&mut stream)
    }

    /// An open tunnel.
    fn tunnel(&self, target: impl std::fmt::Display) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
        let head = head_of(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream
    }

    fn end(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it says until its end.
    fn said(mut self) -> Vec<String> {
        self.end();
        self.ended();
        self.lines.iter().map(|line| line.replace("roundsman egress: ", "")).collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Byte by byte, so that nothing behind the head is taken.
fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// This machine's address towards others. No packet is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A listener that a gate may reach.
fn listener() -> Option<(TcpListener, SocketAddr)> {
    let Some(address) = own_address() else {
        println!("skipped: this machine has no address besides loopback");
        return None;
    };
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    Some((listener, address))
}

/// A target that sends everything back.
fn echo() -> Option<SocketAddr> {
    let (listener, address) = listener()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                _ = std::io::copy(&mut &stream, &mut back);
                _ = back.shutdown(Shutdown::Write);
            });
        }
    });
    Some(address)
}

/// A server of one answer; what it was sent until then arrives in the channel, and what came later.
fn server(answer: &'static str) -> Option<(SocketAddr, Receiver<String>)> {
    let (listener, address) = listener()?;
    let (say, heard) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(NOTHING)).unwrap();
            let sent = rest(&mut stream);
            _ = say.send(sent);
            _ = stream.write_all(answer.as_bytes());
        }
    });
    Some((address, heard))
}

#[test]
fn a_tunnel_passes_bytes_both_ways_at_once_and_their_ends() {
    let Some(target) = echo() else { return };
    let gate = Gate::start(&target.to_string(), &[]);
    let mut stream = gate.tunnel(target);
    let mut sender = stream.try_clone().unwrap();
    let pattern: Vec<u8> = (0..MUCH).map(|i| (i % 251) as u8).collect();
    let sent = pattern.clone();
    let sending = thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    sending.join().unwrap();
    assert!(back == pattern, "{} of {MUCH} bytes came back", back.len());
    assert_eq!(gate.said()[..1], [format!("allowed {target}")]);
}

#[test]
fn bytes_sent_with_the_head_belong_to_the_tunnel() {
    let Some(target) = echo() else { return };
    let gate = Gate::start(&target.to_string(), &[]);
    let mut stream = gate.connect();
    write!(stream, "CONNECT {target} HTTP/1.1\r\n\r\nearly").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let said = rest(&mut stream);
    assert!(said.ends_with("\r\n\r\nearly"), "{said}");
}

#[test]
fn one_plain_request_goes_through_and_nothing_behind_it() {
    let Some((target, heard)) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") else { return };
    let gate = Gate::start(&target.to_string(), &[]);
    let answer = gate.ask(&format!(
        "POST http://{target}/secret-path?q=1 HTTP/1.1\r\nHost: elsewhere.example\r\nContent-Length: 4\r\n\
         Proxy-Authorization: Basic eDp5\r\nX-Key: k\r\n\r\nbodyGET http://other.example/ HTTP/1.1\r\n\r\n"
    ));
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(
        heard.recv_timeout(PATIENCE).unwrap(),
        format!(
            "POST /secret-path?q=1 HTTP/1.1\r\nHost: {target}\r\ncontent-length: 4\r\nx-key: k\r\n\
             Connection: close\r\n\r\nbody"
        )
    );
    // A body in chunks ends where its last chunk ends; what hides behind it stays behind.
    gate.ask(&format!(
        "POST http://{target}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         4;x=y\r\nbody\r\n0\r\nTrailer: x\r\n\r\nGET /admin HTTP/1.1\r\nHost: inner.example\r\n\r\n"
    ));
    let sent = heard.recv_timeout(PATIENCE).unwrap();
    assert!(sent.ends_with("\r\n\r\n4\r\nbody\r\n0\r\n\r\n"), "{sent}");
    // A request without a body has none, whatever is sent.
    gate.ask(&format!("GET http://{target}/ HTTP/1.1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"));
    let sent = heard.recv_timeout(PATIENCE).unwrap();
    assert!(sent.ends_with("Connection: close\r\n\r\n"), "{sent}");
    let said = gate.said();
    assert_eq!(said[..1], [format!("allowed {target}")], "each target once, no path");
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn an_answer_streams_while_it_is_made() {
    let Some((listener, target)) = listener() else { return };
    let (go, wait) = mpsc::channel::<()>();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        head_of(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\ndata: one\n\n").unwrap();
        wait.recv().unwrap();
        stream.write_all(b"data: two\n\n").unwrap();
    });
    let gate = Gate::start(&target.to_string(), &[]);
    let mut stream = gate.connect();
    write!(stream, "GET http://{target}/events HTTP/1.1\r\n\r\n").unwrap();
    assert!(head_of(&mut stream).starts_with("HTTP/1.1 200"));
    let mut first = [0; 11];
    stream.read_exact(&mut first).unwrap();
    // Only now is the second part made: the first did not wait for it.
    go.send(()).unwrap();
    assert_eq!(rest(&mut stream), "data: two\n\n");
}

#[test]
fn what_is_not_listed_gets_one_sentence() {
    let gate = Gate::start("api.example.com,*.example.org", &[]);
    let answer = gate.ask("CONNECT evil.example.com:443 HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(
        answer.ends_with(
            "\r\n\r\nroundsman egress: evil.example.com:443 is not on the list (ROUNDSMAN_RUNTIME_EGRESS)\n"
        ),
        "{answer}"
    );
    for (head, status) in [
        ("CONNECT 93.184.216.34:443 HTTP/1.1\r\n\r\n", 403),
        ("CONNECT api.example.com:22 HTTP/1.1\r\n\r\n", 403),
        ("GET http://api.example.com/ HTTP/1.1\r\n\r\n", 403),
        ("GET http://api.example.com@evil.test/ HTTP/1.1\r\n\r\n", 400),
        (
            "POST http://a.example.org:443/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 400),
        ("CONNECT api.example.com:443 HTTP/1.1\nHost: x\n\n\r\n\r\n", 400),
        (&format!("GET http://api.example.com/ HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9_000)), 431),
    ] {
        let answer = gate.ask(head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    let said = gate.said();
    assert!(
        said.contains(
            &"refused evil.example.com:443: is not on the list (ROUNDSMAN_RUNTIME_EGRESS)".to_owned()
        )
    );
    assert!(!said.iter().any(|line| line.starts_with("allowed")), "{said:?}");
}

#[test]
fn a_listed_name_that_leads_to_the_machine_is_refused() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let port = canary.local_addr().unwrap().port();
    // Everything that an operator could have listed by mistake.
    let gate = Gate::start(
        &format!("localhost:{port},127.0.0.1:{port},[::1]:{port},*:{port},169.254.169.254:80"),
        &[],
    );
    for target in [
        format!("localhost:{port}"),
        format!("LOCALHOST.:{port}"),
        format!("127.0.0.1:{port}"),
        format!("127.9.9.9:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        "169.254.169.254:80".to_owned(),
    ] {
        let answer = gate.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("never reached"),
            "{target}: {answer}"
        );
    }
    let answer = gate.ask("GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\n\r\n");
    assert!(answer.contains("never reached"), "{answer}");
    assert!(canary.accept().is_err(), "somebody arrived");
}

#[test]
fn a_wildcard_does_not_lead_into_a_private_network_but_an_entry_does() {
    let Some(target) = echo() else { return };
    let IpAddr::V4(address) = target.ip() else { return println!("skipped: no IPv4 address") };
    if !address.is_private() && !address.is_documentation() {
        return println!("skipped: this machine's address is public");
    }
    let star = Gate::start(&format!("*:{}", target.port()), &[]);
    let answer = star.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("not a public address"), "{answer}");
    drop(Gate::start(&target.to_string(), &[]).tunnel(target));
}

#[test]
fn a_target_that_does_not_answer_is_a_bad_gateway() {
    let Some((listener, target)) = listener() else { return };
    drop(listener);
    let gate = Gate::start(&format!("{target},no-such-host.invalid"), &[]);
    let answer = gate.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("does not answer"), "{answer}");
    let answer = gate.ask("CONNECT no-such-host.invalid:443 HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("has no address"), "{answer}");
}

#[test]
fn a_head_that_drips_is_ended_while_others_work() {
    let gate = Gate::start("", &[]);
    let mut slow = gate.connect();
    let began = Instant::now();
    let mut dripping = slow.try_clone().unwrap();
    let drip = thread::spawn(move || {
        for byte in b"CONNECT api.example.com:443 HTTP/1.1\r\n".iter().cycle() {
            if dripping.write_all(&[*byte]).is_err() || began.elapsed() > PATIENCE {
                break;
            }
            thread::sleep(NOTHING);
        }
    });
    assert!(gate.ask("CONNECT b.example:443 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
    let answer = rest(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    drip.join().unwrap();
}

#[test]
fn one_connection_too_many_is_turned_away_until_another_ends() {
    let gate = Gate::start("", &[]);
    let mut open: Vec<TcpStream> = (0..CONNECTIONS).map(|_| gate.connect()).collect();
    let answer = rest(&mut gate.connect());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(open.pop());
    let began = Instant::now();
    loop {
        let answer = gate.ask("CONNECT b.example:443 HTTP/1.1\r\n\r\n");
        if answer.starts_with("HTTP/1.1 403 ") {
            break;
        }
        assert!(began.elapsed() < AT_ONCE, "its place is not free: {answer}");
    }
}

#[test]
fn through_a_proxy_the_name_goes_on_and_its_refusal_comes_back() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!("http://{}", proxy.local_addr().unwrap());
    let heads = thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in
            ["HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello ", "HTTP/1.1 407 Who are you\r\n\r\n", "SSH-2.0\r\n\r\n"]
        {
            let (mut stream, _) = proxy.accept().unwrap();
            heads.push(head_of(&mut stream));
            stream.write_all(answer.as_bytes()).unwrap();
            let mut buffer = [0; 64];
            if let Ok(count @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..count]).unwrap();
            }
        }
        heads
    });
    // Names that nothing here can resolve: the proxy does.
    let gate = Gate::start("model.invalid,*.wild.invalid:80", &["--upstream", &upstream]);
    let mut stream = gate.tunnel("model.invalid:443");
    stream.write_all(b"there").unwrap();
    assert_eq!(rest(&mut stream), "hello there");
    for why in ["the proxy answered 407", "does not speak HTTP/1.1"] {
        let answer = gate.ask("GET http://a.wild.invalid/x HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(why), "{answer}");
    }
    // The list is ours, not the proxy's.
    assert!(gate.ask("CONNECT other.invalid:443 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
    let heads = heads.join().unwrap();
    assert_eq!(heads[0], "CONNECT model.invalid:443 HTTP/1.1\r\nHost: model.invalid:443\r\n\r\n");
    assert!(heads[1].starts_with("CONNECT a.wild.invalid:80 "), "{heads:?}");
}

#[test]
fn silence_in_both_directions_ends_a_tunnel_and_talk_in_one_keeps_it() {
    let Some(target) = echo() else { return };
    let gate = Gate::start(&target.to_string(), &["--idle", "2"]);
    let mut silent = gate.tunnel(target);
    let mut talking = gate.tunnel(target);
    let began = Instant::now();
    let mut byte = [0];
    while began.elapsed() < Duration::from_secs(4) {
        talking.write_all(b"x").unwrap();
        assert_eq!(talking.read(&mut byte).unwrap(), 1);
        thread::sleep(NOTHING);
    }
    silent.set_read_timeout(Some(NOTHING)).unwrap();
    assert_eq!(silent.read(&mut byte).ok(), Some(0), "it is still open after twice the limit");
}

#[test]
fn a_signal_and_the_end_of_its_time_end_it_with_everything_open() {
    let Some(target) = echo() else { return };
    let mut gate = Gate::start(&target.to_string(), &[]);
    let mut stream = gate.tunnel(target);
    let began = Instant::now();
    gate.end();
    assert!(gate.ended().success());
    assert_eq!(rest(&mut stream), "");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());

    let mut gate = Gate::start(&target.to_string(), &["--lifetime", "1"]);
    let mut stream = gate.tunnel(target);
    assert!(gate.ended().success());
    assert_eq!(rest(&mut stream), "");
    assert!(gate.lines.iter().any(|line| line.contains("its time is over")));
}

#[test]
fn the_log_is_bounded_whatever_is_asked() {
    let gate = Gate::start("", &[]);
    for number in 0..700 {
        gate.ask(&format!("CONNECT h{number}.example:443 HTTP/1.1\r\n\r\n"));
    }
    let said = gate.said();
    assert!(said.len() <= 501, "{}", said.len());
    assert_eq!(said.last().map(String::as_str), Some("says no more"));
}

#[test]
fn a_gate_that_cannot_be_understood_does_not_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_roundsman-worker"))
        .args(["egress", "--listen", "127.0.0.1:0", "--allow", "http://x", "--lifetime", "9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(i32::from(roundsman::worker::EXIT_USAGE)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("--allow: `http://x`:") && said.contains("usage:"), "{said}");
}
