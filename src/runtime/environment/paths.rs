//! Paths inside the repository, as its files write them: resolved by their letters alone, and never out of it.
//!
//! A path is relative, `/`-separated and without `.` and `..`; the root is empty. Knows no disk: whether something is
//! there, and whether a part of it is a link, says [`Files`].

use super::detect::{Files, Kind, Unusable};

/// What `path` means when it is written in a file of `folder`; none when it leaves the repository.
pub(super) fn within(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// `path` as seen from `folder`; none when it is not below it.
pub(super) fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

/// Whether a link at `path` with this target stays below `folder`, whatever other links that hold are on its way.
pub(super) fn stays_below(folder: &str, path: &str, target: &str) -> bool {
    // After a name that may itself be a link, `..` goes somewhere else than its letters say: only a beginning of `..`
    // starts at a folder that is known to be one.
    let climbs_later = target
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .skip_while(|part| *part == "..")
        .any(|part| part == "..");
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let Some(parent) = below(folder, parent).or((parent == folder).then_some("")) else { return false };
    !climbs_later && !target.is_empty() && within(parent, target).is_some()
}

/// What is at `path`, when no part of it is a link.
pub(super) fn solid(files: &impl Files, path: &str) -> Result<Option<Kind>, Unusable> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        if files.kind(&path[..end]) == Some(Kind::Link) {
            return Err(Unusable::Link { path: path[..end].to_owned() });
        }
    }
    Ok(if path.is_empty() { Some(Kind::Folder) } else { files.kind(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_and_never_leave() {
        let table = [
            ("", ".", Some("")),
            ("", "./app/", Some("app")),
            (".devcontainer", "..", Some("")),
            (".devcontainer", "../docker//x", Some("docker/x")),
            ("", "..", None),
            ("a", "../../a", None),
            ("a", "/etc", None),
            ("a", "..\\b", Some("a/..\\b")),
            ("a", "b\0", None),
        ];
        for (folder, path, expected) in table {
            assert_eq!(within(folder, path).as_deref(), expected, "{path} in {folder}");
        }
    }

    #[test]
    fn links_stay_or_do_not() {
        let table = [
            ("", "a/link", "../b", true),
            ("", "link", "a/b", true),
            ("", "link", "..", false),
            ("", "a/link", "../../b", false),
            ("", "link", "/etc/passwd", false),
            ("", "link", "", false),
            // `d` could be a link to the root.
            ("", "a/link", "d/../x", false),
            ("app", "app/link", "x", true),
            ("app", "app/link", "../other", false),
            ("app", "app/a/link", "../x", true),
            ("app", "application/link", "x", false),
        ];
        for (folder, path, target, expected) in table {
            assert_eq!(stays_below(folder, path, target), expected, "{path} -> {target} in {folder:?}");
        }
    }

    #[test]
    fn below_is_not_a_prefix_of_letters() {
        assert_eq!(below("app", "app/x"), Some("x"));
        assert_eq!(below("app", "application/x"), None);
        assert_eq!(below("", "x"), Some("x"));
    }
}
