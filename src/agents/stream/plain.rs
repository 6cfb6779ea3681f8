//! No dialect: every line is text for people.

use super::Event;

pub(super) fn read(line: &str, events: &mut Vec<Event>) {
    events.push(Event::Text(line.trim_end().to_owned()));
}
