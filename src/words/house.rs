//! The operator's own rules for every brief: a template, rendered strictly.
//!
//! Knows which names there are. One that is not among them is an error when the template is looked at, not when somebody
//! misses the sentence. What is filled in comes from settings and the service's own ids, never from what people type.

use crate::domain::{Run, Turn, TurnKind};
use minijinja::{Environment, UndefinedBehavior, context};
use std::collections::BTreeSet;

/// What a template may name.
pub const NAMES: [&str; 7] = ["item", "run", "turn", "kind", "project", "repository", "target"];

/// Looks whether a template can be rendered; else why not.
pub fn check(template: &str) -> Result<(), String> {
    let environment = strict();
    let compiled = environment.template_from_str(template).map_err(|error| said(&error))?;
    let known: BTreeSet<&str> = NAMES.into();
    // Nested, so that an attribute of something that has none is unknown, too.
    let unknown: BTreeSet<String> = compiled
        .undeclared_variables(true)
        .into_iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    if let Some(name) = unknown.first() {
        return Err(format!("it names `{name}`; there is only {}", NAMES.join(", ")));
    }
    // What names cannot tell shows when it is tried: filters, tests, sums of words.
    TurnKind::ALL.into_iter().try_for_each(|kind| {
        let sample = context! {
            item => "4711",
            run => "4711-r12",
            turn => "1",
            kind => kind.word(),
            project => "project",
            repository => "repository",
            target => "main",
        };
        compiled.render(sample).map(drop).map_err(|error| said(&error))
    })
}

/// The rules for one turn.
pub fn render(template: &str, run: &Run, turn: &Turn) -> Result<String, String> {
    check(template)?;
    let values = context! {
        item => run.id.item.to_string(),
        run => run.id.to_string(),
        turn => turn.number.to_string(),
        kind => turn.kind.word(),
        project => run.repository.project.clone(),
        repository => run.repository.name.clone(),
        target => run.target.to_string(),
    };
    strict().render_str(template, values).map_err(|error| said(&error))
}

fn strict() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn said(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{}", error.detail().unwrap_or("it cannot be rendered"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Stage, words::samples::fixing};

    #[test]
    fn a_template_is_rendered_strictly() {
        let run = fixing();
        let Stage::Working { turn, .. } = &run.stage else { panic!("{run:?}") };
        let text = "Item {{ item }} in {{ repository }}.{% if kind == 'fix-forward' %} Be quick.{% endif %}";
        assert_eq!(render(text, &run, turn).unwrap(), "Item 4711 in web. Be quick.");
        assert_eq!(check("no variables at all"), Ok(()));
        for bad in [
            "{{ titel }}",
            "{% if false %}{{ nobody }}{% endif %}",
            "{{ item",
            "{% include 'x' %}",
            "{{ item.x }}",
        ] {
            assert!(render(bad, &run, turn).is_err(), "{bad}");
        }
        assert!(check("{% if false %}{{ nobody }}{% endif %}").unwrap_err().contains("`nobody`"));
        // Nothing that is refused when it is needed passes before.
        for (bad, told) in [
            ("{{ item.x }}", "`item.x`"),
            ("{{ item['x'] }}", ""),
            ("{% if kind == 'respond' %}{{ item.x }}{% endif %}", "`item.x`"),
            ("{% set a = item %}{{ a.x }}", ""),
            ("{% if kind == 'conflict' %}{{ target | nonsense }}{% endif %}", ""),
            ("{% include 'x' %}", ""),
        ] {
            let why = check(bad).expect_err(bad);
            assert!(why.contains(told) && !why.is_empty(), "{bad}: {why}");
        }
    }
}
