//! What an item chooses by label, within what the operator offers. A label that cannot be obeyed refuses the item: who
//! chose something must not get something else.

use super::reason::RefuseReason;
use crate::domain::{
    AGENT_LABEL_PREFIX, Choices, DRAFT_LABEL_PREFIX, EFFORT_LABEL_PREFIX, Labels, MODEL_LABEL_PREFIX, Offer,
};

/// Reads the choices of an item's labels; in the operator's spelling.
pub fn choose(labels: &Labels, offer: &Offer) -> Result<Choices, RefuseReason> {
    let yes_no = ["yes".to_owned(), "no".to_owned()];
    Ok(Choices {
        agent: one(labels, AGENT_LABEL_PREFIX, &offer.agents)?,
        model: one(labels, MODEL_LABEL_PREFIX, &offer.models)?,
        effort: one(labels, EFFORT_LABEL_PREFIX, &offer.efforts)?,
        draft: one(labels, DRAFT_LABEL_PREFIX, &yes_no)?.map(|word| word == "yes"),
    })
}

fn one(labels: &Labels, prefix: &str, offered: &[String]) -> Result<Option<String>, RefuseReason> {
    let mut chosen = labels.after(prefix);
    let Some(first) = chosen.next() else { return Ok(None) };
    if let Some(second) = chosen.find(|other| other.to_lowercase() != first.to_lowercase()) {
        return Err(RefuseReason::TwoChoices {
            first: format!("{prefix}{first}"),
            second: format!("{prefix}{second}"),
        });
    }
    match offered.iter().find(|known| known.to_lowercase() == first.to_lowercase()) {
        Some(known) => Ok(Some(known.clone())),
        None => Err(RefuseReason::NotOffered { label: format!("{prefix}{first}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            agents: vec!["claude".into(), "codex".into()],
            models: vec!["Opus/4".into()],
            efforts: Vec::new(),
        }
    }

    fn chosen(labels: &[&str]) -> Result<Choices, String> {
        choose(&Labels::new(labels.iter().copied()), &offer()).map_err(|why| why.to_string())
    }

    #[test]
    fn what_is_offered_is_chosen_in_the_operators_spelling() {
        let all = chosen(&["Agent: CODEX", "model:opus/4", "draft:yes", "customer-x"]).unwrap();
        let expected = Choices {
            agent: Some("codex".into()),
            model: Some("Opus/4".into()),
            effort: None,
            draft: Some(true),
        };
        assert_eq!(all, expected);
        assert_eq!(chosen(&["draft:no"]).unwrap().draft, Some(false));
        assert_eq!(chosen(&["agents", "agent"]), Ok(Choices::default()));
    }

    #[test]
    fn nothing_is_silently_ignored() {
        for label in ["agent:gemini", "model:", "effort:high", "draft:maybe"] {
            assert!(chosen(&[label]).unwrap_err().contains(label), "{label}");
        }
        let told = chosen(&["agent:claude", "agent:codex"]).unwrap_err();
        assert!(told.contains("agent:claude and agent:codex"), "{told}");
    }
}
