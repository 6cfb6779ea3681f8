//! Files that hang on work items: the upload. The link is a change of the item, see [`ItemChange`](super::ItemChange).

use super::{
    Client, Operation, Written,
    request::{Call, STABLE},
    wire::item::Uploaded,
};

/// An uploaded file as it is linked to a work item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedFile {
    /// What the upload answered.
    pub url: String,
    /// The name that people see; it is known again by it.
    pub name: String,
    /// One line beside it.
    pub comment: String,
}

impl Client {
    /// Uploads a file in one piece and answers with its address. Nobody sees it before it is linked, and nothing refuses a
    /// second copy: one whose answer was lost is left behind unseen.
    ///
    /// REST: Work Item Tracking, Attachments, *Create*; 60 MB at most on the service, 4 MB on a server as installed.
    pub async fn upload_attachment(&self, project: &str, name: &str, bytes: Vec<u8>) -> Written<String> {
        let segments = [project, "_apis", "wit", "attachments"];
        let call = Call::upload(Operation::UploadAttachment, &segments, STABLE, bytes)
            .with("fileName", name)
            .with("uploadType", "simple");
        self.write(&call, |answer| self.parse::<Uploaded>(answer)).await.map(|uploaded| uploaded.url)
    }
}
