//! Environments on a real engine. Skipped by name where there is none.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig, ImageInspect},
    query_parameters::{
        BuildImageOptionsBuilder, ContainerArchiveInfoOptionsBuilder, CreateContainerOptions,
        DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveImageOptionsBuilder,
        UploadToContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use roundsman::{
    domain::RunId,
    runtime::{
        Error,
        environment::{Checkout, Choice, Decision, Engine, Settings, choose, remove_unused},
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    time::{Duration, Instant},
};

/// The image that the engine of a test machine has.
const BASE: &str = "local/debian:bookworm";
/// Marks what these tests make themselves.
const MARK: &str = "io.roundsman.test.environment";
/// Between two looks of a test.
const LOOK: Duration = Duration::from_millis(100);
/// How long an engine may take to end a step, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Later than any image of a test, in seconds since 1970.
const LATER: i64 = 4_000_000_000;

/// One installation with its own engine objects, and a checkout.
struct Scene {
    docker: Docker,
    scope: String,
    checkout: Checkout,
    settings: Settings,
}

impl Scene {
    /// None, and says so, where no engine answers.
    async fn new(name: &str, files: &[(&str, &str)]) -> Option<Self> {
        let docker = match Docker::connect_with_defaults() {
            Ok(docker) => docker.negotiate_version().await.ok(),
            Err(_) => None,
        };
        let Some(docker) = docker else {
            println!("skipped: {name}: no Docker engine answers");
            return None;
        };
        if docker.inspect_image(BASE).await.is_err() {
            println!("skipped: {name}: the engine has no image {BASE}");
            return None;
        }
        // A scope of its own for each test of each process.
        let sum = name.bytes().fold(std::process::id(), |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
        let scope = format!("{sum:08x}");
        let body = ContainerCreateBody {
            image: Some(BASE.into()),
            cmd: Some(vec!["true".into()]),
            labels: Some(HashMap::from([(MARK.into(), scope.clone())])),
            volumes: Some(vec!["/workspace".into()]),
            host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let made = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap();
        let scene = Self {
            docker,
            scope,
            checkout: Checkout { container: made.id, folder: "/workspace".into() },
            settings: Settings { limit: Duration::from_mins(3), ..Settings::default() },
        };
        scene.check_out(files).await;
        Some(scene)
    }

    /// Puts files into the checkout; a text `-> x` is a link, and scripts may be executed. What is built on the base is
    /// this test's own: layers that another process shares could go while they are needed here.
    async fn check_out(&self, files: &[(&str, &str)]) {
        let own = |text: &str| match text.split_once('\n') {
            Some((from, rest)) if from.starts_with("FROM local") => {
                format!("{from}\nENV OF={}\n{rest}", self.scope)
            }
            Some(_) | None => text.to_owned(),
        };
        let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (*path, own(text))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let options = UploadToContainerOptionsBuilder::default().path("/workspace").build();
        let body = bollard::body_full(archive(&files).into());
        self.docker.upload_to_container(&self.checkout.container, Some(options), body).await.unwrap();
    }

    fn engine(&self, run: &str) -> Engine<'_> {
        let run: RunId = run.parse().unwrap();
        Engine { docker: &self.docker, scope: &self.scope, run, settings: &self.settings }
    }

    async fn choose(&self) -> Decision {
        choose(&self.engine("4711-r12"), &Choice::FromRepository, &self.checkout).await.unwrap()
    }

    async fn image(&self, name: &str) -> Option<ImageInspect> {
        self.docker.inspect_image(name).await.ok()
    }

    /// A container of the image that never starts.
    async fn container(&self, image: &str) -> String {
        let body = ContainerCreateBody {
            image: Some(image.into()),
            cmd: Some(vec!["true".into()]),
            labels: Some(HashMap::from([(MARK.into(), self.scope.clone())])),
            ..ContainerCreateBody::default()
        };
        self.docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id
    }

    /// The text of a file of an image.
    async fn text(&self, image: &str, path: &str) -> String {
        let container = self.container(image).await;
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let pieces: Vec<_> =
            self.docker.download_from_container(&container, Some(options)).try_collect().await.unwrap();
        let bytes = pieces.concat();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut text = String::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    async fn has(&self, image: &str, path: &str) -> Option<u32> {
        let container = self.container(image).await;
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        self.docker
            .get_container_archive_info(&container, Some(options))
            .await
            .ok()
            .map(|stat| stat.file_mode)
    }

    /// Layers of this test.
    async fn layers(docker: &Docker, scope: &str) -> Vec<String> {
        let marker = format!("OF={scope}");
        let all = ListImagesOptionsBuilder::default().all(true).build();
        let mut found = Vec::new();
        for image in docker.list_images(Some(all)).await.unwrap() {
            // Somebody else's may go at any time.
            let history = docker.image_history(&image.id).await.unwrap_or_default();
            if history.iter().any(|layer| layer.created_by.contains(&marker)) {
                found.push(image.id);
            }
        }
        found
    }

    async fn clean(docker: Docker, scope: String) {
        let forced = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        for label in [format!("{MARK}={scope}"), format!("io.roundsman.look={scope}")] {
            let ours = HashMap::from([("label", vec![label])]);
            let ours = ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
            for container in docker.list_containers(Some(ours)).await.unwrap_or_default() {
                _ = docker.remove_container(&container.id.unwrap_or_default(), Some(forced.clone())).await;
            }
        }
        let ours = HashMap::from([("label", vec![format!("io.roundsman.scope={scope}")])]);
        let ours = ListImagesOptionsBuilder::default().filters(&ours).build();
        let images = docker.list_images(Some(ours)).await.unwrap_or_default();
        for name in images.into_iter().flat_map(|image| [image.repo_tags, vec![image.id]].concat()) {
            let forced = RemoveImageOptionsBuilder::default().force(true).build();
            _ = docker.remove_image(&name, Some(forced), None).await;
        }
        // What an ended build had finished: one goes with those that it stands on.
        for layer in Self::layers(&docker, &scope).await {
            _ = docker.remove_image(&layer, None::<RemoveImageOptions>, None).await;
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let scope = self.scope.clone();
        // A failed test leaves nothing either; the runtime of the test itself cannot wait in a drop.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let docker = Docker::connect_with_defaults().unwrap().negotiate_version().await.unwrap();
                Self::clean(docker, scope).await;
            });
        });
        _ = cleaning.join();
    }
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000);
        header.set_uid(10_001);
        header.set_gid(10_001);
        if let Some(target) = text.strip_prefix("-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_mode(if text.starts_with("#!") { 0o755 } else { 0o644 });
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn said(decision: &Decision) -> String {
    decision.told.join("\n")
}

#[tokio::test]
async fn a_compose_service_is_built_once_and_adopted_by_the_next_run() {
    let compose = "services:\n  app:\n    build:\n      context: app\n      target: tools\n      args: { WORD: theirs, OTHER: kept }\n    volumes: [/:/host]\n";
    let dockerfile = "FROM local/debian:bookworm AS tools\nARG WORD\nARG OTHER\nCOPY . /src\nRUN echo $WORD $OTHER > /words; ls /sys/class/net > /net\nRUN cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max > /memory 2>/dev/null || true\nFROM tools\nRUN exit 1\n";
    let files = [
        (".git/config", "secret"),
        ("README.md", "not in the context"),
        ("docker-compose.yml", compose),
        ("app/Dockerfile", dockerfile),
        ("app/check", "#!/bin/sh"),
        ("app/link", "-> check"),
    ];
    let Some(mut scene) = Scene::new("a_compose_service_is_built_once", &files).await else { return };
    scene.settings.network = Some("none".into());
    scene.settings.memory_bytes = 300 << 20;
    scene.settings.args = [("WORD".to_owned(), "ours".to_owned())].into();
    let decision = scene.choose().await;
    let name = decision.image.clone().unwrap_or_else(|| panic!("{}", said(&decision)));
    assert!(name.starts_with(&format!("roundsman-env-{}-", scene.scope)), "{name}");
    assert!(said(&decision).contains("no effect have: `volumes`"), "{}", said(&decision));
    assert!(said(&decision).contains("service `app`"), "{}", said(&decision));
    assert_eq!(scene.text(&name, "/words").await, "ours kept\n");
    assert_eq!(scene.text(&name, "/net").await, "lo\n", "the operator's network was not used");
    assert_eq!(scene.text(&name, "/memory").await.trim(), (300 << 20).to_string());
    assert!(scene.has(&name, "/src/check").await.is_some_and(|mode| mode & 0o111 == 0o111));
    assert!(scene.has(&name, "/src/link").await.is_some());
    assert_eq!(scene.has(&name, "/src/README.md").await, None, "more than the context was sent");

    let first = scene.image(&name).await.unwrap();
    let labels = first.config.unwrap().labels.unwrap();
    assert_eq!(labels["io.roundsman.scope"], scene.scope);
    assert_eq!(labels["io.roundsman.run"], "4711-r12");
    assert_eq!(labels["io.roundsman.kind"], "environment");
    assert_eq!(labels["io.roundsman.schema"], "1");
    assert!(name.ends_with(&labels["io.roundsman.spec"][..12]));

    // Outside of the context the revision may differ; the second run finds what the first one built.
    scene.check_out(&[("README.md", "changed")]).await;
    let next = choose(&scene.engine("4712-r3"), &Choice::FromRepository, &scene.checkout).await.unwrap();
    assert_eq!(next.image.as_deref(), Some(name.as_str()));
    let second = scene.image(&name).await.unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(second.config.unwrap().labels.unwrap()["io.roundsman.run"], "4711-r12", "built again");
    scene.check_out(&[("app/check", "#!/bin/bash")]).await;
    let other = scene.choose().await.image.unwrap();
    assert_ne!(other, name);
}

#[tokio::test]
async fn two_builders_at_once_are_one_image_and_the_store_is_not_sent() {
    let files = [
        (".git/config", "secret"),
        (".gitignore", "x"),
        ("Dockerfile", "FROM local/debian:bookworm\nCOPY . /src\nRUN sleep 1\n"),
    ];
    let Some(scene) = Scene::new("two_builders_at_once", &files).await else { return };
    let (one, two) = tokio::join!(scene.choose(), scene.choose());
    let name = one.image.clone().unwrap_or_else(|| panic!("{}", said(&one)));
    assert_eq!(two.image.as_ref(), Some(&name), "{}", said(&two));
    assert_eq!(scene.has(&name, "/src/.git").await, None);
    assert!(scene.has(&name, "/src/.gitignore").await.is_some());
}

#[tokio::test]
async fn a_failing_build_is_told_and_leaves_nothing() {
    let dockerfile = "FROM local/debian:bookworm\nARG MIRROR\nRUN echo x > /x\nRUN echo using $MIRROR; echo 'last \\033[31mwords'; exit 3\n";
    let files = [("Dockerfile", dockerfile)];
    let Some(mut scene) = Scene::new("a_failing_build", &files).await else { return };
    scene.settings.args = [("MIRROR".to_owned(), "http://user:pass@mirror".to_owned())].into();
    let decision = scene.choose().await;
    assert_eq!(decision.image, None);
    let told = said(&decision);
    assert!(told.contains("building the repository's Dockerfile failed"), "{told}");
    assert!(told.contains("last words") && told.contains("returned a non-zero code: 3"), "{told}");
    assert!(told.contains("using ***") && !told.contains("user:pass"), "{told}");
    assert!(!told.contains('\u{1b}'));
    assert!(Scene::layers(&scene.docker, &scene.scope).await.is_empty());

    scene.check_out(&[("Dockerfile", "FROM local/debian:bookworm\nNONSENSE\n")]).await;
    let told = said(&scene.choose().await);
    assert!(told.contains("failed") && told.contains("NONSENSE"), "{told}");
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_ended() {
    let files = [("Dockerfile", "FROM local/debian:bookworm\nRUN sleep 300\n")];
    let Some(mut scene) = Scene::new("a_build_that_takes_too_long", &files).await else { return };
    scene.settings.limit = Duration::from_secs(3);
    let begun = Instant::now();
    let decision = scene.choose().await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(decision.image, None);
    assert!(said(&decision).contains("took longer than 3 s"), "{}", said(&decision));
    let layers = Scene::layers(&scene.docker, &scene.scope).await;
    assert!(!layers.is_empty(), "the step did not begin");
    // The engine notices that nobody listens any more, and removes the container of the step.
    let ended = async {
        let of = HashMap::from([("ancestor", layers)]);
        let of = ListContainersOptionsBuilder::default().all(true).filters(&of).build();
        while !scene.docker.list_containers(Some(of.clone())).await.unwrap().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the step ends with its build");
}

#[tokio::test]
async fn what_cannot_be_a_context_is_never_sent() {
    let files = [("Dockerfile", "FROM local/debian:bookworm\n"), ("app/link", "-> /etc/shadow")];
    let Some(mut scene) = Scene::new("what_cannot_be_a_context", &files).await else { return };
    let decision = scene.choose().await;
    assert_eq!(decision.image, None);
    assert!(said(&decision).contains("`app/link` leads out of the build context"), "{}", said(&decision));
    let compose = ("docker-compose.yaml", "services: { x: { build: { context: app, dockerfile: D } } }");
    scene.check_out(&[("app/link", "-> ../Dockerfile"), ("app/D", "FROM scratch"), compose]).await;
    let decision = scene.choose().await;
    assert!(said(&decision).contains("`app/link` leads out of the build context"), "{}", said(&decision));
    scene.check_out(&[("docker-compose.yaml", "services: {}")]).await;
    scene.settings.bounds.bytes = 10;
    assert!(said(&scene.choose().await).contains("more than 10 bytes"));
    scene.settings.bounds.bytes = 1 << 20;
    assert!(scene.choose().await.image.is_some());
    scene.check_out(&[("docker-compose.yml", "services: [")]).await;
    assert!(said(&scene.choose().await).contains("`docker-compose.yml` is not readable"));
}

#[tokio::test]
async fn an_image_without_a_shell_or_git_or_at_all_is_refused() {
    let files = [("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")];
    let Some(scene) = Scene::new("an_image_without_a_shell", &files).await else { return };
    let decision = scene.choose().await;
    assert_eq!(decision.image, None);
    assert!(said(&decision).contains("has no shell at /bin/sh"), "{}", said(&decision));
    scene.check_out(&[("Dockerfile", "FROM local/debian:bookworm\nENV PATH=/sbin:bin\n")]).await;
    assert!(said(&scene.choose().await).contains("has no git on its search path"));
    scene.check_out(&[(".devcontainer/devcontainer.json", "{\"image\": \"local/none:1\"}")]).await;
    assert!(said(&scene.choose().await).contains("`local/none:1` is not there"));
    scene.check_out(&[(".devcontainer/devcontainer.json", "{\"image\": \"local/debian:bookworm\"}")]).await;
    assert_eq!(scene.choose().await.image.as_deref(), Some(BASE));

    let named = |name: &str| Choice::Named(name.to_owned());
    let engine = scene.engine("4711-r12");
    let chosen = async |choice: &Choice| choose(&engine, choice, &scene.checkout).await.unwrap();
    let expected = Decision { image: Some(BASE.into()), told: Vec::new() };
    assert_eq!(chosen(&named(BASE)).await, expected);
    assert_eq!(chosen(&Choice::WorkerImage).await, Decision::default());
    assert!(said(&chosen(&named("../x?y")).await).contains("no name of an image"));
    // Nothing is left of the looks.
    let looks = HashMap::from([("label", vec![format!("io.roundsman.look={}", scene.scope)])]);
    let looks = ListContainersOptionsBuilder::default().all(true).filters(&looks).build();
    assert!(scene.docker.list_containers(Some(looks)).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_images_of_ours_that_nobody_uses_are_removed() {
    let files = [("Dockerfile", "FROM local/debian:bookworm\nRUN echo 1\n")];
    let Some(scene) = Scene::new("only_images_of_ours", &files).await else { return };
    let mut images = Vec::new();
    for number in ["unused", "kept", "in-use", "parent"] {
        scene.check_out(&[("Dockerfile", &format!("FROM local/debian:bookworm\nRUN echo {number}\n"))]).await;
        images.push(scene.choose().await.image.unwrap());
    }
    let user = scene.container(&images[2]).await;
    // Somebody builds on one of ours: the labels are inherited, the image is not ours.
    let derived = format!("environment-derived-{}", scene.scope);
    let dockerfile = format!("FROM {}\nRUN echo derived\n", images[3]);
    let body = bollard::body_full(archive(&[("Dockerfile", &dockerfile)]).into());
    let options = BuildImageOptionsBuilder::default().t(&derived).build();
    let built: Vec<_> = scene.docker.build_image(options, None, Some(body)).collect().await;
    assert!(built.iter().all(Result::is_ok), "{built:?}");

    let engine = scene.engine("4711-r12");
    let keep = BTreeSet::from([images[1].clone()]);
    let later = Timestamp::from_second(LATER).unwrap();
    assert_eq!(remove_unused(&engine, &keep, Timestamp::UNIX_EPOCH, later).await.unwrap(), 0, "too young");
    let stranger = Engine { scope: "00000000", ..engine };
    assert_eq!(remove_unused(&stranger, &keep, later, later).await.unwrap(), 0, "another installation's");
    remove_unused(&engine, &keep, later, later).await.unwrap();
    let mut left = Vec::new();
    for name in images.iter().chain([&derived]) {
        left.push(scene.image(name).await.is_some());
    }
    // The name of the parent may go: the layers stay as long as somebody builds on them.
    assert_eq!((left[0], left[1], left[2], left[4]), (false, true, true, true), "{left:?}");
    assert!(scene.image(BASE).await.is_some() && !user.is_empty());
}

#[tokio::test]
async fn an_engine_or_checkout_that_fails_says_nothing_about_the_repository() {
    let settings = Settings::default();
    let gone = Docker::connect_with_http("tcp://127.0.0.1:1", 5, bollard::API_DEFAULT_VERSION).unwrap();
    let engine =
        Engine { docker: &gone, scope: "00000000", run: "1-r1".parse().unwrap(), settings: &settings };
    let checkout = Checkout { container: "none".into(), folder: "/workspace".into() };
    for choice in [Choice::FromRepository, Choice::Named(BASE.into())] {
        let end = choose(&engine, &choice, &checkout).await;
        assert!(matches!(end, Err(Error::Unusable(_))), "{end:?}");
    }
    let Some(scene) = Scene::new("a_checkout_that_fails", &[("x", "")]).await else { return };
    let end = choose(&scene.engine("1-r1"), &Choice::FromRepository, &checkout).await;
    assert!(matches!(&end, Err(Error::Unusable(why)) if why.contains("/workspace")), "{end:?}");
}
