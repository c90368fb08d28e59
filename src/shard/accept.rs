//! A message comes to a queue of this shard: straight through it, into it, or past it.

use bytes::Bytes;

use super::keep::Stored;
use super::rooms::{Letter, Rooms};
use crate::amqp::content::EXPIRATION_FLAG;
use crate::death::Reason;
use crate::ids::{Origin, QueueId, Tx};
use crate::journal::Due;
use crate::limits::{FLUSH_BYTES, PAGED_BYTES_MAX};
use crate::message::Message;
use crate::pages::{MessageRef, Pages};
use crate::queue::{ConsumerAt, Dead, Direct, Entry, Marks, Queue};
use crate::queue_args::Overflow;
use crate::settlement::Settlement;
use crate::wheel::TimerId;

impl Rooms {
    /// Takes a message into a queue of this shard, or straight through it. `stored` is shared by the queues that the same
    /// message goes to. Answers when that is as safe as the queue asks for; none if the queue refuses it because it is full.
    #[inline]
    pub fn accept(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Stored,
    ) -> Option<Due> {
        let Some(queue) = self.queues.live_mut(id.slot, id.generation) else { return Some(Due::NOW) };
        if queue.dying {
            return Some(Due::NOW);
        }
        self.outward.counters.queued += 1;
        queue.traffic.publish += 1;
        if queue.lacks_credit() {
            self.outward.ask_for_credit(queue);
        }
        if !queue.is_plain() || stored.origin.letter || message.property_flags() & EXPIRATION_FLAG != 0 {
            return self.accept_by_rules(id, message, buffer, stored);
        }
        let mut marks = Marks::default();
        match queue.direct(message.window_bytes()) {
            Some(direct) => Some(self.hand_out(id, &direct, message, buffer, stored, &mut marks)),
            None if queue.journaled.is_none() => {
                let message = store(&mut self.pages, message, buffer, stored);
                queue.push(message, &marks, &self.pages, &mut self.timers);
                Some(Due::NOW)
            }
            None => Some(self.push(id, message, buffer, stored, &mut marks)),
        }
    }

    /// The same for a queue with rules, or a message with properties that matter.
    fn accept_by_rules(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Stored,
    ) -> Option<Due> {
        let Origin { letter, .. } = stored.origin;
        let queue = self.queues.get_mut(id.slot)?;
        let body_bytes = message.body_bytes();
        if let Some(overflow) = queue.refuses(body_bytes) {
            self.outward.counters.refused += 1;
            if overflow == Overflow::RejectPublishDlx && queue.graveyard().is_some() {
                let message = store(&mut self.pages, message, buffer, stored);
                self.bury(id.slot, Dead { entry: Entry::stray(message, letter), reason: Reason::MaxLength });
            }
            return None;
        }
        let mut marks = queue.marks(message.priority(), message.expiration_ms(), letter);
        match queue.direct(message.window_bytes()) {
            Some(direct) => Some(self.hand_out(id, &direct, message, buffer, stored, &mut marks)),
            None if marks.ttl_ns == Some(0) => {
                let reason = queue.reason_to_go_at_once(body_bytes);
                let at = store(&mut self.pages, message, buffer, stored);
                let due = self.keep(id, message, at, stored, &mut marks);
                let entry = self.queues.get_mut(id.slot)?.entry(at, &marks);
                self.bury(id.slot, Dead { entry, reason });
                Some(due)
            }
            None => {
                let due = self.push(id, message, buffer, stored, &mut marks);
                self.drop_heads(id.slot);
                Some(due)
            }
        }
    }

    /// Puts a message into a queue, and into the journal if it is to be kept.
    fn push(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Stored,
        marks: &mut Marks,
    ) -> Due {
        let at = store(&mut self.pages, message, buffer, stored);
        let due = self.keep(id, message, at, stored, marks);
        if let Some(queue) = self.queues.get_mut(id.slot) {
            queue.push(at, marks, &self.pages, &mut self.timers);
        }
        due
    }

    /// Brings a message to the consumer that its queue has picked.
    #[inline]
    fn hand_out(
        &mut self,
        id: QueueId,
        direct: &Direct,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Stored,
        marks: &mut Marks,
    ) -> Due {
        self.outward.counters.straight += 1;
        let (mut unacked, mut due) = (None, Due::NOW);
        if !direct.no_ack {
            let at = store(&mut self.pages, message, buffer, stored);
            due = self.keep(id, message, at, stored, marks);
            let Some(queue) = self.queues.get_mut(id.slot) else { return due };
            unacked = Some(queue.track(at, marks, direct, &mut self.timers));
        }
        if !self.outward.deliver(id, direct.to, message, buffer, unacked, false)
            && let Some(unacked) = unacked
        {
            self.settle(id, unacked, Settlement::Undelivered, Tx::NONE);
        }
        due
    }

    /// Takes a run of messages with the same route straight through a queue of this shard to the one consumer here that
    /// takes whatever comes, as long as `next` has one and windows and outbox have room. Answers how many there were.
    #[inline]
    pub fn accept_run<'m>(
        &mut self,
        id: QueueId,
        route: &[u8],
        mut next: impl FnMut() -> Option<Message<'m>>,
    ) -> u64 {
        let Rooms { queues, outward, .. } = self;
        let Some(queue) = queues.live_mut(id.slot, id.generation) else { return 0 };
        let Some(consumer) = queue.sole_taker() else { return 0 };
        let ConsumerAt { connection, handle } = consumer.at;
        if connection.shard != outward.id {
            return 0;
        }
        let Some(here) = outward.connections.live_mut(connection.slot, connection.generation) else {
            return 0;
        };
        let room = consumer.window.min(FLUSH_BYTES as i64 - outward.unflushed as i64);
        let (count, bytes) =
            here.deliver_run(handle, route, |taken| if i64::from(taken) < room { next() } else { None });
        if count == 0 {
            return 0;
        }
        consumer.window -= i64::from(bytes);
        queue.run_ended(count);
        outward.counters.queued += count;
        outward.counters.straight += count;
        outward.counters.delivered += count;
        outward.unflushed += bytes as usize;
        outward.touch(connection.slot);
        count
    }

    /// A ready message has waited its time.
    pub fn expire(&mut self, timer: TimerId, slot: u32, priority: u8, sequence: u64) {
        let Rooms { queues, pages, timers, .. } = self;
        if let Some(queue) = queues.get_mut(slot)
            && let Some(dead) = queue.expire(timer, priority, sequence, pages, timers)
        {
            self.outward.counters.expired += 1;
            self.bury(slot, dead);
        }
    }

    /// A dead message goes on to where the dead of its queue go, or is gone.
    pub fn bury(&mut self, slot: u32, dead: Dead) {
        let queue = self.queues.get(slot);
        let from = queue.and_then(|queue| queue.journaled);
        match queue.and_then(Queue::graveyard) {
            Some(to) => {
                self.letters.push_back(Letter { dead, to: to.clone(), from });
                let counters = &mut self.outward.counters;
                *match dead.reason {
                    Reason::Rejected => &mut counters.dead_lettered_rejected,
                    Reason::Expired => &mut counters.dead_lettered_expired,
                    Reason::MaxLength => &mut counters.dead_lettered_maxlen,
                    Reason::DeliveryLimit => &mut counters.dead_lettered_delivery_limit,
                } += 1;
            }
            None => self.let_go(from, &dead.entry),
        }
    }

    /// A queue that has become too long loses its first messages. One that other policies have made too long loses them
    /// piece by piece.
    pub(super) fn drop_heads(&mut self, slot: u32) {
        while let Some(queue) = self.queues.get_mut(slot)
            && !queue.is_fitting()
            && let Some(dead) = queue.drop_head(&self.pages, &mut self.timers)
        {
            self.bury(slot, dead);
        }
    }
}

/// The stored form of a message: the first queue stores it, the others share it, unless those before have let it go at once
/// (a TTL of 0, a limit).
#[inline]
pub fn store(
    pages: &mut Pages,
    message: &Message<'_>,
    buffer: Option<&Bytes>,
    stored: &mut Stored,
) -> MessageRef {
    match stored.at {
        Some(at) if pages.share(at) => at,
        _ => *stored.at.insert(match buffer {
            Some(buffer) if buffer.len() > PAGED_BYTES_MAX => pages.store_large(buffer.clone()),
            _ => pages.store(message),
        }),
    }
}
