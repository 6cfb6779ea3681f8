//! A repository's own environment: read from fixtures, and built on a real engine where there is one.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod built;

use crate::tidy;
use proptest::prelude::*;
use roundsman::runtime::environment::detect::{
    Dockerfile, Files, Found, Kind, Note, Origin, Recipe, TEXT_LIMIT, Unusable, detect, is_image,
};
use std::{collections::BTreeMap, fs};

/// A revision in memory.
#[derive(Clone, Debug, Default)]
struct Revision(BTreeMap<String, (Kind, Vec<u8>)>);

impl Files for Revision {
    fn kind(&self, path: &str) -> Option<Kind> {
        self.0.get(path).map(|(kind, _)| *kind)
    }

    fn read(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(|(_, bytes)| bytes.as_slice())
    }
}

impl Revision {
    fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        for (end, _) in path.match_indices('/') {
            self.0.insert(path[..end].to_owned(), (Kind::Folder, Vec::new()));
        }
        let content = content.as_ref().to_vec();
        self.0.insert(path.to_owned(), (Kind::File { bytes: content.len() as u64 }, content));
        self
    }

    fn with_link(mut self, path: &str) -> Self {
        self.0.insert(path.to_owned(), (Kind::Link, Vec::new()));
        self
    }

    fn of_fixture(name: &str) -> Self {
        let folder = tidy::root().join("fixtures/environments").join(name);
        tidy::files(&format!("fixtures/environments/{name}")).iter().fold(Self::default(), |all, path| {
            let relative = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            all.with(&relative, fs::read(path).unwrap())
        })
    }
}

/// Everything of a recipe in one line each, so that a whole fixture is one comparison.
fn summary(found: &Found) -> Vec<String> {
    let mut lines = match &found.recipe {
        None => vec!["nothing".to_owned()],
        Some(Recipe::Image(name)) => vec![format!("image {name}")],
        Some(Recipe::Build(build)) => {
            let dockerfile = match &build.dockerfile {
                Dockerfile::Path(path) => path.clone(),
                Dockerfile::Inline(text) => format!("{text:?}"),
            };
            let mut lines = vec![
                build.origin.to_string(),
                format!("{dockerfile} in {:?} to {:?}", build.context, build.target),
            ];
            lines.extend(build.args.iter().map(|(name, value)| format!("{name}={value}")));
            lines
        }
    };
    lines.extend(found.notes.iter().map(|note| match note {
        Note::Variables { names, .. } => format!("variables {}", names.join(" ")),
        Note::Arguments { names, .. } => format!("arguments {}", names.join(" ")),
        Note::Keys { keys, .. } => format!("keys {}", keys.join(" ")),
        Note::NoImage { file } => format!("no image in {file}"),
        Note::IgnoreFile { file } => format!("ignores {file}"),
    }));
    lines
}

#[test]
fn fixtures_are_read_as_people_meant_them_and_nothing_more_is_obeyed() {
    let table: [(&str, &[&str]); 8] = [
        (
            "anchors",
            &[
                "service `web` of `docker-compose.yml`",
                "services/web/web.dockerfile in \"services/web\" to Some(\"test\")",
                "NODE_ENV=test",
                "keys env_file volumes",
            ],
        ),
        (
            "arguments",
            &[
                "service `app` of `docker-compose.yml`",
                "Dockerfile in \"\" to None",
                "EMPTY=",
                "FLAG=true",
                "NUMBER=3",
                "TEXT=yes",
                "VERSION=1.5",
                "WHOLE=2",
                "arguments NOTHING bad name",
                "keys extends privileged build.additional_contexts build.network build.privileged build.secrets build.ssh include",
            ],
        ),
        (
            "devcontainer",
            &[
                "`.devcontainer/devcontainer.json`",
                ".devcontainer/Dockerfile in \"\" to Some(\"dev\")",
                "URL=https://example.invalid//x",
                "VARIANT=22",
                "WORKSPACE=",
                "variables VARIANT localWorkspaceFolder",
                "keys features mounts build.options",
            ],
        ),
        (
            "devcontainer-image",
            &["image mcr.microsoft.com/devcontainers/base:bookworm", "keys postCreateCommand"],
        ),
        (
            "devcontainer-legacy",
            &["`.devcontainer/devcontainer.json`", "Dockerfile in \"\" to None", "keys runArgs"],
        ),
        (
            "infrastructure-only",
            &["the repository's Dockerfile", "dockerfile in \"\" to None", "no image in docker-compose.yaml"],
        ),
        (
            "inline",
            &[
                "service `service` of `docker-compose.yml`",
                "\"FROM debian\\nRUN echo hello\\n\" in \"\" to None",
                "variables WORD",
            ],
        ),
        (
            "interpolated",
            &[
                "service `api` of `docker-compose.yml`",
                "src/Dockerfile in \"src\" to None",
                "ALTERNATIVE=",
                "PRICE=$5 and ${ and $1",
                "REQUIRED=",
                "SECRET=",
                "VERSION=1.2",
                "variables CONTEXT DIR DOCKERFILE OTHER REQUIRED STAGE TOKEN VERSION",
                "arguments FROM_HOST",
            ],
        ),
    ];
    for (name, expected) in table {
        let found = detect(&Revision::of_fixture(name)).unwrap();
        assert_eq!(summary(&found), expected, "{name}");
    }
}

#[test]
fn the_order_is_compose_devcontainer_dockerfile() {
    let mut revision = Revision::of_fixture("devcontainer")
        .with("Dockerfile", "FROM debian")
        .with("docker-compose.yml", "services: { x: { build: . } }")
        .with(".dockerignore", "*");
    let origin = |revision: &Revision| match detect(revision).unwrap().recipe {
        Some(Recipe::Build(build)) => Some(build.origin),
        Some(Recipe::Image(_)) | None => None,
    };
    let compose = Origin::Compose { file: "docker-compose.yml".into(), service: "x".into() };
    assert_eq!(origin(&revision), Some(compose));
    assert!(detect(&revision).unwrap().notes.contains(&Note::IgnoreFile { file: ".dockerignore".into() }));
    revision.0.remove("docker-compose.yml");
    assert_eq!(origin(&revision), Some(Origin::Devcontainer));
    revision.0.remove(".devcontainer/devcontainer.json");
    assert_eq!(origin(&revision), Some(Origin::Dockerfile));
    revision.0.remove("Dockerfile");
    assert_eq!(origin(&revision), None);
    // Names are written as the tools want them; the file system of a build tells letters apart.
    let other = Revision::default().with("DOCKERFILE", "").with("Docker-Compose.yml", "services: {}");
    assert_eq!(detect(&other).unwrap(), Found { recipe: None, notes: Vec::new() });
}

#[test]
fn the_application_is_the_preferred_service_or_the_first_of_the_file() {
    let chosen = |services: &[&str]| {
        let text: Vec<String> = services.iter().map(|name| format!("  {name}: {{ build: . }}\n")).collect();
        let revision = Revision::default()
            .with("docker-compose.yml", format!("services:\n{}", text.concat()))
            .with("Dockerfile", "FROM debian");
        match detect(&revision).unwrap().recipe {
            Some(Recipe::Build(build)) => build.origin,
            other => panic!("{other:?}"),
        }
    };
    for (services, expected) in [
        (&["zebra", "ant"][..], "zebra"),
        (&["zebra", "service", "API", "redis"], "API"),
        (&["api", "App"], "App"),
        (&["KAFKA", "web"], "web"),
        (&["app-db", "db"], "app-db"),
    ] {
        let origin = chosen(services);
        assert_eq!(origin, Origin::Compose { file: "docker-compose.yml".into(), service: expected.into() });
    }
}

#[test]
fn attempts_to_get_out_are_refused_in_one_sentence() {
    let leaves = |what, path: &str, limit| Unusable::Leaves { what, path: path.into(), limit };
    let missing = |what, path: &str| Unusable::Missing { what, path: path.into() };
    let link = |path: &str| Unusable::Link { path: path.into() };
    let compose = [
        ("build: ..", leaves("build context", "..", "repository")),
        ("build: a/../../b", leaves("build context", "a/../../b", "repository")),
        ("build: /etc", leaves("build context", "/etc", "repository")),
        ("build: '${X:-/etc}'", leaves("build context", "/etc", "repository")),
        (
            "build: { context: app, dockerfile: ../Dockerfile }",
            leaves("Dockerfile", "../Dockerfile", "build context"),
        ),
        ("build: { dockerfile: ../Dockerfile }", leaves("Dockerfile", "../Dockerfile", "repository")),
        ("build: { dockerfile: /etc/passwd }", leaves("Dockerfile", "/etc/passwd", "repository")),
        ("build: linked", link("linked")),
        ("build: linked/app", link("linked")),
        ("build: { dockerfile: app/linked.dockerfile }", link("app/linked.dockerfile")),
        (
            "build: 'https://example.invalid/x.git'",
            Unusable::Remote { context: "https://example.invalid/x.git".into() },
        ),
        ("build: 'git@example.invalid:x'", Unusable::Remote { context: "git@example.invalid:x".into() }),
        ("build: none", missing("build context", "none")),
        ("build: Dockerfile", missing("build context", "Dockerfile")),
        ("build: { dockerfile: app }", missing("Dockerfile", "app")),
        ("build: { dockerfile: none }", missing("Dockerfile", "none")),
        (
            "build: { context: ., target: 'a b' }",
            Unusable::BadName { name: "a b".into(), what: "a build stage" },
        ),
    ];
    let revision = Revision::default()
        .with("Dockerfile", "FROM debian")
        .with("app/Dockerfile", "FROM debian")
        .with_link("linked")
        .with_link("app/linked.dockerfile");
    for (build, expected) in compose {
        let revision =
            revision.clone().with("docker-compose.yml", format!("services:\n  app:\n    {build}\n"));
        assert_eq!(detect(&revision), Err(expected), "{build}");
    }
    for (text, expected) in [
        (r#"{"image": "-v"}"#, Unusable::BadName { name: "-v".into(), what: "an image" }),
        (
            r#"{"build": {"dockerfile": "../../Dockerfile"}}"#,
            leaves("Dockerfile", "../../Dockerfile", "repository"),
        ),
        (
            r#"{"build": {"dockerfile": "../Dockerfile"}}"#,
            leaves("Dockerfile", "../Dockerfile", "build context"),
        ),
    ] {
        let revision = revision.clone().with(".devcontainer/devcontainer.json", text);
        assert_eq!(detect(&revision), Err(expected), "{text}");
    }
    for path in ["docker-compose.yaml", ".devcontainer", ".devcontainer/devcontainer.json", "Dockerfile"] {
        let mut revision = revision.clone().with_link(path);
        if path != "Dockerfile" {
            revision.0.remove("Dockerfile");
        }
        assert_eq!(detect(&revision), Err(link(path)), "{path}");
    }
    assert!(!is_image("a//b") && !is_image("../x") && !is_image("") && !is_image("a b?c"));
    assert!(is_image("local/debian:bookworm") && is_image("h:5000/a@sha256:00"));
}

#[test]
fn what_is_no_description_is_refused_and_never_read_whole() {
    let malformed = |path: &str, what| Unusable::Malformed { path: path.into(), what };
    let garbage: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let bomb: String = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let alias = format!("*a{n},").repeat(9);
        format!("{text}a{}: &a{} [{alias}]\n", n + 1, n + 1)
    }) + "services: { app: { build: *a9 } }";
    let deep = format!("services: {}", "[".repeat(10_000));
    for (text, what) in [
        (garbage.as_slice(), "text"),
        (b"services: [app]", "a compose file"),
        (b"just words", "a compose file"),
        (b"services:\n  app: { build: {context: [x]} }", "a compose file"),
        (b"services:\n  app: { build: {args: 3} }", "a compose file"),
        (b"services:\n  app: {}\n  app: {}", "a compose file"),
        (bomb.as_bytes(), "a compose file"),
        (deep.as_bytes(), "a compose file"),
    ] {
        let revision = Revision::default().with("docker-compose.yml", text);
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert_eq!(detect(&revision), Err(malformed("docker-compose.yml", what)), "{shown}");
    }
    let deep = "[".repeat(10_000);
    for text in ["", "[]", "{", "{\"build\": 3}", "{\"image\": 3}", "/* {}", &deep] {
        let revision = Revision::default().with(".devcontainer/devcontainer.json", text);
        let expected = malformed(".devcontainer/devcontainer.json", "a devcontainer's description");
        assert_eq!(detect(&revision), Err(expected), "{text:.20}");
    }
    let large = 10 << 20;
    let mut revision = Revision::default().with("docker-compose.yml", "");
    revision.0.insert("docker-compose.yml".into(), (Kind::File { bytes: large }, Vec::new()));
    let expected = Unusable::TooLarge { path: "docker-compose.yml".into(), bytes: large };
    assert_eq!(detect(&revision), Err(expected));
    let arguments = format!("services: {{ app: {{ build: {{ args: {{ A: {} }} }} }} }}", "x".repeat(20_000));
    assert!(arguments.len() < TEXT_LIMIT as usize);
    let revision = Revision::default().with("docker-compose.yml", arguments).with("Dockerfile", "");
    assert_eq!(detect(&revision), Err(Unusable::ArgumentsTooLong { bytes: 20_001 }));
}

#[test]
fn a_sentence_takes_no_shape_from_the_repository() {
    let text = "services:\n  app:\n    \"ev`il\\n# heading\\e[31m\": 1\n    build: .\n";
    let revision = Revision::default().with("docker-compose.yml", text).with("Dockerfile", "");
    let told: Vec<String> = detect(&revision).unwrap().notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "of `docker-compose.yml` only what builds the image is obeyed; no effect have: `ev?il?# heading??31m`"
        ]
    );
}

/// Pieces from which descriptions are made, and ways out.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "services:\n",
            "  app:\n",
            "    build:\n",
            "      context: ",
            "      dockerfile: ",
            "    build: ",
            "..",
            "/",
            "./",
            "app",
            "linked",
            "Dockerfile",
            "\n",
            "${X:-",
            "}",
            "$",
            "*a",
            "&a ",
            "<<: ",
            "{",
            "[",
            "\"",
            "{\"build\":",
            "{\"dockerfile\":\"",
            "\"context\":\"",
            "\",",
            "\"}",
            "//",
            "/*",
            "\\",
            "args:",
            "- ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_detection_panic_or_leave(
        pieces in prop::collection::vec(piece(), 0..24),
        context in "[./a-c]{0,8}",
        dockerfile in "[./a-c]{0,8}",
    ) {
        let text = pieces.concat();
        let paths = format!("services:\n  app:\n    build: {{ context: '{context}', dockerfile: '{dockerfile}' }}\n");
        let json = format!("{{\"build\": {{\"context\": \"{context}\", \"dockerfile\": \"{dockerfile}\"}}}}");
        let files = |path: &str, text: &str| {
            ["app", "a", "b/a", "a/b/c", "c", "Dockerfile", ".devcontainer/a"]
                .iter()
                .fold(Revision::default().with_link("linked"), |all, file| all.with(&format!("{file}/Dockerfile"), ""))
                .with("a/c", "").with("b/b", "").with("Dockerfile", "").with(path, text)
        };
        for (path, text) in [
            ("docker-compose.yml", &text), ("docker-compose.yml", &paths),
            (".devcontainer/devcontainer.json", &text), (".devcontainer/devcontainer.json", &json),
        ] {
            let revision = files(path, text);
            if let Ok(Found { recipe: Some(Recipe::Build(build)), .. }) = detect(&revision) {
                let inside = |path: &str| !path.starts_with('/') && path.split('/').all(|part| part != "..");
                prop_assert!(inside(&build.context), "{build:?}");
                prop_assert!(build.context.is_empty() || revision.kind(&build.context) == Some(Kind::Folder));
                if let Dockerfile::Path(path) = &build.dockerfile {
                    prop_assert!(inside(path) && path.starts_with(&build.context), "{build:?}");
                    let is_file = matches!(revision.kind(path), Some(Kind::File { .. }));
                    prop_assert!(is_file, "{build:?}");
                }
            }
        }
    }
}
