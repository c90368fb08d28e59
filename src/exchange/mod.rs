//! Routing: which queues a published message reaches. Every shard owns one `Router`, a replica that follows the topology.
//!
//! ```text
//! topology (control shard) --Arc<Change>, in order--> Router of each shard
//! basic.publish(exchange, routing key) --resolve--> ListIndex --targets--> &[QueueId] --> mesh --> queue
//! ```
//!
//! Pure: no clock, no socket; and nothing is allocated while routing. What a change costs follows what it changes.

mod change;
mod lists;
mod memo;
mod router;
pub mod text;

pub use change::{Change, ExchangeKind, ExchangeSpec, Name, QueueSpec, predeclared_exchanges};
pub use lists::ListIndex;
pub use memo::Memo;
pub use router::{QueueRoute, RouteError, Router};
#[cfg(test)]
pub(crate) mod model;
