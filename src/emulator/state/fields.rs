//! The fields of work items: reference name, display name, kind, and who may write them.
//!
//! Every `Custom.*` field exists too, as plain text: inherited processes add them freely.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Html,
    Integer,
    Double,
    Date,
    Identity,
    Tree,
    Tags,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) reference: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) read_only: bool,
}

const fn open(reference: &'static str, name: &'static str, kind: Kind) -> Field {
    Field { reference, name, kind, read_only: false }
}

const fn fixed(reference: &'static str, name: &'static str, kind: Kind) -> Field {
    Field { reference, name, kind, read_only: true }
}

pub(crate) const FIELDS: &[Field] = &[
    fixed("System.Id", "ID", Kind::Integer),
    fixed("System.Rev", "Rev", Kind::Integer),
    open("System.Title", "Title", Kind::Text),
    open("System.State", "State", Kind::Text),
    open("System.Reason", "Reason", Kind::Text),
    open("System.WorkItemType", "Work Item Type", Kind::Text),
    open("System.TeamProject", "Team Project", Kind::Text),
    open("System.AreaPath", "Area Path", Kind::Tree),
    open("System.IterationPath", "Iteration Path", Kind::Tree),
    open("System.AssignedTo", "Assigned To", Kind::Identity),
    fixed("System.CreatedBy", "Created By", Kind::Identity),
    fixed("System.CreatedDate", "Created Date", Kind::Date),
    fixed("System.ChangedBy", "Changed By", Kind::Identity),
    fixed("System.ChangedDate", "Changed Date", Kind::Date),
    fixed("System.AuthorizedAs", "Authorized As", Kind::Identity),
    fixed("System.AuthorizedDate", "Authorized Date", Kind::Date),
    fixed("System.RevisedDate", "Revised Date", Kind::Date),
    fixed("System.Watermark", "Watermark", Kind::Integer),
    fixed("System.CommentCount", "Comment Count", Kind::Integer),
    fixed("System.AreaId", "Area ID", Kind::Integer),
    fixed("System.Parent", "Parent", Kind::Integer),
    open("System.Description", "Description", Kind::Html),
    open("System.History", "History", Kind::Html),
    open("System.Tags", "Tags", Kind::Tags),
    open("System.BoardColumn", "Board Column", Kind::Text),
    open("Microsoft.VSTS.Common.Priority", "Priority", Kind::Integer),
    open("Microsoft.VSTS.Common.Severity", "Severity", Kind::Text),
    open("Microsoft.VSTS.Common.Risk", "Risk", Kind::Text),
    open("Microsoft.VSTS.Common.StackRank", "Stack Rank", Kind::Double),
    open("Microsoft.VSTS.Common.ValueArea", "Value Area", Kind::Text),
    open("Microsoft.VSTS.Common.Activity", "Activity", Kind::Text),
    open("Microsoft.VSTS.Common.ResolvedReason", "Resolved Reason", Kind::Text),
    open("Microsoft.VSTS.Common.AcceptanceCriteria", "Acceptance Criteria", Kind::Html),
    fixed("Microsoft.VSTS.Common.StateChangeDate", "State Change Date", Kind::Date),
    fixed("Microsoft.VSTS.Common.ActivatedDate", "Activated Date", Kind::Date),
    fixed("Microsoft.VSTS.Common.ActivatedBy", "Activated By", Kind::Identity),
    fixed("Microsoft.VSTS.Common.ResolvedDate", "Resolved Date", Kind::Date),
    fixed("Microsoft.VSTS.Common.ResolvedBy", "Resolved By", Kind::Identity),
    fixed("Microsoft.VSTS.Common.ClosedDate", "Closed Date", Kind::Date),
    fixed("Microsoft.VSTS.Common.ClosedBy", "Closed By", Kind::Identity),
    open("Microsoft.VSTS.TCM.ReproSteps", "Repro Steps", Kind::Html),
    open("Microsoft.VSTS.TCM.SystemInfo", "System Info", Kind::Html),
    open("Microsoft.VSTS.Scheduling.StoryPoints", "Story Points", Kind::Double),
    open("Microsoft.VSTS.Scheduling.Effort", "Effort", Kind::Double),
    open("Microsoft.VSTS.Scheduling.RemainingWork", "Remaining Work", Kind::Double),
    open("Microsoft.VSTS.Scheduling.OriginalEstimate", "Original Estimate", Kind::Double),
    open("Microsoft.VSTS.Scheduling.CompletedWork", "Completed Work", Kind::Double),
];

/// A field by reference or display name, any case.
pub(crate) fn field(name: &str) -> Option<(String, Kind, bool)> {
    let known =
        FIELDS.iter().find(|f| f.reference.eq_ignore_ascii_case(name) || f.name.eq_ignore_ascii_case(name));
    if let Some(field) = known {
        return Some((field.reference.to_owned(), field.kind, field.read_only));
    }
    let custom = name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("custom."));
    custom.then(|| (name.to_owned(), Kind::Text, false))
}

pub(crate) fn label(reference: &str) -> &str {
    FIELDS.iter().find(|f| f.reference == reference).map_or(reference, |f| f.name)
}
