//! Who may log in, what permissions say, and the records of both.

mod login;
mod password;
mod pattern;
mod permission;
mod record;
mod topic_pattern;
mod user;

pub use login::{AuthFailure, authenticate, is_loopback};
pub use password::{Algorithm, PasswordHash, Salt};
pub use pattern::Pattern;
pub use permission::{Operation, Permission, Resource, TopicOperation, TopicPermission};
pub use record::Change;
pub use topic_pattern::TopicPattern;
pub use user::{Limits, Tags, User};
