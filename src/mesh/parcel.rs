//! What a batch of messages, acks and credit looks like between two shards: one owned buffer and plain records.
//!
//! A parcel keeps the order in which its records were written; parcels keep the order of their ring. So a
//! channel's publishes, acks and requests arrive in the order in which its client sent them.

use bytes::Bytes;

use crate::ids::{ConnectionId, ConsumerId, Origin, QueueId, ReplyTo, Requester, Tx};
use crate::limits::{PAGED_BYTES_MAX, PARCEL_BYTES, PARCEL_RECORDS};
use crate::message::Message;
use crate::settlement::Settlement;

/// Moves whole from one shard to another; nothing in it is shared, but for large messages.
#[derive(Default)]
pub struct Parcel {
    pub records: Vec<Record>,
    bytes: Vec<u8>,
    large: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// To the queue's shard: a message for that queue. With `counted` the sender waits for it to be accepted.
    Publish { queue: QueueId, message: Span, counted: bool, origin: Origin },
    /// To the consumer's shard.
    Deliver(Deliver),
    /// To the requester's shard.
    Reply { to: ReplyTo, message: Span },
    /// To the queue's shard: how the delivery of an unacked message ends.
    Settle { queue: QueueId, unacked: u32, settlement: Settlement, tx: Tx },
    /// To the queue's shard: the consumer's connection has room for so many bytes more.
    Grant { queue: QueueId, consumer: ConsumerId, bytes: u32 },
    /// To the queue's shard: the consumer may be sent so many messages more within its channel's limit.
    Lend { queue: QueueId, consumer: ConsumerId, messages: u32 },
    /// To the queue's shard: what the consumer was lent and does not use is wanted back.
    Recall(Recall),
    /// To the consumer's shard: a message waits or passed by, and the consumer had no credit.
    Want { connection: ConnectionId, handle: u32 },
    /// To the consumer's shard: the answer to a recall, behind what was sent before.
    Returned(Returned),
    /// To the publisher's shard: so many more of its counted messages were accepted, in their order.
    Accepted { count: u32 },
    /// To the publisher's shard: some queue had no room for the next of its counted messages.
    Refused,
}

impl Record {
    pub fn has_message(&self) -> bool {
        match self {
            Record::Publish { .. } | Record::Deliver(_) | Record::Reply { .. } => true,
            Record::Settle { .. }
            | Record::Grant { .. }
            | Record::Lend { .. }
            | Record::Recall(_)
            | Record::Want { .. }
            | Record::Returned(_)
            | Record::Accepted { .. }
            | Record::Refused => false,
        }
    }
}

/// A delivery on its way to the consumer's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver {
    pub connection: ConnectionId,
    pub handle: u32,
    pub queue: QueueId,
    /// The number to settle it by; none if it needs no ack.
    pub unacked: Option<u32>,
    pub redelivered: bool,
    pub message: Span,
}

/// Always answered, also if the consumer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    pub queue: QueueId,
    pub consumer: ConsumerId,
    /// Whose limit it is, and the consumer's number there.
    pub channel: Requester,
    pub handle: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    pub channel: Requester,
    pub handle: u32,
    pub messages: u32,
}

/// Where a record's message lies in its parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Inline { offset: u32, len: u32 },
    Large(u32),
}

impl Parcel {
    /// Copies a message in; a large one that has a buffer of its own is shared instead.
    pub fn add_message(&mut self, message: &Message<'_>, buffer: Option<&Bytes>) -> Span {
        if let Some(buffer) = buffer.filter(|buffer| buffer.len() > PAGED_BYTES_MAX) {
            self.large.push(buffer.clone());
            return Span::Large((self.large.len() - 1) as u32);
        }
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(message.route);
        self.bytes.extend_from_slice(message.content);
        Span::Inline { offset, len: message.record_bytes() as u32 }
    }

    #[inline]
    pub fn message(&self, span: Span) -> (Message<'_>, Option<&Bytes>) {
        match span {
            Span::Inline { offset, len } => {
                let record = &self.bytes[offset as usize..][..len as usize];
                (Message::from_record(record), None)
            }
            Span::Large(at) => {
                let buffer = &self.large[at as usize];
                (Message::from_record(buffer), Some(buffer))
            }
        }
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= PARCEL_BYTES || self.records.len() >= PARCEL_RECORDS
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Empties it for its next journey; a buffer that grew for one large message is not kept.
    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * PARCEL_BYTES);
        self.large.clear();
    }
}

const _: () = assert!(size_of::<Record>() <= 64, "a record is at most a cache line");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut parcel = Parcel::default();
        let small = Message { route: b"\0\x01k", content: b"abc" };
        let record = Bytes::from([b"\0\x01k".as_slice(), &[7; PAGED_BYTES_MAX]].concat());
        let first = parcel.add_message(&small, None);
        let second = parcel.add_message(&Message::from_record(&record), Some(&record));
        assert_eq!(parcel.message(first).0.content, b"abc");
        let (message, buffer) = parcel.message(second);
        assert_eq!(message.content.len(), PAGED_BYTES_MAX);
        assert_eq!(buffer.map(|buffer| buffer.as_ptr()), Some(record.as_ptr()), "shared, not copied");
    }
}
