//! Tells people, through a webhook, what is in the store's outbox. The last phase of a tick, within a time budget:
//! a receiver that is down or slow costs a few seconds and a later try, never the state of a run.
//!
//! Delivered at least once: a crash between the post and its mark rings again, with the same key. What is worth a ring
//! is decided elsewhere, and so are its words.

use crate::{
    settings::{self, Secret, SecretError, Webhook},
    store::{self, Ring, RingOutcome, RunStore},
};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::{fmt::Write, time::Duration};
use tokio::time::{Instant, timeout};

/// `sha256=` and the HMAC of the body in hexadecimal digits, as several forges sign theirs.
pub const SIGNATURE_HEADER: &str = "X-Roundsman-Signature";

/// Rings per tick at most: more is a storm, and a storm can wait.
pub const MOST_PER_TICK: u32 = 20;

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

/// Three days, a long weekend: news that are older are not news.
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);

/// More tries than fit into those days; holds when a clock was wrong.
const MOST_ATTEMPTS: u32 = 20;

/// Rings what is due. An error is the store's; a receiver's failure is in the report and in the log.
pub async fn deliver(
    store: &dyn RunStore,
    doorbell: &Doorbell,
    now: Timestamp,
    budget: Duration,
) -> Result<Report, store::Error> {
    let end = Instant::now() + budget;
    let mut report = Report::default();
    for ring in store.due_rings(now, MOST_PER_TICK).await? {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let failure = match doorbell.post(&ring, left.min(SEND_LIMIT)).await {
            Ok(()) => {
                store.rung(&ring.key, RingOutcome::Delivered).await?;
                report.delivered += 1;
                continue;
            }
            Err(failure) => failure,
        };
        let attempts = ring.attempts.saturating_add(1);
        if let Some(at) = next_try(&ring, now) {
            store.rung(&ring.key, RingOutcome::RetryAt(at)).await?;
            report.failed += 1;
            tracing::info!(ring.key, run.id = %ring.run, ring.attempts = attempts, ring.next = %at,
                error = %failure, "the doorbell did not ring; trying again later");
        } else {
            store.rung(&ring.key, RingOutcome::Dropped).await?;
            report.dropped += 1;
            tracing::warn!(ring.key, run.id = %ring.run, ring.attempts = attempts,
                error = %failure, "gave up ringing the doorbell; nobody was told");
        }
        match failure {
            // About this ring, perhaps; the next one may be taken.
            Failure::Answered(_) => {}
            // About the receiver: the others would wait for the same silence and lose an attempt each.
            Failure::Silent(_) | Failure::Late | Failure::NoSecret(_) => break,
        }
    }
    Ok(report)
}

/// What became of what was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Taken by the receiver.
    pub delivered: u32,
    /// Tried again later.
    pub failed: u32,
    /// Given up.
    pub dropped: u32,
}

/// The receiver, and how to reach it.
#[derive(Clone, Debug)]
pub struct Doorbell {
    client: Client,
    webhook: Webhook,
    secret: Option<Secret>,
}

impl Doorbell {
    /// From settings. Fails only where this machine has no usable TLS.
    pub fn new(settings: &settings::Doorbell) -> Result<Self, reqwest::Error> {
        // Once per process; whoever was first chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("roundsman/", env!("CARGO_PKG_VERSION")))
            .timeout(SEND_LIMIT)
            // A redirect would carry titles to an address that nobody configured.
            .redirect(Policy::none())
            .build()?;
        let settings::Doorbell { webhook, secret } = settings.clone();
        Ok(Self { client, webhook, secret })
    }

    async fn post(&self, ring: &Ring, limit: Duration) -> Result<(), Failure> {
        let body = serde_json::to_vec(ring).expect("a ring has string keys only");
        let mut request =
            self.client.post(self.webhook.url().clone()).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            request = request
                .header(SIGNATURE_HEADER, signature(&secret.read().map_err(Failure::NoSecret)?, &body));
        }
        let answer = timeout(limit, request.body(body).send()).await.map_err(|_| Failure::Late)?;
        // Without its address: many chats put their token there.
        let status = answer.map_err(|error| Failure::Silent(error.without_url()))?.status();
        if status.is_success() { Ok(()) } else { Err(Failure::Answered(status)) }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the receiver answered {0}")]
    Answered(StatusCode),
    #[error("the receiver cannot be reached")]
    Silent(#[source] reqwest::Error),
    #[error("the receiver did not answer in time")]
    Late,
    #[error("cannot sign")]
    NoSecret(#[source] SecretError),
}

/// When a ring that failed now is tried again; none when it is given up.
fn next_try(ring: &Ring, now: Timestamp) -> Option<Timestamp> {
    let failures = ring.attempts.saturating_add(1);
    let age = Duration::try_from(now.duration_since(ring.at)).unwrap_or_default();
    if failures >= MOST_ATTEMPTS || age >= GIVE_UP_AFTER {
        return None;
    }
    let step = usize::try_from(ring.attempts).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    now.checked_add(PAUSES[step]).ok()
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
            cause: None,
            attempts,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_signature_is_the_one_of_rfc_4231() {
        let text = signature(&SecretString::from("Jefe"), b"what do ya want for nothing?");
        assert_eq!(text, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn pauses_grow_and_end() {
        let next = |attempts, age| next_try(&ring(attempts), Timestamp::UNIX_EPOCH + age);
        let minute = Duration::from_mins(1);
        assert_eq!(next(0, minute), Some(Timestamp::UNIX_EPOCH + 2 * minute));
        assert_eq!(next(9, minute), Some(Timestamp::UNIX_EPOCH + 361 * minute));
        assert_eq!(next(MOST_ATTEMPTS - 1, minute), None);
        assert_eq!(next(0, GIVE_UP_AFTER), None);
    }
}
