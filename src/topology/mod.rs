//! The source of truth, for each vhost: which exchanges, queues and bindings exist. It decides names; the queue's shard decides life.
//!
//! ```text
//! connection's shard --Request--> Topology --CreateQueue--> queue's shard --queue_created--> Topology
//!                                 Topology --Broadcast(version)--> router of every shard --applied(version)--> Topology
//! connection's shard <---Reply--- Topology        once every shard applied what the reply speaks of
//!
//! a queue's name:  (free) --declare--> Creating --queue_created--> Live --queue_dying--> Dying --applied--> (free)
//!                  requests that name a queue in Creating or Dying wait, in turn, and are then run again
//! ```
//!
//! What is durable is recorded before it is told, and outlives the server:
//!
//! ```text
//! Topology --Record--> journal --(on disk)--> Broadcast, Reply        journal --at start--> Catalogue --> Topology, routers
//! ```
//!
//! Lives on: the control shard. Sans-IO and deterministic: requests in, effects out, sorted maps inside.

mod bindings;
mod catalogue;
mod equivalence;
mod exchanges;
mod listing;
mod numbers;
mod policies;
mod queues;
mod record;
mod request;
mod restore;
mod snapshot;
mod state;
mod term;
mod vhosts;

pub use crate::exchange::{Change, ExchangeKind, ExchangeSpec, Name, QueueSpec};
pub use bindings::End;
pub use catalogue::Catalogue;
pub use listing::{ListedBinding, Piece, Place, Wanted};
pub use numbers::Numbers;
pub use record::{DurableBinding, DurableEnd, DurableExchange, DurableQueue, Record};
pub use request::{Outcome, Request};
pub use restore::{KeptOut, Restored};
pub use snapshot::Snapshot;
pub use state::{Effect, Topology};
pub use vhosts::Vhosts;

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod governed;
#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod vhost_ends;
#[cfg(test)]
mod world;
