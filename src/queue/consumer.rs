//! A consumer as its queue sees it: where it is and how much more it may be sent.

use crate::ids::ConnectionId;

/// Where deliveries go: a connection and the number of the consumer there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerAt {
    pub connection: ConnectionId,
    pub handle: u32,
}

/// What a consumer asked for, and what its connection and channel have room for.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub no_ack: bool,
    pub exclusive: bool,
    /// Most messages unacked at a time; 0 means no limit.
    pub prefetch: u16,
    /// Its channel has a limit of its own: it is sent no more than it is lent.
    pub limited: bool,
    /// Bytes that it may be sent before the first grant.
    pub window: u32,
    /// Who has a higher one is served first, as long as it has room.
    pub priority: i64,
}

impl Default for Terms {
    /// A consumer that acks, without limits of its own.
    fn default() -> Terms {
        Terms { no_ack: false, exclusive: false, prefetch: 0, limited: false, window: u32::MAX, priority: 0 }
    }
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
    /// Messages that it was lent of its channel's limit and not sent yet, or `NO_LIMIT`.
    pub credit: u32,
    /// Bytes that may still be sent. Its connection's shard grants more when the socket took what was sent;
    /// the last message may overdraw it, so that a message larger than the window can pass.
    pub window: i64,
    pub priority: i64,
    /// Counts the consumers of the queue.
    pub joined: u64,
    /// For the single active consumer to go.
    pub waits: bool,
    pub place: Place,
}

/// Where a consumer waits for its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nowhere, as it has no room.
    Out,
    Available,
    /// It would have room, had it credit.
    Lacking,
    /// As before, and its channel knows.
    Asked,
}

/// Credit of a consumer whose channel has no limit.
pub const NO_LIMIT: u32 = u32::MAX;

impl Consumer {
    pub fn new(at: ConsumerAt, generation: u32, terms: &Terms) -> Consumer {
        Consumer {
            at,
            generation,
            no_ack: terms.no_ack,
            prefetch: u32::from(terms.prefetch),
            unacked: 0,
            credit: if terms.limited { 0 } else { NO_LIMIT },
            window: i64::from(terms.window),
            priority: terms.priority,
            joined: 0,
            waits: false,
            place: Place::Out,
        }
    }

    #[inline]
    pub fn has_room(&self) -> bool {
        self.wants_more() && self.credit > 0
    }

    /// Room but for the limit of its channel.
    #[inline]
    pub fn wants_more(&self) -> bool {
        self.window > 0 && !self.waits && (self.no_ack || self.prefetch == 0 || self.unacked < self.prefetch)
    }
}
