//! What still stands between a pull request and its merge, and how the change is taken back afterwards, as sentences.
//!
//! Plain text, names in it as people gave them: whoever prints it makes it harmless for the place where it stands.

use crate::decide::checklist::{Item, Open};

/// One thing of the list.
pub fn line(item: &Item) -> String {
    match item {
        Item::Policy { name } => format!("people still have to satisfy the policy {name}"),
        Item::Draft => "it is a draft".into(),
        Item::Conflicts => "it conflicts with its target branch".into(),
        Item::CannotMerge => "Azure DevOps could not merge it on trial".into(),
        Item::Checks(open) => checks(open),
        Item::Against { name, is_rejection: true } => format!("{name} rejected it"),
        Item::Against { name, is_rejection: false } => format!("{name} voted to wait for the author"),
        Item::Unvoted { name } => format!("{name} is a required reviewer and has not voted"),
        Item::Threads { agent, people, policies } => threads(*agent, *people, policies),
    }
}

fn checks(open: &Open) -> String {
    match open {
        Open::Failing { checks } => format!("red checks: {}", checks.join(", ")),
        Open::Broken { name } => format!("the check {name} cannot be evaluated"),
        Open::Canceled => "a build was cancelled, so that there is no verdict".into(),
        Open::Partial => "a build succeeded only partially".into(),
        Open::Running { checks } if checks.is_empty() => "the checks have not begun".into(),
        Open::Running { checks } => format!("checks that are not over: {}", checks.join(", ")),
        Open::AwaitingApproval => "a pipeline waits for a person's approval".into(),
        Open::None => "nothing checks it; a person has to look closely".into(),
    }
}

fn threads(agent: usize, people: usize, policies: &[String]) -> String {
    let total = agent + people;
    let open = if total == 1 {
        "1 discussion is not settled".into()
    } else {
        format!("{total} discussions are not settled")
    };
    let whose = match (agent, people) {
        (_, 0) => "the agent's move".into(),
        (0, _) => "people's move".into(),
        (agent, people) => format!("{agent} the agent's move, {people} people's"),
    };
    let open = format!("{open} ({whose})");
    if policies.is_empty() {
        open
    } else {
        format!("{open}; the policy {} waits for that", policies.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn every_thing_has_its_sentence() {
        let against = |is_rejection| Item::Against { name: "Eva".into(), is_rejection };
        let threads = |agent, people, policies: &[&str]| {
            let policies = policies.iter().map(|name| (*name).to_owned()).collect();
            Item::Threads { agent, people, policies }
        };
        let list = [
            Item::Policy { name: "Minimum number of reviewers".into() },
            Item::Draft,
            Item::Conflicts,
            Item::CannotMerge,
            Item::Checks(Open::Failing { checks: vec!["CI".into(), "Lint".into()] }),
            Item::Checks(Open::Broken { name: "CI".into() }),
            Item::Checks(Open::Canceled),
            Item::Checks(Open::Partial),
            Item::Checks(Open::Running { checks: Vec::new() }),
            Item::Checks(Open::Running { checks: vec!["CI".into()] }),
            Item::Checks(Open::AwaitingApproval),
            Item::Checks(Open::None),
            against(true),
            against(false),
            Item::Unvoted { name: "Zoe".into() },
            threads(1, 0, &[]),
            threads(0, 1, &["Comment requirements"]),
            threads(2, 3, &["A", "B"]),
        ];
        assert_snapshot!(list.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        people still have to satisfy the policy Minimum number of reviewers
        it is a draft
        it conflicts with its target branch
        Azure DevOps could not merge it on trial
        red checks: CI, Lint
        the check CI cannot be evaluated
        a build was cancelled, so that there is no verdict
        a build succeeded only partially
        the checks have not begun
        checks that are not over: CI
        a pipeline waits for a person's approval
        nothing checks it; a person has to look closely
        Eva rejected it
        Eva voted to wait for the author
        Zoe is a required reviewer and has not voted
        1 discussion is not settled (the agent's move)
        1 discussion is not settled (people's move); the policy Comment requirements waits for that
        5 discussions are not settled (2 the agent's move, 3 people's); the policy A, B waits for that
        "#);
    }
}
