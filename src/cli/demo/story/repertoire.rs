//! The stories themselves. One function each: read from top to bottom, it is what a person sees.

use super::{Act, Plot, Proof, Scene, Story, proof};
use crate::domain::{Outcome, Stage};
use std::io;

pub(super) fn plot(story: Story) -> Plot {
    match story {
        Story::ReviewPingPong => review_ping_pong(),
        Story::Suggestion => suggestion(),
        Story::Conflict => conflict(),
        Story::FlakyBuild => flaky_build(),
        Story::TargetRed => target_red(),
        Story::HumanTakeover => human_takeover(),
        Story::AgentAsks => agent_asks(),
        Story::BudgetSpent => budget_spent(),
        Story::TwoClusters => two_clusters(),
        Story::Brake => brake(),
        Story::LabelRemoved => label_removed(),
        Story::LostMemory => lost_memory(),
        Story::NoChecks => no_checks(),
        Story::Commands => commands(),
    }
}

/// Adds a line, and answers every thread that awaits it.
const DILIGENT: &str = r#"
echo "A line, turn $ROUNDSMAN_TURN_KIND." >> README.md
mkdir -p "$ROUNDSMAN_OUT/replies"
for thread in $(sed -n 's/^### Thread \([0-9]*\)$/\1/p' "$ROUNDSMAN_BRIEF"); do
  echo "Done as you asked." > "$ROUNDSMAN_OUT/replies/$thread.md"
done
"#;

/// Takes its time: begins, and goes on when somebody leaves word.
const SLOW: &str = r#"
touch "$WORLD/begun"
while test ! -e "$WORLD/go"; do echo working; sleep 0.1; done
echo "A line." >> README.md
"#;

/// Who owns the product and labels work.
const OWNER: &str = "product owner";
const REVIEWER: &str = "reviewer";

fn straight() -> Plot {
    Plot {
        title: "one label in, one merged pull request out",
        agent: DILIGENT,
        settings: &[],
        prepare: |_| Ok(()),
        acts: Vec::new(),
        ends: is_merged,
        proves: |_| Vec::new(),
        forgets: false,
    }
}

fn is_merged(scene: &Scene) -> bool {
    let is_closed = scene.universe.emulator.item(scene.item).is_some_and(|item| item.category == "Completed");
    is_closed && scene.is_over()
}

fn merged(scene: &Scene) -> Proof {
    let outcome = scene.run().map(|run| &run.stage);
    let is_merged = matches!(outcome, Some(Stage::Closed { outcome: Outcome::Merged, .. }));
    proof("merged", is_merged, format!("after the turns {}", scene.turns()))
}

fn turns(scene: &Scene, expected: &str) -> Proof {
    let found = scene.turns();
    proof("turns", found == expected, found)
}

fn completes() -> Act {
    Act {
        when: Scene::is_ready,
        who: REVIEWER,
        what: "is content, approves and completes the pull request",
        deed: |scene| scene.completes(),
    }
}

fn review_ping_pong() -> Plot {
    let remark = |when, what, deed| Act { when, who: REVIEWER, what, deed };
    Plot {
        title: "a reviewer asks, is answered, asks again, and is answered again",
        acts: vec![
            remark(Scene::is_ready, "asks: could the first line be shorter?", |scene| {
                scene.remarks("Could the first line be shorter?")
            }),
            remark(
                |scene| scene.replies() == 1 && scene.is_ready(),
                "asks again in the same thread: and the second one?",
                |scene| scene.asks_again("Better. And the second one?"),
            ),
            Act { when: |scene| scene.replies() == 2 && scene.is_ready(), ..completes() },
        ],
        proves: |scene| {
            vec![
                merged(scene),
                turns(scene, "implement, respond, respond"),
                proof("answered", scene.replies() == 2, format!("{} replies", scene.replies())),
            ]
        },
        ..straight()
    }
}

fn suggestion() -> Plot {
    Plot {
        title: "a reviewer writes the very line; it becomes a commit, and no agent is called",
        agent: r#"
touch "$WORLD/called-for-$ROUNDSMAN_TURN_KIND"
echo "A line." >> README.md
"#,
        acts: vec![
            Act {
                when: Scene::is_ready,
                who: REVIEWER,
                what: "suggests another first line, and says nothing else",
                deed: |scene| scene.remarks("```suggestion\n# A line that a person wrote\n```"),
            },
            Act { when: |scene| scene.replies() == 1 && scene.is_ready(), ..completes() },
        ],
        proves: |scene| {
            let line = scene.file("README.md").lines().next().unwrap_or_default().to_owned();
            vec![
                merged(scene),
                turns(scene, "implement, respond"),
                proof("to the letter", line == "# A line that a person wrote", line),
                proof(
                    "no agent",
                    !scene.there("called-for-respond"),
                    "the agent was called once, to implement",
                ),
            ]
        },
        ..straight()
    }
}

fn conflict() -> Plot {
    Plot {
        title: "the target moves under the change; it is merged into the branch, nothing is forced",
        agent: r#"
case $ROUNDSMAN_TURN_KIND in
conflict)
  git merge refs/roundsman/target || true
  git show refs/roundsman/target:README.md > README.md
  echo "A line of the agent." >> README.md
  git add README.md;;
*) sed -i "1s/.*/# The agent was here/" README.md;;
esac
"#,
        acts: vec![
            Act {
                when: Scene::is_ready,
                who: OWNER,
                what: "lands another title of README.md on main",
                deed: |scene| scene.lands("README.md", "# A person was here\n"),
            },
            Act { when: |scene| scene.turned("conflict") && scene.is_ready(), ..completes() },
        ],
        proves: |scene| {
            let readme = scene.file("README.md");
            let both = readme.contains("A person was here") && readme.contains("of the agent");
            vec![
                merged(scene),
                turns(scene, "implement, conflict"),
                proof("kept", both, "both changes are in README.md"),
            ]
        },
        ..straight()
    }
}

fn flaky_build() -> Plot {
    Plot {
        title: "the pipeline loses its machine; the build is run again, no agent is called",
        prepare: |scene| {
            scene.universe.emulator.force_next_result(scene.universe.pipeline, "lost-agent");
            Ok(())
        },
        acts: vec![completes()],
        proves: |scene| {
            let builds = scene.universe.emulator.builds();
            let attempts = builds.iter().map(|build| build.attempt).max().unwrap_or_default();
            let again = attempts > 1 || builds.len() > 1;
            vec![
                merged(scene),
                turns(scene, "implement"),
                proof("retried", again, format!("{} builds, at most {attempts} attempts", builds.len())),
            ]
        },
        ..straight()
    }
}

/// Red as long as the repository itself is.
const WIDGET: &str = r###"
if test -e "$WORLD/broken"; then
  echo "##[test]failed Shop.Widget: it is broken"
  echo "the widget is broken" >&2
  exit 1
fi
exec sh ci/build.sh
"###;

fn target_red() -> Plot {
    Plot {
        title: "main is red by itself: the run parks, and goes on when main is mended",
        prepare: |scene| {
            scene.pipeline(WIDGET)?;
            scene.leave("broken")?;
            scene.builds_main()
        },
        acts: vec![
            Act {
                when: |scene| scene.says("the target branch fails the same way"),
                who: OWNER,
                what: "mends main",
                deed: |scene| {
                    std::fs::remove_file(scene.world.join("broken"))?;
                    scene.builds_main()
                },
            },
            completes(),
        ],
        proves: |scene| vec![merged(scene), turns(scene, "implement")],
        ..straight()
    }
}

fn human_takeover() -> Plot {
    Plot {
        title: "a person pushes to the branch and the agent stands down, until they hand it back",
        acts: vec![
            Act {
                when: Scene::is_ready,
                who: OWNER,
                what: "pushes a commit of their own to the agent's branch",
                deed: |scene| scene.pushes("NOTES.md", "Mine.\n"),
            },
            Act {
                when: Scene::is_escalated,
                who: OWNER,
                what: "writes `/agent resume` on the work item",
                deed: |scene| scene.comments("/agent resume"),
            },
            Act {
                when: |scene| !scene.is_escalated() && scene.is_ready(),
                who: REVIEWER,
                what: "asks: is NOTES.md still needed?",
                deed: |scene| scene.remarks("Is NOTES.md still needed?"),
            },
            Act { when: |scene| scene.replies() == 1 && scene.is_ready(), ..completes() },
        ],
        proves: |scene| {
            let kept = scene.file("NOTES.md") == "Mine.\n";
            vec![merged(scene), proof("kept", kept, "the person's commit is in main, untouched")]
        },
        ..straight()
    }
}

fn agent_asks() -> Plot {
    Plot {
        title: "the agent has a question; the answer in the discussion goes into the same run",
        agent: r#"
if grep -q "German, please" "$ROUNDSMAN_BRIEF"; then
  echo "Hallo." >> README.md
else
  echo "In which language?" > "$ROUNDSMAN_OUT/question.md"
fi
"#,
        acts: vec![
            Act {
                when: |scene| {
                    scene.is_escalated() && scene.told().iter().any(|text| text.contains("In which language"))
                },
                who: OWNER,
                what: "answers on the work item: German, please",
                deed: |scene| scene.comments("German, please"),
            },
            completes(),
        ],
        proves: |scene| {
            let claims = scene.runs.len();
            vec![
                merged(scene),
                proof("same-run", claims == 1, format!("{claims} claim")),
                proof("heard", scene.file("README.md").contains("Hallo."), "the answer is in the change"),
            ]
        },
        ..straight()
    }
}

fn budget_spent() -> Plot {
    Plot {
        title: "the checks stay red; attempts are used up, and a person gets the work as it is",
        settings: &[("ROUNDSMAN_POLICY_FIX_FORWARD_ATTEMPTS", "2")],
        prepare: |scene| {
            scene.pipeline(
                "echo \"##[error]nobody knows $(cksum < README.md | tr 0-9 a-j | cut -c1-6)\"; exit 1",
            )
        },
        ends: |scene| scene.is_escalated() && scene.tags() == ["ready-for-human"],
        proves: |scene| {
            let pull = scene.pull().map(|pull| pull.status).unwrap_or_default();
            vec![
                turns(scene, "implement, fix-forward, fix-forward"),
                proof("spent", scene.says("used all its fix-forward turns"), "a budget ended it"),
                proof("in-place", pull == "active", format!("the pull request is {pull}")),
                proof(
                    "handed",
                    scene.told().iter().any(|text| text.contains("needs a person")),
                    scene.tags().join(", "),
                ),
            ]
        },
        ..straight()
    }
}

fn two_clusters() -> Plot {
    Plot {
        title: "the executor that works dies; another takes its run over after the deadline",
        agent: r#"
if test ! -e "$WORLD/begun"; then
  touch "$WORLD/begun"
  while test ! -e "$WORLD/go"; do echo working; sleep 0.1; done
fi
echo "A line." >> README.md
"#,
        settings: &[("ROUNDSMAN_POLICY_TAKEOVER_AFTER", "3d")],
        acts: vec![
            Act {
                when: |scene| scene.there("begun"),
                who: "cluster a",
                what: "loses its schedulers; cluster b starts its own",
                deed: |scene| {
                    scene.hosts[0].is_alive = false;
                    scene.joins("cluster-b")
                },
            },
            Act {
                when: |scene| scene.rounds > 3,
                who: "time",
                what: "passes: four days",
                deed: |scene| {
                    scene.passes(96);
                    Ok(())
                },
            },
            Act {
                when: Scene::is_ready,
                who: "cluster a",
                what: "comes back, with its worker still at it",
                deed: |scene| {
                    scene.hosts[0].is_alive = true;
                    scene.leave("go")
                },
            },
            Act { when: |scene| scene.rounds > 6 && scene.is_ready(), ..completes() },
        ],
        ends: |scene| is_merged(scene) && scene.runs.iter().all(crate::domain::Run::is_closed),
        proves: |scene| {
            let pulls = scene.universe.emulator.pull_requests().len();
            vec![
                merged(scene),
                proof("two-epochs", scene.runs.len() == 2, format!("{} claims", scene.runs.len())),
                proof("one-pr", pulls == 1, format!("{pulls} pull request")),
            ]
        },
        ..straight()
    }
}

fn brake() -> Plot {
    Plot {
        title: "the kill switch is pulled while the agent works: nothing leaves until it is off again",
        agent: SLOW,
        acts: vec![
            Act {
                when: |scene| scene.there("begun"),
                who: "operator",
                what: "sets the kill switch to `on`; the agent ends a moment later",
                deed: |scene| {
                    scene.set("ROUNDSMAN_KILL_SWITCH", "on");
                    scene.leave("go")
                },
            },
            Act {
                when: |scene| scene.rounds > 8,
                who: "operator",
                what: "finds no branch and no pull request, and takes the kill switch off",
                deed: |scene| {
                    if scene.pull().is_some() || scene.branches() > 0 {
                        return Err(io::Error::other("something left while the kill switch was on"));
                    }
                    scene.set("ROUNDSMAN_KILL_SWITCH", "off");
                    Ok(())
                },
            },
            completes(),
        ],
        proves: |scene| vec![merged(scene), turns(scene, "implement")],
        ..straight()
    }
}

fn label_removed() -> Plot {
    Plot {
        title: "the label is taken off in the middle of a turn: the agent is stopped, once acknowledged",
        agent: SLOW,
        acts: vec![Act {
            when: |scene| scene.there("begun"),
            who: OWNER,
            what: "takes `agent-in-progress` off the work item",
            deed: |scene| {
                let super::Universe { emulator, owner, .. } = &scene.universe;
                emulator
                    .untag(scene.item, "agent-in-progress", owner)
                    .map_err(super::super::universe::refused)
            },
        }],
        ends: Scene::is_over,
        proves: |scene| {
            let stage = scene.run().map(|run| run.stage.clone());
            let is_back = matches!(stage, Some(Stage::Closed { outcome: Outcome::HandedBack, .. }))
                && scene.says("took this work item back");
            vec![
                proof("handed-back", is_back, "acknowledged in the discussion"),
                proof(
                    "nothing-left",
                    scene.branches() == 0 && scene.pull().is_none(),
                    "no branch, no pull request",
                ),
            ]
        },
        ..straight()
    }
}

fn lost_memory() -> Plot {
    Plot {
        title: "the memory is deleted before every look; Azure DevOps, git and the executor know the rest",
        forgets: true,
        acts: vec![
            Act {
                when: Scene::is_ready,
                who: REVIEWER,
                what: "asks: could the first line be shorter?",
                deed: |scene| scene.remarks("Could the first line be shorter?"),
            },
            Act { when: |scene| scene.replies() == 1 && scene.is_ready(), ..completes() },
        ],
        proves: |scene| {
            vec![merged(scene), proof("answered", scene.replies() == 1, format!("{} reply", scene.replies()))]
        },
        ..straight()
    }
}

fn no_checks() -> Plot {
    Plot {
        title: "nothing checks pull requests here: that is said, and never called green",
        settings: &[("ROUNDSMAN_POLICY_CHECKS_GRACE", "0s")],
        prepare: |scene| {
            scene.universe.emulator.drop_policy(scene.universe.build_policy);
            Ok(())
        },
        acts: vec![Act { when: |scene| scene.says("nothing checks pull requests here"), ..completes() }],
        proves: |scene| vec![merged(scene), turns(scene, "implement")],
        ..straight()
    }
}

fn commands() -> Plot {
    Plot {
        title: "a command in the discussion holds the run, another lets it go on",
        agent: SLOW,
        acts: vec![
            Act {
                when: |scene| scene.there("begun"),
                who: OWNER,
                what: "writes `/agent pause` on the work item; the agent ends a moment later",
                deed: |scene| {
                    scene.comments("/agent pause")?;
                    scene.leave("go")
                },
            },
            Act {
                when: |scene| scene.tags().iter().any(|tag| tag == "agent-paused") && scene.rounds > 4,
                who: OWNER,
                what: "writes `/agent status`",
                deed: |scene| scene.comments("/agent status"),
            },
            Act {
                when: |scene| scene.rounds > 4,
                who: OWNER,
                what: "writes `/agent resume`",
                deed: |scene| scene.comments("/agent resume"),
            },
            completes(),
        ],
        proves: |scene| {
            let answers = scene.told().len();
            vec![
                merged(scene),
                turns(scene, "implement"),
                proof("acknowledged", answers >= 4, format!("{answers} comments of ours")),
            ]
        },
        ..straight()
    }
}
