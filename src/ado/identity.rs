//! Whose token this is.

use super::{
    Client, Error, ErrorKind, Operation,
    request::{Call, PREVIEW},
};
use crate::domain::{Identity, IdentityId};
use serde::Deserialize;

/// Given to everybody without a valid token by organizations that have public projects.
const ANONYMOUS: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionData {
    authenticated_user: Option<User>,
    instance_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: Option<String>,
    descriptor: Option<String>,
    subject_descriptor: Option<String>,
    provider_display_name: Option<String>,
    custom_display_name: Option<String>,
}

/// Whose token it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The identity of the token.
    pub identity: Identity,
    /// The organization's or collection's own id; none where the service does not tell.
    pub organization: Option<IdentityId>,
}

impl Client {
    /// The identity of the token; its id is the one in authors, reviewers and auto-complete. The anonymous identity is
    /// [`ErrorKind::Unauthorized`], although it comes with status 200.
    ///
    /// `GET _apis/connectionData`, 7.1-preview.1. Not in the REST reference; used by the official clients.
    pub async fn who_am_i(&self) -> Result<Identity, Error> {
        Ok(self.connection().await?.identity)
    }

    /// As [`who_am_i`](Self::who_am_i), and which organization answered: an address can lead to another one than meant.
    pub async fn connection(&self) -> Result<Connection, Error> {
        let call = Call::get(Operation::WhoAmI, &["_apis", "connectionData"], PREVIEW);
        let data: ConnectionData = self.json(&call).await?;
        let rejected = || {
            let message = "the service answered as the anonymous identity".to_owned();
            self.after_answer(&call, ErrorKind::Unauthorized { message })
        };
        let user = data.authenticated_user.ok_or_else(rejected)?;
        let id = IdentityId::new(&user.id.unwrap_or_default());
        let is_public = [user.descriptor, user.subject_descriptor]
            .iter()
            .flatten()
            .any(|descriptor| descriptor.to_ascii_lowercase().starts_with("system:publicaccess"));
        if is_public || id.as_str().is_empty() || id.as_str() == ANONYMOUS {
            return Err(rejected());
        }
        let name = user.custom_display_name.or(user.provider_display_name).unwrap_or_default();
        let organization = data.instance_id.as_deref().map(IdentityId::new).filter(IdentityId::is_guid);
        Ok(Connection { identity: Identity { id, name }, organization })
    }
}
