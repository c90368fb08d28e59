//! What happens on connections before and after the load: handshake, channels, topology. Blocking, one call at a time.

mod session;
mod topology;

pub use session::{ClientError, Session};
pub use topology::{declare, delete, left_over};
