//! Routing: which queues a published message reaches. Every shard owns one `Router`, a replica that follows the topology.
//!
//! ```text
//! topology (control shard) --Arc<Change>, in order--> Router of each shard
//! basic.publish(exchange, routing key, headers) --resolve--> ListIndex --targets--> &[QueueId] --> mesh --> queue
//!
//! router   which way a message takes    routes   the table of one exchange: direct, fanout, topic, headers
//! walk     from exchange to exchange    lists    the queues that one binding key leads to
//! apply    changes come in              cache    what the walk found before; memo: what a connection asked last
//! ```
//!
//! Pure: no clock, no socket; and nothing is allocated while routing. What a change costs follows what it changes.

mod apply;
mod cache;
mod change;
mod explain;
pub mod headers;
mod keys;
mod lists;
mod memo;
mod router;
mod routes;
mod topic;
mod walk;

pub use crate::ids::Name;
pub use crate::text;
pub use change::{Change, Destination, ExchangeKind, ExchangeSpec, QueueSpec, predeclared_exchanges};
pub use explain::{Inquiry, Trail};
pub use keys::{RoutingKeys, UnacceptableHeader};
pub use lists::ListIndex;
pub use memo::Memo;
pub use router::{Passed, QueueRoute, Resolved, RouteError, Router, Stamp};
#[cfg(test)]
pub(crate) mod model;
