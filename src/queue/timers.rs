//! The clock of a shard's queues: their deadlines, and how long things took.

use crate::latency::QueueLatency;
use crate::wheel::{TimerId, Wheel};

/// Lives on: its shard.
#[derive(Default)]
pub struct Timers {
    wheel: Wheel<Due>,
    /// The shard's clock, ns.
    pub now: u64,
    /// Of all the queues that there are and were, without the messages that went straight through.
    pub latency: QueueLatency,
}

/// What is due, at the queue in that slot. Who takes it sees by the timer whether it is still meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// A ready message has waited its time.
    Expiry { queue: u32, priority: u8, sequence: u64 },
    /// A consumer has had a message for its time without settling it.
    Settling { queue: u32, unacked: u32 },
    /// The queue was not used for its time.
    Idle { queue: u32 },
}

impl Timers {
    /// In so many nanoseconds from now.
    pub fn after(&mut self, ns: u64, what: Due) -> TimerId {
        self.at(self.now.saturating_add(ns), what)
    }

    pub fn at(&mut self, at: u64, what: Due) -> TimerId {
        self.wheel.set(at, what)
    }

    /// Stops a timer, if there is one; answers when it would have gone off.
    pub fn stop(&mut self, timer: TimerId) -> Option<u64> {
        if timer.is_none() {
            return None;
        }
        let at = self.wheel.at(timer);
        self.wheel.cancel(timer);
        Some(at)
    }

    /// The next that is due; it stays its owner's until it is stopped.
    pub fn due(&mut self, steps: &mut usize) -> Option<(TimerId, Due)> {
        self.wheel.due(self.now, steps)
    }

    /// Nothing is due before.
    pub fn next_at(&self) -> Option<u64> {
        self.wheel.next_at()
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.wheel.len()
    }

    pub fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }
}
