//! A work item as we need it, not as Azure DevOps sends it.

use super::{Identity, IdentityId, Labels, Revision, WorkItemId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What decisions need to know of a work item. Texts for the brief are [`WorkItemText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Unique in the organization, also after a move to another project.
    pub id: WorkItemId,
    /// Of this reading.
    pub revision: Revision,
    /// Name of the project it is in now (it can move).
    pub project: String,
    /// Type by name, for example `User Story`.
    pub kind: String,
    /// One line.
    pub title: String,
    /// Name of the state; what it means is the [`StateCategory`] of its type.
    pub state: String,
    /// All labels, ours and others'.
    pub labels: Labels,
    /// For example `Web\Shop`.
    pub area: String,
    /// Whose it is, if anybody's.
    pub assigned_to: Option<Identity>,
    /// 1 is the most urgent; types without the field have none.
    pub priority: Option<u8>,
    /// Server time of the last saved field change.
    pub changed_at: Timestamp,
    /// Who saved it, if the service says who that is.
    #[serde(default)]
    pub changed_by: Option<IdentityId>,
    /// Whether a text besides the title says anything; unknown where the read left texts out.
    #[serde(default)]
    pub is_described: Option<bool>,
    /// Links, if they were asked for.
    pub links: Vec<Link>,
}

/// A link that can matter to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// This item waits for that one.
    Predecessor(WorkItemId),
    /// That item has to do with this one.
    Related(WorkItemId),
    /// A branch, in a repository given by project and repository GUID.
    Branch {
        /// GUID of the repository's project.
        project_id: String,
        /// GUID of the repository.
        repository_id: String,
        /// Short name.
        branch: String,
    },
    /// A pull request, in a repository given by GUID.
    PullRequest {
        /// GUID of the repository's project.
        project_id: String,
        /// GUID of the repository.
        repository_id: String,
        /// Its number.
        id: super::PullRequestId,
    },
    /// A file that hangs on this item.
    File {
        /// As people see it; two files may have the same.
        name: String,
    },
}

/// What a state means, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StateCategory {
    /// Not begun.
    Proposed,
    /// Being worked on.
    InProgress,
    /// Done but not verified.
    Resolved,
    /// Done.
    Completed,
    /// Will not be done.
    Removed,
    /// A category we do not know; never counts as done.
    Other,
}

impl StateCategory {
    /// Nobody expects work on it any more.
    pub fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Removed => true,
            Self::Proposed | Self::InProgress | Self::Resolved | Self::Other => false,
        }
    }
}

/// The texts of a work item at one revision, already turned into Markdown. Untrusted: everybody with write access to
/// the item may have written them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItemText {
    /// One line.
    pub title: String,
    /// What is wanted.
    pub description: String,
    /// When it is done.
    pub acceptance_criteria: String,
    /// How to see the bug; a Bug's description is usually empty.
    pub repro_steps: String,
    /// Where the bug was seen.
    pub system_info: String,
}

/// Who put a label on an item, and when: the last update in which it was gained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledBy {
    /// The identity that saved the update.
    pub by: Identity,
    /// Whether that is a person. Services never count, whoever lists them.
    pub is_person: bool,
    /// The account that was authenticated, where the update tells; somebody with the right to bypass rules can forge
    /// `by`, but not this.
    pub authorized_as: Option<IdentityId>,
    /// The revision that gained the label.
    pub revision: Revision,
    /// Server time.
    pub at: Timestamp,
    /// Identities that changed title or texts after that revision; a service among them equals no configured identity.
    pub text_changed_since_by: Vec<Identity>,
}

/// A change of a text that reaches an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextChange {
    /// The identity that saved it.
    pub by: Identity,
    /// The revision that it made.
    pub revision: Revision,
    /// Server time.
    pub at: Timestamp,
}
