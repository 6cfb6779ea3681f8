//! The nouns: work items, runs, turns, pull requests, labels, policy.
//!
//! Values and their invariants, nothing else. This room knows no I/O, no `async`, no clock, no environment and no
//! wire format: what Azure DevOps sends becomes one of these types in `ado`, what `SQLite` stores in `store`.

pub mod budget;
pub mod ids;
pub mod labels;
pub mod policy;
pub mod pull_request;
pub mod ring;
pub mod run;
pub mod turn;
pub mod usage;
pub mod work_item;

pub use budget::{Budget, Prices};
pub use ids::*;
pub use labels::{LabelNames, Labels, REPOSITORY_LABEL_PREFIX};
pub use policy::{Brake, CloseOn, Policy};
pub use pull_request::*;
pub use ring::{Ring, RingKind};
pub use run::*;
pub use turn::*;
pub use usage::Usage;
pub use work_item::*;
