//! Files that were uploaded for work items. An upload is visible to nobody before an item links it; two uploads of one
//! name are two files.

use super::{World, work_items::Relation};
use crate::emulator::wire::{Problem, encode, same_guid};
use serde_json::{Map, Value, json};

/// Files of one item; the service's own limit.
pub(crate) const PER_ITEM: usize = 100;
/// Bytes of one file on the hosted service.
const HOSTED: usize = 60 << 20;
/// Bytes of one file on a server as it is installed.
const ON_PREMISES: usize = 4 << 20;

/// An uploaded file.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The project that it was uploaded to, if any was named.
    pub(crate) project: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl World {
    /// Keeps a file and answers with its address. How a file that is too large is answered is in no document: the words are
    /// those of the web form, status and type are assumed.
    pub(crate) fn upload(
        &mut self,
        project: Option<&str>,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<Value, Problem> {
        let most = if self.knobs.hosted { HOSTED } else { ON_PREMISES };
        if bytes.len() > most {
            return Err(Problem::new(
                400,
                "AttachmentSizeExceededException",
                "TF237082: The file you are trying to upload exceeds the supported file upload size.",
            ));
        }
        let id = self.fresh_guid("attachment");
        let attachment =
            Attachment { id: id.clone(), name: name.to_owned(), project: project.map(str::to_owned), bytes };
        let url = format!("{}?fileName={}", self.attachment_url(&attachment), encode(name));
        self.attachments.insert(id.clone(), attachment.into());
        Ok(json!({"id": id, "url": url}))
    }

    pub(crate) fn attachment(&self, id: &str) -> Result<&Attachment, Problem> {
        let found = self.attachments.values().find(|attachment| same_guid(&attachment.id, id));
        found.map(AsRef::as_ref).ok_or_else(|| {
            Problem::new(
                404,
                "AttachmentNotFoundException",
                format!(
                    "TF237130: The attachment {id} does not exist or you do not have permission to read it."
                ),
            )
        })
    }

    /// The relation that links an uploaded file: without the query of the upload's address, with its size.
    pub(crate) fn file_relation(
        &self,
        url: &str,
        mut attributes: Map<String, Value>,
        others: &[Relation],
    ) -> Result<(String, Map<String, Value>), Problem> {
        let path = url.split('?').next().unwrap_or_default();
        let id = path.rsplit_once("/_apis/wit/attachments/").map(|(_, id)| id);
        let found = id.filter(|_| path.starts_with(&*self.base)).and_then(|id| self.attachment(id).ok());
        let Some(found) = found else {
            return Err(Problem::argument(format!("VS403657: '{url}' is not the address of an attachment.")));
        };
        if others.iter().filter(|other| other.rel == "AttachedFile").count() >= PER_ITEM {
            return Err(Problem::argument(format!(
                "VS403313: A work item cannot have more than {PER_ITEM} attachments."
            )));
        }
        attributes.entry("name").or_insert_with(|| json!(found.name));
        attributes.insert("resourceSize".into(), json!(found.bytes.len()));
        Ok((self.attachment_url(found), attributes))
    }

    fn attachment_url(&self, attachment: &Attachment) -> String {
        let base = match &attachment.project {
            Some(project) => self.project_url(project),
            None => self.base.to_string(),
        };
        format!("{base}/_apis/wit/attachments/{}", attachment.id)
    }
}
