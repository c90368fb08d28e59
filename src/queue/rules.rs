//! What a queue's arguments make of a message: how long it may wait, how urgent it is, whether there is room for it.

use std::sync::Arc;

use super::adapt::Cursor;
use super::timers::{Due, Timers};
use super::{Entry, Queue};
use crate::death::Reason;
use crate::ids::{Kept, Name};
use crate::pages::Pages;
use crate::queue_args::{Overflow, QueueArgs};
use crate::wheel::TimerId;

/// Of a queue that is not plain.
pub(super) struct Rules {
    pub args: QueueArgs,
    /// Where its dead go.
    pub graveyard: Option<Arc<Graveyard>>,
    /// Bytes of the bodies of ready messages; counted only where they are limited.
    pub ready_bytes: u64,
    /// How far they are counted. None: all are, or none need be.
    pub counting: Option<Cursor>,
    /// More may be ready than is allowed: that is being dropped, piece by piece.
    pub fitting: bool,
    /// Runs while nobody uses a queue that ends by that.
    pub idle: TimerId,
}

/// Where the dead of a queue go. Shared with those that are on the way: the queue may end before they arrive.
#[derive(PartialEq, Eq, Debug)]
pub struct Graveyard {
    pub vhost: Name,
    pub queue: Name,
    pub exchange: Name,
    /// Instead of the message's own.
    pub routing_key: Option<Name>,
}

/// What a message brings along, and what its queue makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    pub priority: u8,
    /// How long it may wait, ns.
    pub ttl_ns: Option<u64>,
    /// It was dead-lettered before.
    pub letter: bool,
    /// In the journal of the shard.
    pub kept: Kept,
}

/// A message that leaves its queue for the dead letter exchange, or for good if there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dead {
    pub entry: Entry,
    pub reason: Reason,
}

impl Dead {
    pub(super) fn of(entry: &Entry, reason: Reason) -> Dead {
        Dead { entry: *entry, reason }
    }
}

impl Rules {
    pub fn new(vhost: &Name, queue: &Name, args: &QueueArgs) -> Rules {
        // No exchange and no binding has a longer name.
        let is_short = |name: &&Name| name.len() <= SHORT_STRING_BYTES_MAX;
        let routing_key = args.dead_letter_routing_key.clone();
        let exchange = args.dead_letter_exchange.as_ref().filter(is_short);
        let exchange = exchange.filter(|_| routing_key.iter().all(|key| is_short(&key)));
        let graveyard = exchange.map(|exchange| {
            let (vhost, queue, exchange) = (vhost.clone(), queue.clone(), exchange.clone());
            Arc::new(Graveyard { vhost, queue, exchange, routing_key })
        });
        Rules {
            args: args.clone(),
            graveyard,
            ready_bytes: 0,
            counting: None,
            fitting: false,
            idle: TimerId::NONE,
        }
    }

    pub fn counts_bytes(&self) -> bool {
        self.args.length_bytes_max.is_some()
    }

    /// Whether so many ready messages are too many, or their bytes.
    pub fn exceeds(&self, messages: usize) -> bool {
        self.would_exceed(messages, 0)
    }

    /// The same with so many bytes more. While bytes are being counted they are not too many.
    fn would_exceed(&self, messages: usize, more_bytes: u64) -> bool {
        let bytes = self.ready_bytes + more_bytes;
        self.args.length_max.is_some_and(|max| messages as u64 > max)
            || (self.counting.is_none() && self.args.length_bytes_max.is_some_and(|max| bytes > max))
    }

    fn counts(&self, entry: &Entry) -> bool {
        self.counts_bytes() && self.counting.is_none_or(|cursor| cursor.is_behind(entry))
    }
}

impl Queue {
    /// Whether a message's own priority, expiration and the like mean nothing here, and nothing else is asked for.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.rules.is_none()
    }

    /// What the queue makes of a message with this priority and expiration.
    pub fn marks(&self, priority: Option<u8>, expiration_ms: Option<u64>, letter: bool) -> Marks {
        let args = self.rules.as_ref().map(|rules| &rules.args);
        let own_ms = args.and_then(|args| args.message_ttl_ms);
        let ttl_ms = own_ms.into_iter().chain(expiration_ms).min();
        let max = args.and_then(|args| args.priority_max).unwrap_or(0);
        Marks {
            priority: priority.unwrap_or(0).min(max),
            ttl_ns: ttl_ms.map(|ms| ms.saturating_mul(1_000_000)),
            letter,
            kept: Kept::NONE,
        }
    }

    /// Whether a message with a body of so many bytes is refused because there is no room: RabbitMQ asks that before it
    /// looks for a consumer.
    pub fn refuses(&self, body_bytes: u64) -> Option<Overflow> {
        let rules = self.rules.as_ref()?;
        let refused = rules.args.overflow() != Overflow::DropHead
            && rules.would_exceed(self.ready.len() + 1, body_bytes);
        refused.then_some(rules.args.overflow())
    }

    /// Why a message with a TTL of 0 goes that no consumer takes: RabbitMQ drops first what is too much for a queue.
    pub fn reason_to_go_at_once(&self, body_bytes: u64) -> Reason {
        let is_too_much = |rules: &Rules| self.ready.is_empty() && rules.would_exceed(1, body_bytes);
        if self.rules.as_deref().is_some_and(is_too_much) { Reason::MaxLength } else { Reason::Expired }
    }

    /// Takes out the first message of a queue that has too many, if it drops them.
    pub fn drop_head(&mut self, pages: &Pages, timers: &mut Timers) -> Option<Dead> {
        let rules = self.rules.as_ref()?;
        if rules.args.overflow() != Overflow::DropHead || !rules.exceeds(self.ready.len()) {
            return None;
        }
        let (entry, _) = self.pop_ready(pages, timers)?;
        Some(Dead::of(&entry, Reason::MaxLength))
    }

    /// The ready message whose timer has gone off.
    pub fn expire(
        &mut self,
        timer: TimerId,
        priority: u8,
        sequence: u64,
        pages: &Pages,
        timers: &mut Timers,
    ) -> Option<Dead> {
        if self.dying {
            return None;
        }
        let entry = self.ready.remove(priority, sequence)?;
        if entry.timer != timer {
            // A timer of the former life of the queue's slot; its owner is about to stop it.
            self.ready.put_back(entry);
            return None;
        }
        timers.stop(timer);
        self.uncount(&entry, pages);
        Some(Dead::of(&entry, Reason::Expired))
    }

    /// How many timers run for it.
    pub fn timer_count(&self) -> usize {
        let ready = self.ready.iter().filter(|entry| !entry.timer.is_none()).count();
        let unacked = self.unacked.iter().filter(|(_, held)| !held.entry.timer.is_none()).count();
        let idle = self.rules.as_ref().is_some_and(|rules| !rules.idle.is_none());
        ready + unacked + usize::from(idle)
    }

    /// Where the dead of this queue go.
    pub fn graveyard(&self) -> Option<&Arc<Graveyard>> {
        self.rules.as_ref()?.graveyard.as_ref()
    }

    /// Whether redeliveries tell how often a message came back.
    pub fn counts_returns(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.args.delivery_limit.is_some())
    }

    /// A queue that ends when nobody uses it is used, or has lost its last consumer: its time begins anew.
    pub fn used(&mut self, timers: &mut Timers) {
        if self.rules.as_ref().is_some_and(|rules| rules.args.expires_ms.is_some()) {
            self.restart_idle(timers);
        }
    }

    /// Stops the time in which it must be used, and begins it anew if there is one.
    pub(super) fn restart_idle(&mut self, timers: &mut Timers) {
        let (queue, unused) = (self.id.slot, self.consumers.is_empty() && !self.dying);
        let Some(rules) = &mut self.rules else { return };
        timers.stop(std::mem::replace(&mut rules.idle, TimerId::NONE));
        if let Some(ms) = rules.args.expires_ms.filter(|_| unused) {
            rules.idle = timers.after(ms.saturating_mul(1_000_000), Due::Idle { queue });
        }
    }

    /// Whether this timer says that nobody has used the queue for its time.
    pub fn is_idle(&self, timer: TimerId) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.idle == timer) && self.consumers.is_empty()
    }

    /// No more is ready than its limits allow a queue that drops what is too much, once it fits; bytes are counted right; what waits in it
    /// has no other priorities than the queue has. Costs what there is.
    pub(super) fn check_rules(&self, pages: &Pages) {
        let Some(rules) = &self.rules else { return };
        if rules.counts_bytes() {
            let counted = self.ready.iter().filter(|entry| rules.counts(entry));
            let bytes = counted.map(|entry| pages.read(entry.message).body_bytes()).sum::<u64>();
            assert_eq!(bytes, rules.ready_bytes);
        }
        assert!(rules.fitting || rules.counting.is_none());
        if rules.args.overflow() == Overflow::DropHead && !rules.fitting {
            assert!(!rules.exceeds(self.ready.len()));
        }
        let max = rules.args.priority_max.unwrap_or(0);
        assert!(self.ready.iter().all(|entry| entry.priority <= max));
        if rules.args.single_active_consumer {
            assert!(self.consumers.iter().filter(|(_, consumer)| !consumer.waits).count() <= 1);
        }
    }

    /// A message of a body that counts has become ready.
    pub(super) fn count(&mut self, entry: &Entry, pages: &Pages) {
        if let Some(rules) = &mut self.rules
            && rules.counts(entry)
        {
            rules.ready_bytes += pages.read(entry.message).body_bytes();
        }
    }

    /// It is ready no more.
    pub(super) fn uncount(&mut self, entry: &Entry, pages: &Pages) {
        if let Some(rules) = &mut self.rules
            && rules.counts(entry)
        {
            rules.ready_bytes -= pages.read(entry.message).body_bytes();
        }
    }

    /// Nanoseconds that a consumer has to settle a message.
    pub(super) fn settling_ns(&self) -> Option<u64> {
        Some(self.rules.as_ref()?.args.consumer_timeout_ms?.saturating_mul(1_000_000))
    }

    pub(super) fn delivery_limit(&self) -> Option<u32> {
        self.rules.as_ref()?.args.delivery_limit
    }
}

const SHORT_STRING_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
