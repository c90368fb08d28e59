//! Messages in publish order, in chunks: it grows without moving what it holds, and whatever returns finds its old place.
//!
//! ```text
//! chunk   taken | live, hole, live ...        chunk   live ...        sequences rise from front to back
//! ```
//! A message that leaves from the middle leaves a hole; a chunk that is mostly holes is made anew without them.

use std::collections::VecDeque;

use super::Entry;

/// An empty line holds at most one small chunk.
#[derive(Default)]
pub struct Line {
    chunks: VecDeque<Chunk>,
    spare: Vec<Entry>,
    len: usize,
}

/// Its first entry that was not taken is no hole if it is the front one.
struct Chunk {
    entries: Vec<Entry>,
    taken: usize,
    holes: usize,
    /// Nothing in it has a lower sequence, and nothing before it a higher one. Kept here, so that the search for a chunk
    /// need not look into all.
    from: u64,
}

impl Line {
    /// Behind all others.
    #[inline]
    pub fn push(&mut self, entry: Entry) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.entries.len() < CHUNK_ENTRIES => chunk.entries.push(entry),
            _ => self.push_chunk(entry),
        }
        self.len += 1;
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        let chunk = self.chunks.front_mut()?;
        let entry = chunk.entries[chunk.taken];
        chunk.taken += 1;
        self.len -= 1;
        if chunk.entries.get(chunk.taken).is_none_or(|next| next.is_hole()) {
            self.skip_holes();
        }
        Some(entry)
    }

    #[inline]
    pub fn first(&self) -> Option<&Entry> {
        let chunk = self.chunks.front()?;
        Some(&chunk.entries[chunk.taken])
    }

    /// Some of those that come next.
    pub fn ahead(&self) -> &[Entry] {
        self.chunks.front().map_or(&[], |chunk| &chunk.entries[chunk.taken..])
    }

    /// Puts an entry back to its place.
    pub fn insert(&mut self, entry: Entry) {
        debug_assert!(!entry.is_hole());
        self.len += 1;
        let after = self.chunks.partition_point(|chunk| chunk.from <= entry.sequence);
        let Some(at) = after.checked_sub(1) else { return self.insert_first(entry) };
        let chunk = &mut self.chunks[at];
        let place = chunk.place(entry.sequence);
        if chunk.entries.get(place).is_some_and(|other| other.is_hole() && other.sequence == entry.sequence) {
            chunk.entries[place] = entry;
            chunk.holes -= 1;
        } else if place == chunk.taken && place > 0 {
            chunk.taken -= 1;
            chunk.entries[chunk.taken] = entry;
        } else if chunk.entries.len() < CHUNK_ENTRIES {
            chunk.entries.insert(place, entry);
        } else if place == chunk.entries.len() {
            self.chunks.insert(at + 1, Chunk::of(vec![entry]));
        } else {
            let later = chunk.entries.split_off(place);
            chunk.entries.push(entry);
            let holes = later.iter().filter(|entry| entry.is_hole()).count();
            chunk.holes -= holes;
            self.chunks.insert(at + 1, Chunk { holes, ..Chunk::of(later) });
            self.tidy(at + 1);
        }
    }

    /// Takes out the entry with that sequence.
    pub fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let after = self.chunks.partition_point(|chunk| chunk.from <= sequence);
        let at = after.checked_sub(1)?;
        let chunk = &mut self.chunks[at];
        let place = chunk.place(sequence);
        let entry = *chunk.entries.get(place)?;
        if entry.is_hole() || entry.sequence != sequence {
            return None;
        }
        chunk.entries[place].become_hole();
        chunk.holes += 1;
        self.len -= 1;
        self.tidy(at);
        if at == 0 {
            self.skip_holes();
        }
        Some(entry)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.chunks.iter().flat_map(|chunk| &chunk.entries[chunk.taken..]);
        entries.filter(|entry| !entry.is_hole())
    }

    /// Those with that sequence and higher ones.
    pub fn from(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        let after = self.chunks.partition_point(|chunk| chunk.from <= sequence);
        let chunks = self.chunks.range(after.saturating_sub(1)..);
        let entries = chunks.flat_map(|chunk| &chunk.entries[chunk.taken..]);
        entries.filter(move |entry| !entry.is_hole() && entry.sequence >= sequence)
    }

    /// Sequences rise, the first entry is no hole, and `len` counts those that are none. Costs what there is.
    pub fn invariants(&self) {
        let entries = || self.chunks.iter().flat_map(|chunk| &chunk.entries[chunk.taken..]);
        assert!(entries().zip(entries().skip(1)).all(|(one, next)| one.sequence < next.sequence));
        assert_eq!(entries().filter(|entry| !entry.is_hole()).count(), self.len);
        assert!(self.first().is_none_or(|first| !first.is_hole()));
        assert!(self.chunks.iter().zip(self.chunks.iter().skip(1)).all(|(one, next)| {
            one.from < next.from && one.entries.last().is_some_and(|last| last.sequence < next.from)
        }));
        for chunk in &self.chunks {
            let live = &chunk.entries[chunk.taken..];
            let holes = live.iter().filter(|entry| entry.is_hole()).count();
            assert!(live.iter().all(|entry| entry.sequence >= chunk.from));
            assert!(holes == chunk.holes && holes < chunk.entries.len() - chunk.taken);
        }
    }

    fn insert_first(&mut self, entry: Entry) {
        match self.chunks.front_mut() {
            Some(chunk) if chunk.taken > 0 => {
                chunk.taken -= 1;
                chunk.entries[chunk.taken] = entry;
                chunk.from = entry.sequence;
            }
            Some(chunk) if chunk.entries.len() < CHUNK_ENTRIES => {
                chunk.entries.insert(0, entry);
                chunk.from = entry.sequence;
            }
            _ => self.chunks.push_front(Chunk::of(vec![entry])),
        }
    }

    /// Drops a chunk without live entries, and makes one anew that is mostly holes.
    fn tidy(&mut self, at: usize) {
        let chunk = &mut self.chunks[at];
        let live = chunk.entries.len() - chunk.taken - chunk.holes;
        if live == 0 {
            self.drop_chunk(at);
        } else if chunk.holes > 32 && live < chunk.holes / 2 {
            let kept =
                chunk.entries[chunk.taken..].iter().filter(|entry| !entry.is_hole()).copied().collect();
            *chunk = Chunk::of(kept);
        }
    }

    /// The first entry becomes one that is no hole.
    fn skip_holes(&mut self) {
        while let Some(chunk) = self.chunks.front_mut() {
            while chunk.entries.get(chunk.taken).is_some_and(|next| next.is_hole()) {
                chunk.taken += 1;
                chunk.holes -= 1;
            }
            if chunk.taken < chunk.entries.len() {
                return;
            }
            self.drop_chunk(0);
        }
    }

    fn push_chunk(&mut self, entry: Entry) {
        let mut entries = std::mem::take(&mut self.spare);
        if entries.capacity() == 0 {
            // The only chunk grows with what it holds; one behind a full chunk will fill as well.
            entries.reserve_exact(if self.chunks.is_empty() { 4 } else { CHUNK_ENTRIES });
        }
        entries.push(entry);
        self.chunks.push_back(Chunk::of(entries));
    }

    /// A small chunk is kept: a queue that swings between empty and a few messages allocates nothing.
    fn drop_chunk(&mut self, at: usize) {
        let Some(Chunk { mut entries, .. }) = self.chunks.remove(at) else { return };
        if entries.capacity() <= SPARE_ENTRIES_MAX {
            entries.clear();
            self.spare = entries;
        }
    }
}

impl Chunk {
    /// Not empty.
    fn of(entries: Vec<Entry>) -> Chunk {
        let from = entries[0].sequence;
        Chunk { entries, taken: 0, holes: 0, from }
    }

    /// Where that sequence stands, or else would.
    fn place(&self, sequence: u64) -> usize {
        // Sequences mostly rise by one.
        let first = self.entries[self.taken].sequence;
        let guess = self.taken + sequence.saturating_sub(first).min(CHUNK_ENTRIES as u64) as usize;
        if self.entries.get(guess).is_some_and(|entry| entry.sequence == sequence) {
            return guess;
        }
        // They never rise by less.
        let end = self.entries.len().min(guess + 1);
        self.taken + self.entries[self.taken..end].partition_point(|entry| entry.sequence < sequence)
    }
}

/// 512 entries of 32 bytes: 16 KB, small beside a page, large beside a pointer.
const CHUNK_ENTRIES: usize = 512;
/// Capacity of the emptied chunk that a queue may keep, entries.
const SPARE_ENTRIES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ready::tests::entry;
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first() {
        let mut line = Line::default();
        let (mut next_in, mut next_out) = (0u64, 0u64);
        for round in 0..2_000u64 {
            for _ in 0..round % 7 {
                line.push(entry(next_in));
                next_in += 1;
            }
            for _ in 0..round % 5 {
                let first = line.first().map(|entry| entry.sequence);
                assert_eq!(first, (next_out < next_in).then_some(next_out));
                if let Some(entry) = line.pop() {
                    assert_eq!(entry.sequence, next_out);
                    next_out += 1;
                }
            }
            assert_eq!(line.len() as u64, next_in - next_out);
        }
        assert!(line.chunks.len() > 1);
    }

    /// Against a sorted map: pushes, pops, returns to old places and removals from the middle.
    #[test]
    fn what_returns_finds_its_place_and_what_leaves_the_middle_is_not_missed() {
        let (mut line, mut known, mut out) = (Line::default(), BTreeMap::new(), Vec::new());
        let (mut next, mut random) = (0u64, 1u64);
        let mut dice = |sides: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % sides
        };
        for round in 0..60_000 {
            let few = round / 10_000 % 2;
            match dice(8 + few * 4) {
                0..3 => {
                    line.push(entry(next));
                    known.insert(next, ());
                    next += 1;
                }
                3 | 4 => {
                    assert_eq!(line.pop().map(|entry| entry.sequence), known.pop_first().map(|(it, ())| it));
                }
                5 if !out.is_empty() => {
                    let sequence = out.swap_remove(dice(out.len()));
                    line.insert(entry(sequence));
                    known.insert(sequence, ());
                }
                _ if !known.is_empty() => {
                    let low = next.saturating_sub(known.len() as u64 * 2);
                    let sequence = low + dice((next - low) as usize) as u64;
                    let removed = line.remove(sequence).map(|entry| entry.sequence);
                    assert_eq!(removed, known.remove(&sequence).map(|()| sequence));
                    out.extend(removed);
                }
                _ => {}
            }
            if round % 512 == 0 {
                line.invariants();
            }
        }
        line.invariants();
        assert_eq!(line.len(), known.len());
    }

    #[test]
    fn all_that_returns_in_order_or_against_it_takes_whole_chunks() {
        for backwards in [false, true] {
            let mut line = Line::default();
            let mut sequences: Vec<u64> = (0..10_000).collect();
            if backwards {
                sequences.reverse();
            }
            sequences.into_iter().for_each(|sequence| line.insert(entry(sequence)));
            line.invariants();
            assert!(line.chunks.len() < 30, "{} chunks", line.chunks.len());
            assert!((0..10_000).all(|sequence| line.pop().is_some_and(|entry| entry.sequence == sequence)));
        }
    }

    #[test]
    fn a_few_that_stay_among_many_that_go_do_not_hold_their_chunks() {
        let mut line = Line::default();
        (0..100_000).for_each(|sequence| line.push(entry(sequence)));
        (0..100_000).filter(|sequence| sequence % 500 != 0).for_each(|sequence| _ = line.remove(sequence));
        line.invariants();
        let kept: usize = line.chunks.iter().map(|chunk| chunk.entries.capacity()).sum();
        assert!(line.len() == 200 && kept < 10_000, "{kept} places for 200 entries");
    }
}
