//! `roundsman doctor`: prints what was tried and what to do about it.

use super::say;
use crate::{
    exit::Exit,
    shell::{
        App,
        doctor::{Health, examine},
    },
};

pub(super) async fn run(app: &App, json: bool) -> Exit {
    let findings = examine(app).await;
    for finding in &findings {
        if json {
            say(&serde_json::to_string(finding).unwrap_or_default());
        } else {
            let sign = match finding.health {
                Health::Good => '✓',
                Health::Doubtful => '!',
                Health::Bad => '✗',
            };
            say(&format!("{sign} {}: {}", finding.what, finding.found));
        }
    }
    if findings.iter().any(|finding| finding.health == Health::Bad) { Exit::SomeFailed } else { Exit::Ok }
}
