//! Where a secret comes from: a variable or a file. Files are read afresh for each use, because they are rotated while
//! we run. Neither the secret nor the name of its file is ever shown: the commonest mistake with a `…_FILE` variable is
//! to put the secret itself into it.

use super::vars::Var;
use secrecy::{ExposeSecret, SecretString};
use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf};

/// A secret, or where it can be read.
#[derive(Clone)]
pub enum Secret {
    /// Given in a variable.
    Given(SecretString),
    /// In a file.
    File {
        /// The variable that names the file, for sentences.
        variable: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Secret::Given(…)",
            Self::File { .. } => "Secret::File(…)",
        })
    }
}

/// Real tokens have up to about 3,000 characters; what is larger is another file.
const LARGEST_FILE: u64 = 16 * 1024;

impl Secret {
    pub(super) fn file(var: &Var, path: String) -> Self {
        Self::File { variable: var.name, path: path.into() }
    }

    /// The secret as it is now. White space around it is not part of it.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File { variable, path } => {
                let unreadable =
                    |error: &io::Error| SecretError::Unreadable { variable, why: error.kind().to_string() };
                let size = fs::metadata(path).map_err(|error| unreadable(&error))?;
                if !size.is_file() || size.len() > LARGEST_FILE {
                    return Err(SecretError::NotASecret { variable });
                }
                let text = SecretString::from(fs::read_to_string(path).map_err(|error| unreadable(&error))?);
                let trimmed = text.expose_secret().trim();
                if trimmed.is_empty() {
                    return Err(SecretError::Empty { variable });
                }
                if trimmed.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    return Err(SecretError::NotASecret { variable });
                }
                Ok(SecretString::from(trimmed))
            }
        }
    }

    /// Whether everybody on this machine may read the file. The group may: that is how clusters mount secrets.
    pub(super) fn warning(&self) -> Option<String> {
        const OTHERS: u32 = 0o007;
        let Self::File { variable, path } = self else { return None };
        match fs::metadata(path) {
            Ok(file) if file.permissions().mode() & OTHERS != 0 => Some(format!(
                "the file that {variable} names is open to everybody on this machine: chmod it to 0600"
            )),
            Ok(_) => None,
            Err(error) => Some(format!("the file that {variable} names cannot be read: {}", error.kind())),
        }
    }
}

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file is not there, or not ours to read.
    #[error("the file that {variable} names cannot be read: {why}")]
    Unreadable {
        /// The variable.
        variable: &'static str,
        /// What the system says.
        why: String,
    },
    /// Nothing in it: a rotation in progress, or a mount that failed.
    #[error("the file that {variable} names is empty")]
    Empty {
        /// The variable.
        variable: &'static str,
    },
    /// A directory, a large file, or more than one word.
    #[error("the file that {variable} names does not hold one secret")]
    NotASecret {
        /// The variable.
        variable: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &std::path::Path) -> Secret {
        Secret::File { variable: "ROUNDSMAN_ADO_TOKEN_FILE", path: path.to_owned() }
    }

    #[test]
    fn a_file_is_read_afresh_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for token in ["first", "second"] {
            fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(of(&path).read().unwrap().expose_secret(), token);
        }
    }

    #[test]
    fn a_bad_file_is_described_by_its_variable_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("canary-7f3");
        let mut said = vec![of(&path).read().unwrap_err().to_string()];
        for text in ["", " \n", "canary-7f3 two words", &"x".repeat(20_000)] {
            fs::write(&path, text).unwrap();
            said.push(of(&path).read().unwrap_err().to_string());
        }
        said.push(of(dir.path()).read().unwrap_err().to_string());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        said.push(of(&path).warning().unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(of(&path).warning(), None);
        for line in said {
            assert!(line.contains("ROUNDSMAN_ADO_TOKEN_FILE") && !line.contains("canary"), "{line}");
        }
        assert!(!format!("{:?}", of(&path)).contains("canary"));
    }
}
