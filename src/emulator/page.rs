//! A page for spectators: items, pull requests, builds, and the newest requests. Plain HTML, read-only, no scripts.
//!
//! Everything is escaped. Comments keep a tiny set of tags, because agents and people write them as HTML.

use super::{
    Inner, locked,
    look::{BuildSnapshot, CommentSnapshot, ItemSnapshot, PullSnapshot, everything},
};
use pulldown_cmark::{Event, Options, Parser, html};
use std::{collections::BTreeMap, fmt::Write as _};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fafafa}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #ccc}article{background:#fff;border:1px solid #ddd;\
border-radius:6px;padding:.6rem 1rem;margin:.7rem 0}h3{font-size:1rem;margin:.2rem 0}.tag{background:#e6eefc;border-radius:9px;\
padding:.05rem .5rem;margin-right:.3rem;font-size:.85rem}.state{color:#555}.good{color:#187a2f}.bad{color:#b3261e}.wait{color:#8a6100}\
blockquote{margin:.4rem 0;padding:.2rem .8rem;border-left:3px solid #ccd}pre{background:#f3f3f3;padding:.5rem;overflow:auto;font-size:.8rem}\
table{border-collapse:collapse;font-size:.8rem;width:100%}td{padding:.1rem .5rem;border-bottom:1px solid #eee;font-family:ui-monospace,monospace}\
small{color:#666}";

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Escapes, then lets a few bare tags live again. Attributes never survive, so nothing can be smuggled in them.
fn softened(html: &str) -> String {
    let mut text = escape(html);
    for tag in [
        "p",
        "b",
        "i",
        "em",
        "strong",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "details",
        "summary",
        "div",
        "br",
        "hr",
        "h3",
        "h4",
    ] {
        text = text.replace(&format!("&lt;{tag}&gt;"), &format!("<{tag}>"));
        text = text.replace(&format!("&lt;/{tag}&gt;"), &format!("</{tag}>"));
        text = text.replace(&format!("&lt;{tag}/&gt;"), &format!("<{tag}>"));
        text = text.replace(&format!("&lt;{tag} /&gt;"), &format!("<{tag}>"));
    }
    // What stands escaped in the comment was escaped once more above.
    for entity in ["nbsp", "amp", "lt", "gt", "quot", "#39"] {
        text = text.replace(&format!("&amp;{entity};"), &format!("&{entity};"));
    }
    linked(&text)
}

/// Lets anchors live again: those that lead to a page as links, those that mention a person as their name.
fn linked(text: &str) -> String {
    const OPEN: &str = "&lt;a href=&quot;";
    let mut page = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        page.push_str(&rest[..at]);
        let inside = &rest[at + OPEN.len()..];
        let parts = inside.split_once("&quot;").and_then(|(url, more)| {
            let (_, more) = more.split_once("&gt;")?;
            let (label, after) = more.split_once("&lt;/a&gt;")?;
            Some((url, label, after))
        });
        let Some((url, label, after)) = parts else {
            page.push_str(OPEN);
            rest = inside;
            continue;
        };
        let _ = if url.starts_with("http://") || url.starts_with("https://") {
            write!(page, "<a href=\"{url}\">{label}</a>")
        } else {
            write!(page, "<b>{label}</b>")
        };
        rest = after;
    }
    page + rest
}

/// Markdown as pull requests show it; HTML in it is shown as it was written.
fn marked_down(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        other => other,
    });
    let mut page = String::new();
    html::push_html(&mut page, events);
    page
}

fn tone(word: &str) -> &'static str {
    match word {
        "approved" | "succeeded" | "completed" => "good",
        "rejected" | "failed" | "conflicts" | "broken" | "failure" => "bad",
        _ => "wait",
    }
}

fn coloured(word: &str) -> String {
    format!("<span class=\"{}\">{}</span>", tone(word), escape(word))
}

type Names = BTreeMap<String, String>;

fn comment(page: &mut String, names: &Names, comment: &CommentSnapshot) {
    let who = names.get(&comment.author).map_or("System", String::as_str);
    let text = match (comment.deleted, comment.kind.as_str()) {
        (true, _) => "<em>deleted</em>".to_owned(),
        (false, "html") => softened(&comment.text),
        (false, _) => marked_down(&comment.text),
    };
    let _ = write!(page, "<blockquote><small>{}</small><br>{text}</blockquote>", escape(who));
}

fn item(page: &mut String, names: &Names, item: &ItemSnapshot) {
    let _ = write!(
        page,
        "<article><h3>{} {} · {}</h3><span class=\"state\">{} · rev {}</span> ",
        escape(&item.kind),
        item.id,
        escape(&item.title),
        escape(&item.state),
        item.rev
    );
    for tag in &item.tags {
        let _ = write!(page, "<span class=\"tag\">{}</span>", escape(tag));
    }
    for file in &item.files {
        // Without a credential the service shows nobody the file; the address says which one it is.
        let (url, name) = (escape(&file.url), escape(&file.name));
        let _ = write!(
            page,
            "<span class=\"tag\">📎 <a href=\"{url}\">{name}</a> {} bytes</span>",
            file.bytes.len()
        );
    }
    for entry in &item.comments {
        comment(page, names, entry);
    }
    page.push_str("</article>");
}

fn pull(page: &mut String, names: &Names, pull: &PullSnapshot) {
    let _ = write!(
        page,
        "<article><h3>!{} · {}</h3><span class=\"state\">{}{} · {} → {} · merge {}</span><br>",
        pull.id,
        escape(&pull.title),
        coloured(&pull.status),
        if pull.draft { " (draft)" } else { "" },
        escape(&pull.source),
        escape(&pull.target),
        coloured(&pull.merge_status)
    );
    for (name, status) in &pull.checks {
        let _ = write!(page, "<span class=\"tag\">{}: {}</span>", escape(name), coloured(status));
    }
    for (who, vote) in &pull.votes {
        let name = names.get(who).map_or("?", String::as_str);
        let _ = write!(page, "<span class=\"tag\">{}: {vote:+}</span>", escape(name));
    }
    if !pull.description.is_empty() {
        let _ = write!(
            page,
            "<details open><summary>Description</summary>{}</details>",
            marked_down(&pull.description)
        );
    }
    for thread in pull.threads.iter().filter(|thread| !thread.is_system()) {
        let status = thread.status.as_deref().unwrap_or_default();
        let file = thread.file.as_deref().unwrap_or("whole pull request");
        let _ = write!(page, "<div><small>{} · {}</small>", escape(file), escape(status));
        for entry in &thread.comments {
            comment(page, names, entry);
        }
        page.push_str("</div>");
    }
    page.push_str("</article>");
}

fn build(page: &mut String, build: &BuildSnapshot) {
    let outcome = build.result.as_deref().unwrap_or(&build.status);
    let _ = write!(
        page,
        "<article><h3>Build {} · {}</h3><span class=\"state\">{} · {} · attempt {}</span>",
        build.id,
        coloured(outcome),
        escape(&build.branch),
        escape(&build.version.chars().take(10).collect::<String>()),
        build.attempt
    );
    if let Some(task) = build.tasks.last() {
        let from = task.lines.len().saturating_sub(12);
        let tail = task.lines.get(from..).unwrap_or_default().join("\n");
        let _ = write!(
            page,
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escape(&task.name),
            escape(&tail)
        );
    }
    page.push_str("</article>");
}

/// The whole page.
pub(crate) fn render(inner: &Inner) -> String {
    let (mut items, mut pulls, mut builds) = inner.look(everything);
    let names: Names =
        inner.look(|world| world.accounts.values().map(|a| (a.id.clone(), a.display_name.clone())).collect());
    items.reverse();
    pulls.reverse();
    builds.reverse();
    let title = escape(&inner.organization);
    let mut page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"3\"><title>{title} · emulator</title><style>{STYLE}</style></head><body>\
         <h1>{title}: a pretend Azure DevOps</h1><h2>Work items</h2>"
    );
    for known in items.iter().filter(|item| !item.deleted) {
        item(&mut page, &names, known);
    }
    page.push_str("<h2>Pull requests</h2>");
    for known in &pulls {
        pull(&mut page, &names, known);
    }
    page.push_str("<h2>Builds</h2>");
    for known in builds.iter().take(30) {
        build(&mut page, known);
    }
    page.push_str("<h2>Newest requests</h2><table>");
    for entry in locked(&inner.desk).record.entries().iter().rev().take(200) {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            entry.status,
            escape(&entry.method),
            escape(&entry.path),
            escape(&entry.operation),
            escape(entry.who.as_deref().unwrap_or_default()),
            escape(entry.fault.as_deref().unwrap_or_default())
        );
    }
    page.push_str("</table></body></html>");
    page
}
