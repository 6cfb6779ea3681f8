//! Identities as the identity service sends them, and what a descriptor tells about its owner.

use serde::Deserialize;

/// What an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Group,
    /// A service, a build, the system, or a kind that is not known here.
    Service,
}

impl Kind {
    /// By the kind in front of a descriptor: `aad.…` of the graph, or `Microsoft.TeamFoundation.Identity;…` of the older
    /// identity service. What is not known is no person.
    pub(crate) fn of(descriptor: &str) -> Self {
        let descriptor = descriptor.trim().to_ascii_lowercase();
        if let Some((kind, _)) = descriptor.split_once(';') {
            return match kind {
                "microsoft.identitymodel.claims.claimsidentity"
                | "system.security.principal.windowsidentity" => Self::Person,
                "microsoft.teamfoundation.identity" => Self::Group,
                _ => Self::Service,
            };
        }
        match descriptor.split_once('.').map(|(kind, _)| kind) {
            // Entra, Microsoft account, Windows, imported into this organization.
            Some("aad" | "msa" | "win" | "imp") => Self::Person,
            Some("vssgp" | "aadgp") => Self::Group,
            _ => Self::Service,
        }
    }
}

/// `IdentityBase`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadIdentity {
    pub(crate) id: Option<String>,
    #[serde(default)]
    subject_descriptor: Option<String>,
    #[serde(default)]
    descriptor: Option<serde_json::Value>,
    #[serde(default)]
    is_container: Option<bool>,
    #[serde(default)]
    pub(crate) member_ids: Option<Vec<String>>,
    /// As text, whatever the form: its number says whether ids were left out.
    #[serde(default)]
    pub(crate) members: Option<Vec<serde_json::Value>>,
}

impl ReadIdentity {
    pub(crate) fn kind(&self) -> Kind {
        // Left out when it is false.
        if self.is_container == Some(true) {
            return Kind::Group;
        }
        let older = self.descriptor.as_ref().and_then(serde_json::Value::as_str);
        match self.subject_descriptor.as_deref().or(older).map(Kind::of) {
            Some(Kind::Person) => Kind::Person,
            // A container says so.
            Some(Kind::Group | Kind::Service) | None => Kind::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_are_people() {
        for person in
            ["aad.abc", "MSA.abc", "win.Uy0x", "Microsoft.IdentityModel.Claims.ClaimsIdentity;t\\a@b.c"]
        {
            assert_eq!(Kind::of(person), Kind::Person, "{person}");
        }
        for group in ["vssgp.Uy0x", "aadgp.Uy0x", "Microsoft.TeamFoundation.Identity;S-1-9"] {
            assert_eq!(Kind::of(group), Kind::Group, "{group}");
        }
        for service in [
            "svc.abc",
            "aadsp.abc",
            "s2s.abc",
            "Microsoft.TeamFoundation.ServiceIdentity;x",
            "new.abc",
            "abc",
            "",
        ] {
            assert_eq!(Kind::of(service), Kind::Service, "{service}");
        }
    }
}
