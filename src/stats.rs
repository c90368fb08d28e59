//! What a shard counts. Plain numbers: the shell publishes them once a turn.

/// Turns one list of names into the struct, its names and its values, which thus cannot differ.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Lives on: its shard.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// In the order of `NAMES`.
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),*]
            }
        }
    };
}

counters! {
    /// basic.publish taken from this shard's connections.
    published,
    /// Messages accepted by this shard's queues, one per queue.
    queued,
    /// basic.deliver and basic.get-ok encoded for this shard's connections.
    delivered,
    /// Messages that no queue took.
    unroutable,
    /// Messages that no room was left for in a queue that refuses them.
    refused,
    /// Messages that waited their time.
    expired,
    /// Messages that died in a queue with a dead letter exchange and were brought there.
    dead_lettered,
    /// Direct replies whose requester was gone or did not read.
    replies_dropped,
    /// Commands pushed into the rings.
    commands_sent,
    /// Commands taken from the rings.
    commands_received,
    /// Times that a ring was full and commands stayed staged.
    spills,
    /// Times that a channel waited for another room's answer.
    parks,
    /// Times that a connection was held back: rings full, publishes during a memory alarm, or a client that does not read.
    holds,
    /// Times that the memory alarm held back the publishes of a connection.
    blocks,
    /// Connections now.
    connections,
    /// Connections since the start.
    connections_opened,
    /// Queues that live here now.
    queues,
}
