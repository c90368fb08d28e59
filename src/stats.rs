//! What a shard counts. Plain numbers: the shell publishes them once a turn.

/// Turns one list of names into the struct, its names and its values, which thus cannot differ.
macro_rules! counters {
    ($(#[$about:meta])* $type:ident: $($(#[$doc:meta])* $name:ident,)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $type {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $type {
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// In the order of `NAMES`.
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),*]
            }

            /// Each value with its counterpart.
            pub fn with(&self, other: &$type, join: impl Fn(u64, u64) -> u64) -> $type {
                $type { $($name: join(self.$name, other.$name)),* }
            }
        }
    };
}

counters! {
    /// Lives on: its shard.
    Counters:
    /// basic.publish taken from this shard's connections.
    published,
    /// Of those, on channels in confirm mode.
    published_confirm,
    /// Of those, with bodies of so many bytes: up to 100, 1,000 and so on; and their sum.
    size_100,
    size_1k,
    size_10k,
    size_100k,
    size_1m,
    size_10m,
    size_50m,
    size_100m,
    size_beyond,
    size_sum,
    /// Messages accepted by this shard's queues, one per queue.
    queued,
    /// Of those, messages that a consumer took at once.
    straight,
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
    /// Messages that are to be, by reason.
    dead_lettered_rejected,
    dead_lettered_expired,
    dead_lettered_maxlen,
    dead_lettered_delivery_limit,
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
    /// Names and passwords that were right, and those that were not.
    logins,
    logins_refused,
    /// Connections since the start.
    connections_opened,
    /// Channels since the start.
    channels_opened,
    channels_closed,
    /// queue.declare, that of queues that exist too.
    queues_declared,
    queues_created,
    queues_deleted,
    /// Queues that live here now.
    queues,
}

/// The counters of message sizes.
pub const SIZES: [&str; 9] = [
    "size_100",
    "size_1k",
    "size_10k",
    "size_100k",
    "size_1m",
    "size_10m",
    "size_50m",
    "size_100m",
    "size_beyond",
];

impl Counters {
    /// What `published_of` counted elsewhere.
    pub fn add_published(&mut self, other: &Counters) {
        self.published += other.published;
        self.size_sum += other.size_sum;
        self.size_100 += other.size_100;
        self.size_1k += other.size_1k;
        self.size_10k += other.size_10k;
        self.size_100k += other.size_100k;
        self.size_1m += other.size_1m;
        self.size_10m += other.size_10m;
        self.size_50m += other.size_50m;
        self.size_100m += other.size_100m;
        self.size_beyond += other.size_beyond;
    }

    /// A message with such a body was published.
    #[inline]
    pub fn published_of(&mut self, body_bytes: u64) {
        self.published += 1;
        self.size_sum += body_bytes;
        *match body_bytes {
            0..=100 => &mut self.size_100,
            101..=1_000 => &mut self.size_1k,
            1_001..=10_000 => &mut self.size_10k,
            10_001..=100_000 => &mut self.size_100k,
            100_001..=1_000_000 => &mut self.size_1m,
            1_000_001..=10_000_000 => &mut self.size_10m,
            10_000_001..=50_000_000 => &mut self.size_50m,
            50_000_001..=100_000_000 => &mut self.size_100m,
            _ => &mut self.size_beyond,
        } += 1;
    }
}

counters! {
    /// What came of messages at a queue, on a channel, or on a whole shard: RabbitMQ's names.
    Traffic:
    publish,
    confirm,
    /// Mandatory, and no queue took it.
    return_unroutable,
    /// No queue took it.
    drop_unroutable,
    /// To consumers that ack.
    deliver,
    deliver_no_ack,
    get,
    get_no_ack,
    get_empty,
    redeliver,
    ack,
}

impl Traffic {
    pub fn add(&mut self, other: &Traffic) {
        *self = self.with(other, u64::wrapping_add);
    }

    /// To consumers and to whoever fetched, with acks and without: RabbitMQ's `deliver_get`.
    pub fn delivered(&self) -> u64 {
        self.deliver + self.deliver_no_ack + self.get + self.get_no_ack
    }

    /// What came since `before`.
    pub fn since(&self, before: &Traffic) -> Traffic {
        self.with(before, u64::saturating_sub)
    }
}
