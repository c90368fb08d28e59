//! A consumer as its queue sees it: where it is and how much more it may be sent.

use crate::ids::ConnectionId;

/// Where deliveries go: a connection and the number of the consumer there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerAt {
    pub connection: ConnectionId,
    pub handle: u32,
}

/// Lives on: the queue's shard.
#[derive(Debug)]
pub struct Consumer {
    pub at: ConsumerAt,
    pub generation: u32,
    pub no_ack: bool,
    /// Most messages unacked at a time; 0 means no limit.
    pub prefetch: u32,
    pub unacked: u32,
    /// Bytes that may still be sent. Its connection's shard grants more when the socket took what was sent;
    /// the last message may overdraw it, so that a message larger than the window can pass.
    pub window: i64,
    /// Stands in the line of those with room.
    pub offered: bool,
}

impl Consumer {
    pub fn new(at: ConsumerAt, generation: u32, no_ack: bool, prefetch: u32, window: i64) -> Consumer {
        Consumer { at, generation, no_ack, prefetch, unacked: 0, window, offered: false }
    }

    #[inline]
    pub fn has_room(&self) -> bool {
        self.window > 0 && (self.no_ack || self.prefetch == 0 || self.unacked < self.prefetch)
    }
}
