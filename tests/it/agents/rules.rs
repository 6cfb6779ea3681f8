//! Checks that a repository names in `.roundsman.toml`.

use super::{evidence, turn};
use crate::worker::World;
use roundsman::{
    domain::AgentResult,
    runtime::{Handover, spec::AgentCall},
};
use std::collections::BTreeMap;

fn agent(program: &str) -> AgentCall {
    AgentCall {
        name: "command".into(),
        command: ["sh", "-c", program].map(str::to_owned).to_vec(),
        ..AgentCall::default()
    }
}

async fn checked(files: &[(&str, &str)], program: &str, handover: &Handover) -> (World, Option<bool>) {
    let mut world = World::with(files);
    world.limits.repairs = 1;
    let call = AgentCall { checks_environment: vec!["FEED_PASSWORD".into()], ..agent(program) };
    let (result, _) = turn(&world, 1, &call, handover).await;
    let AgentResult::Worked { checks_passed, .. } = result else { panic!("{result:?}") };
    (world, checks_passed)
}

const GOOD: &str = "echo x >> new.txt";

#[tokio::test]
async fn a_repository_names_its_own_checks() {
    let handover = Handover {
        environment: BTreeMap::from([(
            "FEED_PASSWORD".to_owned(),
            "canary-feed-0123456789".to_owned().into(),
        )]),
        ..Handover::default()
    };
    let rules = "[checks]\nformat = [\"sh\", \"-c\", \"echo formatted >> README.md\"]\n\
                 run = [[\"sh\", \"-c\", \"test -n \\\"$FEED_PASSWORD\\\" && grep formatted README.md\"], [\"tools/check\", \"a b\"]]\n";
    let script = "#!/bin/sh\ntest \"$1\" = 'a b' && echo \"from the base, $FEED_PASSWORD\"\n";
    let files = [(".roundsman.toml", rules), ("tools/check", script), ("src/scripts/run-tests.sh", "exit 1")];
    // The agent's own copy of the check would pass everything; it is not the one that runs.
    let weaken = "echo 'echo weak' > tools/check; echo x > new.txt; test -z \"$FEED_PASSWORD\" || exit 9";
    let (world, passed) = checked(&files, weaken, &handover).await;
    assert_eq!(passed, Some(true));
    let log = evidence(&world, 1, "check-tools-check-a-b-00.log");
    assert_eq!(log, "from the base, [redacted]\n");
    assert_eq!(world.saved(1), ["README.md", "new.txt", "tools/check"]);
}

#[tokio::test]
async fn a_check_that_fails_is_told_and_repaired() {
    let files = [(".roundsman.toml", "[checks]\nrun = [[\"test\", \"-e\", \"repaired\"]]\n")];
    let program = "if [ $ROUNDSMAN_CALL = repair ]; then cat > \"$ROUNDSMAN_OUT/told\"; touch repaired; else echo x > new.txt; fi";
    let (world, passed) = checked(&files, program, &Handover::default()).await;
    assert_eq!(passed, Some(true));
    let told = std::fs::read_to_string(super::out(&world, 1).join("told")).unwrap();
    assert!(told.contains("`test -e repaired` fails") && told.contains("Do it."), "{told}");
}

#[tokio::test]
async fn rules_that_nobody_can_read_are_a_failed_check() {
    for rules in ["[checks]\nrunn = []\n", "[cheks]\n", "not toml"] {
        let (world, passed) = checked(&[(".roundsman.toml", rules)], GOOD, &Handover::default()).await;
        assert_eq!(passed, Some(false), "{rules}");
        let told = evidence(&world, 1, "02-repair.brief.md");
        assert!(told.contains("`.roundsman.toml` fails"), "{told}");
    }
    // A named list may be empty: then there is no check, and the scripts are not meant.
    let files = [(".roundsman.toml", "[checks]\nrun = []\n"), ("src/scripts/run-tests.sh", "exit 1")];
    assert_eq!(checked(&files, GOOD, &Handover::default()).await.1, None);
}
