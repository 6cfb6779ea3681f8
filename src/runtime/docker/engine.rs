//! Calls to the engine: one connection, every call bounded, every failure in one of four kinds. Decides nothing.

use super::{Options, name::Labels};
use crate::runtime::Error;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::AttachContainerResults,
    errors::Error as DockerError,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, EndpointSettings, ImageInspect,
        NetworkConnectRequest, NetworkCreateRequest, NetworkInspect, SystemInfo, VolumeCreateRequest,
    },
    query_parameters as query,
};
use futures_util::{Stream, StreamExt as _};
use std::{collections::HashMap, future::Future, time::Duration};
use tokio::sync::OnceCell;

/// What a call that waits for something gets beyond it.
const SLACK: Duration = Duration::from_secs(15);

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What it was about does not exist.
    Absent,
    /// A name is taken, or the object is in use.
    Conflict,
    /// The engine said no.
    Refused,
    /// No answer: it may have been done.
    Silent,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// How.
    pub(super) kind: Kind,
    /// What was asked for and what was answered.
    pub(super) said: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Unusable(failure.said)
    }
}

impl Failure {
    fn new(what: &str, error: &DockerError) -> Self {
        let (kind, said) = match error {
            DockerError::DockerResponseServerError { status_code, message } => {
                let kind = match status_code {
                    404 => Kind::Absent,
                    409 => Kind::Conflict,
                    _ => Kind::Refused,
                };
                (kind, message.trim().to_owned())
            }
            DockerError::DockerContainerWaitError { .. } => (Kind::Refused, error.to_string()),
            other => (Kind::Silent, causes(other)),
        };
        Self { kind, said: format!("Docker could not {what}: {said}") }
    }

    fn silent(what: &str, limit: Duration) -> Self {
        let said = format!("Docker could not {what}: no answer within {} s", limit.as_secs());
        Self { kind: Kind::Silent, said }
    }
}

/// The whole chain: the outermost error of a connection only says "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = inner.source();
    }
    said
}

/// Turns "it is not there" into nothing.
pub(super) fn present<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Failure { kind: Kind::Absent, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The engine.
pub(super) struct Engine {
    pub(super) options: Options,
    docker: OnceCell<Docker>,
    info: OnceCell<SystemInfo>,
}

impl Engine {
    /// Nothing is asked yet: an engine that is down is a matter of health, not of settings.
    pub(super) fn new(options: Options) -> Self {
        Self { options, docker: OnceCell::new(), info: OnceCell::new() }
    }

    async fn bounded<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| Failure::new(what, &error)),
            Err(_) => Err(Failure::silent(what, limit)),
        }
    }

    async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, Failure> {
        self.bounded(what, self.options.call_limit, call).await
    }

    /// The connection, made at first use, in the newest version that both sides speak.
    pub(super) async fn docker(&self) -> Result<&Docker, Failure> {
        let connect = || async {
            let address = self.options.address();
            let what = format!("be reached at {address}");
            let docker = self.open(address).map_err(|error| Failure::new(&what, &error))?;
            self.call(&what, docker.negotiate_version()).await
        };
        self.docker.get_or_try_init(connect).await
    }

    fn open(&self, address: &str) -> Result<Docker, DockerError> {
        let (seconds, version) = (self.options.call_limit.as_secs().max(1), API_DEFAULT_VERSION);
        match &self.options.tls {
            Some(tls) => {
                // An error means that a provider is installed already, which is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
                Docker::connect_with_ssl(address, &tls.key, &tls.cert, &tls.ca, seconds, version)
            }
            None if address.starts_with("unix://") => Docker::connect_with_unix(address, seconds, version),
            None => Docker::connect_with_http(address, seconds, version),
        }
    }

    /// The API version that we talk, for example (1, 41).
    pub(super) async fn version(&self) -> Result<(usize, usize), Failure> {
        let version = self.docker().await?.client_version();
        Ok((version.major_version, version.minor_version))
    }

    /// Whether it answers now.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        self.call("answer", self.docker().await?.ping()).await.map(drop)
    }

    /// What the engine has; asked once.
    pub(super) async fn info(&self) -> Result<&SystemInfo, Failure> {
        let docker = self.docker().await?;
        self.info.get_or_try_init(|| self.call("tell what it has", docker.info())).await
    }

    /// An image by name; none when it is not here.
    pub(super) async fn image(&self, name: &str) -> Result<Option<ImageInspect>, Failure> {
        let docker = self.docker().await?;
        present(self.call(&format!("look at image {name}"), docker.inspect_image(name)).await)
    }

    /// Containers in every state that carry all these labels.
    pub(super) async fn list(&self, labels: &[String]) -> Result<Vec<ContainerSummary>, Failure> {
        let options =
            query::ListContainersOptions { all: true, filters: Some(by(labels)), ..Default::default() };
        self.call("list containers", self.docker().await?.list_containers(Some(options))).await
    }

    /// A container by name; none when it is not there.
    pub(super) async fn inspect(&self, name: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
        let docker = self.docker().await?;
        let none = None::<query::InspectContainerOptions>;
        present(self.call(&format!("look at container {name}"), docker.inspect_container(name, none)).await)
    }

    /// Creates a container. A taken name is a conflict.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Failure> {
        let options = query::CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let docker = self.docker().await?;
        let what = format!("create container {name}");
        self.call(&what, docker.create_container(Some(options), body)).await.map(drop)
    }

    /// Starts a container; one that runs already is fine.
    pub(super) async fn start(&self, name: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let none = None::<query::StartContainerOptions>;
        self.call(&format!("start container {name}"), docker.start_container(name, none)).await
    }

    /// A writer to the container's standard input.
    pub(super) async fn attach(&self, name: &str) -> Result<AttachContainerResults, Failure> {
        let options = query::AttachContainerOptions { stream: true, stdin: true, ..Default::default() };
        let docker = self.docker().await?;
        let what = format!("attach to container {name}");
        self.call(&what, docker.attach_container(name, Some(options))).await
    }

    /// Asks a container to end and kills it after the grace. One that is not there or ended is fine.
    pub(super) async fn stop(&self, name: &str, grace: Duration) -> Result<(), Failure> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = query::StopContainerOptions { t: Some(seconds), ..Default::default() };
        let limit = grace + self.options.call_limit + SLACK;
        let docker = self.docker().await?.clone().with_timeout(limit);
        let what = format!("stop container {name}");
        present(self.bounded(&what, limit, docker.stop_container(name, Some(options))).await).map(drop)
    }

    /// Lets a paused container go on, so that it hears that it shall end.
    pub(super) async fn unpause(&self, name: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        self.call(&format!("resume container {name}"), docker.unpause_container(name)).await
    }

    /// Removes a container with its anonymous volumes; `force` kills it first. One that is not there is fine.
    pub(super) async fn remove(&self, name: &str, force: bool) -> Result<(), Failure> {
        let options = query::RemoveContainerOptions { v: true, force, ..Default::default() };
        let docker = self.docker().await?;
        let what = format!("remove container {name}");
        present(self.call(&what, docker.remove_container(name, Some(options))).await).map(drop)
    }

    /// Returns when the container does not run, or when the limit is over. How it ended is not said.
    pub(super) async fn wait(&self, name: &str, limit: Duration) -> Result<(), Failure> {
        let options = query::WaitContainerOptions { condition: "not-running".into() };
        let docker = self.docker().await?.clone().with_timeout(limit + SLACK);
        let mut answers = Box::pin(docker.wait_container(name, Some(options)));
        match tokio::time::timeout(limit, answers.next()).await {
            Err(_) | Ok(None | Some(Ok(_) | Err(DockerError::DockerContainerWaitError { .. }))) => Ok(()),
            Ok(Some(Err(error))) => Err(Failure::new(&format!("wait for container {name}"), &error)),
        }
    }

    /// The last `bytes` of what a container printed, among its last `lines`. Empty when it is not there.
    pub(super) async fn tail(
        &self,
        name: &str,
        streams: Streams,
        lines: u32,
        bytes: usize,
    ) -> Result<Vec<u8>, Failure> {
        let options = query::LogsOptions {
            stdout: true,
            stderr: matches!(streams, Streams::Both),
            tail: lines.to_string(),
            ..Default::default()
        };
        let docker = self.docker().await?;
        let read = async {
            let mut end = Vec::new();
            let mut frames = Box::pin(docker.logs(name, Some(options)));
            while let Some(frame) = frames.next().await {
                end.extend_from_slice(frame?.as_ref());
                // Rarely, not per frame: a log may have a million small ones.
                if end.len() > 2 * bytes {
                    end.drain(..end.len() - bytes);
                }
            }
            end.drain(..end.len().saturating_sub(bytes));
            Ok(end)
        };
        let read = self.call(&format!("read the log of container {name}"), read).await;
        present(read).map(Option::unwrap_or_default)
    }

    /// A path inside a container as a tar stream. Links at its end are not followed.
    pub(super) async fn archive(
        &self,
        name: &str,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, Failure>> + Send + use<>, Failure> {
        let docker = self.docker().await?.clone();
        let options = query::DownloadFromContainerOptions { path: path.to_owned() };
        let what = format!("read {path} of container {name}");
        let chunks = docker.download_from_container(name, Some(options));
        Ok(chunks.map(move |chunk| match chunk {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(Failure::new(&what, &error)),
        }))
    }

    /// Names and labels of volumes that carry all these labels.
    pub(super) async fn volumes(&self, labels: &[String]) -> Result<Vec<(String, Labels)>, Failure> {
        let options = query::ListVolumesOptions { filters: Some(by(labels)) };
        let docker = self.docker().await?;
        let found = self.call("list volumes", docker.list_volumes(Some(options))).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|v| (v.name, v.labels)).collect())
    }

    /// Creates a volume; one of that name is fine and stays as it is.
    pub(super) async fn create_volume(&self, name: &str, labels: Labels) -> Result<(), Failure> {
        let wanted =
            VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
        let docker = self.docker().await?;
        self.call(&format!("create volume {name}"), docker.create_volume(wanted)).await.map(drop)
    }

    /// Removes a volume; one that is not there is fine.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let none = None::<query::RemoveVolumeOptions>;
        present(self.call(&format!("remove volume {name}"), docker.remove_volume(name, none)).await).map(drop)
    }

    /// Ids and labels of networks that carry all these labels.
    pub(super) async fn networks(&self, labels: &[String]) -> Result<Vec<(String, Labels)>, Failure> {
        let options = query::ListNetworksOptions { filters: Some(by(labels)) };
        let docker = self.docker().await?;
        let found = self.call("list networks", docker.list_networks(Some(options))).await?;
        Ok(found.into_iter().filter_map(|n| Some((n.id?, n.labels.unwrap_or_default()))).collect())
    }

    /// Creates a network; its id.
    pub(super) async fn create_network(&self, wanted: NetworkCreateRequest) -> Result<String, Failure> {
        let docker = self.docker().await?;
        let what = format!("create network {}", wanted.name);
        Ok(self.call(&what, docker.create_network(wanted)).await?.id)
    }

    /// A network; none when it is not there.
    pub(super) async fn network(&self, id: &str) -> Result<Option<NetworkInspect>, Failure> {
        let docker = self.docker().await?;
        let none = None::<query::InspectNetworkOptions>;
        present(self.call(&format!("look at network {id}"), docker.inspect_network(id, none)).await)
    }

    /// Adds a container to a network under this alias.
    pub(super) async fn connect(&self, network: &str, container: &str, alias: &str) -> Result<(), Failure> {
        let endpoint = EndpointSettings { aliases: Some(vec![alias.to_owned()]), ..Default::default() };
        let wanted =
            NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
        let docker = self.docker().await?;
        let what = format!("connect container {container} to network {network}");
        self.call(&what, docker.connect_network(network, wanted)).await
    }

    /// Removes a network; one that is not there is fine.
    pub(super) async fn remove_network(&self, id: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        present(self.call(&format!("remove network {id}"), docker.remove_network(id)).await).map(drop)
    }
}

/// Which streams of a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Streams {
    /// Standard output: where the status is.
    Output,
    /// Both, in the order in which they came.
    Both,
}

fn by(labels: &[String]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), labels.to_vec())])
}
