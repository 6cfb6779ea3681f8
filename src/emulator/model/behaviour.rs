//! What a model does, chosen by its name: the screenplay, or one of the traps that providers set for agents.
//!
//! Decides only; how an answer looks is the dialect's business, and how it travels the server's.

use super::{
    ask::{Answer, Ask, FIXED, Refusal},
    screenplay::Screenplay,
};

/// The models that there are.
pub const NAMES: [&str; 12] = [
    "screenplay",
    "ok",
    "bash",
    "loop",
    "slow",
    "hang",
    "cut",
    "badjson",
    "err400",
    "err401",
    "err429",
    "err500",
];

/// After so many calls even `loop` ends: a test that does not stop it must end too.
const MOST_CALLS: usize = 200;
/// Seconds after which a throttled client may ask again.
const RETRY_AFTER: u32 = 1;
/// What is said to a request without tools: agents ask for titles and summaries that way.
const TITLE: &str = "Scripted session";
/// What `bash` runs: leaves a file, and shows the names of the variables that a tool sees, never their values.
const LOOK_AROUND: &str = "echo from-bash > bash.txt; id; pwd; env | cut -d= -f1 | sort | tr '\\n' ' '";
/// What `loop` runs.
const AGAIN: &str = "echo again >> again.txt";

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Whole,
    /// A pause before every part.
    Slow,
    /// The stream ends before it says that it does.
    Cut,
    /// The stream goes on with something that is no JSON, and ends.
    Garbled,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer(Answer, Manner),
    Refuse(Refusal),
    /// Nothing, until the client gives up.
    Silence,
}

/// Plays one request.
pub(super) fn play(ask: &Ask, screenplay: &Screenplay) -> Reply {
    let is_known = NAMES.contains(&ask.model.as_str());
    match ask.model.as_str() {
        "hang" => Reply::Silence,
        "err400" => refuse(400, "invalid_request_error", None),
        "err401" => refuse(401, "authentication_error", None),
        "err429" => refuse(429, "rate_limit_error", Some(RETRY_AFTER)),
        "err500" => refuse(500, "server_error", None),
        // Agents ask small models of other names for titles.
        _ if ask.tools.is_empty() => {
            let answer = Answer::measured(ask, TITLE.to_owned(), None, "title".to_owned());
            Reply::Answer(answer, Manner::Whole)
        }
        "screenplay" => Reply::Answer(screenplay.play(ask), Manner::Whole),
        name if is_known => Reply::Answer(trap(ask), manner(name)),
        name => Reply::Refuse(Refusal {
            status: 404,
            kind: "not_found_error",
            message: format!("the model `{name}` does not exist here; there are {}", NAMES.join(", ")),
            retry_after: None,
        }),
    }
}

fn manner(name: &str) -> Manner {
    match name {
        "slow" => Manner::Slow,
        "cut" => Manner::Cut,
        "badjson" => Manner::Garbled,
        _ => Manner::Whole,
    }
}

fn refuse(status: u16, kind: &'static str, retry_after: Option<u32>) -> Reply {
    let message = format!("{status} from the pretend provider, as its model's name asks for");
    Reply::Refuse(Refusal { status, kind, message, retry_after })
}

/// One file, by one call; `loop` never has enough.
fn trap(ask: &Ask) -> Answer {
    let done = ask.results().len();
    let file = "hello from the pretend model\n";
    let call = match ask.model.as_str() {
        "loop" if done < MOST_CALLS => ask.shell(AGAIN, "Do it again"),
        _ if done > 0 => None,
        "bash" => ask.shell(LOOK_AROUND, "Write a file and look around"),
        _ => ask
            .write("hello.txt", file)
            .or_else(|| ask.shell("echo hello from the pretend model > hello.txt", "Write a file")),
    };
    let text = if call.is_some() { "Working on it." } else { "I wrote the file as asked." };
    Answer { text: text.to_owned(), call, usage: FIXED, played: ask.model.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::model::ask::{Said, Tool};
    use serde_json::json;

    fn ask(model: &str, results: usize) -> Ask {
        let mut said = vec![Said::Prompt("do it".to_owned())];
        said.extend(std::iter::repeat_n(Said::Result("done".to_owned()), results));
        let schema = json!({"properties": {"command": {"type": "string"}}});
        Ask::new(&json!({"model": model}), said, vec![Tool { name: "bash".to_owned(), schema }])
    }

    fn calls(model: &str, results: usize) -> bool {
        match play(&ask(model, results), &Screenplay::default()) {
            Reply::Answer(answer, _) => answer.call.is_some(),
            Reply::Refuse(_) | Reply::Silence => false,
        }
    }

    #[test]
    fn one_call_is_enough_except_for_a_loop() {
        for model in ["ok", "bash", "slow"] {
            assert!(calls(model, 0) && !calls(model, 1), "{model}");
        }
        assert!(calls("loop", 0) && calls("loop", MOST_CALLS - 1) && !calls("loop", MOST_CALLS));
    }

    #[test]
    fn every_name_does_what_it_says() {
        let manners = [("ok", Manner::Whole), ("slow", Manner::Slow), ("cut", Manner::Cut)];
        for (name, expected) in manners.into_iter().chain([("badjson", Manner::Garbled)]) {
            let reply = play(&ask(name, 0), &Screenplay::default());
            assert!(matches!(reply, Reply::Answer(_, manner) if manner == expected), "{name}: {reply:?}");
        }
        for (name, status) in [("err400", 400), ("err401", 401), ("err429", 429), ("err500", 500), ("x", 404)]
        {
            let Reply::Refuse(refusal) = play(&ask(name, 0), &Screenplay::default()) else {
                panic!("{name} answers")
            };
            assert_eq!((refusal.status, refusal.retry_after.is_some()), (status, status == 429), "{name}");
        }
        assert!(matches!(play(&ask("hang", 0), &Screenplay::default()), Reply::Silence));
    }
}
