//! The nouns: work items, runs, turns, pull requests, labels, policy.
//!
//! Values and their invariants, nothing else. This room knows no I/O, no `async`, no clock, no environment and no
//! wire format: what Azure DevOps sends becomes one of these types in `ado`, what `SQLite` stores in `store`.

pub mod budget;
pub mod digest;
pub mod ids;
pub mod labels;
pub mod policy;
pub mod pull_request;
pub mod ring;
pub mod rules;
pub mod run;
pub mod said;
pub mod suggestion;
pub mod turn;
pub mod usage;
pub mod work_item;

pub use budget::{Budget, Prices};
pub use digest::ProgressDigest;
pub use ids::*;
pub use labels::{
    AGENT_LABEL_PREFIX, DRAFT_LABEL_PREFIX, EFFORT_LABEL_PREFIX, LabelNames, Labels, MODEL_LABEL_PREFIX,
    REPOSITORY_LABEL_PREFIX,
};
pub use policy::{Brake, CloseOn, Offer, Policy, ResolveThreads};
pub use pull_request::*;
pub use ring::{Cause, Priority, Receiver, Ring, RingKind};
pub use rules::{Ceiling, NamedChecks, RULES_FILE, Rules, RulesError};
pub use run::*;
pub use said::{Notice, OwnWord, Said};
pub use suggestion::{Suggested, Suggestion, Suggestions};
pub use turn::*;
pub use usage::Usage;
pub use work_item::*;
