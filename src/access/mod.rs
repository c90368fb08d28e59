//! Who may log in.

mod login;

pub use login::{AuthFailure, authenticate, is_loopback};
