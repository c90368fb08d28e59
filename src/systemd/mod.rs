//! The service manager that started us, systemd or one that speaks as it does: listening sockets that it hands in, and what
//! we tell it.
//!
//! ```text
//! LISTEN_FDS, LISTEN_FDNAMES -> Sockets -> the listeners
//! the desk of every shard -> watchdog -> Notify -> $NOTIFY_SOCKET
//! ```
//! Without those variables nothing comes in and nothing goes out.

mod notify;
mod sockets;
mod watchdog;

pub use notify::Notify;
pub use sockets::Sockets;
pub use watchdog::{patience, watch};
