//! What administrators order of one queue: to show what waits in it, to drop some of it, to pause, to send a consumer away.
//!
//! ```text
//! Peek: spot -> the next messages, as records, and the spot behind them; nobody here reads what is in them
//! ```
//! Who ordered looks through the records on a thread of its own: a shard only copies them, or shares them if they are large.

use bytes::Bytes;

use super::Shard;
use super::command::Command;
use super::rooms::Rooms;
use crate::ids::QueueId;
use crate::latency::QueueLatency;
use crate::limits::{PAGED_BYTES_MAX, PEEK_BYTES, PEEK_MESSAGES};
use crate::queue::{ConsumerAt, Entry, Queue, Spot};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueOrder {
    /// The ready messages from a spot on, without those published before the one with the sequence `least`.
    Peek { from: Spot, least: u64 },
    /// The ready message with that sequence, if there is one.
    PeekAt(u64),
    /// Drops these ready messages, by their sequences; `PEEK_MESSAGES` at most.
    Drop(Vec<u64>),
    /// Whether consumers get nothing.
    Pause(bool),
    /// As if the queue had gone for that consumer.
    Cancel(ConsumerAt),
    /// How long messages took.
    Latency,
}

#[derive(Debug)]
pub enum QueueDone {
    Peeked(Peeked),
    /// Those of them that were ready and are gone.
    Dropped(Vec<u64>),
    /// It is as it was ordered.
    Done,
    /// There is no such consumer.
    NoConsumer,
    Latency {
        of: Box<QueueLatency>,
        oldest_ready_ns: Option<u64>,
    },
}

/// A piece of what waits in a queue.
#[derive(Debug)]
pub struct Peeked {
    pub messages: Vec<PeekedMessage>,
    /// Where the next piece begins; none at the end of the queue.
    pub next: Option<Spot>,
}

#[derive(Clone, Debug)]
pub struct PeekedMessage {
    pub sequence: u64,
    pub priority: u8,
    pub redelivered: bool,
    /// How often it came back.
    pub returns: u16,
    /// As [`Message::from_record`](crate::message::Message::from_record) takes it.
    pub record: Bytes,
}

impl Shard {
    /// None: there is no such queue any more.
    pub(super) fn queue_order(&mut self, id: QueueId, order: QueueOrder) -> Option<QueueDone> {
        let queue = self.rooms.queues.live_mut(id.slot, id.generation).filter(|queue| !queue.dying)?;
        Some(match order {
            QueueOrder::Peek { from, least } => QueueDone::Peeked(self.rooms.peek(id, from, least)?),
            QueueOrder::PeekAt(sequence) => QueueDone::Peeked(self.rooms.peek_at(id, sequence)?),
            QueueOrder::Drop(sequences) => QueueDone::Dropped(self.rooms.drop_some(id, &sequences)),
            QueueOrder::Pause(paused) => {
                queue.set_paused(paused);
                self.rooms.list(id.slot);
                QueueDone::Done
            }
            QueueOrder::Cancel(at) => self.send_away(id, at),
            QueueOrder::Latency => QueueDone::Latency {
                of: Box::new(queue.latency()),
                oldest_ready_ns: queue.oldest_ready_ns(&self.rooms.timers),
            },
        })
    }

    /// The consumer's connection hears of it behind what it was sent; what it has not settled stays with its channel.
    fn send_away(&mut self, id: QueueId, at: ConsumerAt) -> QueueDone {
        let Some(queue) = self.rooms.queues.live_mut(id.slot, id.generation) else {
            return QueueDone::NoConsumer;
        };
        let Some(consumer) = queue.consumer_at(at) else { return QueueDone::NoConsumer };
        let ends = queue.remove_consumer(consumer, &mut self.rooms.timers);
        self.send(at.connection.shard, Command::ConsumerGone(at));
        if ends {
            self.end_queue(id, None);
        }
        // Another may be the active one now.
        self.rooms.list(id.slot);
        self.run_local();
        QueueDone::Done
    }
}

impl Rooms {
    fn peek(&self, id: QueueId, from: Spot, least: u64) -> Option<Peeked> {
        let queue = self.queues.live(id.slot, id.generation)?;
        let mut peeked = Peeked { messages: Vec::new(), next: None };
        let mut bytes = 0;
        for entry in queue.ready_from(from, least) {
            if peeked.messages.len() >= PEEK_MESSAGES || bytes >= PEEK_BYTES {
                peeked.next = Some(Spot { priority: entry.priority, sequence: entry.sequence });
                break;
            }
            let message = self.copied(queue, entry);
            bytes += message.record.len().min(PAGED_BYTES_MAX);
            peeked.messages.push(message);
        }
        Some(peeked)
    }

    fn peek_at(&self, id: QueueId, sequence: u64) -> Option<Peeked> {
        let queue = self.queues.live(id.slot, id.generation)?;
        let messages = queue.ready_at(sequence).map(|entry| self.copied(queue, entry)).into_iter().collect();
        Some(Peeked { messages, next: None })
    }

    fn copied(&self, queue: &Queue, entry: &Entry) -> PeekedMessage {
        let record = self.pages.large(entry.message).cloned().unwrap_or_else(|| {
            let message = self.pages.read(entry.message);
            [message.route, message.content].concat().into()
        });
        PeekedMessage {
            sequence: entry.sequence,
            priority: entry.priority,
            redelivered: entry.is_redelivered(),
            returns: if queue.counts_returns() { entry.returns } else { 0 },
            record,
        }
    }

    fn drop_some(&mut self, id: QueueId, sequences: &[u64]) -> Vec<u64> {
        let mut dropped = Vec::new();
        for &sequence in sequences.iter().take(PEEK_MESSAGES) {
            let Rooms { queues, pages, timers, .. } = self;
            let Some(queue) = queues.live_mut(id.slot, id.generation) else { break };
            let journaled = queue.journaled;
            if let Some(entry) = queue.take_out(sequence, pages, timers) {
                self.let_go(journaled, &entry);
                dropped.push(sequence);
            }
        }
        dropped
    }
}
