//! What an agent can reach: nothing, or one gate.
//!
//! The agent's network is internal, and its bridge has no address on the host: an internal network alone still reaches
//! everything that listens on the host. The gate stands in it under the name `egress` and in the outside network. Names
//! are resolved by the gate; the agent's own questions go to an address that nobody has.

use super::{
    engine::{Engine, Streams},
    hardening::{Caps, Wish},
    name::{self, Names},
    options::Egress,
    state,
    volumes::OWN_WORKER,
};
use crate::{
    domain::{RunId, Step, TurnNumber},
    runtime::{Error, process::files::plain, spec::WorkerSpec},
};
use bollard::models::{ContainerInspectResponse, ContainerSummaryStateEnum, NetworkCreateRequest};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// The gate's name in the agent's network.
pub(super) const ALIAS: &str = "egress";
/// Where it listens there.
const PORT: u16 = 3128;
/// The network of fetch, publish and the gate when the operator named none.
const BRIDGE: &str = "bridge";
/// Set aside for documentation: nobody has it, so no question of the agent leaves.
const NO_RESOLVER: &str = "192.0.2.1";
/// Bridges without an address on the host.
const NO_HOST_ADDRESS: &str = "com.docker.network.bridge.inhibit_ipv4";
/// What the gate lives longer than all limits of its step: saving work, the worker's own watchdog, and a margin.
const GATE_SLACK_SECONDS: u64 = 30 + 30 + 60;
/// Bytes of a gate's log that explain why it ended.
const LAST_WORDS: usize = 500;

/// The network of what is ours and needs one: fetch, publish, gate.
pub(super) fn outside(engine: &Engine) -> String {
    engine.options.outside_network.clone().unwrap_or_else(|| BRIDGE.to_owned())
}

/// The address at which containers in the usual network reach the engine's own machine.
pub(super) async fn doorway(engine: &Engine) -> Result<IpAddr, Error> {
    let network = outside(engine);
    let found = engine.network(&network).await?.and_then(|found| found.ipam?.config);
    let gateway = found.into_iter().flatten().find_map(|range| range.gateway?.parse().ok());
    gateway.ok_or_else(|| {
        Error::Unusable(format!("the engine's network {network} has no address on its machine"))
    })
}

/// What this step may reach: the engine's list, or the call's own where it says so.
pub(super) fn egress_of(egress: &Egress, spec: &WorkerSpec) -> Egress {
    let own = spec.agent.as_ref().and_then(|agent| agent.hosts.as_ref());
    match (egress, own) {
        (Egress::Gate { .. }, Some(hosts)) if hosts.is_empty() => Egress::Nothing,
        (Egress::Gate { upstream, .. }, Some(hosts)) => {
            Egress::Gate { allow: hosts.clone(), upstream: upstream.clone() }
        }
        (Egress::Gate { .. } | Egress::Nothing, _) => egress.clone(),
    }
}

/// Network, resolvers and variables of an agent; the network's id is `network` when there is a gate.
pub(super) fn of_agent(egress: &Egress, network: Option<String>) -> (String, Vec<String>, Vec<String>) {
    match (egress, network) {
        (Egress::Nothing, _) | (Egress::Gate { .. }, None) => ("none".to_owned(), Vec::new(), Vec::new()),
        (Egress::Gate { .. }, Some(network)) => {
            let proxy = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
                .map(|name| format!("{name}=http://{ALIAS}:{PORT}"));
            let direct = ["NO_PROXY", "no_proxy"].map(|name| format!("{name}=127.0.0.1,localhost"));
            (network, vec![NO_RESOLVER.to_owned()], proxy.into_iter().chain(direct).collect())
        }
    }
}

/// A network for the agent of this turn; its id. Names of networks are not unique in every engine, so two starts at once
/// may make two: the agent's container says which one counts, and the other goes with [`close`].
pub(super) async fn make(engine: &Engine, names: &Names<'_>, turn: TurnNumber) -> Result<String, Error> {
    let labels = names.labels("network", Some(turn));
    let all: Vec<String> = labels.iter().map(|(label, value)| name::is(label, value)).collect();
    if let Some((there, _)) = engine.networks(&all).await?.into_iter().min_by(|a, b| a.0.cmp(&b.0)) {
        return Ok(there);
    }
    let wanted = NetworkCreateRequest {
        name: names.of_turn(turn, "net"),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        attachable: Some(false),
        enable_ipv6: Some(false),
        options: Some(HashMap::from([(NO_HOST_ADDRESS.to_owned(), "true".to_owned())])),
        labels: Some(labels),
        ..Default::default()
    };
    Ok(engine.create_network(wanted).await?)
}

/// What is wrong with the network that an agent's container names. Empty = nothing.
pub(super) async fn weaknesses(engine: &Engine, names: &Names<'_>, id: &str) -> Result<Vec<String>, Error> {
    let Some(network) = engine.network(id).await? else {
        return Err(Error::Unusable(format!("the agent's network {id} is gone")));
    };
    let labels = network.labels.unwrap_or_default();
    let ours = names.labels("network", name::number(&labels));
    let options = network.options.unwrap_or_default();
    let lines = [
        ("network Internal", network.internal == Some(true)),
        ("network Options", options.get(NO_HOST_ADDRESS).is_some_and(|set| set == "true")),
        ("network EnableIPv6", network.enable_ipv6 != Some(true)),
        ("network Labels", labels == ours),
    ];
    Ok(lines.into_iter().filter(|(_, holds)| !holds).map(|(line, _)| line.to_owned()).collect())
}

/// Makes the gate of a turn run in the agent's network.
pub(super) async fn open(
    engine: &Engine,
    names: &Names<'_>,
    spec: &WorkerSpec,
    network: &str,
) -> Result<(), Error> {
    let Egress::Gate { allow, upstream } = egress_of(&engine.options.egress, spec) else { return Ok(()) };
    let wish = gate(engine, names, spec, &allow, upstream.as_deref());
    // Of an earlier start of this turn that came to nothing: its agent never ran, and its lifetime is running out.
    engine.remove(&wish.name, true).await?;
    engine.create(&wish.name, wish.body()).await?;
    let created = engine.inspect(&wish.name).await?.unwrap_or_default();
    let lines = wish.differences(&created);
    if !lines.is_empty() {
        return Err(Error::Weakened { name: wish.name, lines });
    }
    engine.connect(network, &wish.name, ALIAS).await?;
    engine.start(&wish.name).await?;
    let started = engine.inspect(&wish.name).await?.unwrap_or_default();
    if is_running(&started) && is_in(&started, network) {
        return Ok(());
    }
    let said = engine.tail(&wish.name, Streams::Both, 10, LAST_WORDS).await?;
    let said = plain(&String::from_utf8_lossy(&said));
    Err(Error::Unusable(format!("the egress gate {} ended at once: {}", wish.name, said.trim())))
}

fn gate(
    engine: &Engine,
    names: &Names<'_>,
    spec: &WorkerSpec,
    allow: &[String],
    upstream: Option<&str>,
) -> Wish {
    let (options, turn, limits) = (&engine.options, spec.turn.number, &spec.limits);
    let lifetime = limits.wall_seconds + limits.grace_seconds + GATE_SLACK_SECONDS;
    let mut command = vec![
        OWN_WORKER.to_owned(),
        "egress".to_owned(),
        "--listen".to_owned(),
        format!("0.0.0.0:{PORT}"),
        "--allow".to_owned(),
        allow.join(","),
        "--lifetime".to_owned(),
        lifetime.to_string(),
    ];
    if let Some(upstream) = upstream {
        command.extend(["--upstream".to_owned(), upstream.to_owned()]);
    }
    Wish {
        name: names.gate(turn),
        image: options.image.clone(),
        labels: names.labels(name::GATE, Some(turn)),
        command,
        environment: Vec::new(),
        mounts: Vec::new(),
        network: outside(engine),
        extra_hosts: options.extra_hosts.clone(),
        dns: Vec::new(),
        takes_input: false,
        caps: Caps::of_gate(options),
    }
}

fn is_running(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().is_some_and(state::is_live)
}

fn is_in(container: &ContainerInspectResponse, network: &str) -> bool {
    let networks = container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    networks.is_some_and(|all| all.values().any(|one| one.network_id.as_deref() == Some(network)))
}

/// Removes gates and networks of a run whose agents have ended, except those of the turn that is being started.
pub(super) async fn close(engine: &Engine, run: RunId, keep: Option<TurnNumber>) -> Result<(), Error> {
    let options = &engine.options;
    if options.egress == Egress::Nothing && keep.is_some() {
        return Ok(());
    }
    let of_run = [name::is(name::SCOPE, &options.scope), name::is(name::RUN, run)];
    let containers = engine.list(&of_run).await?;
    let mut needed: BTreeSet<TurnNumber> = keep.into_iter().collect();
    for container in &containers {
        let waits_or_works = matches!(
            container.state,
            Some(
                ContainerSummaryStateEnum::CREATED
                    | ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::PAUSED
                    | ContainerSummaryStateEnum::RESTARTING
                    | ContainerSummaryStateEnum::STOPPING
            )
        );
        if let Some(Ok(who)) = container.labels.as_ref().and_then(name::who)
            && who.step == Step::Agent
            && waits_or_works
        {
            needed.insert(who.turn.number);
        }
    }
    for container in containers {
        let labels = container.labels.unwrap_or_default();
        let is_gate = labels.get(name::KIND).is_some_and(|kind| kind == name::GATE);
        if is_gate && name::number(&labels).is_none_or(|turn| !needed.contains(&turn)) {
            engine.remove(&container.id.unwrap_or_default(), true).await?;
        }
    }
    for (network, labels) in engine.networks(&of_run).await? {
        if name::number(&labels).is_none_or(|turn| !needed.contains(&turn)) {
            engine.remove_network(&network).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_gate_has_no_network_and_no_proxy() {
        assert_eq!(of_agent(&Egress::Nothing, None), ("none".to_owned(), Vec::new(), Vec::new()));
        let gate = Egress::Gate { allow: Vec::new(), upstream: None };
        let (network, dns, environment) = of_agent(&gate, Some("id".into()));
        assert_eq!((network.as_str(), dns.as_slice()), ("id", ["192.0.2.1".to_owned()].as_slice()));
        assert!(environment.contains(&"HTTPS_PROXY=http://egress:3128".to_owned()));
        assert!(environment.contains(&"NO_PROXY=127.0.0.1,localhost".to_owned()));
    }
}
