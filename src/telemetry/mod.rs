//! Logs go to standard error: text for a terminal, one JSON object per line for everything else.
//!
//! Only our own lines follow the level that the operator chose. HTTP libraries log headers when asked for details, and
//! headers hold tokens, so theirs never go beyond warnings.

mod sink;

use crate::settings::LogFormat;
use sink::Sink;
use std::{fmt, io, sync::OnceLock};
use tracing::{Level, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    field::MakeExt,
    filter::{LevelFilter, Targets},
    fmt::{
        MakeWriter,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Starts logging for this process. The first call counts; later ones change nothing.
pub fn init(level: Level, format: LogFormat, is_terminal: bool) {
    let json = match format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !is_terminal,
    };
    // Somebody who embeds us, or another test, was first: their choice holds.
    let _ = match Sink::new(io::stderr()) {
        Ok(sink) => {
            let sink = SINK.get_or_init(|| sink).clone();
            subscriber(level, json, is_terminal, move || sink.clone()).try_init()
        }
        // No thread is left on this machine: better a log that may hold us up than none.
        Err(_) => subscriber(level, json, is_terminal, io::stderr).try_init(),
    };
}

/// The way out of this process's log.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Held by whoever started logging: at its end everything is written that somebody still reads.
#[derive(Debug)]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(sink) = SINK.get() {
            sink.flush();
        }
    }
}

/// Our own targets: the library and the binaries all start with this.
const OURS: &str = "roundsman";

fn subscriber<W>(level: Level, json: bool, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        // The library escapes messages, but not fields that are shown with `%`: titles of work items come that way.
        lines.with_ansi(colour).with_target(false).fmt_fields(debug_fn(field).delimited(" ")).boxed()
    };
    let theirs = LevelFilter::from_level(level).min(LevelFilter::WARN);
    let filter = Targets::new().with_default(theirs).with_target(OURS, level);
    tracing_subscriber::registry().with(layer.with_filter(filter))
}

/// `name=value`, and the message without a name; JSON has its own escapes.
fn field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(to, "{}=", field.name())?;
    }
    for c in format!("{value:?}").chars() {
        if c.is_control() || REORDERING.contains(&c) {
            write!(to, "{}", c.escape_default())?;
        } else {
            to.write_char(c)?;
        }
    }
    Ok(())
}

/// Characters that show a line in another order than it was written.
const REORDERING: [char; 9] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, colour: bool, say: impl FnOnce()) -> String {
        let page = Page::default();
        let own = page.clone();
        tracing::subscriber::with_default(subscriber(Level::DEBUG, json, colour, move || own.clone()), say);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_title_cannot_paint_the_terminal() {
        for json in [false, true] {
            let text = logged(
                json,
                false,
                || tracing::info!(item.title = %"\u{1b}[2Jboo", "{}", "\u{1b}]0;boo\u{7}"),
            );
            assert!(text.contains("boo"), "{text}");
            assert!(!text.trim_end().contains(['\u{1b}', '\u{7}']), "{text:?}");
            assert!(text.contains("item.title"), "{text}");
        }
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let text = logged(true, false, || tracing::info!(run.id = %"4711-r12", "claimed"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((line["message"].as_str(), line["run.id"].as_str()), (Some("claimed"), Some("4711-r12")));
    }

    #[test]
    fn others_are_not_heard_below_warnings() {
        let text = logged(false, false, || {
            tracing::debug!(target: "hyper::proto", "authorization: canary");
            tracing::debug!(target: "roundsman_poller", "heard");
        });
        assert!(text.contains("heard") && !text.contains("canary"), "{text}");
    }
}
