//! The discussion of a work item.

use super::{
    Client, Error, ErrorKind, Operation, Written,
    client::{Answer, MAX_PAGES},
    request::{COMMENTS, Call},
    text::{clean, to_markdown},
    wire::{
        item::{Comment, CommentPage},
        nobody,
    },
};
use crate::domain::{CommentId, Identity, WorkItemId};
use jiff::Timestamp;
use serde_json::json;

/// The most that a page has.
const PAGE: u32 = 200;

/// A comment on a work item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemComment {
    /// Unique in the organization's comments of this item.
    pub id: CommentId,
    /// The account that was authenticated; an unknown one, equal to no configured identity, if it wrote for another.
    pub author: Identity,
    /// As Markdown, whatever it is stored as. Untrusted.
    pub text: String,
    /// As stored: HTML unless [`is_markdown`](Self::is_markdown).
    pub stored: String,
    /// Whether it is stored as Markdown. False after adding one means that this server shows Markdown raw.
    pub is_markdown: bool,
    /// Server time.
    pub created_at: Timestamp,
    /// Server time of the last edit, or of the creation.
    pub changed_at: Timestamp,
}

impl Comment {
    fn comment(self) -> ItemComment {
        let is_markdown = self.is_markdown();
        let stored = self.text.unwrap_or_default();
        let created_at = self.created_date.unwrap_or(Timestamp::UNIX_EPOCH);
        // Written in another's name: the words of neither.
        let is_proxied = self.created_on_behalf_of.as_ref().is_some_and(|other| {
            let author =
                self.created_by.as_ref().and_then(super::wire::WireIdentity::known).map(|who| who.id);
            other.known().is_some_and(|other| Some(other.id) != author)
        });
        let author = self.created_by.as_ref().and_then(super::wire::WireIdentity::known);
        ItemComment {
            id: CommentId(self.id),
            author: author.filter(|_| !is_proxied).unwrap_or_else(|| nobody("")),
            text: if is_markdown { clean(&stored) } else { to_markdown(&stored) },
            stored,
            is_markdown,
            created_at,
            changed_at: self.modified_date.unwrap_or(created_at),
        }
    }
}

impl Client {
    /// All comments that are not deleted, oldest first. `project` is the one the item is in now.
    ///
    /// REST: Work Item Tracking, Comments, *Get Comments*, 7.1-preview.4.
    pub async fn comments(&self, project: &str, item: WorkItemId) -> Result<Vec<ItemComment>, Error> {
        let segments = [project, "_apis", "wit", "workItems", &item.to_string(), "comments"];
        let call =
            Call::get(Operation::Comments, &segments, COMMENTS).with("$top", PAGE).with("order", "asc");
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = match &token {
                Some(token) => call.clone().with("continuationToken", token),
                None => call.clone(),
            };
            let page: CommentPage = self.json(&page).await?;
            all.extend(
                page.comments.into_iter().filter(|one| one.is_deleted != Some(true)).map(Comment::comment),
            );
            match page.continuation_token.filter(|next| !next.is_empty()) {
                None => {
                    all.sort_by_key(|comment| comment.id);
                    all.dedup_by_key(|comment| comment.id);
                    return Ok(all);
                }
                same if same == token => {
                    return Err(self.incomplete(&call, "the same page was offered again"));
                }
                next => token = next,
            }
        }
        Err(self.incomplete(&call, "the item has too many comments"))
    }

    /// Adds a comment of HTML, which every server renders. Each is a revision of the item.
    ///
    /// REST: Work Item Tracking, Comments, *Add Work Item Comment*, 7.1-preview.4.
    pub async fn add_comment(&self, project: &str, item: WorkItemId, html: &str) -> Written<ItemComment> {
        let segments = [project, "_apis", "wit", "workItems", &item.to_string(), "comments"];
        let call = Call::post(Operation::AddComment, &segments, COMMENTS, &json!({ "text": html }))
            .with("format", "html");
        self.write(&call, |answer| self.understand(answer)).await
    }

    /// Replaces the text of a comment of ours by HTML. Each edit is a revision of the item.
    ///
    /// REST: Work Item Tracking, Comments, *Update Work Item Comment*, 7.1-preview.4.
    pub async fn edit_comment(
        &self,
        project: &str,
        item: WorkItemId,
        comment: CommentId,
        html: &str,
    ) -> Written<ItemComment> {
        let (item, comment) = (item.to_string(), comment.to_string());
        let segments = [project, "_apis", "wit", "workItems", &item, "comments", &comment];
        let call = Call::patch(Operation::EditComment, &segments, COMMENTS, &json!({ "text": html }))
            .with("format", "html");
        self.write(&call, |answer| self.understand(answer)).await
    }

    fn understand(&self, answer: &Answer) -> Result<ItemComment, ErrorKind> {
        self.parse::<Comment>(answer).map(Comment::comment)
    }
}
