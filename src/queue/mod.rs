//! A queue: messages in publish order, the consumers they go to in turn, and what waits for an ack.
//!
//! ```text
//! accept -> (empty and a consumer has room) direct -> consumer
//!        -> ready -> next -> consumer -> settle(ack) -> gone
//!             ^                  |
//!             +---- requeue -----+   to the old place, redelivered
//! ```

mod consumer;
mod credit;
mod fifo;
mod ready;

pub use consumer::{Consumer, ConsumerAt, NO_LIMIT, Terms};
pub use ready::Entry;

use std::collections::VecDeque;

use crate::ids::{ConsumerId, QueueId};
use crate::pages::MessageRef;
use crate::slots::Slots;
use consumer::Line;
use ready::Ready;

/// Lives on: the queue's shard.
pub struct Queue {
    pub id: QueueId,
    pub name: Box<[u8]>,
    pub auto_delete: bool,
    /// Set once by a delete; from then on nothing is accepted and nobody is served.
    pub dying: bool,
    /// Stands in the shard's list of queues to be served.
    pub listed: bool,
    ready: Ready,
    unacked: Slots<Unacked>,
    consumers: Slots<Consumer>,
    /// Consumers with room, the one to be served next in front.
    available: VecDeque<u32>,
    /// Consumers with room but for the limit of their channel, which do not know it yet; first come first served.
    lacking: VecDeque<u32>,
    had_consumer: bool,
    exclusive_consumer: bool,
    next_sequence: u64,
}

/// Who got a message from the queue, and, where it waits for an ack, under which number.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub to: ConsumerAt,
    pub unacked: Option<u32>,
}

impl Queue {
    pub fn new(id: QueueId, name: Box<[u8]>, auto_delete: bool) -> Queue {
        Queue {
            id,
            name,
            auto_delete,
            dying: false,
            listed: false,
            ready: Ready::default(),
            unacked: Slots::default(),
            consumers: Slots::default(),
            available: VecDeque::new(),
            lacking: VecDeque::new(),
            had_consumer: false,
            exclusive_consumer: false,
            next_sequence: 0,
        }
    }

    /// The consumer that a message of `bytes` may go to without being stored, if it needs no ack.
    #[inline]
    pub fn direct(&mut self, bytes: u32) -> Option<Direct> {
        if !self.ready.is_empty() {
            return None;
        }
        self.take_consumer(bytes)
    }

    /// The consumer that takes whatever comes next, if it is the only one in line, needs no ack and no credit, and nothing
    /// waits: a run of messages may go to it while its window lasts. `run_ended` must follow.
    #[inline]
    pub fn sole_taker(&mut self) -> Option<&mut Consumer> {
        if self.dying || !self.ready.is_empty() || self.available.len() != 1 || self.lacks_credit() {
            return None;
        }
        let consumer = self.consumers.get_mut(self.available[0]).expect("who is available is there");
        (consumer.no_ack && consumer.credit == NO_LIMIT).then_some(consumer)
    }

    /// The sole taker has taken a run of messages: without room it leaves the line.
    pub fn run_ended(&mut self) {
        if let Some(&at) = self.available.front()
            && let Some(consumer) = self.consumers.get_mut(at)
            && !consumer.has_room()
        {
            consumer.line = Line::Out;
            self.available.clear();
        }
    }

    /// Notes that a message handed out by `direct` waits for an ack.
    #[inline]
    pub fn track(&mut self, message: MessageRef, direct: &Direct) -> u32 {
        let sequence = self.take_sequence();
        let entry = Entry { sequence, message, redelivered: false };
        self.unacked.insert_with(|_, _| Unacked { entry, consumer: Some(direct.consumer) })
    }

    /// Puts a message behind all others.
    #[inline]
    pub fn push(&mut self, message: MessageRef) {
        let sequence = self.take_sequence();
        self.ready.push(Entry { sequence, message, redelivered: false });
    }

    /// The oldest ready message and the consumer whose turn it is. `bytes_of` tells what it takes of a window.
    pub fn next(&mut self, bytes_of: impl FnOnce(MessageRef) -> u32) -> Option<(Entry, Delivery)> {
        let bytes = bytes_of(self.ready.first()?.message);
        let direct = self.take_consumer(bytes)?;
        let entry = self.ready.pop().expect("there was a first");
        let unacked = (!direct.no_ack)
            .then(|| self.unacked.insert_with(|_, _| Unacked { entry, consumer: Some(direct.consumer) }));
        Some((entry, Delivery { to: direct.to, unacked }))
    }

    /// basic.get: the oldest ready message, with its number if it waits for an ack.
    pub fn take(&mut self, no_ack: bool) -> Option<(Entry, Option<u32>)> {
        let entry = self.ready.pop()?;
        let unacked = (!no_ack).then(|| self.unacked.insert_with(|_, _| Unacked { entry, consumer: None }));
        Some((entry, unacked))
    }

    /// An ack, or a reject without requeue: the caller frees the message.
    #[inline]
    pub fn settle(&mut self, unacked: u32) -> Option<MessageRef> {
        Some(self.untrack(unacked)?.message)
    }

    /// Puts an unacked message back to its old place.
    pub fn requeue(&mut self, unacked: u32) {
        if let Some(entry) = self.untrack(unacked) {
            self.ready.put_back(Entry { redelivered: true, ..entry });
        }
    }

    /// A consumer may be added if nobody is exclusive and it is not exclusive among others.
    pub fn admits(&self, exclusive: bool) -> bool {
        !self.exclusive_consumer && (!exclusive || self.consumers.is_empty())
    }

    pub fn add_consumer(&mut self, at: ConsumerAt, terms: Terms) -> ConsumerId {
        debug_assert!(self.admits(terms.exclusive));
        self.had_consumer = true;
        self.exclusive_consumer = terms.exclusive;
        let slot = self.consumers.insert_with(|_, generation| Consumer::new(at, generation, &terms));
        self.offer(slot);
        ConsumerId { slot, generation: self.consumers.get(slot).map_or(0, |consumer| consumer.generation) }
    }

    /// Its unacked messages stay with its channel. True if the queue should now be deleted.
    pub fn remove_consumer(&mut self, id: ConsumerId) -> bool {
        if self.consumers.live_mut(id.slot, id.generation).is_some() {
            self.step_out(id.slot);
            self.consumers.remove(id.slot);
            self.exclusive_consumer = false;
        }
        self.auto_delete && self.had_consumer && self.consumers.is_empty()
    }

    /// The consumer's connection has sent `bytes` on.
    pub fn grant(&mut self, id: ConsumerId, bytes: u32) {
        if let Some(consumer) = self.consumers.live_mut(id.slot, id.generation) {
            consumer.window += i64::from(bytes);
            self.offer(id.slot);
        }
    }

    /// Whether somebody could be served now, or should ask for credit to be served.
    #[inline]
    pub fn can_serve(&self) -> bool {
        let anybody = !self.available.is_empty() || !self.lacking.is_empty();
        anybody && !self.ready.is_empty()
    }

    /// Takes out all ready messages; the caller frees them.
    pub fn purge(&mut self) -> Doomed {
        Doomed { ready: std::mem::take(&mut self.ready), unacked: Slots::default() }
    }

    /// Ends the queue: what it held, and whom it served.
    pub fn die(&mut self) -> (Doomed, Vec<ConsumerAt>) {
        self.dying = true;
        self.available.clear();
        self.lacking.clear();
        let consumers = std::mem::take(&mut self.consumers);
        let doomed =
            Doomed { ready: std::mem::take(&mut self.ready), unacked: std::mem::take(&mut self.unacked) };
        (doomed, consumers.iter().map(|(_, consumer)| consumer.at).collect())
    }

    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    pub fn unacked_count(&self) -> usize {
        self.unacked.len()
    }

    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// `available` holds exactly the consumers with room, `lacking` those that want but credit and have not asked for
    /// it, each once; no consumer exceeds its prefetch.
    pub fn invariants(&self) {
        for (at, consumer) in self.consumers.iter() {
            let times = |line: &VecDeque<u32>| line.iter().filter(|&&other| other == at).count();
            assert_eq!(times(&self.available), usize::from(consumer.line == Line::Available));
            assert_eq!(times(&self.lacking), usize::from(consumer.line == Line::Lacking));
            assert_eq!(consumer.line == Line::Available, consumer.has_room());
            assert_eq!(consumer.line == Line::Out, !consumer.wants_more());
            assert!(consumer.prefetch == 0 || consumer.unacked <= consumer.prefetch);
        }
        let mut lined = self.available.iter().chain(&self.lacking);
        assert!(lined.all(|&at| self.consumers.get(at).is_some()));
    }

    fn take_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    #[inline]
    fn take_consumer(&mut self, bytes: u32) -> Option<Direct> {
        let at = self.available.pop_front()?;
        let consumer = self.consumers.get_mut(at).expect("who is available is there");
        consumer.window -= i64::from(bytes);
        consumer.unacked += u32::from(!consumer.no_ack);
        if consumer.credit != NO_LIMIT {
            consumer.credit -= 1;
        }
        let direct = Direct { to: consumer.at, no_ack: consumer.no_ack, consumer: (at, consumer.generation) };
        if consumer.has_room() {
            self.available.push_back(at);
        } else {
            consumer.line = Line::Out;
            if consumer.credit == 0 {
                self.offer(at);
            }
        }
        Some(direct)
    }

    /// Lines up a consumer that wants more and is not in line.
    fn offer(&mut self, at: u32) {
        if let Some(consumer) = self.consumers.get_mut(at)
            && consumer.line == Line::Out
            && consumer.wants_more()
        {
            if consumer.credit > 0 {
                consumer.line = Line::Available;
                self.available.push_back(at);
            } else {
                consumer.line = Line::Lacking;
                self.lacking.push_back(at);
            }
        }
    }

    /// Takes a consumer out of the line in which it stands.
    fn step_out(&mut self, at: u32) {
        let Some(consumer) = self.consumers.get_mut(at) else { return };
        match std::mem::replace(&mut consumer.line, Line::Out) {
            Line::Available => self.available.retain(|&other| other != at),
            Line::Lacking => self.lacking.retain(|&other| other != at),
            Line::Out | Line::Asked => {}
        }
    }

    fn untrack(&mut self, unacked: u32) -> Option<Entry> {
        let Unacked { entry, consumer } = self.unacked.remove(unacked)?;
        if let Some((at, generation)) = consumer
            && let Some(consumer) = self.consumers.live_mut(at, generation)
        {
            consumer.unacked -= 1;
            self.offer(at);
        }
        Some(entry)
    }
}

/// A consumer picked for a message that was not stored yet.
#[derive(Clone, Copy, Debug)]
pub struct Direct {
    pub to: ConsumerAt,
    pub no_ack: bool,
    consumer: (u32, u32),
}

/// Messages that nobody will get; freed piece by piece, so that a deep queue stalls nobody.
pub struct Doomed {
    ready: Ready,
    unacked: Slots<Unacked>,
}

impl Doomed {
    /// Gives up to `max` messages to `free`; true when none is left.
    pub fn free_some(&mut self, max: usize, mut free: impl FnMut(MessageRef)) -> bool {
        for _ in 0..max {
            match self.ready.pop() {
                Some(entry) => free(entry.message),
                None => {
                    for (_, unacked) in std::mem::take(&mut self.unacked).iter() {
                        free(unacked.entry.message);
                    }
                    return true;
                }
            }
        }
        false
    }
}

struct Unacked {
    entry: Entry,
    /// Slot and generation of the consumer that holds it; none for basic.get.
    consumer: Option<(u32, u32)>,
}

#[cfg(test)]
mod tests;
