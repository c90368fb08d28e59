//! Messages that consumers have and did not settle yet.

use std::num::{NonZeroU32, NonZeroU64};

use super::consumer::ConsumerAt;
use super::timers::{Due, Timers};
use super::{Entry, Queue};
use crate::ids::{ConsumerId, QueueId};
use crate::wheel::TimerId;

pub(super) struct Unacked {
    pub entry: Entry,
    /// When its time is over, should it come back.
    pub expires_at: Option<NonZeroU64>,
    /// Slot and generation of the consumer that has it; none for basic.get.
    pub consumer: Option<(u32, NonZeroU32)>,
    /// When it went there, ns.
    pub since: u64,
}

/// A consumer that took too long, and the numbers of all that it has and did not settle.
pub struct Overdue {
    pub consumer: ConsumerAt,
    pub queue: QueueId,
    pub unacked: Box<[u32]>,
    /// The time that it had, ms.
    pub timeout_ms: u64,
}

impl Queue {
    /// Whose time to settle this message is over, if the timer means that.
    pub fn overdue(
        &mut self,
        timer: TimerId,
        unacked: u32,
        timers: &mut Timers,
    ) -> Option<(ConsumerId, Overdue)> {
        let late = self.unacked.get_mut(unacked).filter(|late| late.entry.timer == timer)?;
        timers.stop(std::mem::replace(&mut late.entry.timer, TimerId::NONE));
        let of = late.consumer;
        let (slot, generation) = of?;
        // One that was cancelled meanwhile cannot be cancelled again: what it has stays with its channel.
        let generation = generation.get();
        let consumer = self.consumers.live(slot, generation)?.at;
        let unacked = self.unacked.iter().filter(|(_, other)| other.consumer == of).map(|(at, _)| at);
        let timeout_ms = self.rules.as_ref()?.args.consumer_timeout_ms?;
        let overdue = Overdue { consumer, queue: self.id, unacked: unacked.collect(), timeout_ms };
        Some((ConsumerId { slot, generation }, overdue))
    }

    /// A consumer has the message now. Answers its number.
    #[inline]
    pub(super) fn hold(
        &mut self,
        mut entry: Entry,
        expires_at: Option<NonZeroU64>,
        consumer: Option<ConsumerId>,
        timers: &mut Timers,
    ) -> u32 {
        let since = timers.now;
        let (queue, time) = (self.id.slot, consumer.and_then(|_| self.settling_ns()));
        let consumer = consumer.and_then(|it| Some((it.slot, NonZeroU32::new(it.generation)?)));
        self.unacked.insert_with(|unacked| {
            entry.timer = time.map_or(TimerId::NONE, |ns| timers.after(ns, Due::Settling { queue, unacked }));
            Unacked { entry, expires_at, consumer, since }
        })
    }

    /// It has it no more.
    #[inline]
    pub(super) fn untrack(&mut self, unacked: u32, timers: &mut Timers) -> Option<Unacked> {
        let mut found = self.unacked.remove(unacked)?;
        timers.stop(std::mem::replace(&mut found.entry.timer, TimerId::NONE));
        if let Some((slot, generation)) = found.consumer
            && let Some(consumer) = self.consumers.live_mut(slot, generation.get())
        {
            consumer.unacked -= 1;
            self.offer(slot);
        }
        Some(found)
    }
}

const _: () = assert!(size_of::<Option<Unacked>>() == 56);
