//! The arguments of basic.consume.

use super::QueueKind;
use super::check::{self, Arguments};
use crate::amqp::Table;
use crate::text::Vhost;

/// What a consumer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConsumeArgs {
    /// A consumer of higher priority is served first, as long as it can be (x-priority).
    pub priority: i64,
}

impl ConsumeArgs {
    /// `queue` and `kind` are those of the queue that is consumed from, which is looked for first. The error is the text
    /// of a 406.
    pub fn parse(
        arguments: Table<'_>,
        vhost: Vhost<'_>,
        queue: &[u8],
        kind: QueueKind,
    ) -> Result<ConsumeArgs, String> {
        let from = Arguments { vhost, queue, table: arguments };
        let priority = from.read("x-priority", check::integer)?.unwrap_or_default();
        let foreign = match kind {
            QueueKind::Classic => {
                // Queues have no mirrors here, so nothing fails over.
                from.read("x-cancel-on-ha-failover", check::boolean)?;
                NOT_OF_CLASSIC_QUEUES
            }
            QueueKind::Quorum => NOT_OF_QUORUM_QUEUES,
        };
        from.refuse(foreign, kind)?;
        Ok(ConsumeArgs { priority })
    }
}

/// What RabbitMQ knows of the other types: an argument that no type has is ignored.
const NOT_OF_CLASSIC_QUEUES: &[&str] = &["x-stream-offset"];
const NOT_OF_QUORUM_QUEUES: &[&str] = &["x-cancel-on-ha-failover", "x-stream-offset"];
