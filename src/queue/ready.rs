//! The ready messages of a queue, oldest first, wherever they came back from.

use std::collections::BTreeMap;

use super::fifo::Fifo;
use crate::pages::MessageRef;

/// A message's place in one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Publish order within the queue; kept when the message returns.
    pub sequence: u64,
    pub message: MessageRef,
    pub redelivered: bool,
}

/// Every returned message is older than every message that was never delivered: the first is always at hand.
#[derive(Default)]
pub struct Ready {
    returned: BTreeMap<u64, Entry>,
    fresh: Fifo<Entry>,
}

impl Ready {
    #[inline]
    pub fn push(&mut self, entry: Entry) {
        self.fresh.push(entry);
    }

    pub fn put_back(&mut self, entry: Entry) {
        debug_assert!(self.fresh.first().is_none_or(|first| entry.sequence < first.sequence));
        self.returned.insert(entry.sequence, entry);
    }

    #[inline]
    pub fn first(&self) -> Option<&Entry> {
        if self.returned.is_empty() { self.fresh.first() } else { self.returned.values().next() }
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        if self.returned.is_empty() { self.fresh.pop() } else { Some(self.returned.pop_first()?.1) }
    }

    pub fn len(&self) -> usize {
        self.returned.len() + self.fresh.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.returned.is_empty()
    }
}
