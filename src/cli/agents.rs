//! Lists the agents that this version can call, and how far each is to be believed. Data only; nothing is started.

use super::say;
use crate::{agents, exit::Exit};
use comfy_table::{ContentArrangement, Table};

pub(super) fn list(json: bool) -> Exit {
    for agent in agents::all().iter().filter(|_| json) {
        say(&serde_json::json!({
            "name": agent.name,
            "about": agent.about,
            "verified": agent.verified,
            "unverified": agent.unverified,
            "hosts": agent.hosts,
            "environment": agent.environment,
            "resumes": !agent.call.resume.is_empty(),
            "plans": agent.call.plan.is_some(),
        })
        .to_string());
    }
    if json {
        return Exit::Ok;
    }
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["AGENT", "BELIEVED", "REACHES", "MAY NEED"]);
    for agent in agents::all() {
        let believed = match (&agent.verified, &agent.unverified) {
            (Some(seen), _) => format!("verified: {seen}"),
            (None, Some(why)) => format!("unverified: {why}"),
            (None, None) => "unverified".to_owned(),
        };
        let or_nothing = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
        table.add_row([
            agent.name.clone(),
            believed,
            or_nothing(&agent.hosts),
            or_nothing(&agent.environment),
        ]);
    }
    say(&table.to_string());
    Exit::Ok
}
