//! Building an image from a checkout, once for equal contents, and removing what nobody uses any more.
//!
//! The engine's own (classic) builder is used on purpose: it obeys memory and processor limits, and knows no mounts of
//! caches, secrets or agents. What makes two builders at once harmless is the tag: it names the content, and whoever
//! comes second finds or repeats the same.

use super::{
    Engine, Refusal, Settings,
    detect::Build,
    image, label, pipe,
    tree::{self, Broken, Tree},
};
use crate::runtime::{Error, process::files};
use bollard::{
    errors::Error as Answer,
    query_parameters::{
        BuildImageOptions, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder,
        ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io::BufWriter,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Beginning of the name of every image that is built here.
const NAME: &str = "roundsman-env-";
/// Digits of the content's digest in a name; the whole digest is compared.
const DIGITS: usize = 12;
/// Bytes of a build's output that are kept, and that people and agents get to see.
const OUTPUT_KEPT: usize = 16 << 10;
const OUTPUT_SHOWN: usize = 4 << 10;
/// A build argument shorter than this is no secret, and hiding it would only spoil the output.
const SHORT: usize = 4;
/// Layers of one build that are removed when it failed; images have at most 127.
const LAYERS: usize = 256;
/// The engine counts processor time in periods of 100 ms.
const PERIOD_MICROSECONDS: i32 = 100_000;
const PERIOD_PER_MILLI: u32 = 100;
/// Pieces of an archive are handed to the engine in this size.
const PIECE: usize = 64 << 10;
/// A container that only looks lives for seconds; one that is older was left by somebody who died.
const LOOK_LIFETIME: Duration = Duration::from_mins(10);

/// Where a clean checkout of the revision is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// A container that has ended, and in which no agent has run since the checkout was made.
    pub container: String,
    /// The folder in that container.
    pub folder: String,
}

/// Looks through the checkout.
pub(super) async fn look_through(
    engine: &Engine<'_>,
    checkout: &Checkout,
    deadline: Instant,
) -> Result<Result<Tree, Refusal>, Error> {
    let source = source(engine, checkout, deadline);
    let bounds = engine.settings.bounds;
    match blocking(move || Tree::look_through(source, bounds)).await? {
        Ok(tree) => Ok(Ok(tree)),
        Err(Broken::Refused(refused)) => Ok(Err(refused.into())),
        Err(Broken::Io(error)) => Err(unreadable(checkout, &error)),
    }
}

/// Builds, or finds what was built before. The image's name.
pub(super) async fn build(
    engine: &Engine<'_>,
    checkout: &Checkout,
    tree: Tree,
    build: Build,
    deadline: Instant,
) -> Result<Result<String, Refusal>, Error> {
    if let Err(refused) = tree.check_links(&build.context) {
        return Ok(Err(refused.into()));
    }
    let operators =
        serde_json::to_string(&engine.settings.args).map_err(|e| Error::Unusable(e.to_string()))?;
    let spec = tree.identity(&build, &operators);
    let name = format!("{NAME}{}-{}", engine.scope, &spec[..DIGITS]);
    if is_there(engine, &name, &spec).await? {
        return Ok(Ok(name));
    }
    let options = options(engine, &build, &name, &spec);
    match run(engine, checkout, tree, build, options, deadline).await? {
        Ok(()) if is_there(engine, &name, &spec).await? => Ok(Ok(name)),
        Ok(()) => Err(Error::Unusable(format!("the engine built {name}, which is not there"))),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Removes the images of this scope that are older than `before`, in no container and not in `keep` (names), and
/// containers that only looked. How many images went.
pub async fn remove_unused(
    engine: &Engine<'_>,
    keep: &BTreeSet<String>,
    before: Timestamp,
    now: Timestamp,
) -> Result<u32, Error> {
    let docker = engine.docker;
    let looks = HashMap::from([("label", vec![format!("{}={}", label::LOOK, engine.scope)])]);
    let looks = ListContainersOptionsBuilder::default().all(true).filters(&looks).build();
    let forced = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    for look in docker.list_containers(Some(looks)).await.map_err(|e| image::unusable(&e))? {
        let age = now.as_second().saturating_sub(look.created.unwrap_or_default());
        if let Some(id) = look.id
            && age > i64::try_from(LOOK_LIFETIME.as_secs()).unwrap_or(i64::MAX)
        {
            // Whoever it belonged to may have removed it at this moment.
            _ = docker.remove_container(&id, Some(forced.clone())).await;
        }
    }

    let ours = vec![format!("{}={}", label::SCOPE, engine.scope), format!("{}={}", label::KIND, label::OURS)];
    let ours = ListImagesOptionsBuilder::default().filters(&HashMap::from([("label", ours)])).build();
    let mut removed = 0;
    for found in docker.list_images(Some(ours)).await.map_err(|e| image::unusable(&e))? {
        if found.created >= before.as_second() {
            continue;
        }
        let prefix = format!("{NAME}{}-", engine.scope);
        let tags: Vec<&String> = found.repo_tags.iter().filter(|tag| *tag != "<none>:<none>").collect();
        let names: Vec<String> = if tags.is_empty() {
            // Its name went to a twin.
            vec![found.id.clone()]
        } else {
            // An image that somebody made from ours inherits the labels, but not the name.
            tags.into_iter()
                .filter(|tag| tag.starts_with(&prefix))
                .filter(|tag| !keep.contains(tag.strip_suffix(":latest").unwrap_or(tag)))
                .cloned()
                .collect()
        };
        for name in names {
            removed += u32::from(remove_image(engine, &name, false).await?);
        }
    }
    Ok(removed)
}

/// Whether an image went. In use is no error: the engine is the arbiter.
async fn remove_image(engine: &Engine<'_>, name: &str, alone: bool) -> Result<bool, Error> {
    let options = RemoveImageOptionsBuilder::default().force(false).noprune(alone).build();
    match engine.docker.remove_image(name, Some(options), None).await {
        Ok(_) => Ok(true),
        Err(Answer::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(false),
        Err(error) => Err(image::unusable(&error)),
    }
}

/// Whether the image is there and is what its name says.
async fn is_there(engine: &Engine<'_>, name: &str, spec: &str) -> Result<bool, Error> {
    let Some(found) = image::inspect(engine.docker, name).await? else { return Ok(false) };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    Ok(is(label::SPEC, spec) && is(label::SCOPE, engine.scope) && is(label::KIND, label::OURS))
}

fn options(engine: &Engine<'_>, build: &Build, name: &str, spec: &str) -> BuildImageOptions {
    let Settings { network, args, pull, memory_bytes, milli_cpus, .. } = engine.settings;
    let memory = i32::try_from(*memory_bytes).unwrap_or(i32::MAX);
    // The operator's word stands above the repository's.
    let args: HashMap<String, String> =
        build.args.iter().chain(args).map(|(name, value)| (name.clone(), value.clone())).collect();
    let labels = [
        (label::SCOPE, engine.scope.to_owned()),
        (label::RUN, engine.run.to_string()),
        (label::KIND, label::OURS.to_owned()),
        (label::SPEC, spec.to_owned()),
        (label::SCHEMA, label::VERSION.to_owned()),
    ];
    BuildImageOptions {
        dockerfile: tree::instructions(build).to_owned(),
        t: Some(name.to_owned()),
        target: build.target.clone().unwrap_or_default(),
        buildargs: Some(args),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
        networkmode: network.clone(),
        pull: pull.then(|| "1".to_owned()),
        rm: true,
        forcerm: true,
        memory: Some(memory),
        memswap: Some(memory),
        cpuperiod: Some(PERIOD_MICROSECONDS),
        cpuquota: Some(i32::try_from(milli_cpus.saturating_mul(PERIOD_PER_MILLI)).unwrap_or(i32::MAX)),
        ..BuildImageOptions::default()
    }
}

async fn run(
    engine: &Engine<'_>,
    checkout: &Checkout,
    tree: Tree,
    build: Build,
    options: BuildImageOptions,
    deadline: Instant,
) -> Result<Result<(), Refusal>, Error> {
    let origin = build.origin.to_string();
    let (sink, pieces) = pipe::Sink::new();
    let source = source(engine, checkout, deadline);
    let sending = blocking(move || {
        let sent = tree.send(source, &build, BufWriter::with_capacity(PIECE, &sink));
        if sent.is_err() {
            sink.break_off();
        }
        sent
    });
    // The engine answers only when it has the whole context: the client's usual limit is for small requests.
    let left = deadline.saturating_duration_since(Instant::now());
    let docker = engine.docker.clone().with_timeout(left.max(Duration::from_secs(1)));
    let body = bollard::body_try_stream(pieces.map_ok(Into::into));
    let building = async {
        let mut output = Output::default();
        let mut answers = docker.build_image(options, None, Some(body));
        loop {
            match timeout_at(deadline, answers.next()).await {
                Ok(Some(Ok(said))) => output.take(&said.stream.unwrap_or_default()),
                Ok(Some(Err(error))) => break (output, End::Failed(error)),
                Ok(None) => break (output, End::Built),
                Err(_) => break (output, End::Late),
            }
        }
    };
    let (sent, (output, end)) = tokio::join!(sending, building);
    match (sent?, end) {
        (Err(Broken::Refused(refused)), End::Built | End::Failed(_) | End::Late) => Ok(Err(refused.into())),
        (_, End::Late | End::Failed(Answer::RequestTimeoutError)) => {
            // Layers that were finished stay: the next try goes on where this one ended.
            Ok(Err(Refusal::TookTooLong { origin, seconds: engine.settings.limit.as_secs() }))
        }
        (
            _,
            End::Failed(
                Answer::DockerStreamError { error: message }
                | Answer::DockerResponseServerError { message, .. },
            ),
        ) => {
            for layer in output.layers.iter().rev() {
                remove_layer(engine, layer).await?;
            }
            let tail = output.tail(&message, engine.settings.args.values());
            Ok(Err(Refusal::BuildFailed { origin, tail }))
        }
        (Err(Broken::Io(error)), End::Built | End::Failed(_)) => Err(unreadable(checkout, &error)),
        (Ok(()), End::Failed(error)) => Err(image::unusable(&error)),
        (Ok(()), End::Built) => Ok(Ok(())),
    }
}

enum End {
    Built,
    Failed(Answer),
    Late,
}

/// Removes a layer that a failed build left, if nothing else names or uses it.
async fn remove_layer(engine: &Engine<'_>, layer: &str) -> Result<(), Error> {
    let Some(found) = image::inspect(engine.docker, layer).await? else { return Ok(()) };
    let named = [found.repo_tags, found.repo_digests].into_iter().flatten().flatten().next().is_some();
    if !named {
        remove_image(engine, layer, true).await?;
    }
    Ok(())
}

/// What a build says: its end, and the layers that it made itself.
#[derive(Default)]
struct Output {
    kept: VecDeque<u8>,
    layers: Vec<String>,
    /// The present step makes no layer of this build: it names a base, or was found ready.
    foreign: bool,
}

impl Output {
    fn take(&mut self, said: &str) {
        self.kept.extend(said.bytes());
        let surplus = self.kept.len().saturating_sub(OUTPUT_KEPT);
        self.kept.drain(..surplus);
        for line in said.lines() {
            if let Some((_, instruction)) = line.strip_prefix("Step ").and_then(|step| step.split_once(" : "))
            {
                let word = instruction.split_whitespace().next().unwrap_or_default();
                self.foreign = word.eq_ignore_ascii_case("FROM");
            } else if let Some(result) = line.strip_prefix(" ---> ") {
                if result == "Using cache" {
                    self.foreign = true;
                } else if !self.foreign
                    && self.layers.len() < LAYERS
                    && !result.is_empty()
                    && result.bytes().all(|byte| byte.is_ascii_hexdigit())
                {
                    self.layers.push(result.to_owned());
                }
            }
        }
    }

    /// The end of the output and why it ended, plain, without the operator's build arguments.
    fn tail<'a>(&self, message: &str, hidden: impl Iterator<Item = &'a String>) -> String {
        let kept: Vec<u8> = self.kept.iter().copied().collect();
        let mut text = files::plain(&format!("{}\n{message}", String::from_utf8_lossy(&kept).trim_end()));
        for value in hidden.filter(|value| value.len() >= SHORT) {
            text = text.replace(value.as_str(), "***");
        }
        let mut start = text.len().saturating_sub(OUTPUT_SHOWN);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text[start..].trim().to_owned()
    }
}

fn source(engine: &Engine<'_>, checkout: &Checkout, deadline: Instant) -> pipe::Source {
    let options = DownloadFromContainerOptionsBuilder::default().path(&checkout.folder).build();
    let pieces = engine.docker.download_from_container(&checkout.container, Some(options));
    let pieces = pieces.map_ok(Vec::from).map_err(std::io::Error::other);
    pipe::Source::new(Box::pin(pieces), deadline)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Unusable(e.to_string()))
}

fn unreadable(checkout: &Checkout, error: &std::io::Error) -> Error {
    Error::Unusable(format!(
        "the checkout {} of container {} could not be read: {error}",
        checkout.folder, checkout.container
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::environment::detect::{Dockerfile, Origin};
    use bollard::{API_DEFAULT_VERSION, Docker};

    #[test]
    fn a_build_gets_limits_and_what_the_operator_set_and_nothing_else() {
        let text = |text: &str| text.to_owned();
        let docker = Docker::connect_with_http("tcp://127.0.0.1:1", 1, API_DEFAULT_VERSION).unwrap();
        let mut settings = Settings::default();
        let build = Build {
            origin: Origin::Dockerfile,
            dockerfile: Dockerfile::Path(text("app/x.dockerfile")),
            context: text("app"),
            target: Some(text("test")),
            args: [(text("A"), text("theirs")), (text("B"), text("theirs"))].into(),
        };
        let of = |settings: &Settings| {
            let engine =
                Engine { docker: &docker, scope: "0a1b2c3d", run: "4711-r12".parse().unwrap(), settings };
            options(&engine, &build, "name", "spec")
        };
        let usual = of(&settings);
        assert_eq!((usual.memory, usual.memswap), (Some(i32::MAX), Some(i32::MAX)), "cut to what fits");
        assert_eq!((usual.cpuquota, usual.cpuperiod), (Some(200_000), Some(100_000)));
        assert_eq!((usual.networkmode, usual.pull), (None, None));
        settings.network = Some(text("mirror"));
        settings.pull = true;
        settings.memory_bytes = 1 << 20;
        settings.args = [(text("A"), text("ours"))].into();
        let labels = [
            (label::SCOPE, "0a1b2c3d"),
            (label::RUN, "4711-r12"),
            (label::KIND, "environment"),
            (label::SPEC, "spec"),
            (label::SCHEMA, "1"),
        ];
        let expected = BuildImageOptions {
            dockerfile: text("x.dockerfile"),
            t: Some(text("name")),
            target: text("test"),
            buildargs: Some([(text("A"), text("ours")), (text("B"), text("theirs"))].into()),
            labels: Some(labels.map(|(key, value)| (text(key), text(value))).into()),
            networkmode: Some(text("mirror")),
            pull: Some(text("1")),
            rm: true,
            forcerm: true,
            memory: Some(1 << 20),
            memswap: Some(1 << 20),
            cpuperiod: Some(100_000),
            cpuquota: Some(200_000),
            ..BuildImageOptions::default()
        };
        assert_eq!(of(&settings), expected);
    }

    #[test]
    fn only_layers_that_a_build_made_are_its_own() {
        let mut output = Output::default();
        for line in [
            "Step 1/4 : FROM local/debian\n",
            " ---> b65eb1152982\n",
            "Step 2/4 : COPY a b\n",
            " ---> Using cache\n",
            " ---> aaaaaaaaaaaa\n",
            "Step 3/4 : RUN x\n",
            " ---> Running in cccccccccccc\n",
            "Removing intermediate container cccccccccccc\n",
            " ---> dddddddddddd\n",
            "Step 4/4 : run y\n",
            " ---> Running in eeeeeeeeeeee\n",
        ] {
            output.take(line);
        }
        assert_eq!(output.layers, ["dddddddddddd"]);
    }

    #[test]
    fn a_tail_is_plain_bounded_and_hides_what_the_operator_gave() {
        let mut output = Output::default();
        output.take(&"é".repeat(OUTPUT_KEPT));
        output.take("\u{1b}[31mproxy is http://user:pass@proxy\u{0}\n");
        let hidden = ["http://user:pass@proxy".to_owned(), "a".to_owned()];
        let tail = output.tail("returned 1", hidden.iter());
        assert!(tail.len() <= OUTPUT_SHOWN, "{}", tail.len());
        assert!(tail.ends_with("proxy is ***\nreturned 1"), "{tail}");
        assert!(output.kept.len() <= OUTPUT_KEPT);
    }
}
