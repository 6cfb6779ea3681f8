//! Every recording, with what must be read from it; and what must hold however a recording is cut.

use super::{Dialect, Exit, Reader, Summary, Verdict, read_all};
use crate::domain::Usage;
use Dialect::{Claude, Codex, Opencode};
use Verdict::{Answered, Crashed, ProviderPermanent, ProviderTransient, Refused, Transport, UnknownSession};
use proptest::prelude::*;
use std::path::PathBuf;

/// Dialect, recording, exit code, verdict, session, tokens (input, cached, output, reasoning), cost in micro dollars.
type Row = (Dialect, &'static str, i32, Verdict, Option<&'static str>, [u64; 4], Option<u64>);

const NOTHING: [u64; 4] = [0; 4];

const TABLE: &[Row] = &[
    (Opencode, "ok", 0, Answered, Some("ses_e058d9fb8ffewJIE1SUiBwAXn5"), [1411, 600, 70, 14], Some(5673)),
    (
        Opencode,
        "resume",
        0,
        Answered,
        Some("ses_e058d9fb8ffewJIE1SUiBwAXn5"),
        [2447, 600, 70, 14],
        Some(8781),
    ),
    (Opencode, "bash-tool", 0, Answered, Some("ses_e058abb64ffe1MuoRJLqlQ8rs9"), [2461, 600, 70, 14], None),
    (
        Opencode,
        "in-container",
        0,
        Answered,
        Some("ses_e0586094effePADAuyRZ5z8sRj"),
        [1411, 600, 70, 14],
        None,
    ),
    (
        Opencode,
        "permission-ask-rejected",
        0,
        Refused,
        Some("ses_e058aaf4bffewDKruZuden5pYc"),
        [1233, 300, 35, 7],
        None,
    ),
    (
        Opencode,
        "stream-cut-loops-forever",
        0,
        Transport,
        Some("ses_e058bb9f2ffetG245jEZ1Ff7O2"),
        NOTHING,
        None,
    ),
    (Opencode, "badjson", 1, Transport, Some("ses_e058bc48dffevskEj78uOPeBuM"), NOTHING, None),
    (Opencode, "err400", 1, ProviderPermanent, Some("ses_e058d801fffeZ2S642LPDUsZLM"), NOTHING, None),
    (Opencode, "err401", 1, ProviderPermanent, Some("ses_e058d8988ffe8AT11oJVvEE7cx"), NOTHING, None),
    (Opencode, "err429", 1, ProviderTransient, Some("ses_e058c8b90ffegwUHQSaEuzGApm"), NOTHING, None),
    (Opencode, "err500", 1, ProviderTransient, Some("ses_e058c37adffeHLLICwbxFxOZgf"), NOTHING, None),
    (
        Opencode,
        "provider-timeout",
        1,
        ProviderTransient,
        Some("ses_e0589a4a9ffe1KLVN0BrZbcfuE"),
        NOTHING,
        None,
    ),
    (Opencode, "unkmodel", 1, Crashed, Some("ses_e058b1d1effemsv0Hx8mEHMoNt"), NOTHING, None),
    (Opencode, "unknown-session", 1, UnknownSession, None, NOTHING, None),
    // Another stream of the same program: nothing of it is an answer.
    (Opencode, "serve-event-sse", 0, Transport, None, NOTHING, None),
    (
        Claude,
        "ok",
        0,
        Answered,
        Some("1987b315-109f-4de0-b5bb-fc4f2ec6d68c"),
        [2003, 600, 84, 0],
        Some(12415),
    ),
    (
        Claude,
        "resume",
        0,
        Answered,
        Some("1987b315-109f-4de0-b5bb-fc4f2ec6d68c"),
        [2037, 600, 84, 0],
        Some(12585),
    ),
    // It says that it wrote the file. It did not: the one tool that it called was refused.
    (
        Claude,
        "default_perm",
        0,
        Refused,
        Some("8de4eeff-b51c-412e-80ef-3830ec68ba15"),
        [2067, 600, 84, 0],
        Some(12735),
    ),
    // Reported as success, with messages and without a single token in the result.
    (Claude, "cut", 0, Transport, Some("5b0edbdb-2c0e-4a2e-8202-470802deefb9"), [2063, 600, 2, 0], None),
    (Claude, "err400", 1, ProviderPermanent, Some("8a66e395-d6da-4668-943b-c388eed05402"), NOTHING, None),
    (Claude, "err401r", 1, ProviderPermanent, Some("12edc168-6ddd-4e86-803f-b1cd05e66318"), NOTHING, None),
    (Claude, "err500r", 1, ProviderTransient, Some("c3d1d599-135e-4532-a367-8bc902a52fe8"), NOTHING, None),
    (Claude, "hang", 1, ProviderTransient, Some("362f68ec-2864-4eac-8ab7-d67369b639e0"), NOTHING, None),
    (Claude, "unksession", 1, UnknownSession, None, NOTHING, None),
    (Codex, "ok", 0, Answered, Some("01a1fa83-47a8-7be3-9dfa-51843e3896e7"), [1471, 600, 70, 14], None),
    // The sums of both calls of the session.
    (Codex, "resume", 0, Answered, Some("01a1fa83-47a8-7be3-9dfa-51843e3896e7"), [2970, 1200, 140, 28], None),
    (Codex, "cut", 1, Transport, Some("01a1fa83-ee10-7db2-a028-51ce61be51be"), NOTHING, None),
    (Codex, "err400", 1, ProviderPermanent, Some("01a1fa83-8857-7093-aa28-96ecd0022bf6"), NOTHING, None),
    (Codex, "err401", 1, ProviderPermanent, Some("01a1fa83-7abc-7511-8a7b-1b8eea37eff1"), NOTHING, None),
    (Codex, "err429", 1, ProviderTransient, Some("01a1fa83-8257-77a1-bba2-98cf17e5a2b4"), NOTHING, None),
    (Codex, "err500", 1, ProviderTransient, Some("01a1fa83-7dcd-7ac3-9d8b-bd6bcbdaf61e"), NOTHING, None),
    (Codex, "unknown-session", 1, UnknownSession, None, NOTHING, None),
];

fn folder(dialect: Dialect) -> PathBuf {
    let name = serde_json::to_value(dialect).unwrap();
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/agents").join(name.as_str().unwrap())
}

/// Standard output and standard error; a call that wrote nothing to one of them left no file for it.
fn recording(dialect: Dialect, name: &str) -> (Vec<u8>, String) {
    let output = folder(dialect).join(format!("{name}.jsonl"));
    let errors = folder(dialect).join(format!("{name}.stderr.txt"));
    assert!(output.exists() || errors.exists(), "{dialect:?} {name}: no such recording");
    (std::fs::read(output).unwrap_or_default(), std::fs::read_to_string(errors).unwrap_or_default())
}

fn tokens(usage: &Usage) -> [u64; 4] {
    [usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens]
}

#[test]
fn every_recording_is_read_as_what_it_was() {
    for (dialect, name, code, verdict, session, counts, cost) in TABLE {
        let (output, errors) = recording(*dialect, name);
        let summary = read_all(*dialect, &output);
        let said = format!("{dialect:?} {name}: {summary:#?}");
        assert_eq!(summary.verdict(Exit::Code(*code), &errors), *verdict, "{said}");
        assert_eq!(summary.session.as_deref(), *session, "{said}");
        assert_eq!(tokens(&summary.usage), *counts, "{said}");
        assert_eq!(summary.usage.cost_micro_usd, *cost, "{said}");
        if *verdict == Answered {
            assert_eq!(summary.text.trim(), "I wrote hello.txt as asked.", "{said}");
            assert_eq!((summary.steps, summary.tools), (2, 1), "{said}");
        }
    }
}

#[test]
fn every_recording_has_its_row() {
    for dialect in [Opencode, Claude, Codex] {
        let mut names: Vec<String> = std::fs::read_dir(folder(dialect))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().split('.').next().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        let mut listed: Vec<&str> = TABLE.iter().filter(|row| row.0 == dialect).map(|row| row.1).collect();
        listed.sort_unstable();
        assert_eq!(names, listed, "{dialect:?}");
    }
}

#[test]
fn a_resumed_session_that_counts_as_a_whole_is_told_apart() {
    let read = |name: &str| read_all(Codex, &recording(Codex, name).0).usage;
    assert!(Codex.counts_sessions());
    assert_eq!(tokens(&read("resume").since(&read("ok"))), [1499, 600, 70, 14]);
}

#[test]
fn text_for_people_is_judged_by_the_exit_code_for_want_of_anything_else() {
    let summary = read_all(Dialect::Plain, b"thinking\n\ndone\n");
    assert_eq!(summary.text, "thinking\ndone\n");
    assert_eq!(summary.verdict(Exit::Code(0), ""), Answered);
    assert_eq!(summary.verdict(Exit::Code(3), ""), Crashed);
    assert_eq!(summary.verdict(Exit::Signal, ""), Crashed);
}

#[test]
fn an_error_heals_when_an_answer_follows() {
    let (output, _) = recording(Codex, "ok");
    let told = r#"{"type":"error","message":"Reconnecting... 1/5 (stream disconnected before completion)"}"#;
    let healed = [told.as_bytes(), b"\n", &output].concat();
    assert_eq!(read_all(Codex, &healed).verdict(Exit::Code(0), ""), Answered);
    let last = [&output, told.as_bytes(), b"\n"].concat();
    assert_eq!(read_all(Codex, &last).verdict(Exit::Code(0), ""), Transport);
}

#[test]
fn an_endless_line_and_garbage_are_passed_over() {
    let (output, _) = recording(Opencode, "ok");
    let mut reader = Reader::new(Opencode);
    let mut summary = Summary::new(Opencode);
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..=super::LINE_LIMIT >> 20 {
        summary.note_all(reader.feed(&chunk));
    }
    summary.note_all(reader.feed(b"\n\xff\xfe{\n[1]\n"));
    summary.note_all(reader.feed(&output));
    summary.note_all(reader.end());
    assert_eq!(reader.garbage(), 3);
    assert_eq!(summary.verdict(Exit::Code(0), ""), Answered);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A recording that is cut is an answer only if nothing but white space was cut off, and it never counts more
    /// than the whole.
    #[test]
    fn a_cut_recording_is_never_taken_for_an_answer(row in 0..TABLE.len(), at in 0.0..1.0_f64, code in 0..2_i32) {
        let (dialect, name, ..) = TABLE[row];
        let (output, _) = recording(dialect, name);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
        let cut = (output.len() as f64 * at) as usize;
        let (kept, lost) = output.split_at(cut);
        let whole = read_all(dialect, &output);
        let part = read_all(dialect, kept);
        if part.verdict(Exit::Code(code), "") == Answered {
            prop_assert!(lost.iter().all(u8::is_ascii_whitespace), "{:?}", String::from_utf8_lossy(lost));
            prop_assert_eq!(whole.verdict(Exit::Code(code), ""), Answered);
        }
        prop_assert!(part.usage.fresh_tokens() <= whole.usage.fresh_tokens());
        prop_assert!(part.steps <= whole.steps && part.tools <= whole.tools);
    }

    /// Where the pipe cuts does not matter, and no byte breaks the reader.
    #[test]
    fn chunks_do_not_matter(row in 0..TABLE.len(), size in 1..400_usize, place in any::<prop::sample::Index>(), byte: u8) {
        let (dialect, name, ..) = TABLE[row];
        let (mut output, _) = recording(dialect, name);
        if !output.is_empty() {
            let at = place.index(output.len());
            output[at] = byte;
        }
        let mut reader = Reader::new(dialect);
        let mut events = Vec::new();
        for chunk in output.chunks(size) {
            events.extend(reader.feed(chunk));
        }
        events.extend(reader.end());
        let mut whole = Reader::new(dialect);
        let mut expected = whole.feed(&output);
        expected.extend(whole.end());
        prop_assert_eq!(events, expected);
    }
}
