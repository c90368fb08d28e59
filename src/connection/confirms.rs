//! Publisher confirms of one channel: which publishes are accepted, and what the next basic.ack or basic.nack says.

use std::collections::VecDeque;

use crate::latency::Timeline;

/// Seqnos count from 1. `base` is the oldest that is not answered by all its shards; `outstanding[i]` counts
/// the shards that still owe an answer for `base + i`, and has `REFUSED` set if one had no room for it.
///
/// Invariant: said < base <= next, and `base + outstanding.len() == next`.
#[derive(Debug)]
pub struct Confirms {
    next: u64,
    base: u64,
    /// Everything up to here was acked or nacked to the client.
    said: u64,
    outstanding: VecDeque<u16>,
    /// Seqnos below `base` that were refused and not nacked yet, in order.
    refused: VecDeque<u64>,
    /// When they were published.
    pub sent: Timeline,
}

/// What is to be said: of the last seqno, with `multiple` also of those before it that nothing was said of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    pub last: u64,
    pub multiple: bool,
    /// basic.nack, not basic.ack.
    pub refused: bool,
}

const REFUSED: u16 = 1 << 15;

impl Default for Confirms {
    fn default() -> Confirms {
        Confirms {
            next: 1,
            base: 1,
            said: 0,
            outstanding: VecDeque::new(),
            refused: VecDeque::new(),
            sent: Timeline::default(),
        }
    }
}

impl Confirms {
    /// A publish that so many other shards must accept, and that a queue here may have `refused`; answers its seqno.
    #[inline]
    pub fn published(&mut self, shards: u16, refused: bool, now: u64) -> u64 {
        let seqno = self.next;
        self.next += 1;
        self.sent.note(seqno, now as i64);
        if shards == 0 && !refused && self.outstanding.is_empty() {
            self.base = self.next;
        } else {
            self.outstanding.push_back(shards | if refused { REFUSED } else { 0 });
            self.advance();
        }
        seqno
    }

    /// One shard answered for `count` publishes from `first` on.
    pub fn answered(&mut self, first: u64, count: u32, refused: bool) {
        for seqno in first..first + u64::from(count) {
            let outstanding = &mut self.outstanding[(seqno - self.base) as usize];
            debug_assert!(*outstanding & !REFUSED > 0);
            *outstanding -= 1;
            if refused {
                *outstanding |= REFUSED;
            }
        }
        self.advance();
        self.invariants();
    }

    /// Up to which seqno the client was told.
    pub fn said(&self) -> u64 {
        self.said
    }

    /// Publishes of which it was not.
    pub fn unconfirmed(&self) -> u64 {
        self.next - 1 - self.said
    }

    /// The next of the acks and nacks that are due.
    pub fn due(&mut self) -> Option<Due> {
        let before = self.said;
        if before == self.base - 1 {
            return None;
        }
        let refused = self.refused.front() == Some(&(before + 1));
        if refused {
            while self.refused.pop_front_if(|seqno| *seqno == self.said + 1).is_some() {
                self.said += 1;
            }
        } else {
            self.said = self.refused.front().copied().unwrap_or(self.base) - 1;
        }
        Some(Due { last: self.said, multiple: self.said > before + 1, refused })
    }

    fn advance(&mut self) {
        while let Some(answered) = self.outstanding.pop_front_if(|outstanding| *outstanding & !REFUSED == 0) {
            if answered & REFUSED != 0 {
                self.refused.push_back(self.base);
            }
            self.base += 1;
        }
    }

    fn invariants(&self) {
        debug_assert!(self.said < self.base && self.base <= self.next);
        debug_assert_eq!(self.base + self.outstanding.len() as u64, self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(last: u64, multiple: bool) -> Option<Due> {
        Some(Due { last, multiple, refused: false })
    }

    fn nack(last: u64, multiple: bool) -> Option<Due> {
        Some(Due { last, multiple, refused: true })
    }

    #[test]
    fn a_batch_is_acked_as_one_multiple() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.due(), None);
        assert_eq!(confirms.published(0, false, 0), 1);
        assert_eq!(confirms.due(), ack(1, false));
        confirms.published(0, false, 0);
        confirms.published(0, false, 0);
        assert_eq!(confirms.due(), ack(3, true));
        assert_eq!(confirms.due(), None);
    }

    #[test]
    fn a_publish_waits_for_each_of_its_shards_and_for_those_before_it() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.published(2, false, 0), 1);
        assert_eq!(confirms.published(1, false, 0), 2);
        assert_eq!(confirms.published(0, false, 0), 3);
        confirms.answered(2, 1, false);
        assert_eq!(confirms.due(), None);
        confirms.answered(1, 1, false);
        assert_eq!(confirms.due(), None);
        confirms.answered(1, 1, false);
        assert_eq!(confirms.due(), ack(3, true));
    }

    #[test]
    fn what_one_queue_refused_is_nacked_and_nothing_else() {
        let mut confirms = Confirms::default();
        confirms.published(0, true, 0);
        assert_eq!((confirms.due(), confirms.due()), (nack(1, false), None));
        for (shards, refused) in [(0, false), (2, false), (1, true), (0, true), (0, false), (0, false)] {
            confirms.published(shards, refused, 0);
        }
        assert_eq!((confirms.due(), confirms.due()), (ack(2, false), None));
        confirms.answered(3, 1, true);
        confirms.answered(4, 1, false);
        assert_eq!(confirms.due(), None, "a shard still owes an answer");
        confirms.answered(3, 1, false);
        assert_eq!(confirms.due(), nack(5, true));
        assert_eq!((confirms.due(), confirms.due()), (ack(7, true), None));
    }
}
