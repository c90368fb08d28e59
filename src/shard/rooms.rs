//! The rooms that a message passes on one shard, and how it goes from one to the next.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::command::{Command, Waiter};
use crate::amqp::content::EXPIRATION_FLAG;
use crate::connection::Connection;
use crate::connection::channel::Channel;
use crate::connection::transaction::Dropped;
use crate::death::{self, Reason};
use crate::ids::{ChannelNumber, ConnectionId, ConsumerId, QueueId, ReplyTo, ShardId};
use crate::limits::{FLUSH_BYTES, PUMP_DELIVERIES, SWEEP_ENTRIES};
use crate::mesh::Mesh;
use crate::mesh::parcel::{Deliver, Parcel, Record, Span};
use crate::message::Message;
use crate::pages::{MessageRef, Pages};
use crate::queue::{ConsumerAt, Dead, Direct, Doomed, Graveyard, Marks, Queue, Settled, Timers};
use crate::queue_args::Overflow;
use crate::settlement::Settlement;
use crate::slots::Slots;
use crate::stats::Counters;
use crate::wheel::TimerId;

/// Lives on: its shard.
pub struct Rooms {
    pub queues: Slots<Queue>,
    pub pages: Pages,
    pub timers: Timers,
    pub outward: Outward,
    /// Queues that have both messages and somebody to serve.
    pub pump: VecDeque<u32>,
    /// What deleted and purged queues held, to be freed piece by piece.
    pub doomed: Vec<Doomed>,
    /// The dead of queues that have a place for them, on their way there, oldest first.
    pub letters: VecDeque<Letter>,
    /// Messages in transactions that were rolled back, to be freed piece by piece.
    pub dropped: Vec<Dropped>,
    /// Messages that transactions keep, dropped ones included.
    pub held: u64,
    /// Who waits for a queue to be gone, by its slot.
    pub waiters: Vec<(QueueId, Waiter)>,
}

/// A message that died in a queue, and where it goes.
pub struct Letter {
    pub dead: Dead,
    pub to: Arc<Graveyard>,
}

/// The way out: to connections here, and to other shards.
pub struct Outward {
    pub id: ShardId,
    pub connections: Slots<Connection>,
    pub mesh: Mesh<Command>,
    /// Connections with output, in the order in which they got it.
    pub dirty: VecDeque<u32>,
    /// Channels with a limit of their own that have something to lend, or are asked to.
    pub lending: VecDeque<(ConnectionId, ChannelNumber)>,
    /// About the bytes that were encoded since the last flush.
    pub unflushed: usize,
    pub counters: Counters,
}

impl Rooms {
    /// Takes a message into a queue of this shard, or straight through it. `stored` is shared by the queues
    /// that the same message goes to. False if the queue refuses it because it is full.
    #[inline]
    pub fn accept(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Option<MessageRef>,
        letter: bool,
    ) -> bool {
        let Some(queue) = self.queues.live_mut(id.slot, id.generation) else { return true };
        if queue.dying {
            return true;
        }
        self.outward.counters.queued += 1;
        if queue.lacks_credit() {
            self.outward.ask_for_credit(queue);
        }
        if !queue.is_plain() || letter || message.property_flags() & EXPIRATION_FLAG != 0 {
            return self.accept_by_rules(id, message, buffer, stored, letter);
        }
        match queue.direct(message.window_bytes()) {
            Some(direct) => self.hand_out(id, &direct, message, buffer, stored, &Marks::default()),
            None => {
                let message = store(&mut self.pages, message, buffer, stored);
                queue.push(message, &Marks::default(), &self.pages, &mut self.timers);
            }
        }
        true
    }

    /// The same for a queue with rules, or a message with properties that matter.
    fn accept_by_rules(
        &mut self,
        id: QueueId,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Option<MessageRef>,
        letter: bool,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(id.slot) else { return true };
        if let Some(overflow) = queue.refuses(message.body_bytes()) {
            self.outward.counters.refused += 1;
            if overflow == Overflow::RejectPublishDlx && queue.graveyard().is_some() {
                let message = store(&mut self.pages, message, buffer, stored);
                self.bury(id.slot, Dead { message, letter, reason: Reason::MaxLength });
            }
            return false;
        }
        let marks = queue.marks(message.priority(), message.expiration_ms(), letter);
        match queue.direct(message.window_bytes()) {
            Some(direct) => self.hand_out(id, &direct, message, buffer, stored, &marks),
            None => {
                let message = store(&mut self.pages, message, buffer, stored);
                if marks.ttl_ns == Some(0) {
                    self.bury(id.slot, Dead { message, letter, reason: Reason::Expired });
                } else {
                    queue.push(message, &marks, &self.pages, &mut self.timers);
                    self.drop_heads(id.slot);
                }
            }
        }
        true
    }

    /// Brings a message to the consumer that its queue has picked.
    #[inline]
    fn hand_out(
        &mut self,
        id: QueueId,
        direct: &Direct,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        stored: &mut Option<MessageRef>,
        marks: &Marks,
    ) {
        let Rooms { queues, pages, timers, outward, .. } = self;
        let unacked = if direct.no_ack {
            None
        } else {
            let Some(queue) = queues.get_mut(id.slot) else { return };
            let message = store(pages, message, buffer, stored);
            Some(queue.track(message, marks, direct, timers))
        };
        if !outward.deliver(id, direct.to, message, buffer, unacked, false)
            && let Some(unacked) = unacked
        {
            self.undeliver(id, unacked);
        }
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
        queue.run_ended();
        outward.counters.queued += count;
        outward.counters.delivered += count;
        outward.unflushed += bytes as usize;
        outward.touch(connection.slot);
        count
    }

    /// How a delivery ends, of a queue on any shard.
    #[inline]
    pub fn settle(&mut self, queue: QueueId, unacked: u32, settlement: Settlement) {
        if queue.shard != self.outward.id {
            self.outward.mesh.record(queue.shard, Record::Settle { queue, unacked, settlement });
        } else if let Some(here) = self.queues.live_mut(queue.slot, queue.generation)
            && let Some(settled) = here.settle(unacked, settlement, &self.pages, &mut self.timers)
        {
            self.settled(queue.slot, settled);
        }
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
        match self.queues.get(slot).and_then(Queue::graveyard) {
            Some(to) => self.letters.push_back(Letter { dead, to: to.clone() }),
            None => self.pages.release(dead.message),
        }
    }

    /// A consumer's connection has room for more, wherever the queue is.
    pub fn grant(&mut self, queue: QueueId, consumer: ConsumerId, bytes: u32) {
        if queue.shard != self.outward.id {
            self.outward.mesh.record(queue.shard, Record::Grant { queue, consumer, bytes });
        } else if let Some(here) = self.queues.live_mut(queue.slot, queue.generation) {
            here.grant(consumer, bytes);
            self.list(queue.slot);
        }
    }

    /// One record of another shard's parcel, but for `Accepted` and `Refused`. If its sender counts on an answer: whether all
    /// queues here took the message.
    pub fn record(&mut self, parcel: &Parcel, record: &Record, last: &mut Arrival) -> Option<bool> {
        match *record {
            Record::Publish { queue, message: span, counted, letter } => {
                if last.span != Some(span) {
                    *last = Arrival { span: Some(span), stored: None, taken: true };
                }
                let (message, buffer) = parcel.message(span);
                last.taken &= self.accept(queue, &message, buffer, &mut last.stored, letter);
                return counted.then_some(last.taken);
            }
            Record::Reply { to, message } => {
                let (message, buffer) = parcel.message(message);
                self.outward.reply(&to, &message, buffer);
            }
            Record::Deliver(deliver) => self.delivered(parcel, &deliver),
            Record::Settle { queue, unacked, settlement } => self.settle(queue, unacked, settlement),
            Record::Grant { queue, consumer, bytes } => self.grant(queue, consumer, bytes),
            Record::Lend { queue, consumer, messages } => self.lend(queue, consumer, messages),
            Record::Recall(recall) => self.recall(recall),
            Record::Want { connection, handle } => self.outward.want(ConsumerAt { connection, handle }),
            Record::Returned(returned) => self.outward.returned(returned),
            Record::Accepted { .. } | Record::Refused => {}
        }
        None
    }

    /// Serves the queues that wait for it, within the budget of one piece of work.
    pub fn pump(&mut self) {
        let mut budget = PUMP_DELIVERIES;
        for _ in 0..self.pump.len() {
            let Some(slot) = self.pump.pop_front() else { return };
            budget = self.serve(slot, budget);
            if budget == 0 {
                return;
            }
        }
    }

    /// Frees a piece of what is doomed.
    pub fn sweep(&mut self) {
        let Rooms { doomed, pages, timers, .. } = self;
        if let Some(last) = doomed.last_mut()
            && last.free_some(SWEEP_ENTRIES, timers, |message| pages.release(message))
        {
            doomed.pop();
        }
        self.sweep_dropped();
    }

    fn sweep_dropped(&mut self) {
        let Some(last) = self.dropped.last_mut() else { return };
        let piece = last.len().min(SWEEP_ENTRIES);
        self.held -= piece as u64;
        last.drain(..piece).for_each(|publish| self.pages.release(publish.message));
        if last.is_empty() {
            self.dropped.pop();
        }
    }

    /// Lines a queue up to be served, if there is reason to.
    pub fn list(&mut self, slot: u32) {
        if let Some(queue) = self.queues.get_mut(slot)
            && !queue.listed
            && queue.can_serve()
        {
            queue.listed = true;
            self.pump.push_back(slot);
        }
    }

    /// Every reference in the pages belongs to an entry of a queue, to a letter or to a transaction, and every timer to a
    /// queue; nobody is lined up without reason.
    pub fn invariants(&self) {
        let entries: usize =
            self.queues.iter().map(|(_, queue)| queue.ready_count() + queue.unacked_count()).sum();
        let known = (entries + self.letters.len()) as u64 + self.held;
        assert!(self.pages.live() >= known);
        assert!(!self.doomed.is_empty() || self.pages.live() == known);
        let timers: usize = self.queues.iter().map(|(_, queue)| queue.timer_count()).sum();
        assert!(self.timers.len() >= timers);
        assert!(!self.doomed.is_empty() || self.timers.len() == timers);
        for (slot, queue) in self.queues.iter() {
            queue.invariants(&self.pages);
            assert!(!queue.can_serve() || queue.listed, "queue {slot} could serve and is not lined up");
        }
        self.outward.connections.iter().for_each(|(_, connection)| connection.invariants());
    }

    fn settled(&mut self, slot: u32, settled: Settled) {
        match settled {
            Settled::Gone(message) => self.pages.release(message),
            Settled::Dead(dead) => self.bury(slot, dead),
            Settled::Back => self.drop_heads(slot),
        }
        self.list(slot);
    }

    /// A queue that has become too long loses its first messages.
    fn drop_heads(&mut self, slot: u32) {
        while let Some(queue) = self.queues.get_mut(slot)
            && let Some(dead) = queue.drop_head(&self.pages, &mut self.timers)
        {
            self.bury(slot, dead);
        }
    }

    /// A message that its consumer did not get after all goes back.
    fn undeliver(&mut self, id: QueueId, unacked: u32) {
        if let Some(queue) = self.queues.live_mut(id.slot, id.generation)
            && let Some(settled) = queue.undeliver(unacked, &self.pages, &mut self.timers)
        {
            self.settled(id.slot, settled);
        }
    }

    /// A delivery from another shard's queue.
    fn delivered(&mut self, parcel: &Parcel, deliver: &Deliver) {
        let Deliver { connection, handle, queue, unacked, redelivered, message } = *deliver;
        let (message, buffer) = parcel.message(message);
        let to = ConsumerAt { connection, handle };
        if !self.outward.deliver(queue, to, &message, buffer, unacked, redelivered)
            && let Some(unacked) = unacked
        {
            self.settle(queue, unacked, Settlement::Requeue);
        }
    }

    /// Answers what is left of the budget.
    fn serve(&mut self, slot: u32, budget: usize) -> usize {
        let Some(queue) = self.queues.get_mut(slot) else { return budget };
        queue.listed = false;
        let left = self.serve_some(slot, budget);
        self.list(slot);
        left
    }

    /// Gives messages to whoever has room, and lets those ask who lack credit.
    pub(super) fn serve_some(&mut self, slot: u32, mut budget: usize) -> usize {
        while budget > 0 && self.serve_one(slot) {
            budget -= 1;
        }
        let Rooms { queues, outward, .. } = self;
        if let Some(queue) = queues.get_mut(slot)
            && queue.lacks_credit()
            && queue.can_serve()
        {
            outward.ask_for_credit(queue);
        }
        budget
    }

    #[inline]
    fn serve_one(&mut self, slot: u32) -> bool {
        let Rooms { queues, pages, timers, outward, .. } = self;
        let Some(queue) = queues.get_mut(slot) else { return false };
        let Some((entry, delivery)) = queue.next(pages, timers) else { return false };
        let (id, to, redelivered) = (queue.id, delivery.to, entry.redelivered);
        let taken = if entry.returns > 0 && queue.counts_returns() {
            let record = death::with_delivery_count(&pages.read(entry.message), u64::from(entry.returns));
            outward.deliver(id, to, &Message::from_record(&record), None, delivery.unacked, redelivered)
        } else {
            let message = pages.read(entry.message);
            let buffer = pages.large(entry.message);
            outward.deliver(id, to, &message, buffer, delivery.unacked, redelivered)
        };
        match delivery.unacked {
            None => pages.release(entry.message),
            Some(unacked) if !taken => self.undeliver(id, unacked),
            Some(_) => {}
        }
        true
    }
}

/// The message of a parcel that came last, which may be for several queues.
#[derive(Default)]
pub struct Arrival {
    span: Option<Span>,
    stored: Option<MessageRef>,
    /// All queues so far have taken it.
    taken: bool,
}

impl Outward {
    /// Brings a delivery to its consumer's connection. False if that is here and nobody takes it any more.
    #[inline]
    pub fn deliver(
        &mut self,
        queue: QueueId,
        to: ConsumerAt,
        message: &Message<'_>,
        buffer: Option<&Bytes>,
        unacked: Option<u32>,
        redelivered: bool,
    ) -> bool {
        let ConsumerAt { connection, handle } = to;
        if connection.shard != self.id {
            let message = self.mesh.message(connection.shard, message, buffer);
            let deliver = Deliver { connection, handle, queue, unacked, redelivered, message };
            self.mesh.record(connection.shard, Record::Deliver(deliver));
            return true;
        }
        let Some(here) = self.connections.live_mut(connection.slot, connection.generation) else {
            return false;
        };
        if !here.deliver(handle, message, queue, unacked, redelivered) {
            return false;
        }
        self.counters.delivered += 1;
        self.unflushed += message.window_bytes() as usize;
        if !here.listed {
            here.listed = true;
            self.dirty.push_back(connection.slot);
        }
        true
    }

    /// Brings a direct reply to its requester's connection.
    pub fn reply(&mut self, to: &ReplyTo, message: &Message<'_>, buffer: Option<&Bytes>) {
        if to.connection.shard != self.id {
            let message = self.mesh.message(to.connection.shard, message, buffer);
            self.mesh.record(to.connection.shard, Record::Reply { to: *to, message });
        } else if self.connection(to.connection).is_some_and(|here| here.deliver_reply(to, message)) {
            self.counters.delivered += 1;
            self.unflushed += message.window_bytes() as usize;
            self.touch(to.connection.slot);
        } else {
            self.counters.replies_dropped += 1;
        }
    }

    /// Lines a connection up to be flushed.
    pub fn touch(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.listed
        {
            connection.listed = true;
            self.dirty.push_back(slot);
        }
    }

    /// A channel of a connection that may be gone, whichever opening of its number it is.
    pub fn channel(&mut self, id: ConnectionId, number: ChannelNumber) -> Option<&mut Channel> {
        self.connection(id)?.channel(number)
    }

    pub fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.live_mut(id.slot, id.generation)
    }
}

/// The stored form of a message: the first queue stores it, the others share it.
#[inline]
pub fn store(
    pages: &mut Pages,
    message: &Message<'_>,
    buffer: Option<&Bytes>,
    stored: &mut Option<MessageRef>,
) -> MessageRef {
    match *stored {
        Some(at) => {
            pages.retain(at);
            at
        }
        None => *stored.insert(match buffer {
            Some(buffer) if buffer.len() > crate::limits::PAGED_BYTES_MAX => {
                pages.store_large(buffer.clone())
            }
            _ => pages.store(message),
        }),
    }
}
