//! Tells people, through webhooks and chats, what is in the store's outbox. The last phase of a tick, within a time
//! budget: a receiver that is down or slow costs a few seconds and a later try, never the state of a run, and never
//! another receiver's news.
//!
//! Delivered at least once: a crash between the post and its mark rings again, with the same key. What is worth a ring
//! is decided elsewhere, and so are its words; what each receiver is sent is in [`payload`].

pub mod payload;
mod storm;

pub use storm::STORM;

use crate::{
    domain::Receiver,
    settings::{self, AddressError, SecretError},
    store::{self, Ring, RingOutcome, RunStore},
};
use futures_util::future::try_join_all;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use payload::Payload;
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt::Write, time::Duration};
use tokio::time::{Instant, timeout};

/// `sha256=` and the HMAC of the body in hexadecimal digits, as several forges sign theirs.
pub const SIGNATURE_HEADER: &str = "X-Roundsman-Signature";

/// Posts per tick and receiver at most: more of different causes can wait, and chats throttle earlier than that.
pub const MOST_PER_TICK: usize = 20;

/// Rings looked at per tick: a storm of all runs that an organization's quota carries is seen whole.
const MOST_READ: u32 = 1_000;

/// A receiver that needs longer for a few hundred bytes is as good as down.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Pauses after the first, second, … failure; the last one repeats. Short at first for a restart of the receiver, then
/// long enough for somebody to repair it over night.
const PAUSES: [Duration; 5] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
];

/// A receiver may ask for a longer pause, but not for so long that its news grow old meanwhile.
const LONGEST_ASKED: Duration = Duration::from_hours(6);

/// Three days, a long weekend: news that are older are not news.
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);

/// More tries than fit into those days; holds when a clock was wrong.
const MOST_ATTEMPTS: u32 = 20;

/// Rings what is due. An error is the store's; a receiver's failure is in the report and in the log.
pub async fn deliver(
    store: &dyn RunStore,
    doorbells: &Doorbells,
    now: Timestamp,
    budget: Duration,
) -> Result<Report, store::Error> {
    let end = Instant::now() + budget;
    let mut due: BTreeMap<Receiver, Vec<Ring>> = BTreeMap::new();
    for ring in store.due_rings(now, MOST_READ).await? {
        due.entry(ring.receiver).or_default().push(ring);
    }
    let mut report = Report::default();
    for (receiver, rings) in &due {
        if doorbells.of(*receiver).is_none() {
            // Its address was taken away: left there, they would stand before the others for ever.
            tracing::warn!(ring.receiver = %receiver, rings = rings.len(), "nobody listens there any more; not rung");
            report.dropped += mark(store, rings, |_| RingOutcome::Dropped).await?;
        }
    }
    let heard = doorbells.bells.iter().filter_map(|bell| Some((bell, due.get(&bell.receiver)?)));
    for one in try_join_all(heard.map(|(bell, rings)| tell(store, doorbells, bell, rings, now, end))).await? {
        report.add(one);
    }
    Ok(report)
}

/// All that is due to one receiver, one after the other.
async fn tell(
    store: &dyn RunStore,
    doorbells: &Doorbells,
    bell: &settings::Doorbell,
    rings: &[Ring],
    now: Timestamp,
    end: Instant,
) -> Result<Report, store::Error> {
    let mut report = Report::default();
    let groups = storm::gather(rings);
    for (place, group) in groups.iter().enumerate().take(MOST_PER_TICK) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let failure = match doorbells.post(bell, group, now, left.min(SEND_LIMIT)).await {
            Ok(()) => {
                report.delivered += mark(store, group, |_| RingOutcome::Delivered).await?;
                continue;
            }
            Err(failure) => failure,
        };
        log(group, &failure, now);
        report.add(put_off(store, group, now, failure.asked()).await?);
        match failure {
            // About this ring, perhaps; the next one may be taken.
            Failure::Answered { asked: None, .. } => {}
            // It said when it wants to hear again, and that holds for all.
            Failure::Answered { asked: Some(pause), .. } => {
                for group in &groups[place + 1..] {
                    report.add(put_off(store, group, now, Some(pause)).await?);
                }
                break;
            }
            // About the receiver: the others would wait for the same silence and lose an attempt each.
            Failure::Silent(_) | Failure::Late | Failure::NoSecret(_) | Failure::NoAddress(_) => break,
        }
    }
    Ok(report)
}

async fn mark(
    store: &dyn RunStore,
    rings: &[Ring],
    outcome: impl Fn(&Ring) -> RingOutcome,
) -> Result<u32, store::Error> {
    for ring in rings {
        store.rung(&ring.key, outcome(ring)).await?;
    }
    Ok(u32::try_from(rings.len()).unwrap_or(u32::MAX))
}

async fn put_off(
    store: &dyn RunStore,
    rings: &[Ring],
    now: Timestamp,
    asked: Option<Duration>,
) -> Result<Report, store::Error> {
    let mut report = Report::default();
    for ring in rings {
        match next_try(ring, now, asked) {
            Some(at) => {
                store.rung(&ring.key, RingOutcome::RetryAt(at)).await?;
                report.failed += 1;
            }
            None => {
                store.rung(&ring.key, RingOutcome::Dropped).await?;
                report.dropped += 1;
            }
        }
    }
    Ok(report)
}

fn log(group: &[Ring], failure: &Failure, now: Timestamp) {
    let Some(ring) = group.first() else { return };
    let (rings, receiver, attempts) = (group.len(), ring.receiver, ring.attempts.saturating_add(1));
    if let Some(at) = next_try(ring, now, failure.asked()) {
        tracing::info!(ring.key, ring.receiver = %receiver, rings, ring.attempts = attempts, ring.next = %at,
            error = %failure, "the doorbell did not ring; trying again later");
    } else {
        tracing::warn!(ring.key, ring.receiver = %receiver, rings, ring.attempts = attempts,
            error = %failure, "gave up ringing the doorbell; nobody was told");
    }
}

/// What became of what was due, in rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Taken by the receiver.
    pub delivered: u32,
    /// Tried again later.
    pub failed: u32,
    /// Given up.
    pub dropped: u32,
}

impl Report {
    fn add(&mut self, other: Self) {
        let Self { delivered, failed, dropped } = other;
        self.delivered += delivered;
        self.failed += failed;
        self.dropped += dropped;
    }
}

/// The receivers, and how to reach them.
#[derive(Clone, Debug)]
pub struct Doorbells {
    client: Client,
    bells: Vec<settings::Doorbell>,
}

impl Doorbells {
    /// From settings. Fails only where this machine has no usable TLS.
    pub fn new(bells: &[settings::Doorbell]) -> Result<Self, reqwest::Error> {
        // Once per process; whoever was first chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("roundsman/", env!("CARGO_PKG_VERSION")))
            .timeout(SEND_LIMIT)
            // A redirect would carry titles to an address that nobody configured.
            .redirect(Policy::none())
            .build()?;
        Ok(Self { client, bells: bells.to_vec() })
    }

    fn of(&self, receiver: Receiver) -> Option<&settings::Doorbell> {
        self.bells.iter().find(|bell| bell.receiver == receiver)
    }

    async fn post(
        &self,
        bell: &settings::Doorbell,
        group: &[Ring],
        now: Timestamp,
        limit: Duration,
    ) -> Result<(), Failure> {
        let address = bell.address.read().map_err(Failure::NoAddress)?;
        let Payload { content_type, headers, body } = payload::of(bell.receiver, group);
        let mut request = self.client.post(address.url().clone()).header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(secret) = &bell.secret {
            let signed = signature(&secret.read().map_err(Failure::NoSecret)?, &body);
            request = request.header(SIGNATURE_HEADER, signed);
        }
        // The answer's body is never read: it may be endless.
        let answer = timeout(limit, request.body(body).send()).await.map_err(|_| Failure::Late)?;
        // Without its address: many chats put their token there.
        let answer = answer.map_err(|error| Failure::Silent(error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Failure::Answered { status, asked: asked(answer.headers(), now) })
    }
}

/// How long the receiver wants to be left alone: seconds, or a date.
fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_ASKED))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the receiver answered {status}")]
    Answered { status: StatusCode, asked: Option<Duration> },
    #[error("the receiver cannot be reached")]
    Silent(#[source] reqwest::Error),
    #[error("the receiver did not answer in time")]
    Late,
    #[error("cannot sign")]
    NoSecret(#[source] SecretError),
    #[error("the receiver's address is missing: {0}")]
    NoAddress(AddressError),
}

impl Failure {
    fn asked(&self) -> Option<Duration> {
        match self {
            Self::Answered { asked, .. } => *asked,
            Self::Silent(_) | Self::Late | Self::NoSecret(_) | Self::NoAddress(_) => None,
        }
    }
}

/// When a ring that failed now is tried again; none when it is given up.
fn next_try(ring: &Ring, now: Timestamp, asked: Option<Duration>) -> Option<Timestamp> {
    let failures = ring.attempts.saturating_add(1);
    let age = Duration::try_from(now.duration_since(ring.at)).unwrap_or_default();
    if failures >= MOST_ATTEMPTS || age >= GIVE_UP_AFTER {
        return None;
    }
    let step = usize::try_from(ring.attempts).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    now.checked_add(PAUSES[step].max(asked.unwrap_or_default())).ok()
}

fn signature(secret: &SecretString, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::WorkItemId, store::RingKind};

    fn ring(attempts: u32) -> Ring {
        Ring {
            key: "4711-r12/done".into(),
            kind: RingKind::Done,
            run: "4711-r12".parse().unwrap(),
            item: WorkItemId(4711),
            title: "t".into(),
            text: String::new(),
            link: None,
            attempts,
            at: Timestamp::UNIX_EPOCH,
            receiver: Receiver::Webhook,
            cause: None,
        }
    }

    #[test]
    fn a_signature_is_the_one_of_rfc_4231() {
        let text = signature(&SecretString::from("Jefe"), b"what do ya want for nothing?");
        assert_eq!(text, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn pauses_grow_and_end() {
        let next = |attempts, age| next_try(&ring(attempts), Timestamp::UNIX_EPOCH + age, None);
        let minute = Duration::from_mins(1);
        assert_eq!(next(0, minute), Some(Timestamp::UNIX_EPOCH + 2 * minute));
        assert_eq!(next(9, minute), Some(Timestamp::UNIX_EPOCH + 361 * minute));
        assert_eq!(next(MOST_ATTEMPTS - 1, minute), None);
        assert_eq!(next(0, GIVE_UP_AFTER), None);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_but_not_for_ever() {
        let now = Timestamp::UNIX_EPOCH;
        let of = |text: &str| {
            asked(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now).map(|d| d.as_secs())
        };
        assert_eq!(of("120"), Some(120));
        assert_eq!(of("Thu, 01 Jan 1970 00:02:00 GMT"), Some(120));
        assert_eq!(of("99999999"), Some(LONGEST_ASKED.as_secs()));
        assert_eq!(of("soon"), None);
        let hour = Duration::from_hours(1);
        assert_eq!(next_try(&ring(0), now, Some(hour)), Some(now + hour));
        assert_eq!(next_try(&ring(4), now, Some(hour)), Some(now + PAUSES[4]), "ours is longer");
    }
}
