//! The only AMQP sockets: accepted here, read here, written here. Inside is bytes.

pub mod listener;
mod receive;
mod socket;
mod sockets;
pub mod valve;

pub use socket::Socket;
pub use sockets::{IoCounts, Leave, Sockets, Turn};
