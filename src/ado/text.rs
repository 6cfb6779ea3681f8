//! Turns the service's HTML into Markdown that an agent may read. Untrusted in, untrusted out: what a person could not
//! see in the browser is removed, nothing else is judged.

use crate::words::neutral;
use htmd::{Element, HtmlToMarkdown, element_handler::Handlers};

/// Longest text taken from one field, in characters. Fields may hold a million; a brief of more than this is no brief.
pub const MAX_TEXT: usize = 100_000;
/// Deepest nesting that is converted properly. The converter recurses, and a hostile field must not exhaust the stack.
const MAX_DEPTH: usize = 200;
/// Longest HTML looked at, in bytes: twice the service's limit, because embedded pictures are part of it.
const MAX_HTML: usize = 2_000_000;

/// `html` as Markdown, without scripts, comments, hidden elements, embedded data and invisible characters.
pub fn to_markdown(html: &str) -> String {
    let html = &html[..html.floor_char_boundary(MAX_HTML)];
    let converted = if depth(html) > MAX_DEPTH { None } else { converter().convert(html).ok() };
    clean(&converted.unwrap_or_else(|| without_tags(html)))
}

/// Markdown as stored, without comments and invisible characters.
pub(super) fn clean(markdown: &str) -> String {
    let mut text = without_comments(markdown);
    text.retain(|c| !is_invisible(c));
    cut_chars(text.trim()).to_owned()
}

fn without_comments(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("<!--") {
        clean.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    clean + rest
}

/// Elements that people hide text in.
const MAY_HIDE: [&str; 34] = [
    "div",
    "span",
    "p",
    "a",
    "font",
    "b",
    "i",
    "u",
    "s",
    "em",
    "strong",
    "small",
    "big",
    "center",
    "label",
    "td",
    "th",
    "tr",
    "table",
    "li",
    "ul",
    "ol",
    "section",
    "article",
    "details",
    "blockquote",
    "pre",
    "code",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
];

fn converter() -> HtmlToMarkdown {
    HtmlToMarkdown::builder()
        .skip_tags(vec![
            "script", "style", "head", "title", "template", "noscript", "iframe", "object", "svg", "math",
        ])
        .add_handler(MAY_HIDE.to_vec(), seen)
        .add_handler(vec!["img"], |handlers: &dyn Handlers, element: Element| {
            let is_data = attribute(&element, "src").is_some_and(|src| src.trim_start().starts_with("data:"));
            if is_data || is_hidden(&element) { None } else { handlers.fallback(element) }
        })
        .build()
}

fn seen(handlers: &dyn Handlers, element: Element) -> Option<htmd::element_handler::HandlerResult> {
    if is_hidden(&element) { None } else { handlers.fallback(element) }
}

fn attribute(element: &Element, name: &str) -> Option<String> {
    element.attrs.iter().find(|attr| &*attr.name.local == name).map(|attr| attr.value.to_string())
}

fn is_hidden(element: &Element) -> bool {
    attribute(element, "hidden").is_some()
        || attribute(element, "style").is_some_and(|style| neutral::is_style_hidden(&style))
}

/// Zero-width and direction-changing characters, and the tag block: seen by a model, not by a person.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}' | '\u{e0000}'..='\u{e007f}')
}

fn cut_chars(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).map_or(text, |(at, _)| &text[..at])
}

/// How deep elements nest at most, counted roughly: an element that is never closed counts as open.
fn depth(html: &str) -> usize {
    const VOID: [&str; 9] = ["br", "hr", "img", "input", "meta", "link", "col", "wbr", "source"];
    let (mut now, mut most) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        if tag.starts_with('/') {
            now = now.saturating_sub(1);
            continue;
        }
        let name: String =
            tag.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        if !name.is_empty() && !VOID.contains(&name.as_str()) {
            now += 1;
            most = most.max(now);
        }
    }
    most
}

/// The text between tags, for HTML that is not worth converting. Comments, scripts and styles go; elements hidden by
/// their style stay, because this does not know where they end.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut within: Option<&str> = None;
    for (index, part) in without_comments(html).split('<').enumerate() {
        if index == 0 {
            text.push_str(part);
            continue;
        }
        let (tag, after) = part.split_once('>').unwrap_or((part, ""));
        let tag = tag.trim_start().to_ascii_lowercase();
        if let Some(name) = within {
            if tag.strip_prefix('/').is_none_or(|closed| !closed.starts_with(name)) {
                continue;
            }
            within = None;
        } else {
            within = ["script", "style"].into_iter().find(|name| tag.starts_with(name));
            if within.is_some() {
                continue;
            }
        }
        text.push(' ');
        text.push_str(after);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_removed() {
        let html = "<div>Do <b>this</b><!-- and that --><script>x()</script><span style=\"display: none\">obey</span>\
                    <p hidden>obey</p><img src=\"data:image/png;base64,AAAA\"></div><p>ne\u{200b}xt</p>";
        let text = to_markdown(html);
        assert_eq!(text, "Do **this**\n\nnext");
    }

    #[test]
    fn lists_and_code_survive() {
        let text = to_markdown("<ul><li>one</li><li>two</li></ul><pre><code>let x = 1;</code></pre>");
        assert!(text.contains("one") && text.contains("two") && text.contains("let x = 1;"), "{text}");
    }

    #[test]
    fn tables_and_numbered_lists_keep_their_form() {
        let text =
            to_markdown("<ol><li>a</li><li>b</li></ol><table><tr><th>H</th></tr><tr><td>c</td></tr></table>");
        assert!(
            text.contains("1.") && text.contains("2.") && text.contains("| H") && text.contains("| c"),
            "{text}"
        );
    }

    #[test]
    fn hostile_nesting_costs_formatting_and_nothing_else() {
        let html = format!("{}deep{}", "<div>".repeat(20_000), "<script>x<y()</script></div>".repeat(20_000));
        assert_eq!(to_markdown(&html), "deep");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clean(&"ü".repeat(MAX_TEXT + 5)).chars().count(), MAX_TEXT);
    }
}
