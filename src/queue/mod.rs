//! A queue: messages in order, the consumers they go to in turn, and what waits for an ack.
//!
//! ```text
//! accept -> (empty and a consumer has room) direct -> consumer
//!        -> ready -> next -> consumer -> settle(ack) -> gone
//!             ^ |                |   \-> settle(reject) -> dead
//!             | +-> expire, drop head -> dead       dead -> the dead letter exchange, if the queue has one
//!             +---- requeue -----+   to the old place, redelivered
//! ```

mod adapt;
mod consumer;
mod credit;
mod held;
mod line;
mod look;
mod ready;
mod rules;
mod timers;
mod turns;
mod unacked;

pub use consumer::{Consumer, ConsumerAt, NO_LIMIT, Terms};
pub use look::Spot;
pub use ready::{Bodies, Entry};
pub use rules::{Dead, Graveyard, Marks};
pub use timers::{Due, Timers};
pub use turns::Direct;
pub use unacked::Overdue;

use std::collections::VecDeque;
use std::num::NonZeroU64;

use crate::death::Reason;
use crate::ids::{ConsumerId, Name, QueueId, QueueUid};
use crate::latency::{QueueLatency, Timeline};
use crate::pages::{MessageRef, Pages};
use crate::parameters::Applied;
use crate::queue_args::{Durability, QueueArgs};
use crate::settlement::Settlement;
use crate::slots::Slots;
use crate::stats::Traffic;
use crate::text;
use crate::wheel::TimerId;
use consumer::Place;
use held::Held;
use ready::Ready;
use rules::Rules;
use unacked::Unacked;

/// Lives on: the queue's shard.
pub struct Queue {
    pub id: QueueId,
    pub vhost: Name,
    pub name: Name,
    pub auto_delete: bool,
    /// Of a queue whose messages are kept in the journal: by which number, and how safely.
    pub journaled: Option<(QueueUid, Durability)>,
    /// Set once by a delete; from then on nothing is accepted and nobody is served.
    pub dying: bool,
    /// Stands in the shard's list of queues to be served.
    pub listed: bool,
    /// An administrator holds it back: no consumer is served.
    paused: bool,
    /// What it was declared with; none if that asks for nothing.
    declared: Option<Box<QueueArgs>>,
    /// The policies that it goes by.
    applied: Applied,
    /// What both make of it. None: a plain queue.
    rules: Option<Box<Rules>>,
    ready: Ready,
    unacked: Held,
    consumers: Slots<Consumer>,
    /// Consumers with room, the one to be served next in front.
    available: VecDeque<u32>,
    /// Consumers with room but for the limit of their channel, which do not know it yet; first come first served.
    lacking: VecDeque<u32>,
    had_consumer: bool,
    exclusive_consumer: bool,
    /// Some consumer has, or had, a priority other than 0.
    has_priorities: bool,
    /// How many consumers there ever were.
    joined: u64,
    next_sequence: u64,
    pub traffic: Traffic,
    /// Without those that went straight through.
    latency: QueueLatency,
    /// When the sequences came that are ready.
    arrivals: Timeline,
}

/// Who got a message from the queue, and, where it waits for an ack, under which number.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub to: ConsumerAt,
    pub unacked: Option<u32>,
}

/// A message that outlived the server.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    pub sequence: u64,
    pub message: MessageRef,
    pub returns: u16,
    pub redelivered: bool,
    /// Since it was published.
    pub waited_ns: u64,
}

/// What became of a message that its consumer has settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// The caller frees it.
    Gone(Entry),
    Dead(Dead),
    /// It is ready again.
    Back(Entry),
}

impl Queue {
    /// Without policies.
    pub fn new(id: QueueId, vhost: Name, name: Name, auto_delete: bool, declared: &QueueArgs) -> Queue {
        let args = Applied::default().rules(declared);
        Queue {
            id,
            auto_delete,
            journaled: None,
            dying: false,
            listed: false,
            paused: false,
            declared: (!declared.is_plain()).then(|| Box::new(declared.clone())),
            applied: Applied::default(),
            rules: (!args.is_plain()).then(|| Box::new(Rules::new(&vhost, &name, &args))),
            vhost,
            name,
            ready: Ready::default(),
            unacked: Held::default(),
            consumers: Slots::default(),
            available: VecDeque::new(),
            lacking: VecDeque::new(),
            had_consumer: false,
            exclusive_consumer: false,
            has_priorities: false,
            joined: 0,
            next_sequence: 0,
            traffic: Traffic::default(),
            latency: QueueLatency::default(),
            arrivals: Timeline::default(),
        }
    }

    /// In RabbitMQ's words.
    pub fn text(&self) -> String {
        text::Vhost(&self.vhost).queue(&self.name)
    }

    /// The consumer that a message of `bytes` may go to without being stored, if it needs no ack.
    #[inline]
    pub fn direct(&mut self, bytes: u32) -> Option<Direct> {
        if !self.ready.is_empty() || self.paused {
            return None;
        }
        self.take_consumer(bytes)
    }

    /// The consumer that takes whatever comes next, if it is the only one in line, needs no ack and no credit, and nothing
    /// waits: a run of messages may go to it while its window lasts. `run_ended` must follow.
    #[inline]
    pub fn sole_taker(&mut self) -> Option<&mut Consumer> {
        if self.dying
            || self.paused
            || !self.ready.is_empty()
            || self.available.len() != 1
            || self.lacks_credit()
            || self.refuses(u64::MAX / 2).is_some()
        {
            return None;
        }
        let consumer = self.consumers.get_mut(self.available[0]).expect("who is available is there");
        (consumer.no_ack && consumer.credit == NO_LIMIT).then_some(consumer)
    }

    /// The sole taker has taken a run of so many messages: without room it leaves the line.
    pub fn run_ended(&mut self, count: u64) {
        self.traffic.publish += count;
        self.traffic.deliver_no_ack += count;
        if let Some(&at) = self.available.front()
            && let Some(consumer) = self.consumers.get_mut(at)
            && !consumer.has_room()
        {
            consumer.place = Place::Out;
            self.available.clear();
        }
    }

    /// Notes that a message handed out by `direct` waits for an ack.
    #[inline]
    pub fn track(&mut self, message: MessageRef, marks: &Marks, direct: &Direct, timers: &mut Timers) -> u32 {
        let expires_at = marks.ttl_ns.and_then(|ttl| NonZeroU64::new(timers.now.saturating_add(ttl)));
        let entry = self.entry(message, marks);
        self.hold(entry, expires_at, Some(direct.consumer), timers)
    }

    /// The place that the next message will have among all that ever came.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence + 1
    }

    /// Puts a message behind all others of its priority.
    #[inline]
    pub fn push(&mut self, message: MessageRef, marks: &Marks, pages: &Pages, timers: &mut Timers) {
        let mut entry = self.entry(message, marks);
        if let Some(ttl) = marks.ttl_ns {
            entry.timer = timers.after(ttl, self.expiry_of(&entry));
        }
        if !self.is_plain() {
            self.count(&entry, pages);
        }
        if self.ready.is_empty() {
            self.arrivals.clear();
        }
        self.arrivals.note(entry.sequence, timers.now as i64);
        self.ready.push(entry);
    }

    /// Puts back a message that the queue held when the server ended: its sequence is higher than those of all before it.
    pub fn restore(&mut self, restored: &Restored, marks: &Marks, pages: &Pages, timers: &mut Timers) {
        self.next_sequence = restored.sequence - 1;
        let mut entry = self.entry(restored.message, marks);
        entry.returns = restored.returns;
        if restored.redelivered {
            entry.set_redelivered();
        }
        if let Some(ttl) = marks.ttl_ns {
            entry.timer = timers.after(ttl, self.expiry_of(&entry));
        }
        self.count(&entry, pages);
        self.arrivals.note(entry.sequence, (timers.now as i64).saturating_sub_unsigned(restored.waited_ns));
        self.ready.push(entry);
    }

    /// No message of the queue has had a higher sequence so far.
    pub fn continue_behind(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// The first ready message and the consumer whose turn it is.
    #[inline]
    pub fn next(&mut self, pages: &Pages, timers: &mut Timers) -> Option<(Entry, Delivery)> {
        if self.paused {
            return None;
        }
        let bytes = pages.read(self.ready.first()?.message).window_bytes();
        let direct = self.take_consumer(bytes)?;
        let (entry, expires_at) = self.pop_ready(pages, timers).expect("there was a first");
        self.delivers(&entry, timers);
        self.traffic.redeliver += u64::from(entry.is_redelivered());
        let unacked = (!direct.no_ack).then(|| self.hold(entry, expires_at, Some(direct.consumer), timers));
        Some((entry, Delivery { to: direct.to, unacked }))
    }

    /// Has the processor fetch the next few messages at once where it cannot guess them: one by one each would wait for memory.
    pub fn look_ahead(&self, messages: usize, pages: &Pages) {
        let next = self.ready.scattered().iter().filter(|entry| !entry.is_hole()).take(messages);
        std::hint::black_box(next.fold(0, |sum, entry| sum ^ pages.glance(entry.message)));
    }

    /// basic.get: the first ready message, with its number if it waits for an ack.
    pub fn take(&mut self, no_ack: bool, pages: &Pages, timers: &mut Timers) -> Option<(Entry, Option<u32>)> {
        self.used(timers);
        let Some((entry, expires_at)) = self.pop_ready(pages, timers) else {
            self.traffic.get_empty += 1;
            return None;
        };
        *(if no_ack { &mut self.traffic.get_no_ack } else { &mut self.traffic.get }) += 1;
        self.delivers(&entry, timers);
        self.traffic.redeliver += u64::from(entry.is_redelivered());
        let unacked = (!no_ack).then(|| self.hold(entry, expires_at, None, timers));
        Some((entry, unacked))
    }

    /// A consumer settles a message; none if it did before. One that returned too often, or too late, is dead. What comes
    /// back to a dying queue goes with it, or is there again if its end is lost; what was acknowledged is not.
    #[inline]
    pub fn settle(
        &mut self,
        unacked: u32,
        settlement: Settlement,
        pages: &Pages,
        timers: &mut Timers,
    ) -> Option<Settled> {
        if self.dying && settlement != Settlement::Ack {
            return None;
        }
        let Unacked { mut entry, expires_at, since, .. } = self.untrack(unacked, timers)?;
        match settlement {
            Settlement::Ack => {
                self.traffic.ack += 1;
                let took_ns = timers.now.saturating_sub(since);
                self.latency.acked.record(took_ns, 1);
                timers.latency.acked.record(took_ns, 1);
                return Some(Settled::Gone(entry));
            }
            Settlement::Reject => return Some(Settled::Dead(Dead::of(&entry, Reason::Rejected))),
            Settlement::Undelivered => {}
            Settlement::Requeue => entry.returns = entry.returns.saturating_add(1),
        }
        // Also of what nobody has seen: others may have been delivered out of turn meanwhile.
        entry.set_redelivered();
        if self.delivery_limit().is_some_and(|limit| u32::from(entry.returns) > limit) {
            return Some(Settled::Dead(Dead::of(&entry, Reason::DeliveryLimit)));
        }
        Some(self.put_back(entry, expires_at, pages, timers))
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
        anybody && !self.ready.is_empty() && !self.paused
    }

    /// Takes out all ready messages; the caller frees them.
    pub fn purge(&mut self) -> Doomed {
        if let Some(rules) = &mut self.rules {
            (rules.ready_bytes, rules.counting) = (0, None);
        }
        let journaled = self.journaled;
        Doomed { ready: std::mem::take(&mut self.ready), unacked: Held::default(), at: 0, journaled }
    }

    /// Ends the queue: whom it served. What it held it has until it is gone, and that is on disk if the queue was.
    pub fn die(&mut self, timers: &mut Timers) -> Vec<ConsumerAt> {
        self.dying = true;
        self.available.clear();
        self.lacking.clear();
        let consumers = std::mem::take(&mut self.consumers);
        self.used(timers);
        consumers.iter().map(|(_, consumer)| consumer.at).collect()
    }

    /// What is left of it once it is gone.
    pub fn remains(self) -> Doomed {
        Doomed { ready: self.ready, unacked: self.unacked, at: 0, journaled: self.journaled }
    }

    pub fn latency(&self) -> QueueLatency {
        let mut latency = self.latency.clone();
        let first = self.traffic.delivered().saturating_sub(self.traffic.redeliver);
        let straight = first.saturating_sub(latency.waited.histogram().len());
        latency.waited.record(0, straight);
        latency
    }

    /// As safe as the queue promises, so many messages at once.
    pub fn count_kept(&mut self, took_ns: u64, count: u64) {
        self.latency.kept.record(took_ns, count);
    }

    /// How long the oldest of the ready messages is here; of one that came back, at least.
    pub fn oldest_ready_ns(&self, timers: &Timers) -> Option<u64> {
        let came = self.arrivals.at(self.ready.oldest()?)?;
        Some((timers.now as i64 - came).max(0) as u64)
    }

    /// All that it has, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ready.iter().chain(self.unacked.iter().map(|(_, unacked)| &unacked.entry))
    }

    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    pub fn ready_bodies(&self) -> Bodies {
        self.ready.bodies()
    }

    pub fn unacked_bodies(&self) -> Bodies {
        self.unacked.bodies()
    }

    pub fn unacked_count(&self) -> usize {
        self.unacked.len()
    }

    /// `available` holds exactly the consumers with room, by priority, `lacking` those that want but credit and have not
    /// asked for it, each once; no consumer exceeds its prefetch; at most one is active where only one may be; no more is
    /// ready than the queue's limits allow; the sums of bodies are those of the messages.
    pub fn invariants(&self, pages: &Pages) {
        for (at, consumer) in self.consumers.iter() {
            let times = |line: &VecDeque<u32>| line.iter().filter(|&&other| other == at).count();
            assert_eq!(times(&self.available), usize::from(consumer.place == Place::Available));
            assert_eq!(times(&self.lacking), usize::from(consumer.place == Place::Lacking));
            assert_eq!(consumer.place == Place::Available, consumer.has_room());
            assert_eq!(consumer.place == Place::Out, !consumer.wants_more());
            assert!(consumer.prefetch == 0 || consumer.unacked <= consumer.prefetch);
        }
        let mut lined = self.available.iter().chain(&self.lacking);
        assert!(lined.all(|&at| self.consumers.get(at).is_some()));
        let priorities: Vec<i64> =
            self.available.iter().map(|&at| self.consumers.get(at).map_or(0, |it| it.priority)).collect();
        assert!(priorities.is_sorted_by(|one, next| one >= next));
        self.ready.invariants();
        let unacked = self.unacked.iter().map(|(_, unacked)| &unacked.entry);
        assert_eq!(self.unacked.bodies(), Bodies::of(unacked));
        self.check_rules(pages);
    }

    /// A message that comes to the queue, and does not stay.
    pub fn entry(&mut self, message: MessageRef, marks: &Marks) -> Entry {
        self.next_sequence += 1;
        Entry::new(self.next_sequence, message, marks)
    }

    fn expiry_of(&self, entry: &Entry) -> Due {
        Due::Expiry { queue: self.id.slot, priority: entry.priority, sequence: entry.sequence }
    }

    /// The first ready message, ready no more, and when it would expire.
    #[inline]
    fn pop_ready(&mut self, pages: &Pages, timers: &mut Timers) -> Option<(Entry, Option<NonZeroU64>)> {
        let mut entry = self.ready.pop()?;
        let expires_at = timers.stop(std::mem::replace(&mut entry.timer, TimerId::NONE));
        if !self.is_plain() {
            self.uncount(&entry, pages);
        }
        Some((entry, expires_at.and_then(NonZeroU64::new)))
    }

    /// Counts how long a message waited for its first delivery.
    #[inline]
    fn delivers(&mut self, entry: &Entry, timers: &mut Timers) {
        if entry.is_redelivered() {
            return;
        }
        let came = match &self.rules {
            // They leave in another order.
            Some(rules) if rules.args.priority_max.is_some() => self.arrivals.at(entry.sequence),
            _ => self.arrivals.pass(entry.sequence),
        };
        let now = timers.now as i64;
        let waited_ns = (now - came.unwrap_or(now)).max(0) as u64;
        self.latency.waited.record(waited_ns, 1);
        timers.latency.waited.record(waited_ns, 1);
    }

    fn put_back(
        &mut self,
        mut entry: Entry,
        expires_at: Option<NonZeroU64>,
        pages: &Pages,
        timers: &mut Timers,
    ) -> Settled {
        if let Some(at) = expires_at.map(NonZeroU64::get) {
            if at <= timers.now {
                return Settled::Dead(Dead::of(&entry, Reason::Expired));
            }
            entry.timer = timers.at(at, self.expiry_of(&entry));
        }
        self.count(&entry, pages);
        self.ready.put_back(entry);
        Settled::Back(entry)
    }
}

/// Messages that nobody will get; freed piece by piece, so that a deep queue stalls nobody.
pub struct Doomed {
    ready: Ready,
    unacked: Held,
    /// Those of the unacked with lower numbers are done with.
    at: u32,
    /// Of the queue.
    pub journaled: Option<(QueueUid, Durability)>,
}

impl Doomed {
    /// Gives up to `max` messages to `free`; true when none is left.
    pub fn free_some(&mut self, max: usize, timers: &mut Timers, mut free: impl FnMut(&Entry)) -> bool {
        for _ in 0..max {
            let entry = match self.ready.pop() {
                Some(entry) => entry,
                None if self.unacked.is_empty() => return true,
                None => {
                    self.at += 1;
                    let Some(unacked) = self.unacked.remove(self.at - 1) else { continue };
                    unacked.entry
                }
            };
            timers.stop(entry.timer);
            free(&entry);
        }
        false
    }
}

#[cfg(test)]
mod tests;
