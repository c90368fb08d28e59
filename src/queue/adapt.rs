//! A queue that lives comes under other policies: its rules are others from then on, and what waits in it is made to fit.
//!
//! ```text
//! go_by -> other rules -> (bytes are limited, and were not counted) counting, from the front to the back
//!                      -> dropping, from the front, until what is left fits -> fits
//! ```
//! Both are done in pieces, and what comes and goes meanwhile is counted right. A time to live is that of a message from its
//! arrival on: one that waits keeps what it came with, as in RabbitMQ's classic queues. A time to settle counts for what is
//! delivered from now on.

use super::rules::Rules;
use super::timers::Timers;
use super::{Entry, Queue};
use crate::pages::Pages;
use crate::parameters::Applied;
use crate::queue_args::{QueueArgs, QueueKind};
use crate::wheel::TimerId;

/// How far the bytes of ready messages are counted: those are that stand before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    priority: u8,
    sequence: u64,
}

impl Cursor {
    /// Nothing stands before it.
    const FRONT: Cursor = Cursor { priority: u8::MAX, sequence: 0 };

    pub fn is_behind(&self, entry: &Entry) -> bool {
        entry.priority > self.priority || (entry.priority == self.priority && entry.sequence < self.sequence)
    }
}

impl Queue {
    /// The policies that it goes by.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    pub fn kind(&self) -> QueueKind {
        self.declared.as_ref().map(|declared| declared.kind).unwrap_or_default()
    }

    /// Goes by these policies from now on. True: `count_some` and `drop_head` must follow until it fits.
    /// `consumer_timeout_ms` is the server's, where neither argument nor policy has one.
    pub fn go_by(&mut self, applied: Applied, consumer_timeout_ms: Option<u64>, timers: &mut Timers) -> bool {
        self.applied = applied;
        let mut args = self.applied.rules(self.declared.as_deref().unwrap_or(&QueueArgs::PLAIN));
        args.consumer_timeout_ms = args.consumer_timeout_ms.or(consumer_timeout_ms);
        let is_the_same = self.rules.as_ref().map_or(args.is_plain(), |rules| rules.args == args);
        if is_the_same || self.dying {
            return false;
        }
        let before = self.rules.take();
        let idle = before.as_ref().map_or(TimerId::NONE, |rules| rules.idle);
        let expires_before = before.as_ref().and_then(|rules| rules.args.expires_ms);
        if args.is_plain() {
            timers.stop(idle);
            return false;
        }
        let mut rules = Rules::new(&self.vhost, &self.name, &args);
        match before.filter(|before| before.counts_bytes()) {
            Some(before) if rules.counts_bytes() => {
                (rules.ready_bytes, rules.counting) = (before.ready_bytes, before.counting);
            }
            _ => rules.counting = (rules.counts_bytes() && !self.ready.is_empty()).then_some(Cursor::FRONT),
        }
        rules.idle = idle;
        let is_idle_as_before = args.expires_ms == expires_before;
        rules.fitting = rules.counting.is_some() || rules.exceeds(self.ready.len());
        let must_fit = rules.fitting;
        self.rules = Some(Box::new(rules));
        if !is_idle_as_before {
            self.restart_idle(timers);
        }
        must_fit
    }

    /// Whether it holds what it should not hold any more, or does not know.
    pub fn is_fitting(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.fitting)
    }

    /// Counts the bytes of so many more messages; true when all are counted.
    pub fn count_some(&mut self, messages: usize, pages: &Pages) -> bool {
        let Some(rules) = &mut self.rules else { return true };
        let Some(Cursor { priority, sequence }) = rules.counting else { return true };
        let mut last = None;
        for entry in self.ready.from(priority, sequence).take(messages) {
            rules.ready_bytes += pages.read(entry.message).body_bytes();
            last = Some(*entry);
        }
        let next = |last: Entry| Cursor { priority: last.priority, sequence: last.sequence + 1 };
        rules.counting = last.map(next);
        rules.counting.is_none()
    }

    /// Nothing is left to be counted or dropped.
    pub fn fits(&mut self) {
        if let Some(rules) = &mut self.rules {
            rules.fitting = false;
        }
    }
}

#[cfg(test)]
mod tests;
