//! Who may log in, and what permissions say.

mod login;
mod pattern;
mod permission;
mod topic_pattern;

pub use login::{AuthFailure, authenticate, is_loopback};
pub use pattern::Pattern;
pub use permission::{Operation, Permission, Resource, TopicOperation, TopicPermission};
pub use topic_pattern::TopicPattern;
