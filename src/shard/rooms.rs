//! The rooms that a message passes on one shard, and how it goes from one to the next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::command::Waiter;
use super::keep::{Commits, Stored, Unkept};
use super::letters::SentLetters;
use super::outward::Outward;
use crate::connection::transaction::Dropped;
use crate::death;
use crate::ids::{ConsumerId, QueueId, QueueUid, Tx};
use crate::journal::{Due, Journal, Keeps, Position, Promised};
use crate::limits::{PUMP_DELIVERIES, SWEEP_ENTRIES};
use crate::mesh::parcel::{Deliver, Parcel, Record, Span};
use crate::message::Message;
use crate::pages::Pages;
use crate::queue::{ConsumerAt, Dead, Doomed, Graveyard, Queue, Settled, Timers};
use crate::queue_args::Durability;
use crate::settlement::Settlement;
use crate::slots::Slots;

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
    /// What outlives the server; none if nothing does.
    pub journal: Option<Journal>,
    /// What the journal has of what is here.
    pub keeps: Keeps,
    /// Commits under way.
    pub commits: Commits,
    /// Messages that are not as safe yet as their queues promise.
    pub unkept: VecDeque<Promised<Unkept>>,
    /// Where the last settlement was recorded.
    pub settled_at: Position,
    /// The wall clock, ms since 1970, as the shell last told.
    pub wall_ms: u64,
    /// The dead of queues that have a place for them, on their way there, oldest first.
    pub letters: VecDeque<Letter>,
    /// Those of them that other shards have not answered for.
    pub sent: SentLetters,
    /// Messages in transactions that were rolled back, to be freed piece by piece.
    pub dropped: Vec<Dropped>,
    /// Messages that transactions keep, dropped ones included.
    pub held: u64,
    /// Queues with more than other policies allow them, to be made to fit piece by piece.
    pub unfit: Vec<u32>,
    /// Who waits for a queue to be gone, by its slot.
    pub waiters: Vec<(QueueId, Waiter)>,
}

/// A message that died in a queue, and where it goes.
pub struct Letter {
    pub dead: Dead,
    pub to: Arc<Graveyard>,
    /// The queue, if it is in the journal.
    pub from: Option<(QueueUid, Durability)>,
}

impl Rooms {
    /// How a delivery ends, of a queue on any shard.
    #[inline]
    pub fn settle(&mut self, queue: QueueId, unacked: u32, settlement: Settlement, tx: Tx) {
        if queue.shard != self.outward.id {
            self.outward.mesh.record(queue.shard, Record::Settle { queue, unacked, settlement, tx });
        } else if let Some(here) = self.queues.live_mut(queue.slot, queue.generation)
            && let Some(settled) = here.settle(unacked, settlement, &self.pages, &mut self.timers)
        {
            self.settled(queue.slot, settled, tx);
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

    /// One record of another shard's parcel, but for `Accepted` and `Refused`. If its sender counts on an answer: when it is
    /// due, if all queues here took the message.
    pub fn record(&mut self, parcel: &Parcel, record: &Record, last: &mut Arrival) -> Option<Option<Due>> {
        match *record {
            Record::Publish { queue, message: span, counted, origin } => {
                if last.span != Some(span) {
                    *last = Arrival { span: Some(span), stored: Stored::of(origin), taken: Some(Due::NOW) };
                }
                let (message, buffer) = parcel.message(span);
                let due = self.accept(queue, &message, buffer, &mut last.stored);
                last.taken = last.taken.zip(due).map(|(before, due)| before.and(due));
                return counted.then_some(last.taken);
            }
            Record::Reply { to, message } => {
                let (message, buffer) = parcel.message(message);
                self.outward.reply(&to, &message, buffer);
            }
            Record::Deliver(deliver) => self.delivered(parcel, &deliver),
            Record::Settle { queue, unacked, settlement, tx } => {
                self.settle(queue, unacked, settlement, tx);
            }
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
        if let Some(last) = self.doomed.last_mut() {
            let mut freed = Vec::new();
            let done = last.free_some(SWEEP_ENTRIES, &mut self.timers, |entry| freed.push(*entry));
            let journaled = last.journaled;
            if done {
                self.doomed.pop();
            }
            freed.iter().for_each(|entry| self.let_go(journaled, entry));
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
        let known = (entries + self.letters.len() + self.sent.len() + self.uncommitted()) as u64 + self.held;
        let doomed = !self.doomed.is_empty();
        self.pages.invariants();
        assert!(self.pages.live() >= known);
        assert!(doomed || self.pages.live() == known);
        let timers: usize = self.queues.iter().map(|(_, queue)| queue.timer_count()).sum();
        assert!(self.timers.len() >= timers);
        assert!(doomed || self.timers.len() == timers);
        for (slot, queue) in self.queues.iter() {
            queue.invariants(&self.pages);
            assert!(!queue.can_serve() || queue.listed, "queue {slot} could serve and is not lined up");
        }
        self.outward.connections.iter().for_each(|(_, connection)| connection.invariants());
    }

    fn settled(&mut self, slot: u32, settled: Settled, tx: Tx) {
        match settled {
            Settled::Gone(entry) => self.acked(slot, &entry, tx),
            Settled::Dead(dead) if self.queues.get(slot).and_then(Queue::graveyard).is_some() => {
                self.bury(slot, dead);
            }
            Settled::Dead(Dead { entry, .. }) => self.acked(slot, &entry, tx),
            Settled::Back(entry) => {
                self.came_back(slot, &entry);
                self.drop_heads(slot);
            }
        }
        self.list(slot);
    }

    /// A delivery from another shard's queue.
    fn delivered(&mut self, parcel: &Parcel, deliver: &Deliver) {
        let Deliver { connection, handle, queue, unacked, redelivered, message } = *deliver;
        let (message, buffer) = parcel.message(message);
        let to = ConsumerAt { connection, handle };
        if !self.outward.deliver(queue, to, &message, buffer, unacked, redelivered)
            && let Some(unacked) = unacked
        {
            self.settle(queue, unacked, Settlement::Undelivered, Tx::NONE);
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
        while budget > 0 {
            if budget.is_multiple_of(LOOK_AHEAD)
                && let Some(queue) = self.queues.get(slot)
            {
                queue.look_ahead(LOOK_AHEAD, &self.pages);
            }
            if !self.serve_one(slot) {
                break;
            }
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
        let (id, to, redelivered) = (queue.id, delivery.to, entry.is_redelivered());
        let taken = if entry.returns > 0 && queue.counts_returns() {
            let record = death::with_delivery_count(&pages.read(entry.message), u64::from(entry.returns));
            outward.deliver(id, to, &Message::from_record(&record), None, delivery.unacked, redelivered)
        } else {
            let message = pages.read(entry.message);
            let buffer = pages.large(entry.message);
            outward.deliver(id, to, &message, buffer, delivery.unacked, redelivered)
        };
        let journaled = queue.journaled;
        match delivery.unacked {
            None => self.let_go(journaled, &entry),
            Some(unacked) if !taken => self.settle(id, unacked, Settlement::Undelivered, Tx::NONE),
            Some(_) => {}
        }
        true
    }
}

/// Messages that are fetched from memory together.
const LOOK_AHEAD: usize = 32;

/// The message of a parcel that came last, which may be for several queues.
#[derive(Default)]
pub struct Arrival {
    span: Option<Span>,
    stored: Stored,
    /// When it is as safe as the queues so far ask for, if all have taken it.
    taken: Option<Due>,
}
