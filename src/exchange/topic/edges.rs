//! The edges of a trie by a word: an open hash table of child numbers in one flat array.
//!
//! ```text
//! slots[hash % len] --> { hash, child } | empty      the next slots in a row take what does not find its own free
//! ```
//! The child knows its parent and its word, and is asked. A removal moves up what stands behind, so that no marks of
//! removed edges pile up.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

#[derive(Default)]
pub(super) struct Edges {
    /// A power of two of them, at most half taken; none before the first edge.
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    child: u32,
}

/// The hash of a word, made once for all nodes that it is looked up at.
#[derive(Clone, Copy)]
pub(super) struct WordHash(u64);

impl WordHash {
    #[inline]
    pub fn of(hashing: &RandomState, word: &[u8]) -> WordHash {
        let mut hasher = hashing.build_hasher();
        hasher.write(word);
        WordHash(hasher.finish())
    }

    /// Of the edge from that node; multiplying spreads the node's bits over those that are used.
    #[inline]
    fn from(self, parent: u32) -> u32 {
        let mixed = (self.0 ^ u64::from(parent).wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed >> 32) as u32
    }
}

impl Edges {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The child at an edge, as `is_it` tells of those that may be it.
    #[inline]
    pub fn find(&self, parent: u32, word: WordHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = word.from(parent);
        let mut at = self.place(hash);
        loop {
            let slot = self.slots[at];
            if slot.child == EMPTY {
                return None;
            }
            if slot.hash == hash && is_it(slot.child) {
                return Some(slot.child);
            }
            at = self.next(at);
        }
    }

    /// Adds an edge that is not there.
    pub fn insert(&mut self, parent: u32, word: WordHash, child: u32) {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.put(Slot { hash: word.from(parent), child });
        self.len += 1;
    }

    /// Removes an edge that is there.
    pub fn remove(&mut self, parent: u32, word: WordHash, child: u32) {
        let mut hole = self.place(word.from(parent));
        while self.slots[hole].child != child {
            debug_assert!(self.slots[hole].child != EMPTY, "an edge that is removed is there");
            hole = self.next(hole);
        }
        let mut at = self.next(hole);
        // Whoever stands behind moves up, unless that is before its own place.
        while self.slots[at].child != EMPTY {
            if self.distance(self.place(self.slots[at].hash), at) >= self.distance(hole, at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.slots[hole].child = EMPTY;
        self.len -= 1;
    }

    fn grow(&mut self) {
        let larger = vec![Slot { hash: 0, child: EMPTY }; (self.slots.len() * 2).max(16)];
        let old = std::mem::replace(&mut self.slots, larger);
        old.into_iter().filter(|slot| slot.child != EMPTY).for_each(|slot| self.put(slot));
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.place(slot.hash);
        while self.slots[at].child != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    #[inline]
    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// How many slots `to` is behind `from`.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.slots.len() - 1)
    }
}

const EMPTY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::exchange::model::Dice;

    /// With few hashes that lie close together, so that rows form, wrap around and close up again.
    #[test]
    fn every_edge_is_found_whatever_came_and_went() {
        let mut dice = Dice(1);
        for _ in 0..50 {
            let (mut edges, mut model) = (Edges::default(), BTreeMap::new());
            let word = WordHash(0);
            for _ in 0..300 {
                let parent = dice.roll(24) as u32;
                match model.remove(&parent) {
                    Some(child) => edges.remove(parent, word, child),
                    None => {
                        let child = parent + 1_000;
                        model.insert(parent, child);
                        edges.insert(parent, word, child);
                    }
                }
                assert_eq!(edges.len(), model.len());
                for parent in 0..24 {
                    let found = edges.find(parent, word, |child| child == parent + 1_000);
                    assert_eq!(found, model.get(&parent).copied());
                }
            }
        }
    }
}
