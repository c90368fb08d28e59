//! What the `x-` arguments of a queue's declaration and of its consumers ask for, parsed once.
//!
//! The checks, their order and their texts are RabbitMQ's (rabbit_amqqueue:check_declare_arguments,
//! check_consume_arguments). Every error is a 406. An argument that is not known is ignored; of one that occurs twice,
//! the first counts.

mod check;
mod consume;
mod declare;
mod name_prefix;
#[cfg(test)]
mod tests;

use crate::ids::Name;

pub use consume::ConsumeArgs;
pub use declare::Declaration;
pub use name_prefix::name_prefix;

/// The rules of one queue. The default is a queue without any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueueArgs {
    pub kind: QueueKind,
    /// How long a message may wait, ms (x-message-ttl).
    pub message_ttl_ms: Option<u64>,
    /// How long the queue lives without use, ms (x-expires).
    pub expires_ms: Option<u64>,
    /// Most ready messages (x-max-length).
    pub length_max: Option<u64>,
    /// Most bytes of the bodies of ready messages (x-max-length-bytes).
    pub length_bytes_max: Option<u64>,
    /// What happens beyond (x-overflow); none is the default.
    pub overflow: Option<Overflow>,
    /// The exchange to which messages go that are rejected, expired, or too many.
    pub dead_letter_exchange: Option<Name>,
    /// With which routing key they go there; without, with their own.
    pub dead_letter_routing_key: Option<Name>,
    /// The highest priority that counts (x-max-priority); without, none does.
    pub priority_max: Option<u8>,
    /// Only one consumer at a time is served (x-single-active-consumer).
    pub single_active_consumer: bool,
    /// How often a message may return before it is dead-lettered (x-delivery-limit).
    pub delivery_limit: Option<u32>,
    /// How long a consumer may take to settle a message, ms (x-consumer-timeout).
    pub consumer_timeout_ms: Option<u64>,
    /// What confirms of its messages mean (x-durability); without, what the server is set to.
    pub durability: Option<Durability>,
}

impl QueueArgs {
    /// Those of a queue that asks for nothing.
    pub const PLAIN: QueueArgs = QueueArgs {
        kind: QueueKind::Classic,
        message_ttl_ms: None,
        expires_ms: None,
        length_max: None,
        length_bytes_max: None,
        overflow: None,
        dead_letter_exchange: None,
        dead_letter_routing_key: None,
        priority_max: None,
        single_active_consumer: false,
        delivery_limit: None,
        consumer_timeout_ms: None,
        durability: None,
    };

    /// Whether the queue treats its messages as one without arguments does.
    pub fn is_plain(&self) -> bool {
        let QueueArgs { durability, .. } = *self;
        *self == QueueArgs { durability, ..QueueArgs::PLAIN }
    }

    pub fn overflow(&self) -> Overflow {
        self.overflow.unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueueKind {
    #[default]
    Classic,
    /// A durable queue with a delivery limit; there is no second server to keep a copy.
    Quorum,
}

/// When the messages of a durable queue count as kept (x-durability): what its publishers' confirms mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// On disk: they outlive the machine's power.
    #[default]
    Fsync,
    /// With the operating system: they outlive the process.
    Os,
    /// They are not kept at all.
    None,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
            Durability::None => "none",
        }
    }

    /// By its name in `x-durability` and on the command line.
    pub fn parse(name: &[u8]) -> Option<Durability> {
        match name {
            b"fsync" => Some(Durability::Fsync),
            b"os" => Some(Durability::Os),
            b"none" => Some(Durability::None),
            _ => None,
        }
    }
}

/// What happens to a message that would be one too many (x-overflow).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// It is taken, and the oldest goes.
    #[default]
    DropHead,
    /// It is refused: its publisher's confirm is a nack.
    RejectPublish,
    /// The same, and it goes to the dead letter exchange.
    RejectPublishDlx,
}

impl Overflow {
    /// By its name in `x-overflow` and in policies.
    pub fn parse(name: &[u8]) -> Option<Overflow> {
        match name {
            b"drop-head" => Some(Overflow::DropHead),
            b"reject-publish" => Some(Overflow::RejectPublish),
            b"reject-publish-dlx" => Some(Overflow::RejectPublishDlx),
            _ => None,
        }
    }
}
