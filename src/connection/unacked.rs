//! Delivery tags of a channel that wait for an ack, and the queue entries behind them.

use std::collections::VecDeque;

use crate::ids::QueueId;

/// Tags rise from front to back. A settled one in the middle leaves a hole until the holes outnumber the rest.
///
/// Invariant: holes + fetched + gone <= entries.len(), and the first entry is no hole.
#[derive(Default)]
pub struct UnackedTags {
    entries: VecDeque<UnackedTag>,
    holes: usize,
    /// Those of basic.get.
    fetched: usize,
    /// Those that were taken back.
    gone: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnackedTag {
    pub tag: u64,
    pub queue: QueueId,
    /// The top bit says that it came by basic.get: twenty-four bytes are enough for a message that waits.
    number: u32,
}

impl UnackedTag {
    /// `unacked` is its number at the queue.
    #[inline]
    pub fn delivered(tag: u64, queue: QueueId, unacked: u32) -> UnackedTag {
        debug_assert!(unacked < FETCHED, "a queue has no room for so many");
        UnackedTag { tag, queue, number: unacked }
    }

    pub fn fetched(tag: u64, queue: QueueId, unacked: u32) -> UnackedTag {
        debug_assert!(unacked < FETCHED, "a queue has no room for so many");
        UnackedTag { tag, queue, number: unacked | FETCHED }
    }

    #[inline]
    pub fn unacked(&self) -> u32 {
        self.number & !FETCHED
    }

    pub fn is_fetched(&self) -> bool {
        self.number & FETCHED != 0 && self.is_live()
    }

    fn is_live(&self) -> bool {
        !self.is_hole() && !self.is_gone()
    }

    fn is_hole(&self) -> bool {
        self.number == HOLE
    }

    /// A consumer was sent it, and it was not taken back.
    pub fn is_delivered(&self) -> bool {
        self.is_live() && !self.is_fetched()
    }

    /// Its message was taken back: to settle it means nothing.
    pub fn is_gone(&self) -> bool {
        self.number == GONE
    }
}

impl UnackedTags {
    #[inline]
    pub fn push(&mut self, entry: UnackedTag) {
        debug_assert!(self.entries.back().is_none_or(|last| last.tag < entry.tag));
        self.fetched += usize::from(entry.is_fetched());
        self.entries.push_back(entry);
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.holes - self.gone
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that consumers were sent.
    pub fn delivered(&self) -> usize {
        self.len() - self.fetched
    }

    /// Takes out `tag`, or with `multiple` everything up to it (0: everything), oldest first, also what is gone. False if there is
    /// no such tag; then nothing is taken.
    pub fn settle(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(UnackedTag)) -> bool {
        if multiple && tag == 0 {
            while let Some(entry) = self.entries.pop_front() {
                if !entry.is_hole() {
                    self.forget(&entry);
                    each(entry);
                }
            }
            self.holes = 0;
            return true;
        }
        let Some(at) = self.position(tag) else { return false };
        if multiple || at == 0 {
            for _ in 0..=at {
                if let Some(entry) = self.entries.pop_front() {
                    self.holes -= usize::from(entry.is_hole());
                    if !entry.is_hole() {
                        self.forget(&entry);
                        each(entry);
                    }
                }
            }
            self.drop_leading_holes();
        } else {
            let entry = self.entries[at];
            self.forget(&entry);
            each(entry);
            self.entries[at].number = HOLE;
            self.holes += 1;
            self.compact();
        }
        true
    }

    /// Takes back what was settled and is not, each at its place.
    pub fn put_back(&mut self, returned: impl Iterator<Item = UnackedTag>) {
        self.entries.retain(|entry| !entry.is_hole());
        self.holes = 0;
        self.entries.extend(returned);
        self.fetched = self.entries.iter().filter(|entry| entry.is_fetched()).count();
        self.gone = self.entries.iter().filter(|entry| entry.is_gone()).count();
        // Mostly two rows that are each in order, which this sort merges.
        self.entries.make_contiguous().sort_by_key(|entry| entry.tag);
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<UnackedTag> {
        self.pop_up_to(u64::MAX)
    }

    /// The oldest, if its tag is at most `last`.
    pub fn pop_up_to(&mut self, last: u64) -> Option<UnackedTag> {
        loop {
            let entry = self.entries.pop_front_if(|entry| entry.tag <= last)?;
            self.drop_leading_holes();
            self.forget(&entry);
            if !entry.is_gone() {
                return Some(entry);
            }
        }
    }

    /// Takes back those messages of a queue that have these numbers there, in order, and are not settled; answers which they
    /// were. A client that settles one later does no harm: its tag stays known.
    pub fn take_back(&mut self, queue: QueueId, numbers: &[u32]) -> Vec<u32> {
        debug_assert!(numbers.is_sorted());
        let mut taken = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.queue == queue && entry.is_live()) {
            if numbers.binary_search(&entry.unacked()).is_ok() {
                taken.push(entry.unacked());
                self.fetched -= usize::from(entry.is_fetched());
                self.gone += 1;
                entry.number = GONE;
            }
        }
        taken
    }

    /// Counts an entry no more.
    fn forget(&mut self, entry: &UnackedTag) {
        self.fetched -= usize::from(entry.is_fetched());
        self.gone -= usize::from(entry.is_gone());
    }

    fn position(&self, tag: u64) -> Option<usize> {
        // Mostly the oldest is settled first.
        let at = match self.entries.front()?.tag {
            first if first == tag => 0,
            _ => self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?,
        };
        (!self.entries[at].is_hole()).then_some(at)
    }

    fn drop_leading_holes(&mut self) {
        while self.entries.front().is_some_and(UnackedTag::is_hole) {
            self.entries.pop_front();
            self.holes -= 1;
        }
    }

    fn compact(&mut self) {
        if self.holes > 64 && self.holes > self.entries.len() / 2 {
            self.entries.retain(|entry| !entry.is_hole());
            self.holes = 0;
        }
    }
}

/// Stands for the number of a settled entry.
const HOLE: u32 = u32::MAX;
/// Stands for the number of one that was taken back.
const GONE: u32 = u32::MAX - 1;
const FETCHED: u32 = 1 << 31;
const _: () = assert!(size_of::<UnackedTag>() == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    fn tags(up_to: u64) -> UnackedTags {
        let queue = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        let mut tags = UnackedTags::default();
        (1..=up_to).for_each(|tag| tags.push(UnackedTag::delivered(tag, queue, tag as u32)));
        tags
    }

    fn settle(tags: &mut UnackedTags, tag: u64, multiple: bool) -> Option<Vec<u64>> {
        let mut settled = Vec::new();
        tags.settle(tag, multiple, |entry| settled.push(entry.tag)).then_some(settled)
    }

    #[test]
    fn a_tag_is_settled_once() {
        let mut tags = tags(3);
        assert_eq!(settle(&mut tags, 2, false), Some(vec![2]));
        assert_eq!(settle(&mut tags, 2, false), None);
        assert_eq!(settle(&mut tags, 4, true), None);
        assert_eq!(settle(&mut tags, 0, false), None);
        assert_eq!(tags.len(), 2);
    }

    #[test]
    fn multiple_settles_what_is_left_up_to_the_tag() {
        let mut tags = tags(5);
        settle(&mut tags, 2, false);
        assert_eq!(settle(&mut tags, 4, true), Some(vec![1, 3, 4]));
        assert_eq!(settle(&mut tags, 0, true), Some(vec![5]));
        assert_eq!(settle(&mut tags, 0, true), Some(vec![]));
        assert!(tags.is_empty());
    }

    #[test]
    fn what_was_fetched_is_told_from_what_was_delivered() {
        let mut tags = tags(3);
        let queue = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        (4..=6).for_each(|tag| tags.push(UnackedTag::fetched(tag, queue, tag as u32)));
        assert_eq!((tags.len(), tags.delivered()), (6, 3));
        assert_eq!(settle(&mut tags, 5, false), Some(vec![5]));
        assert_eq!(tags.delivered(), 3);
        assert_eq!(tags.pop().map(|entry| (entry.tag, entry.unacked())), Some((1, 1)));
        assert_eq!((tags.len(), tags.delivered()), (4, 2));
        assert_eq!(settle(&mut tags, 4, true), Some(vec![2, 3, 4]));
        assert_eq!((tags.len(), tags.delivered()), (1, 0));
        assert_eq!(tags.pop().map(|entry| (entry.tag, entry.unacked())), Some((6, 6)));
        assert_eq!(tags.delivered(), 0);
    }

    #[test]
    fn a_tag_that_was_taken_back_is_known_and_means_nothing() {
        let mut tags = tags(5);
        let queue = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        settle(&mut tags, 3, false);
        assert_eq!(tags.take_back(queue, &[2, 3, 4, 9]), [2, 4]);
        assert_eq!((tags.len(), tags.delivered()), (2, 2));
        let mut gone = Vec::new();
        assert!(tags.settle(2, false, |entry| gone.push(entry.is_gone())));
        assert_eq!(settle(&mut tags, 2, false), None);
        assert!(tags.settle(4, true, |entry| gone.push(entry.is_gone())));
        assert_eq!(gone, [true, false, true]);
        tags.take_back(queue, &[5]);
        assert!(tags.pop().is_none() && tags.is_empty());
    }

    #[test]
    fn tags_are_taken_up_to_a_bound() {
        let mut tags = tags(4);
        settle(&mut tags, 2, false);
        let taken: Vec<u64> = std::iter::from_fn(|| tags.pop_up_to(3)).map(|entry| entry.tag).collect();
        assert_eq!(taken, [1, 3]);
        assert_eq!(tags.len(), 1);
    }

    #[test]
    fn one_old_tag_does_not_keep_the_memory_of_a_million_settled_ones() {
        let mut tags = tags(100_000);
        for tag in 2..100_000 {
            assert!(tags.settle(tag, false, |_| ()));
        }
        assert!(tags.entries.len() < 200);
        assert_eq!(settle(&mut tags, 100_000, true), Some(vec![1, 100_000]));
    }
}
