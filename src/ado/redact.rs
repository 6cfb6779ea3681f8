//! Removes credentials from text: known ones in all their encodings, then whatever has the shape of one.
//!
//! A seat belt, not a boundary: it never justifies handing a secret to somebody.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a credential was.
pub const REDACTED: &str = "[redacted]";

/// Characters that may have been cut from either end of a leaked value and still give it away.
const CUT: usize = 8;
/// Shorter pieces are words, not secrets; replacing them would destroy ordinary text.
const SHORTEST: usize = 8;

/// Knows credentials and removes them. Cheap to use, built once.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Longest first, so that a whole value goes before its middle.
    needles: Vec<SecretString>,
}

impl Redactor {
    /// Knows `secrets` besides the shapes that it always knows. Values under eight characters are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles: Vec<String> =
            secrets.into_iter().flat_map(|secret| spellings(secret.expose_secret().trim())).collect();
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles: needles.into_iter().map(SecretString::from).collect() }
    }

    /// `text` without credentials.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in &self.needles {
            text = without(&text, needle.expose_secret());
        }
        let text = private_keys(&text);
        let text = after_keyword(&text, "authorization", Extent::TwoWords);
        let text = ["bearer ", "basic "]
            .iter()
            .fold(text, |text, word| after_keyword(&text, word, Extent::LongWord));
        let text =
            ["accountkey=", "sig="].iter().fold(text, |text, word| after_keyword(&text, word, Extent::Value));
        words(&user_info(&text))
    }
}

/// The value, its percent-encoding and its base64 at each of the three possible offsets (so also as `user:token`), each
/// also without its ends.
pub(crate) fn spellings(secret: &str) -> Vec<String> {
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let mut all = vec![secret.to_owned(), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()];
    for offset in 0..3 {
        let padded = [&b":::"[..offset], secret.as_bytes()].concat();
        let encoded = STANDARD.encode(&padded);
        // The first and the last group mix the value with its neighbours.
        let from = if offset == 0 { 0 } else { 4 };
        let to = padded.len() / 3 * 4;
        if to > from {
            let stable = &encoded[from..to];
            all.push(stable.replace('+', "-").replace('/', "_"));
            all.push(stable.to_owned());
        }
    }
    let middles: Vec<String> = all
        .iter()
        .filter_map(|one| {
            one.get(CUT..one.len().checked_sub(CUT)?).filter(|rest| rest.len() >= SHORTEST).map(str::to_owned)
        })
        .collect();
    all.extend(middles);
    all.retain(|one| one.len() >= SHORTEST);
    all
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-%.~".contains(c)
}

/// Replaces each `needle` together with the token characters around it: what was cut off goes as well.
pub(crate) fn without(text: &str, needle: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(needle) {
        clean.push_str(rest[..at].trim_end_matches(is_token));
        clean.push_str(REDACTED);
        rest = rest[at + needle.len()..].trim_start_matches(is_token);
    }
    clean.push_str(rest);
    clean
}

fn private_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const MIDDLE: &str = "PRIVATE KEY-----";
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let block = &rest[at..];
        let Some(body) = block.find(MIDDLE).filter(|head| !block[..*head].contains('\n')) else {
            clean.push_str(&rest[..at + BEGIN.len()]);
            rest = &rest[at + BEGIN.len()..];
            continue;
        };
        clean.push_str(&rest[..at]);
        clean.push_str(REDACTED);
        let body = &block[body + MIDDLE.len()..];
        rest = body.find(MIDDLE).map_or("", |end| &body[end + MIDDLE.len()..]);
    }
    clean.push_str(rest);
    clean
}

#[derive(Clone, Copy)]
enum Extent {
    /// Scheme and token, also inside quotes.
    TwoWords,
    /// One word, if it is long enough to be a token.
    LongWord,
    /// Up to the next separator.
    Value,
}

/// Replaces what follows `keyword` (lower case, found in any case).
fn after_keyword(text: &str, keyword: &str, extent: Extent) -> String {
    /// Tokens are longer than words of a sentence such as "basic authentication".
    const LONG: usize = 16;
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(at) = lower[done..].find(keyword).map(|at| done + at) {
        let mut from = at + keyword.len();
        let value_end = |start: usize, stop: fn(char) -> bool| {
            text[start..].find(stop).map_or(text.len(), |end| start + end)
        };
        let to = match extent {
            Extent::TwoWords => {
                let separators = |c: char| ":=\"' \t\\".contains(c);
                let skipped = text[from..].len() - text[from..].trim_start_matches(separators).len();
                if !text[from..from + skipped].contains([':', '=']) {
                    clean.push_str(&text[done..from]);
                    done = from;
                    continue;
                }
                from += skipped;
                let stop = |c: char| c.is_whitespace() || "\"',\\".contains(c);
                let first = value_end(from, stop);
                let second = &text[first..];
                if second.starts_with(' ') {
                    let word = first + second.len() - second.trim_start_matches(' ').len();
                    value_end(word, stop)
                } else {
                    first
                }
            }
            Extent::LongWord => {
                let end = value_end(from, |c| !is_token(c));
                if end - from < LONG { from } else { end }
            }
            Extent::Value => value_end(from, |c| c.is_whitespace() || "&;\"'<>".contains(c)),
        };
        clean.push_str(&text[done..from]);
        if to > from {
            clean.push_str(REDACTED);
        }
        done = to;
    }
    clean.push_str(&text[done..]);
    clean
}

/// Removes `user:password@` and `user@` of addresses.
fn user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://").map(|at| at + 3) {
        let (before, after) = rest.split_at(at);
        clean.push_str(before);
        let host_end =
            after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
        rest = after;
        if let Some(user) = after[..host_end].rfind('@') {
            clean.push_str(REDACTED);
            rest = &after[user..];
        }
    }
    clean.push_str(rest);
    clean
}

/// Replaces each word that has the shape of a credential.
fn words(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let gap = rest.find(is_word).unwrap_or(rest.len());
        clean.push_str(&rest[..gap]);
        rest = &rest[gap..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        clean.push_str(if is_credential(word) { REDACTED } else { word });
        rest = tail;
    }
    clean
}

fn is_credential(word: &str) -> bool {
    /// Prefix and how many characters must follow.
    const PREFIXES: [(&str, usize); 8] = [
        ("ghp_", 36),
        ("gho_", 36),
        ("ghu_", 36),
        ("ghs_", 36),
        ("ghr_", 36),
        ("github_pat_", 22),
        ("sk-ant-", 20),
        ("sk-", 20),
    ];
    if PREFIXES.iter().any(|(prefix, more)| {
        word.match_indices(prefix).any(|(at, _)| {
            let border = at == 0 || !word.as_bytes()[at - 1].is_ascii_alphanumeric();
            border && word.len() - at - prefix.len() >= *more
        })
    }) {
        return true;
    }
    // A JSON web token: `{"` in base64 and three parts.
    if let Some(at) = word.find("eyJ") {
        let parts: Vec<&str> = word[at..].split('.').collect();
        if parts.len() >= 3 && parts[0].len() >= 13 && parts[1].len() >= 10 && parts[2].len() >= 5 {
            return true;
        }
    }
    word.split(|c: char| !c.is_ascii_alphanumeric()).any(is_access_token)
}

/// A personal access token of Azure DevOps, new (84 characters with a fixed part) or old (52 of base32).
fn is_access_token(word: &str) -> bool {
    /// Random base32 has far more different characters; a word of repeated letters has fewer.
    const DIFFERENT: usize = 12;
    if word.match_indices("AZDO").any(|(at, _)| at >= 76 && word.len() >= at + 8) {
        return true;
    }
    word.len() == 52
        && word.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().collect::<std::collections::BTreeSet<_>>().len() >= DIFFERENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "k3yq7canary5zzw2example4token6value";

    fn redactor() -> Redactor {
        Redactor::new([&SecretString::from(TOKEN)])
    }

    #[test]
    fn a_known_token_goes_in_every_encoding() {
        let base = |user: &str| STANDARD.encode(format!("{user}:{TOKEN}"));
        for leaked in [
            TOKEN.to_owned(),
            base(""),
            base("u"),
            base("user"),
            base("ab"),
            TOKEN[8..TOKEN.len() - 8].to_owned(),
        ] {
            let clean = redactor().redact(&format!("before {leaked} after"));
            assert_eq!(clean, format!("before {REDACTED} after"), "{leaked}");
        }
    }

    #[test]
    fn shapes_of_credentials_go() {
        let new = format!("{}AZDO1234", "aB3".repeat(25) + "x");
        let old = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        for leaked in [
            new.as_str(),
            old,
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "sk-ant-abcdefghijklmnopqrstuvwxyz",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3.c2lnbmF0dXJl",
        ] {
            assert_eq!(Redactor::default().redact(&format!("x={leaked}, y")), format!("x={REDACTED}, y"));
        }
    }

    #[test]
    fn headers_addresses_and_keys_go() {
        let clean = |text: &str| Redactor::default().redact(text);
        assert_eq!(clean("Authorization: Basic abc= next"), format!("Authorization: {REDACTED} next"));
        assert_eq!(
            clean(r#"{"Authorization":"Bearer abc"}"#),
            format!(r#"{{"Authorization":"{REDACTED}"}}"#)
        );
        assert_eq!(clean("used bearer abcdefghijklmnop1 here"), format!("used bearer {REDACTED} here"));
        assert_eq!(clean("https://user:pass@host/x"), format!("https://{REDACTED}@host/x"));
        assert_eq!(clean("AccountKey=abc;x"), format!("AccountKey={REDACTED};x"));
        assert_eq!(clean("u?sig=a%2B&x=1"), format!("u?sig={REDACTED}&x=1"));
        let key = "a -----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY----- b";
        assert_eq!(clean(key), format!("a {REDACTED} b"));
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "TF401179: An active pull request for the source and target branch already exists.",
            "basic authentication, bearer tokens and authorization are words",
            "commit 0123456789abcdef0123456789abcdef01234567 of d291b0c4-a05c-4ea6-8df1-4b41d5f39eff",
            "see https://dev.azure.com/org/My%20Project/_git/repo@x and mail a@b.c",
            "naïve – Ünïcode „quotes“ 🦀",
        ] {
            assert_eq!(redactor().redact(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_surroundings_let_a_token_through(before in "\\PC{0,40}", after in "\\PC{0,40}") {
            let clean = redactor().redact(&format!("{before}{TOKEN}{after}"));
            proptest::prop_assert!(!clean.contains(&TOKEN[8..TOKEN.len() - 8]), "{}", clean);
        }

        #[test]
        fn any_text_is_survived(text in "(?s).{0,200}", mixed in "(authorization: |Bearer |sig=|://|@|-----BEGIN |PRIVATE KEY-----|eyJ|\\.|ü|sk-|\n){0,12}") {
            redactor().redact(&text);
            redactor().redact(&mixed);
        }
    }

    #[test]
    fn nothing_is_known_from_an_empty_secret() {
        let redactor = Redactor::new([&SecretString::from(""), &SecretString::from("abc")]);
        assert_eq!(redactor.redact("abc"), "abc");
    }
}
