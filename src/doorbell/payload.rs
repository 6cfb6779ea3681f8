//! What each kind of receiver is sent. Each has a syntax of its own in which a work item's title could mean something
//! else: a mention of everybody, a link, a second header. Nobody's title does.
//!
//! Sources: Adaptive Cards `RichTextBlock` (`TextRun` knows no Markdown) in the message of a Teams workflow
//! (<https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook>); Slack's incoming webhooks and the
//! escapes of its `mrkdwn` (<https://docs.slack.dev/messaging/formatting-message-text>); ntfy's publish headers and
//! RFC 2047 in them (<https://docs.ntfy.sh/publish/>).

use crate::{
    domain::{Cause, Priority, Receiver, Ring, RingKind, RunId, WorkItemId},
    words::doorbell::{LOOK, Line, News, news},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};

/// A request's content.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Its type.
    pub content_type: &'static str,
    /// More headers.
    pub headers: Vec<(&'static str, HeaderValue)>,
    /// Itself.
    pub body: Vec<u8>,
}

/// What a receiver is sent for one ring, or for a storm of them.
pub fn of(receiver: Receiver, rings: &[Ring]) -> Payload {
    let json = |value: Value| Payload {
        content_type: "application/json",
        headers: Vec::new(),
        body: value.to_string().into_bytes(),
    };
    match receiver {
        Receiver::Webhook => json(webhook(rings)),
        Receiver::Teams => json(teams(&news(rings))),
        Receiver::Slack => json(slack(&news(rings))),
        Receiver::Ntfy => ntfy(rings, &news(rings)),
    }
}

/// Our own form, for programs. `deploy/README.md` documents it; fields are added, never changed.
#[derive(Serialize)]
struct Own<'a> {
    key: &'a str,
    kind: RingKind,
    priority: Priority,
    run: RunId,
    item: WorkItemId,
    title: &'a str,
    text: String,
    link: Option<&'a str>,
    attempts: u32,
    at: Timestamp,
    #[serde(flatten)]
    cause: Option<&'a Cause>,
    count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rings: Vec<Member<'a>>,
}

/// One ring of a storm.
#[derive(Serialize)]
struct Member<'a> {
    key: &'a str,
    run: RunId,
    item: WorkItemId,
    title: &'a str,
    link: Option<&'a str>,
}

fn webhook(rings: &[Ring]) -> Value {
    let Some(first) = rings.first() else { return Value::Null };
    let news = news(rings);
    let lines: Vec<String> = news.lines.into_iter().map(|line| line.text).collect();
    let members = rings.iter().map(|ring| Member {
        key: &ring.key,
        run: ring.run,
        item: ring.item,
        title: &ring.title,
        link: ring.link.as_deref(),
    });
    let own = Own {
        key: &first.key,
        kind: first.kind,
        priority: first.kind.priority(),
        run: first.run,
        item: first.item,
        title: &news.title,
        text: lines.join("\n"),
        link: news.link.as_deref(),
        attempts: first.attempts,
        at: first.at,
        cause: first.cause.as_ref(),
        count: rings.len(),
        rings: if rings.len() > 1 { members.collect() } else { Vec::new() },
    };
    serde_json::to_value(own).expect("a ring has string keys only")
}

fn teams(news: &News) -> Value {
    let block = |inline: Value| json!({ "type": "RichTextBlock", "inlines": [inline] });
    let open = |link: &str| json!({ "type": "Action.OpenUrl", "title": LOOK, "url": link });
    let mut body =
        vec![block(json!({ "type": "TextRun", "text": news.title, "weight": "Bolder", "size": "Medium" }))];
    body.extend(news.lines.iter().map(|Line { text, link }| match link {
        Some(link) => block(json!({ "type": "TextRun", "text": text, "selectAction": open(link) })),
        None => block(json!({ "type": "TextRun", "text": text })),
    }));
    let actions: Vec<Value> = news.link.iter().map(|link| open(link)).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": news.title,
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn slack(news: &News) -> Value {
    let line = |Line { text, link }: &Line| match link {
        Some(link) => format!("<{}|{}>", mrkdwn(link), mrkdwn(text)),
        None => mrkdwn(text),
    };
    let lines: Vec<String> = news.lines.iter().map(line).collect();
    let section = |text: String| {
        // Without `verbatim`, names of channels and people and whatever looks like an address become links.
        json!({ "type": "section", "text": { "type": "mrkdwn", "verbatim": true, "text": text } })
    };
    let mut blocks = vec![
        json!({ "type": "section", "text": { "type": "plain_text", "emoji": false, "text": news.title } }),
    ];
    if !lines.is_empty() {
        blocks.push(section(lines.join("\n")));
    }
    if let Some(link) = &news.link {
        blocks.push(section(format!("<{}|{LOOK}>", mrkdwn(link))));
    }
    // `text` is what a phone shows before anybody looks.
    json!({ "text": mrkdwn(&news.title), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// Slack's three escapes, and its bar, which ends an address.
fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('|', "¦")
}

fn ntfy(rings: &[Ring], news: &News) -> Payload {
    let kind = rings.first().map(|ring| ring.kind);
    let (priority, tags) = match kind {
        Some(RingKind::Done) => ("default", "white_check_mark"),
        Some(RingKind::NeedsHuman) => ("high", "raising_hand"),
        Some(RingKind::Frozen) => ("high", "ice_cube"),
        None => ("default", "bell"),
    };
    let line = |Line { text, link }: &Line| match link {
        Some(link) => format!("{text}\n{link}"),
        None => text.clone(),
    };
    let lines: Vec<String> = news.lines.iter().map(line).collect();
    let mut headers = vec![
        ("Title", header(&news.title)),
        ("Priority", HeaderValue::from_static(priority)),
        ("Tags", HeaderValue::from_static(tags)),
    ];
    headers.extend(news.link.iter().map(|link| ("Click", header(link))));
    Payload { content_type: "text/plain; charset=utf-8", headers, body: lines.join("\n").into_bytes() }
}

/// Bytes of a word of RFC 2047 before they are encoded: 75 characters hold 45 and the frame.
const WORD: usize = 45;

/// A text as a header: as it is where it is plain, in words of RFC 2047 where it is not. A line end stays inside.
fn header(text: &str) -> HeaderValue {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains("=?");
    let encoded = if is_plain {
        text.to_owned()
    } else {
        let mut words = vec![String::new()];
        for c in text.chars() {
            if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD) {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(c);
            }
        }
        let words: Vec<String> =
            words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
        words.join(" ")
    };
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static("roundsman"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(item: u32, title: &str) -> Ring {
        Ring {
            key: format!("{item}-r12/needs-human@1790000090"),
            kind: RingKind::NeedsHuman,
            run: format!("{item}-r12").parse().unwrap(),
            item: WorkItemId(item),
            title: title.into(),
            text: "The agent has a question.\nPull request 57 in Shop/web.".into(),
            link: Some(format!("https://dev.azure.com/acme/Shop/_git/web/pullrequest/{item}")),
            attempts: 0,
            at: Timestamp::UNIX_EPOCH,
            receiver: Receiver::Webhook,
            cause: Some(Cause::Provider),
        }
    }

    fn body(receiver: Receiver, rings: &[Ring]) -> Value {
        serde_json::from_slice(&of(receiver, rings).body).unwrap()
    }

    #[test]
    fn the_documented_example_is_what_is_sent() {
        let example = include_str!("../../deploy/README.md");
        let example = example.split("```json doorbell\n").nth(1).and_then(|rest| rest.split("```").next());
        let example: Value = serde_json::from_str(example.expect("deploy/README.md has an example")).unwrap();
        assert_eq!(body(Receiver::Webhook, &[ring(4711, "[NEEDS-HUMAN] 4711: Greet loudly")]), example);
    }

    #[test]
    fn a_storm_is_one_message_with_a_count_and_the_first_few() {
        let rings: Vec<Ring> =
            (1..=200).map(|item| ring(item, &format!("[NEEDS-HUMAN] {item}: x"))).collect();
        let own = body(Receiver::Webhook, &rings);
        assert_eq!((&own["count"], &own["cause"]), (&json!(200), &json!("provider")));
        assert_eq!(own["rings"].as_array().map(Vec::len), Some(200), "programs get them all");
        assert_eq!(own["rings"][199]["key"], "200-r12/needs-human@1790000090");
        for receiver in [Receiver::Teams, Receiver::Slack, Receiver::Ntfy] {
            let Payload { body, headers, .. } = of(receiver, &rings);
            assert!(body.len() < 8_000, "{receiver}: {}", body.len());
            let text = format!("{} {headers:?}", String::from_utf8(body).unwrap());
            assert!(text.contains("200 runs") && text.contains("pullrequest/5"), "{text}");
            assert!(!text.contains("pullrequest/6\""), "{text}");
        }
    }

    #[test]
    fn a_title_means_nothing_to_a_chat() {
        let rings = [ring(1, "<!channel> [x](https://evil.example) *a* & <https://evil.example|safe>")];
        let slack = body(Receiver::Slack, &rings);
        let notice = slack["text"].as_str().unwrap();
        assert!(notice.starts_with("&lt;!channel&gt;") && !notice.contains('<'), "{notice}");
        assert_eq!(slack["blocks"][0]["text"]["type"], "plain_text");
        let card = &body(Receiver::Teams, &rings)["attachments"][0]["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        let blocks = card["body"].as_array().unwrap();
        // Only a `TextBlock` would read Markdown.
        assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{card:#}");
        assert_eq!(card["actions"][0]["url"], rings[0].link.clone().unwrap());
    }

    #[test]
    fn ntfy_is_told_by_headers_that_hold_any_title() {
        let of = |title: &str| {
            let headers = of(Receiver::Ntfy, &[ring(1, title)]).headers;
            headers
                .into_iter()
                .map(|(name, value)| (name, value.to_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let plain = of("[NEEDS-HUMAN] 1: x");
        assert_eq!(plain[0], ("Title", "[NEEDS-HUMAN] 1: x".to_owned()));
        assert_eq!(plain[1], ("Priority", "high".to_owned()));
        assert_eq!(plain[2], ("Tags", "raising_hand".to_owned()));
        assert_eq!(plain[3].0, "Click");
        let other = &of("Grüße\r\nActions: http, evil")[0].1;
        assert!(other.starts_with("=?UTF-8?B?") && !other.contains("Actions"), "{other}");
        let words: Vec<Vec<u8>> = other
            .split(' ')
            .map(|word| {
                STANDARD.decode(word.trim_start_matches("=?UTF-8?B?").trim_end_matches("?=")).unwrap()
            })
            .collect();
        assert_eq!(String::from_utf8(words.concat()).unwrap(), "Grüße\r\nActions: http, evil");
    }
}
