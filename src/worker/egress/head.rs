//! The head of a request to the gate, read so strictly that nobody behind us can read it differently. Pure.
//!
//! Two forms are known: `CONNECT host:port`, and the absolute form `GET http://host:port/path` of plain HTTP. Whatever
//! two programs are known to understand in two ways is refused: bare line feeds, folded lines, blanks before a colon,
//! two lengths, a length beside chunks. What is passed on is written anew, with the host that was judged.
//!
//! Decides nothing about hosts.

use super::rules::Target;
use std::fmt::Write as _;

/// Longest head, bytes: what servers commonly take; keys and cookies of an agent are far shorter.
pub(super) const HEAD_LIMIT: usize = 8 << 10;
/// Longest method; the longest registered one is `UPDATEREDIRECTREF`.
const METHOD_LIMIT: usize = 24;
/// Port of plain HTTP.
const HTTP_PORT: u16 = 80;

/// Fields that are meant for us or for this connection only. `Upgrade` would turn it into something that is not read.
const OURS: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
    "http2-settings",
    "host",
    "forwarded",
];

/// A request to the gate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where it wants to go.
    pub(super) target: Target,
    /// What it wants there.
    pub(super) wish: Wish,
}

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Bytes both ways.
    Tunnel,
    /// One request of plain HTTP: its head as it goes on, and what follows it.
    Forward {
        /// In origin form.
        head: String,
        /// Its body.
        body: Body,
    },
}

/// How much follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Reads a head up to and including its empty line.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the head is not text")?;
    if !text.is_ascii() {
        return Err("the head is not ASCII");
    }
    let text = text.strip_suffix("\r\n\r\n").ok_or("the head has no end")?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    if line.bytes().any(|b| b.is_ascii_control()) {
        return Err("a control character in the request line");
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [method, wanted, "HTTP/1.1" | "HTTP/1.0"] = words.as_slice() else {
        return Err("not a request line of HTTP/1.1");
    };
    if method.is_empty() || method.len() > METHOD_LIMIT || !method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err("not a method");
    }
    let body = body(&fields)?;
    if fields.iter().filter(|(name, _)| name == "host").count() > 1 {
        return Err("more than one host");
    }
    if *method == "CONNECT" {
        return if body == Body::Length(0) {
            Ok(Head { target: Target::parse(wanted, None)?, wish: Wish::Tunnel })
        } else {
            Err("a tunnel with a body")
        };
    }
    let rest = wanted.strip_prefix("http://").ok_or("neither CONNECT nor http:// with a host")?;
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("a user in the address");
    }
    if path.contains('#') {
        return Err("a fragment in the address");
    }
    let target = Target::parse(authority, Some(HTTP_PORT))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = if target.port == HTTP_PORT { trimmed(&target) } else { target.to_string() };
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\n");
    let dropped = named_by_connection(&fields);
    for (name, value) in &fields {
        if !OURS.contains(&name.as_str()) && (is_framing(name) || !dropped.contains(name)) {
            write!(head, "{name}: {value}\r\n").expect("a string takes everything");
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    Ok(Head { target, wish: Wish::Forward { head, body } })
}

/// The host alone: some servers compare it with their own name.
fn trimmed(target: &Target) -> String {
    let text = target.to_string();
    text.rsplit_once(':').map_or(text.clone(), |(host, _)| host.to_owned())
}

/// One field: its name in lower case, its value without outer blanks.
fn field(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("a line of the head is not a field")?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    // Also catches folded lines and blanks before the colon.
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a field's name is not one");
    }
    // Bare carriage returns and line feeds, and zeros.
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err("a control character in a field");
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

fn is_framing(name: &str) -> bool {
    matches!(name, "content-length" | "transfer-encoding")
}

fn body(fields: &[(String, String)]) -> Result<Body, &'static str> {
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Ok(Body::Length(0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(Body::Length).map_err(|_| "a length that is too large")
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        ([_, ..], [_, ..]) => Err("a length beside a transfer coding"),
        ([_, ..], []) => Err("not one length"),
        ([], [_, ..]) => Err("a transfer coding other than chunked"),
    }
}

/// Fields that the sender declares to be for this connection only.
fn named_by_connection(fields: &[(String, String)]) -> Vec<String> {
    let lists = fields.iter().filter(|(name, _)| matches!(name.as_str(), "connection" | "proxy-connection"));
    lists.flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Head, &'static str> {
        parse(head.replace('\n', "\r\n").as_bytes())
    }

    fn forwarded(head: &str) -> (String, Body) {
        match parsed(head).unwrap().wish {
            Wish::Forward { head, body } => (head.replace("\r\n", "\n"), body),
            Wish::Tunnel => panic!("a tunnel"),
        }
    }

    #[test]
    fn both_forms_are_read() {
        let tunnel = parsed("CONNECT api.example.com:443 HTTP/1.1\nHost: whatever\n\n").unwrap();
        assert_eq!(
            (tunnel.target.to_string().as_str(), &tunnel.wish),
            ("api.example.com:443", &Wish::Tunnel)
        );
        let (head, body) = forwarded(
            "POST http://Llm.example.com:8080/v1/chat?x=1 HTTP/1.1\nHost: evil.test\nContent-Length: 12\n\
             Proxy-Authorization: Basic eDp5\nProxy-Connection: keep-alive\nConnection: X-Hop, Content-Length\n\
             X-Hop: 1\nUpgrade: h2c\nAuthorization: Bearer k\n\n",
        );
        assert_eq!(
            head,
            "POST /v1/chat?x=1 HTTP/1.1\nHost: llm.example.com:8080\ncontent-length: 12\n\
             authorization: Bearer k\nConnection: close\n\n"
        );
        assert_eq!(body, Body::Length(12));
        let (head, body) = forwarded("GET http://example.com?q HTTP/1.0\nTransfer-Encoding: Chunked\n\n");
        assert!(head.starts_with("GET /?q HTTP/1.1\nHost: example.com\n"), "{head}");
        assert_eq!(body, Body::Chunked);
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let get = "GET http://h.example/ HTTP/1.1\n";
        for head in [
            "CONNECT h.example HTTP/1.1\n\n",
            "CONNECT h.example:443 HTTP/2\n\n",
            "CONNECT h.example:443  HTTP/1.1\n\n",
            "CONNECT u@h.example:443 HTTP/1.1\n\n",
            "CONNECT h.example:443 HTTP/1.1\nContent-Length: 3\n\n",
            "CONNECT h.example:443/x HTTP/1.1\n\n",
            "connect h.example:443 HTTP/1.1\n\n",
            "GET / HTTP/1.1\nHost: h.example\n\n",
            "GET https://h.example/ HTTP/1.1\n\n",
            "GET http://user:secret@h.example/ HTTP/1.1\n\n",
            "GET http://h.example\\@evil.test/ HTTP/1.1\n\n",
            "GET http://h.example/#x HTTP/1.1\n\n",
            "GET http:///x HTTP/1.1\n\n",
            "GET http://h.example/ HTTP/1.1 \n\n",
            "GET http://h.example/\tx HTTP/1.1\n\n",
            "OPTIONS * HTTP/1.1\n\n",
            "\nGET http://h.example/ HTTP/1.1\n\n",
            &format!("{get}Content-Length: 3\nTransfer-Encoding: chunked\n\n"),
            &format!("{get}Content-Length: 3\nContent-Length: 3\n\n"),
            &format!("{get}Content-Length: +3\n\n"),
            &format!("{get}Content-Length: 3, 3\n\n"),
            &format!("{get}Content-Length: 99999999999999999999\n\n"),
            &format!("{get}Transfer-Encoding: gzip, chunked\n\n"),
            &format!("{get}Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n"),
            &format!("{get}Transfer-Encoding : chunked\n\n"),
            &format!("{get}X: 1\n folded\n\n"),
            &format!("{get}X\n\n"),
            &format!("{get}Host: a\nHost: b\n\n"),
            &format!("{get}X: \u{e4}\n\n"),
        ] {
            assert!(parsed(head).is_err(), "{head}");
        }
        for raw in [
            &b"GET http://h.example/ HTTP/1.1\nX: 1\n\n"[..],
            b"GET http://h.example/ HTTP/1.1\r\nX: 1\nY: 2\r\n\r\n",
            b"GET http://h.example/ HTTP/1.1\r\nX: 1\rY: 2\r\n\r\n",
            b"GET http://h.example/ HTTP/1.1\r\nX: \0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\r\n\r\n",
        ] {
            assert!(parse(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }
}
