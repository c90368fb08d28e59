//! HareMQ: a RabbitMQ-compatible message broker, one thread per core.
//!
//! The modules in the order of a message's way. `unsafe` occurs only in: `mesh/ring.rs`.

// The walk's hall is shared with the benches and names the crate as they do.
#[cfg(test)]
extern crate self as haremq;

pub mod access;
pub mod amqp;
pub mod budget;
pub mod config;
pub mod connection;
pub mod ctl;
pub mod death;
pub mod exchange;
pub mod expiration;
pub mod ids;
pub mod inspect;
pub mod journal;
pub mod latency;
pub mod limits;
pub mod log;
pub mod machine;
pub mod management;
pub mod mesh;
pub mod message;
pub mod net;
pub mod pages;
pub mod parameters;
pub mod queue;
pub mod queue_args;
pub mod settlement;
pub mod shard;
pub mod slots;
pub mod stats;
pub mod systemd;
pub mod text;
pub mod topology;
pub mod wheel;

#[cfg(test)]
mod walk;
