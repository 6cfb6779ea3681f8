//! Whether an image can be what the settings say it is: it is there, speaks our schema, has the places, and its
//! programs start without a network.

use super::{
    Problem, Surroundings,
    client::{Client, Need},
};
use crate::{
    cli::say,
    exit::Exit,
    runtime::spec::{Places, SCHEMA},
};
use serde_json::Value;

/// The user of every step, who owns the places.
const USER: &str = "10001:10001";
/// The volume in which a container keeps a step's own files.
const STEP: &str = "/step";

/// As a step's container is, so that what starts here starts there.
const WALLS: [&str; 17] = [
    "run",
    "--rm",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=256",
    "--memory=1g",
    "--user",
    USER,
    "--tmpfs=/tmp",
    "--tmpfs=/home/agent:uid=10001",
    "--env=HOME=/home/agent",
    "--workdir=/tmp",
    "--pull=never",
    "--label=io.roundsman.kind=check",
    "--entrypoint",
];

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    ok: bool,
    what: String,
}

impl Finding {
    fn new(ok: bool, what: impl Into<String>) -> Self {
        Self { ok, what: what.into() }
    }
}

/// Looks at everything; an error only if it cannot look at all.
pub(super) fn check(image: &str, surroundings: &Surroundings) -> Result<Vec<Finding>, Problem> {
    let client = Client::find(surroundings, Need::Anything)?;
    client.engine()?;
    let (id, bytes) = client.describe(image)?;
    let config = client.ask(["image", "inspect", "--format", "{{json .Config}}", image]);
    let config: Value = config.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut findings = vec![Finding::new(true, format!("image {id}, {} MB", bytes / super::MEGABYTE))];
    findings.extend(judge(&config));
    let run = |words: &[&str]| {
        client.ask(WALLS.iter().copied().chain([words[0], image]).chain(words[1..].iter().copied()))
    };
    let mut starts = |words: &[&str], name: &str| {
        findings.push(match run(words) {
            Ok(said) => Finding::new(true, format!("{name}: {}", said.lines().next().unwrap_or_default())),
            Err(why) => Finding::new(false, format!("{name} does not start: {why}")),
        });
    };
    starts(&["/usr/local/bin/roundsman-worker", "--help"], "roundsman-worker");
    starts(&["git", "--version"], "git");
    for agent in agents(&config) {
        starts(&[&agent, "--version"], &agent);
    }
    let places = Places::of_image();
    let places = [&places.repository, &places.workspace, &places.input, &places.output];
    let places = places.map(|place| place.display().to_string());
    // A new volume takes its owner from the image. The home is a volume of this container already.
    let owned = "for place in \"$@\"; do [ -O \"$place\" ] || echo \"$place\"; done";
    let mut words = vec!["/bin/sh", "-c", owned, "sh", STEP];
    words.extend(places.iter().map(String::as_str));
    findings.push(match run(&words) {
        Ok(strange) if strange.is_empty() => Finding::new(true, "places: owned by the user of steps"),
        Ok(strange) => {
            let strange = strange.split_whitespace().collect::<Vec<_>>().join(" ");
            Finding::new(false, format!("places not owned by {USER}, or missing: {strange}"))
        }
        Err(why) => Finding::new(false, format!("places cannot be looked at: {why}")),
    });
    Ok(findings)
}

/// What the image says of itself.
fn judge(config: &Value) -> Vec<Finding> {
    let label = |name: &str| config["Labels"][name].as_str();
    let schema = match label("io.roundsman.schema") {
        Some(own) if own == SCHEMA.to_string() => Finding::new(true, format!("schema {own}")),
        Some(own) => Finding::new(
            false,
            format!(
                "schema {own}, this program speaks {SCHEMA}; build it again with `roundsman image build`"
            ),
        ),
        None => Finding::new(
            false,
            "no label io.roundsman.schema: not made from worker.dockerfile; it can serve a repository \
             (ROUNDSMAN_RUNTIME_IMAGES), not fetch and publish",
        ),
    };
    let user = config["User"].as_str().unwrap_or_default();
    let user = Finding::new(user == USER, format!("user {}", if user.is_empty() { "root" } else { user }));
    let mut findings = vec![schema, user];
    findings.extend(
        label("org.opencontainers.image.version").map(|own| Finding::new(true, format!("version {own}"))),
    );
    findings
}

/// Agents that the image says it has.
fn agents(config: &Value) -> Vec<String> {
    let named = config["Labels"]["io.roundsman.agents"].as_str().unwrap_or_default();
    named.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Tells what was found; good only if all is.
pub(super) fn tell(image: &str, findings: &[Finding], json: bool) -> Exit {
    let ok = findings.iter().all(|finding| finding.ok);
    if json {
        say(&serde_json::json!({ "ok": ok, "image": image, "findings": findings }).to_string());
    } else {
        for finding in findings {
            say(&format!("{}  {}", if finding.ok { "ok" } else { "NO" }, finding.what));
        }
        say(&if ok { format!("{image} fits") } else { format!("{image} does not fit") });
    }
    if ok { Exit::Ok } else { Exit::RuntimeUnavailable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bad(config: &Value) -> Vec<String> {
        judge(config).into_iter().filter(|finding| !finding.ok).map(|finding| finding.what).collect()
    }

    #[test]
    fn an_image_of_another_schema_or_user_does_not_fit() {
        let good = json!({ "User": USER, "Labels": { "io.roundsman.schema": SCHEMA.to_string() } });
        assert_eq!(bad(&good), Vec::<String>::new());
        let older = json!({ "User": USER, "Labels": { "io.roundsman.schema": "0" } });
        assert!(bad(&older)[0].contains("schema 0"));
        let foreign = json!({ "User": "", "Labels": null });
        assert_eq!(bad(&foreign).len(), 2, "{:?}", bad(&foreign));
    }

    #[test]
    fn one_bad_finding_is_enough() {
        let good = Finding::new(true, "a");
        assert_eq!(tell("i", std::slice::from_ref(&good), true), Exit::Ok);
        assert_eq!(tell("i", &[good, Finding::new(false, "b")], false), Exit::RuntimeUnavailable);
    }

    #[test]
    fn agents_are_read_from_the_label() {
        let config = json!({ "Labels": { "io.roundsman.agents": "opencode codex" } });
        assert_eq!(agents(&config), ["opencode", "codex"]);
        assert!(agents(&json!({})).is_empty());
    }
}
