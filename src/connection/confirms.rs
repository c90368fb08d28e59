//! Publisher confirms of one channel: which publishes are accepted, and what the next basic.ack says.

use std::collections::VecDeque;

/// Seqnos count from 1. `base` is the oldest that is not accepted by all its shards; `outstanding[i]` counts
/// the shards that still owe an answer for `base + i`.
///
/// Invariant: acked < base <= next, and `base + outstanding.len() == next`.
#[derive(Debug)]
pub struct Confirms {
    next: u64,
    base: u64,
    /// Everything up to here was acked to the client.
    acked: u64,
    outstanding: VecDeque<u16>,
}

impl Default for Confirms {
    fn default() -> Confirms {
        Confirms { next: 1, base: 1, acked: 0, outstanding: VecDeque::new() }
    }
}

impl Confirms {
    /// A publish that so many other shards must accept; answers its seqno.
    #[inline]
    pub fn published(&mut self, shards: u16) -> u64 {
        let seqno = self.next;
        self.next += 1;
        if shards == 0 && self.outstanding.is_empty() {
            self.base = self.next;
        } else {
            self.outstanding.push_back(shards);
        }
        seqno
    }

    /// One shard accepted `count` publishes from `first` on.
    pub fn accepted(&mut self, first: u64, count: u32) {
        for seqno in first..first + u64::from(count) {
            let outstanding = &mut self.outstanding[(seqno - self.base) as usize];
            debug_assert!(*outstanding > 0);
            *outstanding -= 1;
        }
        while self.outstanding.front() == Some(&0) {
            self.outstanding.pop_front();
            self.base += 1;
        }
        self.invariants();
    }

    /// The basic.ack that is due, as (delivery tag, multiple).
    pub fn due(&mut self) -> Option<(u64, bool)> {
        let last = self.base - 1;
        if last == self.acked {
            return None;
        }
        let multiple = last > self.acked + 1;
        self.acked = last;
        Some((last, multiple))
    }

    fn invariants(&self) {
        debug_assert!(self.acked < self.base && self.base <= self.next);
        debug_assert_eq!(self.base + self.outstanding.len() as u64, self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_acked_as_one_multiple() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.due(), None);
        assert_eq!(confirms.published(0), 1);
        assert_eq!(confirms.due(), Some((1, false)));
        confirms.published(0);
        confirms.published(0);
        assert_eq!(confirms.due(), Some((3, true)));
        assert_eq!(confirms.due(), None);
    }

    #[test]
    fn a_publish_waits_for_each_of_its_shards_and_for_those_before_it() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.published(2), 1);
        assert_eq!(confirms.published(1), 2);
        assert_eq!(confirms.published(0), 3);
        confirms.accepted(2, 1);
        assert_eq!(confirms.due(), None);
        confirms.accepted(1, 1);
        assert_eq!(confirms.due(), None);
        confirms.accepted(1, 1);
        assert_eq!(confirms.due(), Some((3, true)));
    }
}
