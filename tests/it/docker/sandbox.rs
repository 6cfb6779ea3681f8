//! What a step can do in its container, asked from inside.

use super::bench::{DockerBench, bench, with};
use crate::{
    runtime::suite::{Bench, TURN, agent, ended, handover, left, log},
    worker::{PATIENCE, run_id},
};
use roundsman::{
    domain::{AgentResult, Step, StepResult, WorkerState},
    runtime::{Left, docker::Egress},
};

/// Plays a program as the agent; what it wrote to `plan.md`.
async fn asked(bench: &DockerBench, program: &str) -> String {
    let program = format!("{{ {program}\n}} > \"$ROUNDSMAN_OUT/plan.md\" 2>&1; exit 0");
    let result = agent(bench, &program).await;
    assert!(!matches!(result, AgentResult::Failed { .. }), "{result:?}");
    left(bench, &Left::Plan).await
}

#[tokio::test]
async fn an_agent_has_no_power_beyond_its_places() {
    let Some(bench) = bench().await else { return };
    let said = asked(
        &bench,
        r#"
        grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t' ' '
        for place in / /usr /etc /repo.git /in /step/.. /opt; do touch "$place/x" 2>/dev/null && echo "wrote $place"; done
        for place in /workspace /out /home/agent /tmp; do touch "$place/x" || echo "cannot write $place"; done
        printf '#!/bin/sh\necho ran from tmp\n' > /tmp/p; chmod +x /tmp/p; /tmp/p
        ls /sys/class/net | tr '\n' ' '; echo; ls /dev | grep -E '^(sd|vd|mem|kmsg)' || echo no devices
        ulimit -n; ulimit -c; cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max
        "#,
    )
    .await;
    for line in ["CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("wrote") && !said.contains("cannot write"), "{said}");
    assert!(said.contains("ran from tmp\nlo \nno devices\n16384\n0\n512\n"), "{said}");
}

#[tokio::test]
async fn an_agent_reaches_its_gate_and_nothing_else() {
    let gate = Egress::Gate { allow: vec!["api.example.com".into()], upstream: None };
    let Some(bench) = with(|options| options.egress = gate).await else { return };
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway =
        bench.docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]);
    let program = format!(
        r#"
        reach() {{ timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2; timeout 2 head -n 1 <&3" 2>/dev/null && echo "reached $1"; }}
        reach egress 3128; reach {gateway} {port}; reach 169.254.169.254 80; reach 127.0.0.1 {port}
        own=$(hostname -i); reach "${{own%.*}}.1" {port}
        getent hosts example.com && echo resolved
        echo "$HTTPS_PROXY"; tr '\0' '\n' < /proc/1/environ | grep -c 'PROXY=http://egress:3128'
        "#
    );
    crate::runtime::suite::fetch(&bench).await;
    let program = format!(
        "{{ {program}\n}} > \"$ROUNDSMAN_OUT/plan.md\" 2>&1; echo on > \"$ROUNDSMAN_OUT/title.txt\"; sleep 5"
    );
    bench.runtime().start(&bench.spec(Step::Agent, &program), &handover()).await.unwrap();
    left(&bench, &Left::Title).await;
    let said = left(&bench, &Left::Plan).await;
    let gate = bench.object("t01-egress");
    let arguments = bench.docker(&["inspect", "--format", "{{json .Args}}", &gate]);
    assert!(
        arguments.contains(r#""egress","--listen","0.0.0.0:3128","--allow","api.example.com""#),
        "{arguments}"
    );
    assert_eq!(bench.objects("network").len(), 1);
    // A gate is no worker.
    assert_eq!(bench.runtime().workers_of(run_id()).await.unwrap().len(), 2);
    assert!(said.contains("gate\nreached egress\n"), "{said}");
    assert_eq!(said.matches("reached").count(), 1, "{said}");
    assert!(!said.contains("resolved") && said.trim_end().ends_with('2'), "{said}");

    bench.runtime().wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    ended(&bench, &bench.spec(Step::Publish, "")).await;
    // The next step has taken the gate down.
    assert_eq!(bench.objects("network"), [""; 0]);
    assert_eq!(bench.objects("container").len(), 3);
}

#[tokio::test]
async fn a_stop_takes_the_gate_down() {
    let gate = Egress::Gate { allow: vec!["api.example.com".into()], upstream: None };
    let Some(bench) = with(|options| options.egress = gate).await else { return };
    crate::runtime::suite::busy(&bench).await;
    assert_eq!(bench.objects("container").len(), 3);
    bench.runtime().stop(run_id()).await.unwrap();
    assert_eq!((bench.objects("container").len(), bench.objects("network").len()), (2, 0));
}

#[tokio::test]
async fn a_repository_describes_where_its_agent_works() {
    let Some(bench) = bench().await else { return };
    crate::runtime::suite::fetch(&bench).await;
    let mut spec = bench.spec(Step::Agent, "cp /described $ROUNDSMAN_OUT/plan.md; echo x > x.txt");
    let decision = bench.runtime().environment(run_id(), &spec.turn).await.unwrap();
    let image = decision.image.clone().unwrap_or_else(|| panic!("{decision:?}"));
    spec.image = Some(image.clone());
    let end = ended(&bench, &spec).await;
    let is_done =
        matches!(end, WorkerState::Finished(StepResult::Agent { result: AgentResult::Worked { .. }, .. }));
    assert!(is_done, "{end:?}\n{}", log(&bench, Step::Agent).await);
    assert_eq!(left(&bench, &Left::Plan).await, "described\n");
    // A later checkout holds what the agent wrote: it is not asked again, the first turn's image goes on.
    let mut later = spec.turn.clone();
    later.number.0 = 2;
    later.base = Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap());
    let again = bench.other().environment(run_id(), &later).await.unwrap();
    assert_eq!(again.image.as_ref(), Some(&image));
    // Kept while a container uses it, and while it is young; then removed.
    let (past, now) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2100-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(bench.runtime().remove_unused(now, now).await.unwrap(), 0);
    bench.runtime().remove(run_id()).await.unwrap();
    assert_eq!(bench.runtime().remove_unused(past, now).await.unwrap(), 0);
    assert_eq!(bench.runtime().remove_unused(now, now).await.unwrap(), 1);
    assert_eq!(bench.other().environment(run_id(), &later).await.unwrap().image, None);
}

#[tokio::test]
async fn a_foreign_image_brings_no_worker_and_gets_ours() {
    let Some(bench) = bench().await else { return };
    crate::runtime::suite::fetch(&bench).await;
    let mut spec = bench.spec(
        Step::Agent,
        "ls /opt/roundsman/bin > $ROUNDSMAN_OUT/plan.md; touch /opt/roundsman/x; echo x > x.txt",
    );
    spec.image = Some("local/debian:bookworm".into());
    let end = ended(&bench, &spec).await;
    let is_done =
        matches!(end, WorkerState::Finished(StepResult::Agent { result: AgentResult::Worked { .. }, .. }));
    assert!(is_done, "{end:?}\n{}", log(&bench, Step::Agent).await);
    assert!(left(&bench, &Left::Plan).await.contains("roundsman-worker"));
    assert_eq!(bench.saved().await, ["x.txt"]);
    let image = bench.docker(&["inspect", "--format", "{{.Config.Image}}", &bench.name(Step::Agent)]);
    assert_eq!(image, "local/debian:bookworm");
    assert!(log(&bench, Step::Agent).await.contains("Read-only file system"));
    // Whoever fills the volume is gone; no second one is made for the next turn.
    assert_eq!(bench.objects("container").len(), 2);
}
