//! What the gate lets through: the operator's list, and which addresses a name may stand for. Pure.
//!
//! Two questions, asked one after the other. [`judge`]: is this host and port on the list? [`admit`]: is this address,
//! to which the name resolved just now, one that the list meant? A name that a wildcard matched is chosen by whoever
//! asks, so it must not lead into a private network; a host that the operator wrote down may. The machine itself and
//! the services that hand out a machine's credentials are never reached, whatever is listed.
//!
//! Knows no sockets and no HTTP.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Port of an entry without one: what a coding agent talks to is HTTPS.
const DEFAULT_PORT: u16 = 443;
/// Longest name of the domain name system, and longest label of one (RFC 1035).
const NAME_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

/// Services that tell whoever asks from inside who the machine is, and with which rights.
const METADATA_V4: [Ipv4Addr; 5] = [
    // Nearly everybody.
    Ipv4Addr::new(169, 254, 169, 254),
    // Credentials of containers.
    Ipv4Addr::new(169, 254, 170, 2),
    // Azure's platform, a public address that only answers from inside.
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same services by IPv6.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// A host as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// Lower case, without the dot of the root.
    Name(String),
    /// Written as an address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host. Only the one spelling of an address is one: `127.1` and `0x7f.1` are refused, not resolved.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("an address without its closing bracket")?;
            return inner.parse().map(|v6| Self::Address(IpAddr::V6(v6))).map_err(|_| "not an IPv6 address");
        }
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(v4)));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=LABEL_LIMIT).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        if name.len() > NAME_LIMIT || !name.split('.').all(is_label) {
            return Err("not a host name");
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err("an address in a spelling that is not accepted");
        }
        Ok(Self::Name(name))
    }
}

/// Where a request wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The host.
    pub(super) host: Host,
    /// The port.
    pub(super) port: u16,
}

impl Target {
    /// Reads `host:port`; `default` for an absent port.
    pub(super) fn parse(text: &str, default: Option<u16>) -> Result<Self, &'static str> {
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an address in brackets are not a port's.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok().filter(|p| *p != 0),
            Some(_) => None,
            None => default,
        };
        Ok(Self { host: Host::parse(host)?, port: port.ok_or("no port, or not one")? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V4(v4)) => write!(f, "{v4}:{}", self.port),
            Host::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}", self.port),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `*`
    Any,
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
    One(Host),
}

/// What the operator listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List(Vec<(Pattern, u16)>);

impl List {
    /// Adds `host[:port],…`. Empty entries are none.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = |why: &str| format!("`{entry}`: {why}");
            let (wildcard, rest) = match entry.strip_prefix('*') {
                Some(rest) => (true, rest),
                None => (false, entry),
            };
            if !wildcard {
                let target = Target::parse(entry, Some(DEFAULT_PORT)).map_err(wrong)?;
                self.0.push((Pattern::One(target.host), target.port));
                continue;
            }
            // With a label in front, what follows the star is read as the name that it is part of.
            let any = format!("x{rest}");
            let target = Target::parse(&any, Some(DEFAULT_PORT)).map_err(wrong)?;
            let pattern = match target.host {
                Host::Name(name) if name == "x" => Pattern::Any,
                Host::Name(name) if name.starts_with("x.") => Pattern::Below(name[1..].to_owned()),
                Host::Name(_) | Host::Address(_) => {
                    return Err(wrong("a star stands alone or before a dot: `*`, `*.example.com`"));
                }
            };
            self.0.push((pattern, target.port));
        }
        Ok(())
    }
}

/// How a target is on the list, which says what it may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The operator wrote this host down: also an address of a private network.
    Named,
    /// A wildcard matched: public addresses only.
    Public,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To this target, at addresses that [`admit`] lets pass.
    Allowed(Reach),
    /// Why not.
    Refused(&'static str),
}

/// Whether a target is on the list.
pub(super) fn judge(target: &Target, list: &List) -> Verdict {
    let matched = |pattern: &Pattern| match (pattern, &target.host) {
        (Pattern::Any, Host::Name(_) | Host::Address(_)) => Some(Reach::Public),
        (Pattern::Below(end), Host::Name(name)) => {
            (name.ends_with(end) && name.len() > end.len()).then_some(Reach::Public)
        }
        (Pattern::Below(_), Host::Address(_)) => None,
        (Pattern::One(host), wanted) => (host == wanted).then_some(Reach::Named),
    };
    let found: Vec<Reach> =
        list.0.iter().filter(|(_, port)| *port == target.port).filter_map(|(p, _)| matched(p)).collect();
    let reach = match (found.contains(&Reach::Named), found.is_empty()) {
        (true, _) => Reach::Named,
        (false, false) => Reach::Public,
        (false, true) => return Verdict::Refused("is not on the list (ROUNDSMAN_RUNTIME_EGRESS)"),
    };
    match target.host {
        Host::Name(_) => Verdict::Allowed(reach),
        Host::Address(address) => match admit(address, reach) {
            Ok(()) => Verdict::Allowed(reach),
            Err(why) => Verdict::Refused(why),
        },
    }
}

/// Whether an address may be connected to, for a target that is on the list.
pub(super) fn admit(address: IpAddr, reach: Reach) -> Result<(), &'static str> {
    match (kind(address), reach) {
        (Kind::Never, _) => {
            Err("is an address of the machine itself or of its metadata service: never reached")
        }
        (Kind::Public, _) | (Kind::Inside, Reach::Named) => Ok(()),
        (Kind::Inside, Reach::Public) => {
            Err("is not a public address; list the host by its own name (ROUNDSMAN_RUNTIME_EGRESS)")
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    /// Private, link-local, shared, reserved, multicast, or one address dressed as another.
    Inside,
    Never,
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(v4: Ipv4Addr) -> Kind {
    let [a, b, c, _] = v4.octets();
    // The network 0 reaches the machine itself on Linux.
    if v4.is_loopback() || a == 0 || METADATA_V4.contains(&v4) {
        return Kind::Never;
    }
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special =
        (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99) || (a == 198 && (b == 18 || b == 19));
    let is_inside = v4.is_private()
        || v4.is_link_local()
        || v4.is_documentation()
        || is_shared
        || is_special
        // Multicast, reserved, broadcast.
        || a >= 224;
    if is_inside { Kind::Inside } else { Kind::Public }
}

fn kind_v6(v6: Ipv6Addr) -> Kind {
    let parts = v6.segments();
    let [.., high, low] = parts;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        kind_v4(Ipv4Addr::new(a, b, c, d))
    };
    let disguised = |inner: Kind| if inner == Kind::Never { Kind::Never } else { Kind::Inside };
    if v6.is_loopback() || v6.is_unspecified() || METADATA_V6.contains(&v6) {
        return Kind::Never;
    }
    match parts {
        // IPv4-mapped, and the older compatible form.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => disguised(embedded(high, low)),
        // NAT64: how networks without IPv4 reach it.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(high, low),
        // 6to4.
        [0x2002, high, low, ..] => disguised(embedded(high, low)),
        // Teredo and other protocol assignments, documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Inside,
        // The part that is given out.
        [0x2000..=0x3fff, ..] => Kind::Public,
        // Unique local, link-local, multicast, everything not given out.
        [..] => Kind::Inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        let mut list = List::default();
        list.add(text).unwrap();
        list
    }

    fn verdict(target: &str, listed: &str) -> Verdict {
        judge(&Target::parse(target, None).unwrap(), &list(listed))
    }

    #[track_caller]
    fn is_refused(target: &str, listed: &str) {
        assert!(matches!(verdict(target, listed), Verdict::Refused(_)), "{target} with {listed}");
    }

    #[test]
    fn only_what_is_listed_passes_and_only_at_its_port() {
        let listed = "api.example.com, *.pkg.example.org:8443 ,10.1.2.3:80,[fd00::7]";
        assert_eq!(verdict("api.example.com:443", listed), Verdict::Allowed(Reach::Named));
        assert_eq!(verdict("API.Example.com.:443", listed), Verdict::Allowed(Reach::Named));
        assert_eq!(verdict("a.b.pkg.example.org:8443", listed), Verdict::Allowed(Reach::Public));
        assert_eq!(verdict("10.1.2.3:80", listed), Verdict::Allowed(Reach::Named));
        assert_eq!(verdict("[fd00:0::7]:443", listed), Verdict::Allowed(Reach::Named));
        for target in [
            "api.example.com:80",
            "xapi.example.com:443",
            "api.example.com.evil.test:443",
            "pkg.example.org:8443",
            "xpkg.example.org:8443",
            "10.1.2.3:443",
            "[::ffff:10.1.2.3]:80",
            "93.184.216.34:443",
        ] {
            is_refused(target, listed);
        }
        is_refused("api.example.com:443", "");
    }

    #[test]
    fn a_star_means_public_hosts() {
        assert_eq!(verdict("93.184.216.34:443", "*"), Verdict::Allowed(Reach::Public));
        assert_eq!(verdict("any.example.com:443", "*"), Verdict::Allowed(Reach::Public));
        is_refused("any.example.com:80", "*");
        is_refused("10.0.0.1:443", "*");
        // Written down as well, it may be inside.
        assert_eq!(verdict("10.0.0.1:443", "*,10.0.0.1"), Verdict::Allowed(Reach::Named));
    }

    #[test]
    fn addresses_inside_need_their_own_entry() {
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::ffff:93.184.216.34",
            "::93.184.216.34",
            "2002:5db8:d822::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(kind(address), Kind::Inside, "{address}");
            assert!(
                admit(address, Reach::Public).is_err() && admit(address, Reach::Named).is_ok(),
                "{address}"
            );
        }
        for address in
            ["93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]
        {
            assert_eq!(admit(address.parse().unwrap(), Reach::Public), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_machine_and_its_metadata_are_never_reached() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::1",
            "fd00:ec2::254",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(admit(address, Reach::Named).is_err(), "{address}");
            let written = Target { host: Host::Address(address), port: 443 };
            assert!(matches!(judge(&written, &list(&written.to_string())), Verdict::Refused(_)), "{address}");
        }
    }

    #[test]
    fn other_spellings_are_no_hosts() {
        for text in [
            "127.1:443",
            "2130706433:443",
            "0x7f000001:443",
            "0x7f.1:443",
            "017700000001:443",
            "1.2.3.4.5:443",
            "[::1:443",
            "[fe80::1%eth0]:443",
            "a b:443",
            "a..b:443",
            ":443",
            "user@host:443",
            "host:0",
            "host:65536",
            "host:+443",
            "host:",
            "host",
            "h\u{f6}st:443",
            "::1:443",
        ] {
            assert!(Target::parse(text, None).is_err(), "{text}");
        }
        for entry in ["a*.example.com", "**", "*example.com", "http://x", "x:y", "*:0"] {
            assert!(List::default().add(entry).is_err(), "{entry}");
        }
    }
}
