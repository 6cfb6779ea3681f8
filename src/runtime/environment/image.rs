//! Whether a step could work in an image: is it there, has it a shell and git? Nothing of the image is run to find out.

use super::{Engine, Refusal, detect::is_image, label};
use crate::runtime::{Error, process::files};
use bollard::{
    Docker,
    errors::Error as Answer,
    models::{ContainerCreateBody, HostConfig, ImageInspect},
    query_parameters::{
        ContainerArchiveInfoOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder,
        RemoveContainerOptionsBuilder,
    },
};
use futures_util::TryStreamExt as _;
use tokio::time::{Instant, timeout_at};

/// Scripts begin with it.
const SHELL: &str = "/bin/sh";
/// Where programs are when an image does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Folders of a search path that are looked into; real ones have about ten.
const FOLDERS: usize = 32;
/// The engine writes the kind of a file as Go does: the highest bit is a folder.
const IS_FOLDER: u32 = 1 << 31;
/// Characters of the engine's words in a sentence of ours.
const DETAIL: usize = 300;

/// Whether a step could work in the image. One that is not there is fetched, where the operator allows that.
pub(super) async fn check(
    engine: &Engine<'_>,
    name: &str,
    deadline: Instant,
) -> Result<Result<(), Refusal>, Error> {
    let not_there = |detail: String| Ok(Err(Refusal::NotThere { name: name.to_owned(), detail }));
    if !is_image(name) {
        return not_there("this is no name of an image".into());
    }
    if inspect(engine.docker, name).await?.is_none() {
        if !engine.settings.pull {
            return not_there("the engine does not have it, and may not fetch it".into());
        }
        if let Err(detail) = pull(engine.docker, name, deadline).await? {
            return not_there(detail);
        }
    }
    let Some(found) = inspect(engine.docker, name).await? else {
        return not_there("the engine fetched it and does not have it".into());
    };
    let variables = found.config.and_then(|config| config.env).unwrap_or_default();
    let search = variables.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(USUAL_PATH);
    let git = search
        .split(':')
        .filter(|folder| folder.starts_with('/'))
        .take(FOLDERS)
        .map(|folder| format!("{}/git", folder.trim_end_matches('/')));
    let git: Vec<String> = git.collect();

    let look = begin_look(engine, name).await?;
    let seen = async {
        if !has_one(engine.docker, &look, &[SHELL.to_owned()]).await? {
            return Ok(Some("shell at /bin/sh"));
        }
        Ok::<_, Error>((!has_one(engine.docker, &look, &git).await?).then_some("git on its search path"))
    }
    .await;
    let forced = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    // If it stays, `remove_unused` finds it.
    _ = engine.docker.remove_container(&look, Some(forced)).await;
    Ok(seen?.map_or(Ok(()), |what| Err(Refusal::Lacks { name: name.to_owned(), what })))
}

/// What the engine knows about an image; none when it has no such image.
pub(super) async fn inspect(docker: &Docker, name: &str) -> Result<Option<ImageInspect>, Error> {
    match docker.inspect_image(name).await {
        Ok(found) => Ok(Some(found)),
        Err(Answer::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(unusable(&error)),
    }
}

/// The engine failed.
pub(super) fn unusable(error: &Answer) -> Error {
    Error::Unusable(short(&error.to_string()))
}

/// A container of the image that never starts. Its id.
async fn begin_look(engine: &Engine<'_>, name: &str) -> Result<String, Error> {
    // Labels of an image are inherited: without these, the container would look like a worker of some run.
    let labels = [
        (label::LOOK, engine.scope),
        (label::SCOPE, ""),
        (label::RUN, ""),
        (label::KIND, "look"),
        (label::SPEC, ""),
    ];
    let body = ContainerCreateBody {
        image: Some(name.to_owned()),
        entrypoint: Some(vec![SHELL.to_owned()]),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let made = engine.docker.create_container(None::<CreateContainerOptions>, body).await;
    Ok(made.map_err(|error| unusable(&error))?.id)
}

/// Whether one of the paths is a file or a link.
async fn has_one(docker: &Docker, container: &str, paths: &[String]) -> Result<bool, Error> {
    for path in paths {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match docker.get_container_archive_info(container, Some(options)).await {
            Ok(found) if found.file_mode & IS_FOLDER == 0 => return Ok(true),
            Ok(_) | Err(Answer::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(unusable(&error)),
        }
    }
    Ok(false)
}

/// Fetches an image; the inner error says why it could not be had.
async fn pull(docker: &Docker, name: &str, deadline: Instant) -> Result<Result<(), String>, Error> {
    let last = name.rsplit('/').next().unwrap_or(name);
    // Without a tag, the engine would fetch every tag there is.
    let name = if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
    let options = CreateImageOptionsBuilder::default().from_image(&name).build();
    let pulling = docker.create_image(Some(options), None, None).try_for_each(async |_| Ok(()));
    Ok(match timeout_at(deadline, pulling).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(
            Answer::DockerStreamError { error: message } | Answer::DockerResponseServerError { message, .. },
        )) => Err(short(&message)),
        Ok(Err(error)) => return Err(unusable(&error)),
        Err(_) => Err("fetching it took too long".into()),
    })
}

fn short(text: &str) -> String {
    files::plain(text).chars().take(DETAIL).collect()
}
