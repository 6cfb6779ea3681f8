//! Who is rung: one receiver per kind, each with its address and the news that it wants.
//!
//! Chats put a token into the address, so an address is a secret: it may stand in a file, which is read afresh for
//! each use, and it is never shown whole.

use super::{
    Secret, SecretError, parse,
    raw::RawDoorbell,
    read::Reader,
    vars::{self, Var},
};
use crate::domain::{Receiver, RingKind};
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeSet, fmt};
use url::Url;

/// One receiver.
#[derive(Clone, Debug)]
pub struct Doorbell {
    /// What it is, and so what it is sent.
    pub receiver: Receiver,
    /// Where it is.
    pub address: Address,
    /// The key to sign with, if the receiver checks; the webhook's only.
    pub secret: Option<Secret>,
    /// What it wants to hear.
    pub events: BTreeSet<RingKind>,
}

/// Where a receiver is, or where that can be read.
#[derive(Clone, Debug)]
pub enum Address {
    /// Given in a variable.
    Given(Webhook),
    /// In a file.
    File {
        /// The variable that names the file, for sentences.
        variable: &'static str,
        /// The file.
        file: Secret,
    },
}

impl Address {
    /// The address as it is now.
    pub fn read(&self) -> Result<Webhook, AddressError> {
        match self {
            Self::Given(webhook) => Ok(webhook.clone()),
            Self::File { variable, file } => {
                let text = file.read().map_err(AddressError::Unreadable)?;
                parse::webhook(text.expose_secret()).map_err(|_| AddressError::NotAnAddress { variable })
            }
        }
    }
}

/// Why there is no address. Never with the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The file is of no use.
    #[error(transparent)]
    Unreadable(SecretError),
    /// What is in it is something else.
    #[error("the file that {variable} names does not hold a web address")]
    NotAnAddress {
        /// The variable.
        variable: &'static str,
    },
}

/// A receiver's address. Many chats put their token into it, so it is never shown whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook(pub(crate) Url);

impl Webhook {
    /// For the one who sends.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The address, and what of it is not the host: chats put their token there.
    pub(super) fn spellings(&self) -> [SecretString; 2] {
        [self.0.as_str(), &self.0[url::Position::BeforePath..]].map(SecretString::from)
    }

    pub(super) fn is_readable_on_the_way(&self) -> bool {
        self.0.scheme() == "http" && !parse::is_loopback(&self.0)
    }
}

/// Scheme and host.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}

/// The variables of one kind of receiver.
pub(super) struct Names {
    pub(super) receiver: Receiver,
    pub(super) address: Var,
    pub(super) file: Var,
    pub(super) events: Var,
}

/// Of all kinds, in the order of the documentation.
pub(super) const NAMES: [Names; 4] = [
    Names {
        receiver: Receiver::Webhook,
        address: vars::DOORBELL_WEBHOOK,
        file: vars::DOORBELL_WEBHOOK_FILE,
        events: vars::DOORBELL_WEBHOOK_EVENTS,
    },
    Names {
        receiver: Receiver::Teams,
        address: vars::DOORBELL_TEAMS,
        file: vars::DOORBELL_TEAMS_FILE,
        events: vars::DOORBELL_TEAMS_EVENTS,
    },
    Names {
        receiver: Receiver::Slack,
        address: vars::DOORBELL_SLACK,
        file: vars::DOORBELL_SLACK_FILE,
        events: vars::DOORBELL_SLACK_EVENTS,
    },
    Names {
        receiver: Receiver::Ntfy,
        address: vars::DOORBELL_NTFY,
        file: vars::DOORBELL_NTFY_FILE,
        events: vars::DOORBELL_NTFY_EVENTS,
    },
];

/// Address, file and events, as they were given.
type Raw = (Option<String>, Option<String>, Option<String>);

/// Reads all of them.
pub(super) fn read(reader: &mut Reader, raw: RawDoorbell) -> Vec<Doorbell> {
    let RawDoorbell {
        webhook,
        webhook_file,
        webhook_events,
        secret,
        secret_file,
        teams,
        teams_file,
        teams_events,
        slack,
        slack_file,
        slack_events,
        ntfy,
        ntfy_file,
        ntfy_events,
    } = raw;
    let has_webhook = webhook.is_some() || webhook_file.is_some();
    for (var, given) in [(&vars::DOORBELL_SECRET, &secret), (&vars::DOORBELL_SECRET_FILE, &secret_file)] {
        if !has_webhook && given.is_some() {
            let advice = "write the receiver's address, or remove its secret";
            reader.problem(&vars::DOORBELL_WEBHOOK, &format!("is not set, but {} is", var.name), advice);
        }
    }
    let secret = reader.secret([&vars::DOORBELL_SECRET, &vars::DOORBELL_SECRET_FILE], secret, secret_file);
    let given = [
        (webhook, webhook_file, webhook_events),
        (teams, teams_file, teams_events),
        (slack, slack_file, slack_events),
        (ntfy, ntfy_file, ntfy_events),
    ];
    let one = |(names, (address, file, events)): (&Names, Raw)| {
        let Names { receiver, address: var, file: file_var, events: events_var } = names;
        if address.is_none() && file.is_none() {
            if events.is_some() {
                let advice = "write the receiver's address, or remove its events";
                reader.problem(var, &format!("is not set, but {} is", events_var.name), advice);
            }
            return None;
        }
        let events = reader.or(events_var, events, parse::ring_kinds, RingKind::ALL.into());
        if address.is_some() && file.is_some() {
            let wrong = format!("is set, and {} too", file_var.name);
            reader.problem(var, &wrong, "keep one of them, better the file");
            return None;
        }
        let address = match file {
            Some(path) => Address::File { variable: file_var.name, file: Secret::file(file_var, path) },
            None => Address::Given(reader.maybe(var, address, parse::webhook)?),
        };
        let secret = secret.clone().filter(|_| *receiver == Receiver::Webhook);
        Some(Doorbell { receiver: *receiver, address, secret, events })
    };
    NAMES.iter().zip(given).filter_map(one).collect()
}

/// What is allowed but probably not meant.
pub(super) fn warnings(doorbells: &[Doorbell]) -> Vec<String> {
    let mut said = Vec::new();
    for bell in doorbells {
        let names = NAMES.iter().find(|names| names.receiver == bell.receiver);
        let name = names.map(|names| names.address.name).unwrap_or_default();
        match &bell.address {
            Address::Given(address) if address.is_readable_on_the_way() => {
                said.push(format!("{name} is not encrypted: titles of work items can be read on the way"));
            }
            Address::Given(_) => {}
            Address::File { file, .. } => said.extend(file.warning()),
        }
        said.extend(bell.secret.as_ref().and_then(Secret::warning));
    }
    said
}

/// One line per variable: address, file, events; the webhook's key between them.
pub(super) fn describe(
    doorbells: &[Doorbell],
    secret: impl Fn(Option<&Secret>) -> [String; 2],
) -> Vec<(&'static Var, String)> {
    let mut all = Vec::new();
    for Names { receiver, address, file, events } in &NAMES {
        let bell = doorbells.iter().find(|bell| bell.receiver == *receiver);
        let (given, named) = match bell.map(|bell| &bell.address) {
            Some(Address::Given(webhook)) => (webhook.to_string(), String::new()),
            Some(Address::File { .. }) => (String::new(), "set".to_owned()),
            None => (String::new(), String::new()),
        };
        let wanted =
            bell.map(|bell| bell.events.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "));
        let var = |wanted: &Var| vars::ALL.iter().find(|var| var.name == wanted.name);
        let lines = [(address, given), (file, named), (events, wanted.unwrap_or_default())];
        all.extend(lines.into_iter().filter_map(|(name, value)| Some((var(name)?, value))));
        if *receiver == Receiver::Webhook {
            let [key, key_file] = secret(bell.and_then(|bell| bell.secret.as_ref()));
            all.extend([(&vars::DOORBELL_SECRET, key), (&vars::DOORBELL_SECRET_FILE, key_file)]);
        }
    }
    all
}
