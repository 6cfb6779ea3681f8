//! Values that the tests of this room share. Knows nothing that production code could use.

use crate::domain::*;

/// A run that asked-for work just claimed.
pub(crate) fn run() -> Run {
    Run::claimed(Claim {
        id: "4711-r12".parse().unwrap(),
        executor: ExecutorId("local".into()),
        nonce: "8f3c9a01".into(),
        repository: Repository {
            id: "r".into(),
            name: "web".into(),
            project_id: "p".into(),
            project: "Fabrikam Fiber".into(),
            clone_url: "https://dev.azure.com/o/Fabrikam%20Fiber/_git/web".into(),
            default_branch: Some(BranchName::new("main")),
        },
        target: BranchName::new("main"),
        kind: "Bug".into(),
        title: "Login <b>fails</b> for #99".into(),
        requested_by: Some(Identity {
            id: IdentityId::new("d291b0c4-a05c-4ea6-8df1-4b41d5f39eff"),
            name: "Requester & Co".into(),
        }),
        claimed_at: at(0),
    })
}

/// The run with a second, corrective turn at work on its pull request.
pub(crate) fn fixing() -> Run {
    let record = |number, kind, key: &str, end| TurnRecord {
        end,
        ..TurnRecord::reserved(TurnNumber(number), kind, TriggerKey(key.into()), at(0))
    };
    Run {
        turns: vec![
            record(1, TurnKind::Implement, "item@12", Some(TurnEnd::Pushed { head: head() })),
            record(2, TurnKind::FixForward, "checks@01234567:x", None),
        ],
        pushed: Some(Pushed { head: head(), at: at(60) }),
        pull_request: Some(PullRequestId(57)),
        stage: Stage::Working {
            turn: Turn {
                number: TurnNumber(2),
                kind: TurnKind::FixForward,
                trigger: Trigger::FailingChecks { head: head(), signature: "x".into(), builds: vec![] },
                base: Some(head()),
                work_of: None,
            },
            step: Step::Agent,
            since: at(90),
            started: Started::Seen,
        },
        ..run()
    }
}

/// A commit.
pub(crate) fn head() -> CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

/// A moment.
pub(crate) fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}
