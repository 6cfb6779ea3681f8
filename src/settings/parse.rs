//! From one text to one value. Each function says what is wrong and what would be right, and never repeats the text.

use super::{LogFormat, RepositoryPath, Route, RuntimeKind, StoreKind, Webhook};
use crate::{
    agents,
    domain::{CloseOn, IdentityId, RingKind},
    runtime::Scheme,
};
use jiff::{Span, SpanRelativeTo};
use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};
use url::{Host, Url};

/// Why a text is not the value it should be.
pub(super) struct Wrong {
    pub(super) wrong: String,
    pub(super) advice: String,
}

pub(super) fn wrong(wrong: impl Into<String>, advice: impl Into<String>) -> Wrong {
    Wrong { wrong: wrong.into(), advice: advice.into() }
}

pub(super) type Parsed<T> = Result<T, Wrong>;

/// A year: what is longer is a mistake, and no sum with a timestamp can overflow.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// `45m`, `6h`, `3d`, `1h 30m`. A day has 24 hours. A bare `0` is zero; other bare numbers have no unit.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let bad = || wrong("is not a duration", "write a number and a unit, for example `45m`, `6h` or `3d`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: Span = text.parse().map_err(|_| bad())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    let duration = Duration::try_from(signed).map_err(|_| wrong("is negative", "write zero or more"))?;
    if duration > LONGEST {
        return Err(wrong("is longer than a year", "write at most `366d`"));
    }
    Ok(duration)
}

/// As [`duration`] reads it.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (seconds, unit) in [(24 * 3600, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= seconds {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    if duration.subsec_millis() > 0 {
        parts.push(format!("{}ms", duration.subsec_millis()));
    }
    if parts.is_empty() { "0".into() } else { parts.join(" ") }
}

/// A count within `range`. Zero means zero.
pub(super) fn number(range: RangeInclusive<u32>) -> impl Fn(&str) -> Parsed<u32> {
    move |text| {
        let advice = || format!("write a number from {} to {}", range.start(), range.end());
        let number: u32 = text.parse().map_err(|_| wrong("is not a number", advice()))?;
        if range.contains(&number) { Ok(number) } else { Err(wrong("is out of range", advice())) }
    }
}

/// `yes` or `no`, in the usual spellings.
pub(super) fn yes_no(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(wrong("is neither yes nor no", "write `yes` or `no`")),
    }
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    let lower = text.to_ascii_lowercase();
    words.iter().find(|(word, _)| *word == lower).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        wrong("is not one of the words that are known here", format!("write {}", known.join(" or ")))
    })
}

pub(super) fn scheme(text: &str) -> Parsed<Scheme> {
    word(text, &[("pat", Scheme::Pat), ("bearer", Scheme::Bearer)])
}

pub(super) fn close_on(text: &str) -> Parsed<CloseOn> {
    word(text, &[("merged", CloseOn::Merged), ("green", CloseOn::Green)])
}

pub(super) fn store_kind(text: &str) -> Parsed<StoreKind> {
    if text.eq_ignore_ascii_case("labels") {
        return Err(wrong("names a store that comes with a later version", "write `sqlite`"));
    }
    word(text, &[("sqlite", StoreKind::Sqlite)])
}

pub(super) fn runtime_kind(text: &str) -> Parsed<RuntimeKind> {
    if text.eq_ignore_ascii_case("kubernetes") {
        return Err(wrong("names a runtime that comes with a later version", "write `docker` or `process`"));
    }
    word(text, &[("docker", RuntimeKind::Docker), ("process", RuntimeKind::Process)])
}

pub(super) fn log_level(text: &str) -> Parsed<tracing::Level> {
    use tracing::Level;
    word(
        text,
        &[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ],
    )
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    word(text, &[("text", LogFormat::Text), ("json", LogFormat::Json), ("auto", LogFormat::Auto)])
}

/// An organization's or collection's address, without a slash at its end.
pub(super) fn organization_url(text: &str, allow_http: bool) -> Parsed<Url> {
    const ADVICE: &str = "write the organization's address, for example `https://dev.azure.com/acme`";
    let url = web_url(text, ADVICE)?;
    if url.scheme() == "http" && !allow_http && !is_loopback(&url) {
        return Err(wrong("is not encrypted, and the token would travel along", ADVICE));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment", ADVICE));
    }
    // The old addresses name the organization in the host.
    let in_host = url.host_str().is_some_and(|host| host.ends_with(".visualstudio.com"));
    if url.path().trim_matches('/').is_empty() && !in_host {
        return Err(wrong("names no organization or collection", ADVICE));
    }
    let mut url = url;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(super) fn webhook(text: &str) -> Parsed<Webhook> {
    web_url(text, "write the receiver's address, for example `https://hooks.example/roundsman`").map(Webhook)
}

/// What a receiver wants to hear.
pub(super) fn ring_kinds(text: &str) -> Parsed<BTreeSet<RingKind>> {
    let words = RingKind::ALL.map(|kind| (kind.word(), kind));
    let all: BTreeSet<RingKind> = split(text, ',', |item| word(item, &words))?.into_iter().collect();
    if all.is_empty() {
        return Err(wrong("names nothing", "write what is to be heard, or remove the receiver's address"));
    }
    Ok(all)
}

pub(super) fn web_url(text: &str, advice: &str) -> Parsed<Url> {
    let url = Url::parse(text).map_err(|_| wrong("is not an address", advice))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is not a web address", advice));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("contains a user name or password", advice));
    }
    Ok(url)
}

/// Whether the address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// An agent of ours.
pub(super) fn agent(text: &str) -> Parsed<String> {
    if agents::find(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(wrong("is not an agent that is known here", "write a name that `roundsman agents` lists"))
}

/// A large count. Zero means zero.
pub(super) fn count(text: &str) -> Parsed<u64> {
    text.parse().map_err(|_| wrong("is not a number", "write digits only"))
}

/// Micro dollars in a dollar.
const MICRO: u64 = 1_000_000;

/// `20` or `0.50`, in US dollars; micro dollars.
pub(super) fn dollars(text: &str) -> Parsed<u64> {
    let bad = || wrong("is not an amount", "write dollars, for example `20` or `0.50`");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 6 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| bad())?;
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    whole.checked_mul(MICRO).and_then(|micro| micro.checked_add(part)).ok_or_else(bad)
}

/// As [`dollars`] reads it.
pub(super) fn dollars_text(micro: u64) -> String {
    let text = format!("{}.{:06}", micro / MICRO, micro % MICRO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text that becomes one word of a command line: no control characters, and not taken for an option.
pub(super) fn one_line(text: &str) -> Parsed<String> {
    const MOST: usize = 200;
    if text.chars().any(char::is_control) || text.len() > MOST || text.starts_with('-') {
        return Err(wrong("is not a name", "write one line that does not begin with a dash"));
    }
    Ok(text.to_owned())
}

/// A list: separated by commas, spaces around items do not count, an empty item is a slip of the hand.
pub(super) fn list(text: &str) -> Parsed<Vec<String>> {
    split(text, ',', |item| Ok(item.to_owned()))
}

pub(super) fn split<T>(text: &str, at: char, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    let items = text.split(at).map(str::trim).enumerate().filter(|(_, item)| !item.is_empty());
    // The place, because the text itself must not be shown.
    let placed = |place: usize, it: Wrong| {
        wrong(format!("has an item, number {}, that {}", place + 1, it.wrong), it.advice)
    };
    items.map(|(place, item)| parse(item).map_err(|it| placed(place, it))).collect()
}

/// A GUID.
pub(super) fn identity(text: &str) -> Parsed<IdentityId> {
    let id = IdentityId::new(text);
    let is_hex = id.as_str().bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if id.is_guid() && is_hex {
        Ok(id)
    } else {
        Err(wrong(
            "is not an identity's id",
            "write the GUID of the identity; names and mail addresses can be chosen by anybody",
        ))
    }
}

pub(super) fn organization_id(text: &str) -> Parsed<IdentityId> {
    identity(text).map_err(|_| {
        wrong(
            "is not an organization's id",
            "write the GUID that `_apis/connectionData` tells as `instanceId`",
        )
    })
}

/// Whom an entry of the list of trusted people names.
enum Trusted {
    Person(IdentityId),
    Group(String),
}

/// People by id, groups by id or descriptor.
pub(super) fn trusted(text: &str) -> Parsed<(BTreeSet<IdentityId>, BTreeSet<String>)> {
    /// In front of a group's id, because the id alone does not tell.
    const GROUP: &str = "group:";
    let entry = |text: &str| {
        let lower = text.to_ascii_lowercase();
        if let Some(id) = lower.strip_prefix(GROUP) {
            return Ok(Trusted::Group(identity(id)?.as_str().to_owned()));
        }
        let of_group = ["vssgp.", "aadgp."]
            .into_iter()
            .find(|kind| lower.starts_with(kind))
            .map(|kind| (kind, &text[kind.len()..]));
        match of_group {
            // Base64url behind the dot: its case counts.
            Some((kind, rest)) if is_base64url(rest) => Ok(Trusted::Group(format!("{kind}{rest}"))),
            Some(_) | None => identity(text).map(Trusted::Person),
        }
    };
    let (mut people, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for one in split(text, ',', entry)? {
        match one {
            Trusted::Person(id) => people.insert(id),
            Trusted::Group(group) => groups.insert(group),
        };
    }
    Ok((people, groups))
}

fn is_base64url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Agents of ours.
pub(super) fn agents(text: &str) -> Parsed<Vec<String>> {
    split(text, ',', agent)
}

/// What can be the end of a label: one line that is one word of a command line too.
pub(super) fn choices(text: &str) -> Parsed<Vec<String>> {
    split(text, ',', |item| {
        if item.contains(';') {
            return Err(wrong("cannot be part of a label", "write it without a semicolon"));
        }
        one_line(item)
    })
}

/// `project/repository`.
pub(super) fn repository(text: &str) -> Parsed<RepositoryPath> {
    let bad = || wrong("is not a repository", "write `project/repository`");
    let (project, name) = text.split_once('/').ok_or_else(bad)?;
    let (project, name) = (project.trim(), name.trim());
    // Neither may contain a slash in Azure DevOps; a star would look as if it meant something.
    if project.is_empty() || name.is_empty() || name.contains('/') || text.contains('*') {
        return Err(bad());
    }
    Ok(RepositoryPath { project: project.to_owned(), name: name.to_owned() })
}

pub(super) fn repositories(text: &str) -> Parsed<Vec<RepositoryPath>> {
    split(text, ',', repository)
}

/// `Area\Path=project/repository; …`.
pub(super) fn routes(text: &str) -> Parsed<Vec<Route>> {
    split(text, ';', |item| {
        let bad = || wrong("is not a route", "write `Area\\Path=project/repository`");
        let (area, path) = item.rsplit_once('=').ok_or_else(bad)?;
        let area = area.trim().trim_matches('\\');
        // An empty area would be every area: the default repository says that on purpose.
        if area.is_empty() {
            return Err(bad());
        }
        Ok(Route { area: area.to_owned(), repository: repository(path.trim())? })
    })
}

/// A label: Azure DevOps separates tags with `;` and `,` and allows 400 characters.
pub(super) fn label(text: &str) -> Parsed<String> {
    const MOST: usize = 400;
    if text.contains([';', ',']) || text.chars().any(char::is_control) || text.chars().count() > MOST {
        return Err(wrong("cannot be a label", "write at most 400 characters without `,` and `;`"));
    }
    Ok(text.to_owned())
}

/// A name that becomes part of other names: lower-case letters, digits and dashes.
pub(super) fn plain_name(text: &str) -> Parsed<String> {
    const MOST: usize = 40;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() <= MOST && text.chars().all(plain) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err(wrong("is not a plain name", "write lower-case letters, digits and dashes, at most 40"))
    }
}

/// One line that git takes as a name or a mail address.
pub(super) fn commit_text(text: &str) -> Parsed<String> {
    if text.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
        return Err(wrong("cannot stand in a commit", "write one line without `<` and `>`"));
    }
    Ok(text.to_owned())
}

/// Program and arguments: split at spaces; single quotes, double quotes and backslashes protect, as in a shell.
/// Nothing is expanded: no variables, no globs, no `~`.
pub(super) fn command(text: &str) -> Parsed<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    let open = || wrong("ends inside quotes or after a backslash", "close every quote");
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next().ok_or_else(open)?),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(open());
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(wrong("names no program", "write a program and its arguments"));
    }
    Ok(words)
}

/// Names that hold Azure DevOps tokens in a pipeline or in the command line client.
const TOKEN_NAMES: [&str; 2] = ["SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT"];

/// Names of variables; never ours, because they hold what an agent must not see.
pub(super) fn variable_names(text: &str) -> Parsed<Vec<String>> {
    split(text, ',', |name| {
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(starts) || !name.chars().all(|c| starts(c) || c.is_ascii_digit()) {
            return Err(wrong("is not the name of a variable", "write names only, not `name=value`"));
        }
        let upper = name.to_ascii_uppercase();
        if upper.starts_with(super::vars::PREFIX) || TOKEN_NAMES.contains(&upper.as_str()) {
            return Err(wrong(
                "an agent must not see",
                "remove it: agents never get our settings or a token of Azure DevOps",
            ));
        }
        Ok(name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_zero_is_zero() {
        for (text, seconds) in [
            ("45m", 2700),
            ("6h", 21_600),
            ("3d", 259_200),
            ("1h 30m", 5400),
            ("0", 0),
            ("0s", 0),
            ("PT5M", 300),
        ] {
            assert_eq!(duration(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["45", "soon", "-1h", "1mo", "400d", "m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for text in ["45m", "6h", "14d", "1h 30m", "0"] {
            assert_eq!(duration(text).ok().map(duration_text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_command_is_split_like_a_shell_would_without_expanding() {
        let words = |text| command(text).ok();
        let as_vec = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(words("agent run --quiet"), as_vec(&["agent", "run", "--quiet"]));
        assert_eq!(
            words(r#"a 'b c' "d \" e" f\ g '' $HOME *"#),
            as_vec(&["a", "b c", "d \" e", "f g", "", "$HOME", "*"])
        );
        for bad in ["'", "a \"b", "a \\", "''"] {
            assert!(command(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_token_only_travels_encrypted_or_not_at_all() {
        for good in [
            "https://dev.azure.com/acme",
            "https://tfs.example/tfs/Main/",
            "http://127.0.0.1:8080/acme",
            "http://[::1]/a",
        ] {
            assert!(organization_url(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://dev.azure.com/acme",
            "http://localhost.example/acme",
            "https://dev.azure.com",
            "https://user:pass@dev.azure.com/acme",
            "https://dev.azure.com/acme?x=1",
            "ftp://dev.azure.com/acme",
            "acme",
        ] {
            assert!(organization_url(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn money_is_counted_and_not_rounded() {
        for (text, micro) in [("20", 20_000_000), ("0.5", 500_000), ("0.000001", 1), ("0", 0)] {
            assert_eq!(dollars(text).ok(), Some(micro), "{text}");
            assert_eq!(dollars_text(micro), text);
        }
        for bad in ["-1", "1.", "1e3", "$5", "0.0000001", "99999999999999999999"] {
            assert!(dollars(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_name_the_place_of_a_bad_item() {
        let it = repositories("Shop/web, , nonsense").err().map(|it| it.wrong);
        assert_eq!(it.as_deref(), Some("has an item, number 3, that is not a repository"));
        assert!(variable_names("MODEL_KEY, ROUNDSMAN_ADO_TOKEN").is_err());
        assert!(variable_names("MODEL_KEY=abc").is_err());
        assert!(trusted("zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz").is_err());
        assert_eq!(routes(r"Web\Shop = Shop/web; Web=Shop/site").ok().map(|all| all.len()), Some(2));
    }
}
