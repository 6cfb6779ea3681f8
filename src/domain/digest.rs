//! What a progress comment said last, as two digests in one word. How they are made stands in `words`.

use serde::{Deserialize, Serialize};

/// Equal digests: nothing to write, and nothing to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ProgressDigest {
    /// Of the words that people read; [`ProgressDigest::DIGITS`] hexadecimal digits.
    pub words: String,
    /// Of what the run's record must not lose.
    pub record: String,
}

impl ProgressDigest {
    /// Hexadecimal digits of each half: they only tell a text from the one before.
    pub const DIGITS: usize = 16;
}

impl From<String> for ProgressDigest {
    /// A word that we did not write equals no digest, so that the comment is written again.
    fn from(both: String) -> Self {
        let (words, record) = both.split_at_checked(Self::DIGITS).unwrap_or((&both, ""));
        Self { words: words.to_owned(), record: record.to_owned() }
    }
}

impl From<ProgressDigest> for String {
    fn from(both: ProgressDigest) -> Self {
        both.words + &both.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_stored_as_one_word_and_read_back() {
        let both = ProgressDigest { words: "0123456789abcdef".into(), record: "fedcba9876543210".into() };
        let stored = serde_json::to_string(&both).unwrap();
        assert_eq!(stored, r#""0123456789abcdeffedcba9876543210""#);
        assert_eq!(serde_json::from_str::<ProgressDigest>(&stored).unwrap(), both);
        let foreign = ProgressDigest::from("äää".to_owned());
        assert_eq!(String::from(foreign.clone()), "äää", "{foreign:?}");
    }
}
