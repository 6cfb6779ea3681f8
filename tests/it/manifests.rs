//! What `deploy/` promises: it parses, it arrives disarmed, it is hardened, and it names only settings that exist.
//!
//! Whether Kubernetes would accept every field is for the gate, which has the schemas (`.ci/run manifests`).

use crate::tidy::{files, known_settings, root, variables};
use serde_json::{Value, json};
use std::fs;

/// What must be on, empty or absent wherever settings are shipped.
const ALLOW_LISTS: [&str; 4] = [
    "ROUNDSMAN_INTAKE_PROJECTS",
    "ROUNDSMAN_INTAKE_REPOSITORIES",
    "ROUNDSMAN_INTAKE_TRUSTED",
    "ROUNDSMAN_INTAKE_DEFAULT_REPOSITORY",
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn parse(name: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn manifest(name: &str) -> Value {
    parse(name, &read(&format!("deploy/kubernetes/{name}")))
}

/// `NAME=value` lines.
fn assignments(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
}

fn value_of<'a>(settings: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    settings.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
}

/// What keeps shipped settings from doing anything.
fn armed(settings: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    if value_of(settings, "ROUNDSMAN_KILL_SWITCH") != Some("on") {
        findings.push("the kill switch is not on".to_owned());
    }
    for name in ALLOW_LISTS {
        match value_of(settings, name) {
            Some("") => {}
            Some(_) => findings.push(format!("{name} is filled")),
            None => findings.push(format!("{name} is not shown")),
        }
    }
    findings
}

/// What a `CronJob` of ours must say: (JSON pointer, value).
fn required() -> Vec<(&'static str, Value)> {
    vec![
        ("/kind", json!("CronJob")),
        ("/spec/concurrencyPolicy", json!("Forbid")),
        ("/spec/timeZone", json!("Etc/UTC")),
        ("/spec/startingDeadlineSeconds", json!(120)),
        ("/spec/successfulJobsHistoryLimit", json!(3)),
        ("/spec/failedJobsHistoryLimit", json!(5)),
        ("/spec/jobTemplate/spec/backoffLimit", json!(0)),
        ("/spec/jobTemplate/spec/template/spec/restartPolicy", json!("Never")),
        ("/spec/jobTemplate/spec/template/spec/automountServiceAccountToken", json!(false)),
        ("/spec/jobTemplate/spec/template/spec/enableServiceLinks", json!(false)),
        ("/spec/jobTemplate/spec/template/spec/securityContext/runAsNonRoot", json!(true)),
        ("/spec/jobTemplate/spec/template/spec/securityContext/runAsUser", json!(10001)),
        ("/spec/jobTemplate/spec/template/spec/securityContext/runAsGroup", json!(10001)),
        ("/spec/jobTemplate/spec/template/spec/securityContext/fsGroup", json!(10001)),
        ("/spec/jobTemplate/spec/template/spec/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        (
            "/spec/jobTemplate/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation",
            json!(false),
        ),
        (
            "/spec/jobTemplate/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
            json!(true),
        ),
        (
            "/spec/jobTemplate/spec/template/spec/containers/0/securityContext/capabilities",
            json!({"drop": ["ALL"]}),
        ),
    ]
}

/// What must be there, whatever it says.
const PRESENT: [&str; 5] = [
    "/spec/schedule",
    "/spec/jobTemplate/spec/activeDeadlineSeconds",
    "/spec/jobTemplate/spec/template/spec/containers/0/resources/requests/memory",
    "/spec/jobTemplate/spec/template/spec/containers/0/resources/limits/memory",
    "/spec/jobTemplate/spec/template/spec/containers/0/resources/limits/ephemeral-storage",
];

fn softened(cron_job: &Value) -> Vec<String> {
    let mut findings: Vec<String> = required()
        .into_iter()
        .filter(|(pointer, expected)| cron_job.pointer(pointer) != Some(expected))
        .map(|(pointer, expected)| format!("{pointer} is not {expected}"))
        .collect();
    findings.extend(
        PRESENT.iter().filter(|pointer| cron_job.pointer(pointer).is_none()).map(|p| format!("no {p}")),
    );
    let pod = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let only = |list: &Value| list.as_array().map_or(0, Vec::len) == 1;
    if !only(&pod["containers"]) || !pod["initContainers"].is_null() {
        findings.push("more than one container: the checks look at the first".to_owned());
    }
    // A secret is a file: as a variable it leaks into children, dumps and descriptions.
    let container = &pod["containers"][0];
    if !container["env"].is_null() || container["envFrom"] != json!([{"configMapRef": {"name": "roundsman"}}])
    {
        findings.push("settings come from somewhere else than the ConfigMap".to_owned());
    }
    // The process runtime's steps would end with the pod: until there is another one, dry runs only.
    if !container["args"].as_array().is_some_and(|args| args.contains(&json!("--dry-run"))) {
        findings.push("not a dry run".to_owned());
    }
    if ["hostNetwork", "hostPID", "hostIPC"].iter().any(|host| !pod[host].is_null()) {
        findings.push("shares the host's namespaces".to_owned());
    }
    findings
}

fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_manifest_parses_and_is_in_the_kustomization() {
    let kustomization = manifest("kustomization.yaml");
    let listed: Vec<&str> =
        kustomization["resources"].as_array().expect("resources").iter().filter_map(Value::as_str).collect();
    let mut found = 0;
    for path in files("deploy/kubernetes") {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let object = manifest(&name);
        assert!(object["apiVersion"].is_string() && object["kind"].is_string(), "{name} is no object");
        // The example would replace the real token by "replace-me".
        let left_out = ["kustomization.yaml", "secret.example.yaml"].contains(&name.as_str());
        assert_eq!(listed.contains(&name.as_str()), !left_out, "{name}");
        found += usize::from(!left_out);
    }
    assert_eq!(found, listed.len(), "the kustomization lists what is not there");
}

#[test]
fn both_cron_jobs_are_hardened_and_dry() {
    for name in ["poller", "watcher"] {
        let cron_job = manifest(&format!("{name}.yaml"));
        none(&softened(&cron_job));
        let container = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"][0], json!(format!("roundsman-{name}")));
    }
}

#[test]
fn each_softening_is_found() {
    let good = manifest("poller.yaml");
    for pointer in required().into_iter().map(|(pointer, _)| pointer).chain(PRESENT) {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = Value::Null;
        // A value that must only be present is taken away; the rest is changed.
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        bad.pointer_mut(parent).and_then(Value::as_object_mut).map(|object| object.remove(key));
        assert!(!softened(&bad).is_empty(), "{pointer} may go unnoticed");
    }
    let container = "/spec/jobTemplate/spec/template/spec/containers/0";
    for (key, value) in [("args", json!(["roundsman-poller"])), ("env", json!([{"name": "A", "value": "b"}]))]
    {
        let mut bad = good.clone();
        bad.pointer_mut(container).expect("a container")[key] = value;
        assert_eq!(softened(&bad).len(), 1, "{key}");
    }
}

#[test]
fn the_namespace_refuses_whatever_is_not_restricted() {
    let labels = &manifest("namespace.yaml")["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], json!("restricted"));
    assert_eq!(manifest("service-account.yaml")["automountServiceAccountToken"], json!(false));
    let network = manifest("network-policy.yaml");
    assert_eq!(network["spec"]["podSelector"], json!({}), "the policy is for every pod");
    assert_eq!(network["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(network["spec"]["ingress"], json!([]), "nobody calls us");
}

#[test]
fn settings_are_shipped_disarmed() {
    let text = read("deploy/config.example.env");
    none(&armed(&assignments(&text)));

    let config = manifest("config.yaml");
    let data = config["data"].as_object().expect("data");
    let settings: Vec<(&str, &str)> =
        data.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("only strings"))).collect();
    none(&armed(&settings));

    let names =
        |settings: &[(&str, &str)]| settings.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let (mut ours, mut theirs) = (names(&assignments(&text)), names(&settings));
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "both forms show the same settings");
}

#[test]
fn an_armed_sample_is_found() {
    assert_eq!(armed(&[]).len(), 5);
    let mut settings = vec![("ROUNDSMAN_KILL_SWITCH", "off")];
    settings.extend(ALLOW_LISTS.map(|name| (name, "")));
    assert_eq!(armed(&settings), ["the kill switch is not on"]);
    settings[0].1 = "on";
    settings[1].1 = "everything";
    assert_eq!(armed(&settings), ["ROUNDSMAN_INTAKE_PROJECTS is filled"]);
}

#[test]
fn no_real_token_is_shipped() {
    assert_eq!(manifest("secret.example.yaml")["stringData"], json!({"token": "replace-me"}));
    for path in files("deploy") {
        let text = fs::read_to_string(&path).expect("deploy/ is text");
        // Tokens of Azure DevOps are 52 or 84 characters without a break.
        let longest =
            text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap_or_default();
        assert!(longest < 52, "{} holds something like a token", path.display());
    }
}

#[test]
fn units_are_hardened_and_let_steps_live() {
    for name in ["poller", "watcher"] {
        let unit = read(&format!("deploy/systemd/roundsman-{name}.service"));
        for line in [
            "Type=oneshot",
            "User=roundsman",
            "EnvironmentFile=/etc/roundsman/config.env",
            "KillMode=process",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "SuccessExitStatus=75",
            "UMask=0077",
        ] {
            assert!(unit.lines().any(|own| own == line), "roundsman-{name}.service has no `{line}`");
        }
        assert!(unit.lines().any(|line| line == format!("ExecStart=/usr/local/bin/roundsman-{name}")));
        // It would be deleted under the feet of a step that outlives its visit.
        assert!(
            !unit.lines().any(|line| line.starts_with("PrivateTmp=")),
            "PrivateTmp in roundsman-{name}.service"
        );
        let timer = read(&format!("deploy/systemd/roundsman-{name}.timer"));
        assert!(timer.lines().any(|line| line == "WantedBy=timers.target"));
    }
}

#[test]
fn cron_reads_the_settings_and_bounds_each_visit() {
    let crontab = read("deploy/crontab");
    let jobs: Vec<&str> = crontab.lines().filter(|line| line.starts_with('*')).collect();
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        assert!(job.contains(" roundsman set -a; . /etc/roundsman/config.env && exec timeout "), "{job}");
        // cron ends a command at the first per cent sign.
        assert!(!job.contains('%'), "{job}");
    }
    assert!(crontab.ends_with('\n'), "cron ignores a last line without an end");
}

#[test]
fn only_settings_that_exist_are_named() {
    let Some(mut known) = known_settings() else { return };
    // What the worker tells an agent is no setting; `deploy/IMAGE.md` names these.
    known.extend(roundsman::settings::vars::RESERVED.map(str::to_owned));
    for path in files("deploy") {
        let text = fs::read_to_string(&path).expect("deploy/ is text");
        for name in variables(&text) {
            assert!(known.contains(&name), "{} names {name}, which is no setting", path.display());
        }
    }
}
