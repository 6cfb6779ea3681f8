//! What a secret looks like: known values and patterns. Used to clean what people read and to refuse what would be pushed.
//!
//! A seat belt, not a boundary: an agent is never given a secret because this exists.

use crate::ado::redact;
use regex::bytes::Regex;
use std::sync::LazyLock;

/// What stands where a secret was.
const GONE: &str = redact::REDACTED;

type Plausible = fn(&[u8]) -> bool;

struct Pattern {
    name: &'static str,
    regex: Regex,
    /// Whether a match alone is reason enough not to push; header and address patterns also match examples.
    refuses: bool,
    /// A second look, against words that only have the form.
    plausible: Plausible,
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let always: Plausible = |_| true;
    let rows: [(&str, &str, bool, Plausible); 10] = [
        ("an Azure DevOps token", "[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", true, always),
        ("an Azure DevOps token", r"\b[a-z2-7]{52}\b", true, is_random),
        ("a GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})", true, always),
        ("a model key", r"\bsk-(ant-|proj-)?[A-Za-z0-9_-]{20,}", true, has_digit),
        ("a signed token", r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}", true, always),
        ("a storage key", "AccountKey=[A-Za-z0-9+/=]{40,}", true, always),
        (
            "a private key",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----([A-Za-z0-9+/=\s]*-----END [A-Z ]*-----)?",
            true,
            always,
        ),
        ("a signature", r"[?&]sig=[^&\s]+", false, always),
        ("a header", r"(?i)authorization:\s*\S+\s+\S+", false, always),
        ("a user in an address", r"://[^/\s:@]*:[^/\s@]+@", false, always),
    ];
    rows.into_iter()
        .map(|(name, pattern, refuses, plausible)| {
            let regex =
                Regex::new(&format!("(?-u){pattern}")).expect("the patterns are constants and tested");
            Pattern { name, regex, refuses, plausible }
        })
        .collect()
});

fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// Fifty-two letters of one word list are possible; random ones mix digits in and use most of the alphabet.
fn is_random(text: &[u8]) -> bool {
    let distinct: std::collections::BTreeSet<_> = text.iter().collect();
    has_digit(text) && distinct.len() >= 14
}

/// Kinds of secrets that `text` contains and that must not be pushed, without repetition. Never the secret itself.
pub(super) fn found_in(text: &[u8]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = PATTERNS
        .iter()
        .filter(|pattern| {
            pattern.refuses && pattern.regex.find_iter(text).any(|hit| (pattern.plausible)(hit.as_bytes()))
        })
        .map(|pattern| pattern.name)
        .collect();
    found.dedup();
    found
}

/// Cleans text for people: known values first, then patterns, then control characters.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    /// Values as they are: what stands beside one is no part of it.
    whole: Vec<String>,
    /// All spellings, with what is left when the ends were cut off.
    known: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} values)", self.whole.len())
    }
}

impl Redactor {
    /// Learns a value and the spellings in which git, curl and people print it: the same as in what we say ourselves.
    pub(super) fn learn(&mut self, value: &str) {
        let spellings = redact::spellings(value);
        if spellings.is_empty() {
            return;
        }
        self.whole.push(value.to_owned());
        self.known.extend(spellings);
        for list in [&mut self.whole, &mut self.known] {
            // The whole before its parts, or the ends would stay.
            list.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            list.dedup();
        }
    }

    /// Whether a value that we know is in `bytes`, in any of its spellings.
    pub(super) fn knows(&self, bytes: &[u8]) -> bool {
        let is_in = |known: &String| bytes.windows(known.len()).any(|window| window == known.as_bytes());
        self.known.iter().any(is_in)
    }

    /// `bytes` without secrets, otherwise as they are.
    pub(super) fn redact(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for whole in &self.whole {
            if text.contains(whole.as_str()) {
                text = text.replace(whole.as_str(), GONE);
            }
        }
        for known in &self.known {
            if text.contains(known.as_str()) {
                text = redact::without(&text, known);
            }
        }
        let mut bytes = text.into_bytes();
        for pattern in PATTERNS.iter() {
            bytes = pattern
                .regex
                .replace_all(&bytes, |hit: &regex::bytes::Captures<'_>| {
                    let hit = &hit[0];
                    if (pattern.plausible)(hit) { GONE.as_bytes().to_vec() } else { hit.to_vec() }
                })
                .into_owned();
        }
        bytes
    }

    /// At most `limit` characters of `text`, without secrets, escape sequences and control characters.
    pub(super) fn clean(&self, text: &str, limit: usize) -> String {
        let bytes = self.redact(text.as_bytes());
        let plain = crate::runtime::process::files::plain(&String::from_utf8_lossy(&bytes));
        let plain = plain.trim();
        match plain.char_indices().nth(limit) {
            None => plain.to_owned(),
            Some((end, _)) => format!("{}…", &plain[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    #[test]
    fn samples_of_each_kind_are_found_and_words_are_not() {
        let new_pat = format!("{}AZDO{}", "aB3".repeat(26)[..76].to_owned(), "x9Yz");
        let old_pat = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";
        let samples = [
            new_pat.as_str(),
            old_pat,
            "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
            "sk-ant-abc0123456789abcdefghij",
            "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
            "-----BEGIN RSA PRIVATE KEY-----",
        ];
        for sample in samples {
            assert!(!found_in(sample.as_bytes()).is_empty(), "{sample}");
            assert_eq!(
                Redactor::default().clean(&format!("a {sample} b"), 500),
                format!("a {GONE} b"),
                "{sample}"
            );
        }
        for harmless in
            ["task-abcdefghijklmnopqrstuvwxyz1", "the quick brown fox", &"a".repeat(52), "sk-learn"]
        {
            assert!(found_in(harmless.as_bytes()).is_empty(), "{harmless}");
        }
    }

    #[test]
    fn a_known_token_is_gone_in_every_spelling() {
        let token = "canary-0123456789-token-0123456789";
        let mut redactor = Redactor::default();
        redactor.learn(token);
        let basic = STANDARD.encode(format!(":{token}"));
        let text = redactor
            .clean(&format!("{token} {basic} {} \u{1b}[31mred\u{7}", &token[4..token.len() - 4]), 500);
        assert!(!text.contains("0123456789-token"), "{text}");
        assert!(!text.contains(&basic[8..20]), "{text}");
        assert!(text.ends_with("red"), "{text}");
    }

    /// Whoever is before the colon decides at which of three offsets the value is encoded.
    #[test]
    fn a_known_token_is_gone_after_any_user() {
        let token = "canary-0123456789-token-0123456789";
        let mut redactor = Redactor::default();
        redactor.learn(token);
        for user in ["", "x", "ab", "user", "build"] {
            let basic = STANDARD.encode(format!("{user}:{token}"));
            assert_eq!(
                redactor.clean(&format!("sent {basic} to it"), 500),
                format!("sent {GONE} to it"),
                "{user}"
            );
            assert!(redactor.knows(format!("k={basic}").as_bytes()), "{user}");
        }
        let percent = redactor.clean("canary%2D0123456789%2Dtoken%2D0123456789", 500);
        assert_eq!(percent, GONE);
    }

    #[test]
    fn what_only_looks_like_a_secret_in_its_place_is_cleaned_and_may_be_pushed() {
        for (text, gone) in [
            ("AccountName=a;AccountKey=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG+/==;x", "abcdefghij"),
            ("https://s.blob.core/x?sv=1&sig=a%2Bb%3D&se=2", "a%2Bb"),
            ("Authorization: Basic dXNlcjpwYXNz then", "dXNlcjpwYXNz"),
            ("clone https://user:hunter2@host/x", "hunter2"),
        ] {
            let clean = Redactor::default().clean(text, 500);
            assert!(clean.contains(GONE) && !clean.contains(gone), "{clean}");
        }
        assert_eq!(
            found_in(b"AccountKey=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG+/=="),
            ["a storage key"]
        );
        for example in ["?sig=abc", "Authorization: Bearer abc", "https://user:password@host/"] {
            assert!(found_in(example.as_bytes()).is_empty(), "documentation may say {example}");
        }
    }
}
