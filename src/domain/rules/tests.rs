//! The file as people write it, and that nothing in it widens anything.

use super::*;
use proptest::prelude::*;

const WHOLE: &str = r#"
[checks]
format = ["fmt"]
run = [["cargo", "test"], ["./x.sh"]]

[brief]
rules = "Use the house style."
context = ["docs/architecture.md"]

[paths]
protected = ["deploy/**", "*.sql", "Makefile"]

[budget]
fix_forward_attempts = 2
turn_minutes = 20
dollars = 5
files = 30

[review]
reviewers = ["d291b0c4-a05c-4ea6-8df1-4b41d5f39eff"]

[agent]
model = "small"
draft = true
"#;

fn ceiling() -> Ceiling {
    Ceiling {
        policy: Policy::default(),
        steps: 500,
        tokens: 20_000_000,
        cost_micro_usd: 20 * MICRO,
        files: 100,
        models: vec!["small".into()],
        ..Ceiling::default()
    }
}

#[test]
fn the_whole_file_is_read() {
    let rules = Rules::parse(WHOLE).unwrap();
    assert_eq!(rules.checks.as_ref().unwrap().run.len(), 2);
    assert_eq!(rules.widens(&ceiling()), None);
    let narrow = rules.narrow(&ceiling());
    assert_eq!((narrow.policy.fix_forward_attempts, narrow.policy.respond_attempts), (2, 5));
    assert_eq!(narrow.policy.turn_limit, Duration::from_mins(20));
    assert_eq!((narrow.cost_micro_usd, narrow.files, narrow.steps), (5 * MICRO, 30, 500));
    assert!(narrow.policy.open_as_draft);
    let choices = rules.choices(&Choices::default());
    assert_eq!((choices.model.as_deref(), choices.draft), (Some("small"), Some(true)));
    let own = Choices { agent: Some("other".into()), draft: Some(false), ..Choices::default() };
    let choices = rules.choices(&own);
    assert_eq!((choices.agent.as_deref(), choices.model, choices.draft), (Some("other"), None, Some(true)));
    assert_eq!(Rules::parse("").unwrap(), Rules::default());
    let told = serde_json::to_string(&rules).unwrap();
    assert_eq!(serde_json::from_str::<Rules>(&told).unwrap(), rules, "a worker reads what it is told");
}

#[test]
fn what_nobody_would_obey_is_an_error() {
    let many = format!("[review]\nreviewers = [{}]", "'d291b0c4-a05c-4ea6-8df1-4b41d5f39eff',".repeat(11));
    for bad in [
        "[checks]\nrunn = []",
        "[cheks]\nrun = []",
        "[checks]\nrun = [[]]",
        "checks = 1",
        "run = \"x",
        "[brief]\ncontext = [\"../secret\"]",
        "[brief]\ncontext = [\"/etc/passwd\"]",
        "[paths]\nprotected = [\"/\"]",
        "[paths]\nallowed = [\"azure-pipelines.yml\"]",
        "[budget]\nsteps = -1",
        "[review]\nreviewers = [\"Boss\"]",
        &many,
    ] {
        assert!(Rules::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_would_widen_is_told_by_its_key() {
    let rows = [
        "[budget]\nfix_forward_attempts = 6",
        "[budget]\nturn_minutes = 46",
        "[budget]\ndollars = 21",
        "[budget]\ntokens = 20000001",
        "[agent]\nname = \"expensive\"",
        "[agent]\nmodel = \"large\"",
    ]
    .map(|text| Rules::parse(text).unwrap().widens(&ceiling()).unwrap().to_string());
    insta::assert_snapshot!(rows.join("\n"), @r"
    `budget.fix_forward_attempts` is 6, the operator allows 5: a repository can only lower it
    `budget.turn_minutes` is 46, the operator allows 45: a repository can only lower it
    `budget.dollars` is 21, the operator allows 20: a repository can only lower it
    `budget.tokens` is 20000001, the operator allows 20000000: a repository can only lower it
    `agent.name` asks for `expensive`, which the operator does not offer
    `agent.model` asks for `large`, which the operator does not offer
    ");
    let drafts = Ceiling { policy: Policy { open_as_draft: true, ..Policy::default() }, ..ceiling() };
    let no_draft = Rules::parse("[agent]\ndraft = false").unwrap();
    assert_eq!((no_draft.widens(&drafts), no_draft.widens(&ceiling())), (Some(RulesError::NoDraft), None));
}

#[test]
fn what_would_widen_is_cut_and_what_protects_holds() {
    let low = Ceiling {
        policy: Policy { fix_forward_attempts: 1, ..Policy::default() },
        cost_micro_usd: 2 * MICRO,
        models: Vec::new(),
        ..ceiling()
    };
    let whole = Rules::parse(WHOLE).unwrap();
    let (cut, why) = whole.clone().cut(&low);
    assert_eq!(why, whole.widens(&low));
    assert!(why.is_some() && cut.widens(&low).is_none(), "{cut:?}");
    assert_eq!((&cut.paths, &cut.checks, &cut.review), (&whole.paths, &whole.checks, &whole.review));
    assert_eq!((cut.budget.fix_forward_attempts, cut.budget.turn_minutes), (Some(1), Some(20)));
    assert_eq!((cut.budget.dollars, cut.agent.model.as_deref(), cut.agent.draft), (None, None, Some(true)));
    assert_eq!(cut.narrow(&low).cost_micro_usd, 2 * MICRO);
    let same = whole.clone().cut(&ceiling());
    assert_eq!(same, (whole, None), "what is allowed is left as it is");
}

#[test]
fn of_a_bad_file_the_good_parts_are_read() {
    let bad = "[budgget]\nsteps = 1\n[budget]\nturn_minuts = 5\nsteps = 7\n[paths]\nprotected = [\"db/**\", \"\", 7, \"*.sql\"]\n\
               [checks]\nrun = [[], [\"make\"]]\n[review]\nreviewers = [\"Boss\", \"d291b0c4-a05c-4ea6-8df1-4b41d5f39eff\"]\n";
    assert!(Rules::parse(bad).is_err());
    let read = Rules::salvage(bad).unwrap();
    assert_eq!(read.paths.protected, ["db/**", "*.sql"]);
    assert_eq!((read.budget.steps, read.reviewers().len()), (Some(7), 1));
    assert_eq!(read.checks.unwrap().run, [["make"]]);
    assert_eq!(Rules::salvage(WHOLE), Rules::parse(WHOLE).ok());
    assert_eq!(Rules::salvage("[paths\nprotected = 1"), None);
}

#[test]
fn patterns_mean_what_people_expect() {
    for (pattern, path, is) in [
        ("deploy/**", "deploy/a/b.yml", true),
        ("deploy/**", "src/deploy/a", false),
        ("deploy", "src/Deploy/a", true),
        ("deploy/", "deploy/a", true),
        ("/deploy", "src/deploy/a", false),
        ("src/deploy", "src/deploy/a", true),
        ("*.sql", "db/001.SQL", true),
        ("*.sql", "db/001.sqlite", false),
        ("db/*.sql", "db/x/001.sql", false),
        ("db/**/0?1.sql", "db/x/y/001.sql", true),
        ("Makefile", "sub/makefile", true),
        ("Makefile", "Makefile.old", false),
        ("**", "anything", true),
    ] {
        let rules = Rules { paths: PathRules { protected: vec![pattern.into()] }, ..Rules::default() };
        assert_eq!(rules.protects(path).is_some(), is, "{pattern} {path}");
    }
}

proptest! {
    #[test]
    fn no_file_widens_anything(
        numbers in prop::collection::vec(prop::option::of(0_u32..200), 8),
        operator in prop::collection::vec(0_u32..100, 5),
        drafts in any::<(bool, Option<bool>)>(),
    ) {
        let budget = BudgetRules {
            fix_forward_attempts: numbers[0], respond_attempts: numbers[1], conflict_attempts: numbers[2],
            redispatch_attempts: numbers[3], turn_minutes: numbers[4], steps: numbers[5],
            tokens: numbers[6].map(u64::from), dollars: numbers[7], files: numbers[0],
        };
        let agent = AgentRules { draft: drafts.1, ..AgentRules::default() };
        let rules = Rules { budget, agent, ..Rules::default() };
        let policy = Policy {
            fix_forward_attempts: operator[0], respond_attempts: operator[1], conflict_attempts: operator[2],
            turn_limit: Duration::from_mins(operator[3].into()), open_as_draft: drafts.0, ..Policy::default()
        };
        let before = Ceiling { policy, steps: operator[4], tokens: 50, cost_micro_usd: 7 * MICRO, files: 9, ..ceiling() };
        let after = rules.narrow(&before);
        prop_assert!(after.policy.fix_forward_attempts <= before.policy.fix_forward_attempts);
        prop_assert!(after.policy.respond_attempts <= before.policy.respond_attempts);
        prop_assert!(after.policy.conflict_attempts <= before.policy.conflict_attempts);
        prop_assert!(after.policy.redispatch_attempts <= before.policy.redispatch_attempts);
        prop_assert!(after.policy.turn_limit <= before.policy.turn_limit);
        prop_assert!(after.policy.open_as_draft || !before.policy.open_as_draft);
        prop_assert!(after.steps <= before.steps && after.tokens <= before.tokens && after.files <= before.files);
        prop_assert!(after.cost_micro_usd <= before.cost_micro_usd);
        // Everything else is the operator's, whatever the file says.
        let same = Policy {
            fix_forward_attempts: before.policy.fix_forward_attempts,
            respond_attempts: before.policy.respond_attempts,
            conflict_attempts: before.policy.conflict_attempts,
            redispatch_attempts: before.policy.redispatch_attempts,
            turn_limit: before.policy.turn_limit,
            open_as_draft: before.policy.open_as_draft,
            ..after.policy
        };
        prop_assert_eq!(same, before.policy);
    }
}
