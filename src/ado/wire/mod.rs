//! The JSON of Azure DevOps. Private to `ado`.
//!
//! Nearly everything is optional, because the service omits null and default values; words are read in any case and
//! unknown ones become `Other`. What an identity or a number is missing from is dropped by the caller's choice, never
//! guessed here.

pub(super) mod ci;
pub(super) mod git;
pub(super) mod identity;
pub(super) mod item;
pub(super) mod test_results;

use crate::domain::{Identity, IdentityId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// `{"count": n, "value": […]}`. Without `value` it is not a list, and so not an empty one either.
#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) value: Vec<Option<T>>,
}

impl<T> List<T> {
    /// The entries that are there: omitted work items are null.
    pub(super) fn entries(self) -> impl Iterator<Item = T> {
        self.value.into_iter().flatten()
    }
}

/// An identity: an object, or in some places a string.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum WireIdentity {
    Object {
        id: Option<String>,
        #[serde(rename = "displayName")]
        display_name: Option<String>,
        #[serde(rename = "uniqueName")]
        unique_name: Option<String>,
        descriptor: Option<String>,
    },
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl WireIdentity {
    /// Nothing without an id: a name identifies nobody.
    pub(super) fn known(&self) -> Option<Identity> {
        match self {
            Self::Object { id: Some(id), display_name, unique_name, .. } if !id.trim().is_empty() => {
                Some(Identity {
                    id: IdentityId::new(id),
                    name: display_name.clone().or_else(|| unique_name.clone()).unwrap_or_default(),
                })
            }
            _ => None,
        }
    }

    /// Whether it is a person, as far as its descriptor tells; older servers leave that out, and then only its id counts.
    pub(super) fn is_person(&self) -> bool {
        match self {
            Self::Object { descriptor: Some(descriptor), .. } => {
                identity::Kind::of(descriptor) == identity::Kind::Person
            }
            Self::Object { descriptor: None, .. } => true,
            Self::Text(_) | Self::Other(_) => false,
        }
    }

    /// A person whose descriptor says so; where that is missing, nobody is certain.
    pub(super) fn certain_person(&self) -> Option<Identity> {
        match self {
            Self::Object { descriptor: Some(_), .. } => self.known().filter(|_| self.is_person()),
            Self::Object { descriptor: None, .. } | Self::Text(_) | Self::Other(_) => None,
        }
    }

    /// As [`known`](Self::known), but a service has an id that equals nobody's: whoever lists it, it is no person.
    pub(super) fn person_or_nobody(&self) -> Option<Identity> {
        let known = self.known()?;
        Some(if self.is_person() { known } else { nobody(&known.name) })
    }

    /// Somebody, even if only a name is known; such an id equals nobody's.
    pub(super) fn somebody(&self) -> Option<Identity> {
        self.known().or_else(|| match self {
            Self::Text(name) if !name.trim().is_empty() => Some(nobody(name)),
            Self::Object { display_name: Some(name), .. } => Some(nobody(name)),
            _ => None,
        })
    }
}

/// An author that the service does not name. Compares equal to no configured identity, because those are GUIDs.
pub(super) fn nobody(name: &str) -> Identity {
    Identity { id: IdentityId::new("unknown"), name: name.to_owned() }
}

/// A date; unset (year 1), "still current" (year 9999) and unreadable ones are absent.
pub(super) fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.as_deref().and_then(parse_date))
}

pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-") || text.starts_with("9999-") {
        return None;
    }
    text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
}

/// A number that some places send as a string.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    Ok(match Option::<Either>::deserialize(from)? {
        Some(Either::Number(number)) => Some(number),
        Some(Either::Text(text)) => text.trim().parse().ok(),
        None => None,
    })
}

/// Same word in any case.
pub(super) fn is(word: Option<&str>, expected: &str) -> bool {
    word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_every_precision_and_sentinels_are_absent() {
        assert!(parse_date("2026-03-31T18:36:28Z").is_some());
        assert!(parse_date("2025-01-10T12:23:52.6038843Z").is_some());
        assert!(parse_date("2025-01-10T12:23:52").is_some());
        for unset in ["0001-01-01T00:00:00", "9999-01-01T00:00:00Z", "soon"] {
            assert_eq!(parse_date(unset), None, "{unset}");
        }
    }

    #[test]
    fn a_name_without_an_id_is_nobody_we_know() {
        let name: WireIdentity = serde_json::from_str(r#""Name <a@b.c>""#).expect("readable");
        assert_eq!(name.known(), None);
        assert!(!name.somebody().expect("somebody").id.is_guid());
    }
}
