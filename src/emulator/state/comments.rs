//! The discussion of a work item.
//!
//! Every entry, edit and removal is a revision of the item. Text saved through `System.History` lands in the same list.

use super::{
    World,
    work_items::{Save, WorkItem},
};
use crate::emulator::wire::{Problem, stamp};
use jiff::Timestamp;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct ItemComment {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) text: String,
    pub(crate) format: String,
    pub(crate) by: String,
    pub(crate) created: Timestamp,
    pub(crate) modified_by: String,
    pub(crate) modified: Timestamp,
    pub(crate) deleted: bool,
}

impl World {
    pub(crate) fn new_comment(
        &mut self,
        _item: i64,
        text: &str,
        format: &str,
        by: &str,
        now: Timestamp,
    ) -> ItemComment {
        self.next_comment += 1;
        ItemComment {
            // Ids are unique in the organization and start far from the item ids, so that mixing them up shows.
            id: 900_000 + self.next_comment,
            version: 1,
            text: self.kept(text),
            format: format.to_owned(),
            by: by.to_owned(),
            created: now,
            modified_by: by.to_owned(),
            modified: now,
            deleted: false,
        }
    }

    /// What is stored of a text.
    fn kept(&self, text: &str) -> String {
        let folding =
            ["<details>", "</details>", "<summary>", "</summary>"].iter().filter(|_| !self.knobs.folds);
        folding.fold(text.to_owned(), |text, tag| text.replace(tag, ""))
    }

    pub(crate) fn add_comment(
        &mut self,
        item: i64,
        text: &str,
        format: &str,
        by: &str,
    ) -> Result<i64, Problem> {
        if text.is_empty() {
            return Err(Problem::argument("Value cannot be null.\r\nParameter name: text"));
        }
        if text.chars().count() > 1_000_000 {
            return Err(Problem::argument("VS403311: The comment is longer than 1000000 characters."));
        }
        let save = Save { history: Some(text.to_owned()), ..self.edit(item)? };
        self.save_item(item, save, by);
        let comment = self.item_mut(item).and_then(|item| item.comments.last_mut());
        comment
            .map(|comment| {
                format.clone_into(&mut comment.format);
                comment.id
            })
            .ok_or_else(|| Problem::argument("comment"))
    }

    pub(crate) fn edit_comment(
        &mut self,
        item: i64,
        id: i64,
        text: Option<(&str, Option<&str>)>,
        by: &str,
    ) -> Result<(), Problem> {
        self.item_comment(item, id)?;
        let text = text.map(|(text, format)| (self.kept(text), format));
        let now = self.now();
        if let Some(comment) =
            self.item_mut(item).and_then(|item| item.comments.iter_mut().find(|comment| comment.id == id))
        {
            match text {
                Some((text, format)) => {
                    comment.text = text;
                    if let Some(format) = format {
                        format.clone_into(&mut comment.format);
                    }
                }
                None => comment.deleted = true,
            }
            comment.version += 1;
            comment.modified = now;
            by.clone_into(&mut comment.modified_by);
        }
        let save = Save { touch: true, ..self.edit(item)? };
        self.save_item(item, save, by);
        Ok(())
    }

    pub(crate) fn item_comment(&self, item: i64, id: i64) -> Result<&ItemComment, Problem> {
        self.item(item)?.comments.iter().find(|comment| comment.id == id && !comment.deleted).ok_or_else(
            || {
                Problem::new(
                    404,
                    "WorkItemCommentNotFoundException",
                    format!("VS403639: The comment with id {id} does not exist on work item {item}."),
                )
            },
        )
    }

    pub(crate) fn comment_json(&self, item: &WorkItem, comment: &ItemComment, rendered: bool) -> Value {
        let id = if self.knobs.legacy_comment_ids { "commentId" } else { "id" };
        let mut answer = json!({
            "workItemId": item.id, id: comment.id, "version": comment.version, "text": comment.text,
            "createdBy": self.identity(&comment.by), "createdDate": stamp(comment.created),
            "modifiedBy": self.identity(&comment.modified_by), "modifiedDate": stamp(comment.modified),
            "format": comment.format,
            "url": format!("{}/comments/{}", self.item_url(item), comment.id),
        });
        if comment.deleted {
            answer["isDeleted"] = json!(true);
            answer["text"] = json!("");
        }
        if rendered {
            answer["renderedText"] = json!(comment.text);
        }
        answer
    }
}
