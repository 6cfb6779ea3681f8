//! What a container of ours may do. One table, used twice: it is asked for when the container is created, and read back
//! from the engine before it is started, because engines ignore silently what they do not know or cannot do.
//!
//! Pure: a wish becomes a request, and a wish and an answer become the names of the lines that differ.

use super::{Options, name::Labels};
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount, MountPoint, MountType, MountVolumeOptions, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Who works in a container: nobody of the host, without a password, the same in every image.
const USER: &str = "10001:10001";
/// Where every program of ours starts; it exists in every container, because the step's volume is there.
pub(super) const STEP_DIR: &str = "/step";
/// `/run` of an image's daemons is hidden; nobody works there.
const RUN_BYTES: u64 = 1 << 20;
/// `/dev/shm`: the engine's default, asked for so that no other default gets in.
const SHM_BYTES: i64 = 64 << 20;
/// Files of a log.
const LOG_FILES: u64 = 2;
/// What the engine must have hidden at least; newer ones hide more.
const MASKED: [&str; 4] = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"];
/// What the engine must have made read-only at least.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A container as we want it.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Its name.
    pub(super) name: String,
    /// Its image.
    pub(super) image: String,
    /// Its labels.
    pub(super) labels: Labels,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// `NAME=value`; nothing secret.
    pub(super) environment: Vec<String>,
    /// Named volumes; there is no other mount.
    pub(super) mounts: Vec<Place>,
    /// The network's id or name; `none` for no network.
    pub(super) network: String,
    /// `name:address`.
    pub(super) extra_hosts: Vec<String>,
    /// Where names are asked for besides the engine's own; empty = the engine's servers.
    pub(super) dns: Vec<String>,
    /// Whether something is handed over on standard input.
    pub(super) takes_input: bool,
    /// Caps.
    pub(super) caps: Caps,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The volume's name.
    pub(super) volume: String,
    /// Where it is seen.
    pub(super) target: String,
    /// Whether it can only be read.
    pub(super) read_only: bool,
    /// Whether an empty volume takes owner, mode and content of the image's directory.
    pub(super) from_image: bool,
}

/// What a container may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    /// Bytes.
    pub(super) memory: u64,
    /// Thousandths of a core.
    pub(super) cpus_milli: u64,
    /// Processes and threads.
    pub(super) pids: u64,
    /// Bytes of `/tmp`.
    pub(super) tmp: u64,
    /// Open files.
    pub(super) nofile: u64,
    /// Bytes of a file.
    pub(super) fsize: u64,
    /// Bytes of log.
    pub(super) log: u64,
    /// Container runtime.
    pub(super) runtime: Option<String>,
}

impl Caps {
    /// Of a step, on an engine with so many cores.
    pub(super) fn of_step(options: &Options, cores: Option<i64>) -> Self {
        let most = cores.and_then(|cores| u64::try_from(cores).ok()).map_or(u64::MAX, |cores| cores * 1000);
        Self {
            memory: options.memory_bytes,
            cpus_milli: options.cpus_milli.min(most),
            pids: options.pids,
            tmp: options.tmp_bytes,
            nofile: options.nofile,
            fsize: options.fsize_bytes,
            log: options.log_bytes,
            runtime: options.oci_runtime.clone(),
        }
    }

    /// Of a gate: it copies bytes between sockets and keeps nothing.
    pub(super) fn of_gate(options: &Options) -> Self {
        Self {
            memory: 64 << 20,
            cpus_milli: 500,
            pids: 64,
            tmp: 1 << 20,
            nofile: 1024,
            fsize: 1 << 20,
            log: 2 << 20,
            runtime: options.oci_runtime.clone(),
        }
    }
}

impl Wish {
    /// What the engine is asked for.
    pub(super) fn body(&self) -> ContainerCreateBody {
        let (program, arguments) = self.command.split_first().expect("a container of ours has a program");
        ContainerCreateBody {
            image: Some(self.image.clone()),
            user: Some(USER.to_owned()),
            labels: Some(self.labels.clone()),
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(arguments.to_vec()),
            env: Some(self.environment.clone()),
            working_dir: Some(if self.mounts.is_empty() { "/" } else { STEP_DIR }.to_owned()),
            open_stdin: Some(self.takes_input),
            stdin_once: Some(self.takes_input),
            tty: Some(false),
            stop_signal: Some("SIGTERM".to_owned()),
            // An image's own would be run by the engine, beside the worker and unseen by it.
            healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
            host_config: Some(self.host_config()),
            ..Default::default()
        }
    }

    fn host_config(&self) -> HostConfig {
        let Caps { memory, cpus_milli, pids, tmp, nofile, fsize, log, runtime } = &self.caps;
        let limit = |name: &str, most: u64| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(number(most)),
            hard: Some(number(most)),
        };
        HostConfig {
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            privileged: Some(false),
            readonly_rootfs: Some(true),
            // Programs may run from /tmp: compilers' test binaries and installers do, and an agent can write and run
            // programs in its workspace anyway.
            tmpfs: Some(HashMap::from([
                ("/tmp".to_owned(), format!("rw,nosuid,nodev,exec,mode=1777,size={tmp}")),
                ("/run".to_owned(), format!("rw,nosuid,nodev,noexec,size={RUN_BYTES}")),
            ])),
            memory: Some(number(*memory)),
            memory_swap: Some(number(*memory)),
            nano_cpus: Some(number(cpus_milli * 1_000_000)),
            pids_limit: Some(number(*pids)),
            ulimits: Some(vec![limit("core", 0), limit("fsize", *fsize), limit("nofile", *nofile)]),
            shm_size: Some(SHM_BYTES),
            init: Some(true),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: Some(0),
            }),
            auto_remove: Some(false),
            oom_kill_disable: Some(false),
            ipc_mode: Some("private".to_owned()),
            mounts: Some(self.mounts.iter().map(mount).collect()),
            network_mode: Some(self.network.clone()),
            dns: Some(self.dns.clone()),
            extra_hosts: Some(self.extra_hosts.clone()),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), (log / LOG_FILES).to_string()),
                    ("max-file".to_owned(), LOG_FILES.to_string()),
                ])),
            }),
            runtime: runtime.clone(),
            ..Default::default()
        }
    }

    /// What an engine answers that does all of it.
    fn obeyed(&self) -> ContainerInspectResponse {
        let mut host = self.host_config();
        let all = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
        host.masked_paths = all(&MASKED);
        host.readonly_paths = all(&READ_ONLY);
        let body = self.body();
        ContainerInspectResponse {
            host_config: Some(host),
            config: Some(ContainerConfig {
                user: body.user,
                entrypoint: body.entrypoint,
                cmd: body.cmd,
                open_stdin: body.open_stdin,
                stdin_once: body.stdin_once,
                tty: body.tty,
                env: body.env,
                healthcheck: body.healthcheck,
                ..Default::default()
            }),
            mounts: Some(
                self.mounts
                    .iter()
                    .map(|place| MountPoint {
                        name: Some(place.volume.clone()),
                        destination: Some(place.target.clone()),
                        rw: Some(!place.read_only),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }
    }

    /// Names of the lines in which a container differs from the wish. Empty = it may be started.
    pub(super) fn differences(&self, seen: &ContainerInspectResponse) -> Vec<String> {
        let wanted = self.obeyed();
        let mut lines: Vec<String> = LINES
            .iter()
            .filter(|(_, read)| read(&wanted) != read(seen))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        // The image's own variables come on top of ours.
        let has = |variable: &String| environment(seen).contains(variable);
        if !self.environment.iter().all(has) {
            lines.push("Env".to_owned());
        }
        if self.caps.runtime.is_some() && read_host(seen, |h| json!(h.runtime)) != json!(self.caps.runtime) {
            lines.push("Runtime".to_owned());
        }
        lines
    }
}

type Read = fn(&ContainerInspectResponse) -> Value;

/// Every line that is compared. Where nothing is wanted, nothing must be there.
const LINES: [(&str, Read); 51] = [
    ("User", |c| read_config(c, |c| json!(c.user))),
    ("Entrypoint", |c| read_config(c, |c| json!(c.entrypoint))),
    ("Cmd", |c| read_config(c, |c| json!(c.cmd))),
    ("OpenStdin", |c| read_config(c, |c| json!(c.open_stdin))),
    ("StdinOnce", |c| read_config(c, |c| json!(c.stdin_once))),
    ("Tty", |c| read_config(c, |c| json!(c.tty))),
    ("Healthcheck", |c| read_config(c, |c| json!(c.healthcheck.as_ref().map(|check| &check.test)))),
    ("Mounts", mounted),
    ("AppArmorProfile", |c| json!(c.app_armor_profile.as_deref() == Some("unconfined"))),
    ("Privileged", |c| read_host(c, |h| json!(h.privileged))),
    ("CapAdd", |c| read_host(c, |h| json!(h.cap_add))),
    ("CapDrop", |c| read_host(c, |h| json!(h.cap_drop))),
    ("SecurityOpt", |c| read_host(c, |h| json!(h.security_opt))),
    ("ReadonlyRootfs", |c| read_host(c, |h| json!(h.readonly_rootfs))),
    ("Tmpfs", |c| read_host(c, |h| json!(h.tmpfs))),
    ("Memory", |c| read_host(c, |h| json!(h.memory))),
    ("MemorySwap", |c| read_host(c, |h| json!(h.memory_swap))),
    ("NanoCpus", |c| read_host(c, |h| json!(h.nano_cpus))),
    ("CpuQuota", |c| read_host(c, |h| json!(h.cpu_quota))),
    ("CpuRealtimeRuntime", |c| read_host(c, |h| json!(h.cpu_realtime_runtime))),
    ("PidsLimit", |c| read_host(c, |h| json!(h.pids_limit))),
    ("Ulimits", ulimits),
    ("ShmSize", |c| read_host(c, |h| json!(h.shm_size))),
    ("Init", |c| read_host(c, |h| json!(h.init))),
    ("RestartPolicy", |c| {
        read_host(c, |h| json!(h.restart_policy.as_ref().map(|p| p.name.map(|n| n.to_string()))))
    }),
    ("AutoRemove", |c| read_host(c, |h| json!(h.auto_remove))),
    ("OomKillDisable", |c| read_host(c, |h| json!(h.oom_kill_disable))),
    ("OomScoreAdj", |c| read_host(c, |h| json!(h.oom_score_adj))),
    ("IpcMode", |c| read_host(c, |h| json!(h.ipc_mode))),
    ("PidMode", |c| read_host(c, |h| json!(h.pid_mode))),
    ("UTSMode", |c| read_host(c, |h| json!(h.uts_mode))),
    ("UsernsMode", |c| read_host(c, |h| json!(h.userns_mode))),
    ("Cgroup", |c| read_host(c, |h| json!(h.cgroup))),
    ("CgroupParent", |c| read_host(c, |h| json!(h.cgroup_parent))),
    ("Binds", |c| read_host(c, |h| json!(h.binds))),
    ("VolumesFrom", |c| read_host(c, |h| json!(h.volumes_from))),
    ("Links", |c| read_host(c, |h| json!(h.links))),
    ("Devices", |c| read_host(c, |h| json!(h.devices))),
    ("DeviceRequests", |c| read_host(c, |h| json!(h.device_requests))),
    ("DeviceCgroupRules", |c| read_host(c, |h| json!(h.device_cgroup_rules))),
    ("GroupAdd", |c| read_host(c, |h| json!(h.group_add))),
    ("Sysctls", |c| read_host(c, |h| json!(h.sysctls))),
    ("PortBindings", |c| read_host(c, |h| json!(h.port_bindings))),
    ("PublishAllPorts", |c| read_host(c, |h| json!(h.publish_all_ports))),
    ("NetworkMode", |c| read_host(c, |h| json!(h.network_mode))),
    ("ExtraHosts", |c| read_host(c, |h| json!(h.extra_hosts))),
    ("Dns", |c| read_host(c, |h| json!(h.dns))),
    ("LogConfig", |c| read_host(c, |h| json!(h.log_config.as_ref().map(|l| (&l.typ, &l.config))))),
    ("MaskedPaths", |c| read_host(c, |h| json!(contains(h.masked_paths.as_ref(), &MASKED)))),
    ("ReadonlyPaths", |c| read_host(c, |h| json!(contains(h.readonly_paths.as_ref(), &READ_ONLY)))),
    ("StorageOpt", |c| read_host(c, |h| json!(h.storage_opt))),
];

fn read_host(seen: &ContainerInspectResponse, read: impl Fn(&HostConfig) -> Value) -> Value {
    plain(seen.host_config.as_ref().map_or(Value::Null, read))
}

fn read_config(seen: &ContainerInspectResponse, read: impl Fn(&ContainerConfig) -> Value) -> Value {
    plain(seen.config.as_ref().map_or(Value::Null, read))
}

/// Engines write "nothing" in many ways.
fn plain(value: Value) -> Value {
    let nothing = match &value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    if nothing { Value::Null } else { value }
}

fn contains(paths: Option<&Vec<String>>, wanted: &[&str]) -> bool {
    paths.is_some_and(|paths| wanted.iter().all(|path| paths.iter().any(|seen| seen == path)))
}

fn environment(seen: &ContainerInspectResponse) -> &[String] {
    seen.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default()
}

/// What is really mounted, and nothing else: an image's own volumes count.
fn mounted(seen: &ContainerInspectResponse) -> Value {
    let mut mounts: Vec<_> =
        seen.mounts.iter().flatten().map(|m| (m.destination.clone(), m.name.clone(), m.rw)).collect();
    mounts.sort();
    json!(mounts)
}

fn ulimits(seen: &ContainerInspectResponse) -> Value {
    read_host(seen, |host| {
        let mut limits: Vec<_> =
            host.ulimits.iter().flatten().map(|u| (u.name.clone(), u.soft, u.hard)).collect();
        limits.sort();
        json!(limits)
    })
}

fn mount(place: &Place) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(place.volume.clone()),
        target: Some(place.target.clone()),
        read_only: Some(place.read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(!place.from_image), ..Default::default() }),
        ..Default::default()
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{DeviceMapping, DeviceRequest};

    fn wish() -> Wish {
        let place = Place { volume: "out".into(), target: "/out".into(), read_only: false, from_image: true };
        Wish {
            name: "x".into(),
            image: "worker".into(),
            labels: Labels::new(),
            command: vec!["/usr/local/bin/roundsman-worker".into(), "agent".into()],
            environment: vec!["HTTP_PROXY=http://egress:3128".into()],
            mounts: vec![place],
            network: "none".into(),
            extra_hosts: Vec::new(),
            dns: vec!["192.0.2.1".into()],
            takes_input: true,
            caps: Caps::of_step(&Options::new("0123abcd", "worker"), Some(2)),
        }
    }

    type Corrupt = fn(&mut ContainerInspectResponse);

    /// Every line of an answer, corrupted: its name, and how.
    fn corruptions() -> Vec<(&'static str, Corrupt)> {
        fn host(c: &mut ContainerInspectResponse) -> &mut HostConfig {
            c.host_config.as_mut().unwrap()
        }
        fn config(c: &mut ContainerInspectResponse) -> &mut ContainerConfig {
            c.config.as_mut().unwrap()
        }
        vec![
            ("User", |c| config(c).user = Some("0:0".into())),
            ("Entrypoint", |c| config(c).entrypoint = Some(vec!["/bin/sh".into()])),
            ("Cmd", |c| config(c).cmd = Some(vec!["publish".into()])),
            ("OpenStdin", |c| config(c).open_stdin = Some(false)),
            ("StdinOnce", |c| config(c).stdin_once = Some(false)),
            ("Tty", |c| config(c).tty = Some(true)),
            ("Healthcheck", |c| config(c).healthcheck = None),
            ("Env", |c| config(c).env = Some(vec!["HTTP_PROXY=http://elsewhere".into()])),
            ("Mounts", |c| c.mounts.as_mut().unwrap()[0].rw = Some(false)),
            ("Mounts", |c| c.mounts.as_mut().unwrap().push(MountPoint::default())),
            ("Mounts", |c| c.mounts = None),
            ("AppArmorProfile", |c| c.app_armor_profile = Some("unconfined".into())),
            ("Privileged", |c| host(c).privileged = Some(true)),
            ("CapAdd", |c| host(c).cap_add = Some(vec!["SYS_ADMIN".into()])),
            ("CapDrop", |c| host(c).cap_drop = None),
            ("SecurityOpt", |c| host(c).security_opt = None),
            ("SecurityOpt", |c| {
                host(c).security_opt.as_mut().unwrap().push("seccomp=unconfined".to_owned());
            }),
            ("ReadonlyRootfs", |c| host(c).readonly_rootfs = Some(false)),
            ("Tmpfs", |c| host(c).tmpfs = None),
            ("Memory", |c| host(c).memory = Some(0)),
            ("MemorySwap", |c| host(c).memory_swap = Some(-1)),
            ("NanoCpus", |c| host(c).nano_cpus = None),
            ("CpuQuota", |c| host(c).cpu_quota = Some(-1)),
            ("CpuRealtimeRuntime", |c| host(c).cpu_realtime_runtime = Some(1)),
            ("PidsLimit", |c| host(c).pids_limit = Some(-1)),
            ("Ulimits", |c| host(c).ulimits.as_mut().unwrap()[0].hard = Some(-1)),
            ("ShmSize", |c| host(c).shm_size = Some(1 << 40)),
            ("Init", |c| host(c).init = None),
            ("RestartPolicy", |c| {
                host(c).restart_policy.as_mut().unwrap().name = Some(RestartPolicyNameEnum::ALWAYS);
            }),
            ("AutoRemove", |c| host(c).auto_remove = Some(true)),
            ("OomKillDisable", |c| host(c).oom_kill_disable = Some(true)),
            ("OomScoreAdj", |c| host(c).oom_score_adj = Some(-500)),
            ("IpcMode", |c| host(c).ipc_mode = Some("host".into())),
            ("PidMode", |c| host(c).pid_mode = Some("host".into())),
            ("UTSMode", |c| host(c).uts_mode = Some("host".into())),
            ("UsernsMode", |c| host(c).userns_mode = Some("host".into())),
            ("Cgroup", |c| host(c).cgroup = Some("container:other".into())),
            ("CgroupParent", |c| host(c).cgroup_parent = Some("/".into())),
            ("Binds", |c| host(c).binds = Some(vec!["/:/host".into()])),
            ("VolumesFrom", |c| host(c).volumes_from = Some(vec!["other".into()])),
            ("Links", |c| host(c).links = Some(vec!["other".into()])),
            ("Devices", |c| host(c).devices = Some(vec![DeviceMapping::default()])),
            ("DeviceRequests", |c| host(c).device_requests = Some(vec![DeviceRequest::default()])),
            ("DeviceCgroupRules", |c| host(c).device_cgroup_rules = Some(vec!["a *:* rwm".into()])),
            ("GroupAdd", |c| host(c).group_add = Some(vec!["0".into()])),
            ("Sysctls", |c| host(c).sysctls = Some(HashMap::from([("a".into(), "b".into())]))),
            ("PortBindings", |c| host(c).port_bindings = Some(HashMap::from([("80/tcp".into(), None)]))),
            ("PublishAllPorts", |c| host(c).publish_all_ports = Some(true)),
            ("NetworkMode", |c| host(c).network_mode = Some("host".into())),
            ("ExtraHosts", |c| host(c).extra_hosts = Some(vec!["host:172.17.0.1".into()])),
            ("Dns", |c| host(c).dns = None),
            ("LogConfig", |c| host(c).log_config.as_mut().unwrap().config = None),
            ("MaskedPaths", |c| host(c).masked_paths = None),
            ("ReadonlyPaths", |c| host(c).readonly_paths.as_mut().unwrap().truncate(1)),
            ("StorageOpt", |c| host(c).storage_opt = Some(HashMap::from([("size".into(), "1".into())]))),
        ]
    }

    #[test]
    fn every_corrupted_line_is_named_and_none_is_forgotten() {
        let wish = wish();
        assert!(wish.differences(&wish.obeyed()).is_empty());
        for (name, corrupt) in corruptions() {
            let mut seen = wish.obeyed();
            corrupt(&mut seen);
            assert_eq!(wish.differences(&seen), [name]);
        }
        for (name, _) in LINES {
            assert!(corruptions().iter().any(|(known, _)| *known == name), "{name} is never corrupted");
        }
        let silent = wish.differences(&ContainerInspectResponse::default());
        assert!(silent.iter().any(|line| line == "CapDrop") && silent.iter().any(|line| line == "Env"));
    }

    #[test]
    fn nothing_is_read_as_nothing_and_an_image_may_add_variables() {
        let wish = wish();
        let mut seen = wish.obeyed();
        let host = seen.host_config.as_mut().unwrap();
        host.cap_add = Some(Vec::new());
        host.pid_mode = Some(String::new());
        host.cpu_quota = Some(0);
        host.masked_paths.as_mut().unwrap().push("/proc/more".into());
        host.runtime = Some("runc".into());
        seen.config.as_mut().unwrap().env.as_mut().unwrap().push("PATH=/bin".into());
        assert!(wish.differences(&seen).is_empty());
        let mut strict = wish;
        strict.caps.runtime = Some("runsc".into());
        assert_eq!(strict.differences(&seen), ["Runtime"]);
    }

    #[test]
    fn an_engine_with_one_core_is_not_asked_for_two() {
        let options = Options::new("0123abcd", "worker");
        assert_eq!(Caps::of_step(&options, Some(1)).cpus_milli, 1000);
        assert_eq!(Caps::of_step(&options, None).cpus_milli, 2000);
    }
}
