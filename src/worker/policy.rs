//! Which changes may leave this house: protected paths, modes, sizes. Pure: no git, no files.
//!
//! Does not judge whether the change is good.

use super::changes::{Change, EXECUTABLE, LINK, SUBMODULE};
use crate::{domain::Rules, runtime::spec::Limits};
use std::collections::BTreeMap;

/// At most so many broken rules are told; more do not help anybody.
const RULES_TOLD: usize = 20;

/// Directories, anywhere in the tree, that configure pipelines, agents, editors or hooks.
const DIRECTORIES: [&str; 13] = [
    ".azure-pipelines",
    ".pipelines",
    ".azuredevops",
    ".vsts",
    ".github",
    ".claude",
    ".codex",
    ".copilot",
    ".agents",
    ".cursor",
    ".opencode",
    ".githooks",
    ".husky",
];
/// Files, anywhere in the tree, that do the same.
const FILES: [&str; 11] = [
    "codeowners",
    "agents.md",
    "claude.md",
    "gemini.md",
    ".cursorrules",
    "opencode.json",
    "opencode.jsonc",
    ".mcp.json",
    ".gitattributes",
    ".gitmodules",
    ".roundsman.toml",
];
/// File names that hold secrets wherever they are.
const SECRET_ENDINGS: [&str; 7] = [".pem", ".key", ".pfx", ".p12", ".jks", ".keystore", ".kdbx"];
/// Examples of environment files are documentation.
const EXAMPLES: [&str; 4] = [".env.example", ".env.sample", ".env.template", ".env.dist"];

/// Whether a path looks like a secret by its name.
pub(super) fn is_secret_path(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let named = (name.starts_with(".env") && !name.starts_with(".envrc.") && !EXAMPLES.contains(&name))
        || name.starts_with("id_rsa")
        || name.starts_with("id_ed25519")
        || name.starts_with("credentials")
            && name
                .rsplit_once('.')
                .is_none_or(|(_, ending)| matches!(ending, "json" | "xml" | "yml" | "yaml" | "ini" | "txt"))
        || matches!(name, ".netrc" | ".npmrc" | ".pypirc" | ".git-credentials")
        || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending));
    named || folders.split('/').any(|folder| folder == "secrets")
}

/// Whether a path is not text, or has characters that act instead of being shown. What is not UTF-8 was replaced.
fn is_unreadable(path: &str) -> bool {
    let acts = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    path.contains(char::REPLACEMENT_CHARACTER) || path.contains(acts)
}

/// Whether a path is one that only people change.
fn is_protected(path: &str) -> bool {
    let path = path.to_lowercase();
    let parts: Vec<&str> = path.split('/').collect();
    let Some((name, folders)) = parts.split_last() else { return true };
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_pipeline = name.starts_with("azure-pipelines") && matches!(ending, "yml" | "yaml");
    is_pipeline
        || FILES.contains(name)
        || folders.iter().any(|folder| DIRECTORIES.contains(folder) || matches!(*folder, "hooks" | ".git"))
        || (folders.last() == Some(&".vscode")
            && matches!(*name, "tasks.json" | "launch.json" | "settings.json"))
}

/// Why a path is one that only people change, one sentence for each reason.
pub(super) fn protection(path: &str, own: &Rules) -> Vec<String> {
    let everywhere = is_protected(path).then(|| {
        format!("`{path}` is protected: pipelines, owners, agents, editors and hooks are changed by people")
    });
    let here = own
        .protects(path)
        .map(|pattern| format!("`{path}` is protected by the repository's own rules (`{pattern}`)"));
    everywhere.into_iter().chain(here).collect()
}

/// One sentence per broken rule. `sizes` and `links` belong to objects: bytes of blobs, targets of symbolic links.
pub(super) fn broken_rules(
    changes: &[Change],
    sizes: &BTreeMap<String, u64>,
    links: &BTreeMap<String, String>,
    limits: &Limits,
    own: &Rules,
) -> Vec<String> {
    let mut rules = Vec::new();
    let mut total = 0_u64;
    for change in changes {
        let path = &change.path;
        let size = sizes.get(&change.object).copied().unwrap_or(0);
        total = total.saturating_add(size);
        if is_unreadable(path) {
            // Judged by another name than its own, or able to draw lines of its own wherever it is listed.
            rules.push(format!("`{}` is a name that cannot be shown as it is", path.escape_debug()));
            continue;
        }
        rules.extend(protection(path, own));
        if change.new_mode != 0 && is_secret_path(path) {
            rules.push(format!("`{path}` looks like a secret"));
        }
        if change.old_mode == SUBMODULE || change.new_mode == SUBMODULE {
            rules.push(format!("`{path}` is a submodule"));
        }
        if change.new_mode == LINK && links.get(&change.object).is_none_or(|link| leaves_tree(path, link)) {
            rules.push(format!("`{path}` is a symbolic link that leaves the repository"));
        }
        let is_file = |mode: u32| mode & 0o170_000 == 0o100_000;
        if is_file(change.old_mode)
            && is_file(change.new_mode)
            && (change.old_mode == EXECUTABLE) != (change.new_mode == EXECUTABLE)
        {
            rules.push(format!("`{path}` changes whether it can be executed"));
        }
        if size > limits.max_file_bytes {
            rules.push(format!("`{path}` has {size} bytes; {} are allowed", limits.max_file_bytes));
        }
    }
    if changes.len() > limits.max_files as usize {
        rules.push(format!("{} files are changed; {} are allowed", changes.len(), limits.max_files));
    }
    if total > limits.max_total_bytes {
        rules.push(format!("the changed files have {total} bytes; {} are allowed", limits.max_total_bytes));
    }
    rules.truncate(RULES_TOLD);
    rules
}

fn leaves_tree(path: &str, link: &str) -> bool {
    if link.starts_with('/') {
        return true;
    }
    let mut depth = i64::try_from(path.matches('/').count()).unwrap_or(0);
    for part in link.split('/') {
        match part {
            ".." => depth -= 1,
            "." | "" => {}
            ".git" => return true,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_paths_are_protected_in_any_case_and_depth() {
        for path in [
            "azure-pipelines.yml",
            "build/Azure-Pipelines.release.yaml",
            ".github/workflows/x.yml",
            "docs/CODEOWNERS",
            "sub/.claude/settings.json",
            "AGENTS.md",
            ".vscode/tasks.json",
            "tools/hooks/pre-commit",
            "a/.gitattributes",
            ".gitmodules",
        ] {
            assert!(is_protected(path), "{path}");
        }
        for path in ["src/main.rs", "pipelines.yml", "docs/agents.rst", "webhooks/x.rs", ".vscode/words.txt"]
        {
            assert!(!is_protected(path), "{path}");
        }
    }

    #[test]
    fn names_that_cannot_be_shown_are_no_names() {
        for path in ["caf\u{fffd}.txt", "a\u{1b}[2J", "a\nb", "\u{202e}txt.exe"] {
            let change = Change { old_mode: 0, new_mode: 0o100_644, object: "x".into(), path: path.into() };
            let rules = broken_rules(
                &[change],
                &BTreeMap::new(),
                &BTreeMap::new(),
                &Limits::default(),
                &Rules::default(),
            );
            assert!(rules.len() == 1 && rules[0].contains("cannot be shown"), "{rules:?}");
            assert!(!rules[0].contains(char::is_control), "{rules:?}");
        }
        assert!(!is_unreadable("caf\u{e9} \u{4f60}.txt"));
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for path in [
            ".env",
            "a/.env.local",
            "x.pem",
            "id_rsa",
            "id_rsa.pub",
            "credentials.json",
            "a/secrets/x",
            ".npmrc",
        ] {
            assert!(is_secret_path(path), "{path}");
        }
        for path in [".env.example", "src/credentials.rs", "environment.ts", "keys.rs", "secrets.rs"] {
            assert!(!is_secret_path(path), "{path}");
        }
    }

    #[test]
    fn links_may_point_inside() {
        assert!(!leaves_tree("a/b/link", "../c"));
        assert!(!leaves_tree("link", "a/../b"));
        assert!(leaves_tree("a/link", "../../x"));
        assert!(leaves_tree("link", "/etc/passwd"));
        assert!(leaves_tree("link", ".git/config"));
    }

    #[test]
    fn modes_and_sizes_are_limited() {
        let change = |old_mode, new_mode, path: &str| Change {
            old_mode,
            new_mode,
            object: path.into(),
            path: path.into(),
        };
        let limits = Limits { max_files: 2, max_file_bytes: 10, max_total_bytes: 15, ..Limits::default() };
        let changes = [
            change(0o100_644, EXECUTABLE, "flip"),
            change(0, SUBMODULE, "module"),
            change(0, LINK, "link"),
            change(0, EXECUTABLE, "new-script"),
        ];
        let sizes = [("flip".to_owned(), 11), ("new-script".to_owned(), 9)].into();
        let links = [("link".to_owned(), "/x".to_owned())].into();
        let rules = broken_rules(&changes, &sizes, &links, &limits, &Rules::default());
        assert_eq!(rules.len(), 6, "{rules:#?}");
        let own = Rules::parse("[paths]\nprotected = [\"mod*\"]").unwrap();
        let more = broken_rules(&changes, &sizes, &links, &limits, &own);
        assert_eq!(more.len(), 7, "{more:#?}");
        assert!(rules.iter().all(|rule| more.contains(rule)), "a repository only adds: {more:#?}");
    }
}
