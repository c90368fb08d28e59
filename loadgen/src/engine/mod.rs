//! The load itself: threads with an epoll loop each, connections, producers, consumers.

mod connection;
mod flight;
mod job;
mod pace;
mod parser;
mod poller;
mod producer;
mod receiver;
mod template;
mod window;
mod worker;

pub use connection::Connection;
pub use flight::{Flight, Shared, WorkerState};
pub use job::{Event, Interval, Job, Outcome};
pub use producer::{Lane, Orders, Producer};
pub use receiver::{Consumer, Role};
pub use template::Template;
pub use worker::Worker;
