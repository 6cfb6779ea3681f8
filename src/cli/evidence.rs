//! What turns left for people to look at: listed by `roundsman show`, printed file by file. Untrusted bytes: control
//! characters never reach a terminal.

use super::say;
use crate::{
    domain::{Run, TurnNumber},
    exit::Exit,
    shell::{App, evidence::OfTurn},
};

/// What is printed of one file; whoever wants more has `--json`'s sizes and the executor itself.
const PRINTED: u64 = 4 << 20;

/// Lists it: the name by which `--file` prints it, and its size.
pub(super) fn list(all: &[OfTurn]) {
    for (turn, files) in all {
        match files {
            Ok(files) => {
                for file in files {
                    say(&format!("evidence    t{:02}/{}  {} bytes", turn.0, file.path, file.bytes));
                }
            }
            Err(why) => say(&format!("evidence    of turn {turn} cannot be listed: {why}")),
        }
    }
}

/// Prints `t03/evidence/01-plan.log`.
pub(super) async fn print(app: &App, run: &Run, name: &str) -> Exit {
    let parsed = name.split_once('/').and_then(|(turn, path)| {
        let number = turn.strip_prefix('t')?.parse().ok()?;
        Some((TurnNumber(number), path))
    });
    let Some((turn, path)) = parsed else {
        return super::runs::complain(
            "evidence is named like `t03/evidence/01-plan.log`; `roundsman show` lists it",
            Exit::Usage,
        );
    };
    match app.runtime.read_evidence(run.id, turn, path, PRINTED).await {
        Ok(Some(bytes)) => {
            say(crate::runtime::process::files::plain(&String::from_utf8_lossy(&bytes)).trim_end());
            Exit::Ok
        }
        Ok(None) => super::runs::complain(&format!("{} left no {name}", run.id), Exit::Usage),
        Err(why) => super::runs::complain(&why.to_string(), (&why).into()),
    }
}
