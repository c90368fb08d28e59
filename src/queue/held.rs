//! The table of a queue's unacked messages, by number, in chunks: what is settled in order gives its memory back in order.

use super::ready::Bodies;
use super::unacked::Unacked;

/// Numbers are used again once their message is settled.
#[derive(Default)]
pub(super) struct Held {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Chunks with free places, the one that is used next last. Those that are not there are among them.
    open: Vec<u32>,
    len: usize,
    bodies: Bodies,
}

struct Chunk {
    /// As many as were ever needed at once.
    entries: Vec<Option<Unacked>>,
    /// A bit for each place that is free.
    free: [u64; CHUNK_ENTRIES / 64],
    live: usize,
}

impl Held {
    /// Stores what `make` builds from its number.
    #[inline]
    pub fn insert_with(&mut self, make: impl FnOnce(u32) -> Unacked) -> u32 {
        let at = match self.open.last() {
            Some(&at) => at,
            None => {
                self.chunks.push(None);
                self.open.push((self.chunks.len() - 1) as u32);
                (self.chunks.len() - 1) as u32
            }
        };
        // The first chunk grows with what it holds; a further one will fill as well.
        let room = if at == 0 { 0 } else { CHUNK_ENTRIES };
        let chunk = self.chunks[at as usize].get_or_insert_with(|| Chunk::with_room(room));
        let place = chunk.take_place();
        if chunk.live == CHUNK_ENTRIES {
            self.open.pop();
        }
        let number = at * CHUNK_ENTRIES as u32 + place as u32;
        let unacked = make(number);
        self.bodies.add(&unacked.entry);
        let unacked = Some(unacked);
        match chunk.entries.get_mut(place) {
            Some(free) => *free = unacked,
            None => chunk.entries.push(unacked),
        }
        self.len += 1;
        number
    }

    #[inline]
    pub fn remove(&mut self, number: u32) -> Option<Unacked> {
        let (at, place) = split(number);
        let chunk = self.chunks.get_mut(at)?.as_mut()?;
        let removed = chunk.entries.get_mut(place)?.take()?;
        let was_full = chunk.live == CHUNK_ENTRIES;
        chunk.live -= 1;
        chunk.free[place / 64] |= 1 << (place % 64);
        self.len -= 1;
        self.bodies.subtract(&removed.entry);
        if was_full {
            self.open_up(at);
        } else if chunk.live == 0 && self.open.last() != Some(&(at as u32)) {
            self.chunks[at] = None;
        }
        Some(removed)
    }

    /// The chunk is used next. An empty one stays only while it is that: a queue with few unacked allocates nothing.
    fn open_up(&mut self, at: usize) {
        if let Some(&before) = self.open.last()
            && self.chunks[before as usize].as_ref().is_some_and(|chunk| chunk.live == 0)
        {
            self.chunks[before as usize] = None;
        }
        self.open.push(at as u32);
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Unacked> {
        let (at, place) = split(number);
        self.chunks.get_mut(at)?.as_mut()?.entries.get_mut(place)?.as_mut()
    }

    pub fn bodies(&self) -> Bodies {
        self.bodies
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Unacked)> {
        let chunks = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        chunks.flat_map(|(at, chunk)| {
            let first = at * CHUNK_ENTRIES;
            let entries = chunk.entries.iter().enumerate();
            entries.filter_map(move |(place, entry)| Some(((first + place) as u32, entry.as_ref()?)))
        })
    }
}

impl Chunk {
    fn with_room(entries: usize) -> Box<Chunk> {
        let entries = Vec::with_capacity(entries);
        Box::new(Chunk { entries, free: [u64::MAX; CHUNK_ENTRIES / 64], live: 0 })
    }

    /// The first free place.
    #[inline]
    fn take_place(&mut self) -> usize {
        let word = self.free.iter().position(|&bits| bits != 0).expect("the chunk is among the open ones");
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= self.free[word] - 1;
        self.live += 1;
        word * 64 + bit
    }
}

fn split(number: u32) -> (usize, usize) {
    (number as usize / CHUNK_ENTRIES, number as usize % CHUNK_ENTRIES)
}

/// 14 KB.
const CHUNK_ENTRIES: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ready::tests::entry;
    use super::*;

    fn unacked(sequence: u64) -> Unacked {
        Unacked { entry: entry(sequence), expires_at: None, consumer: None, since: 0 }
    }

    /// Against a map, over random insertions and removals.
    #[test]
    fn what_is_held_is_found_by_its_number() {
        let (mut held, mut known) = (Held::default(), BTreeMap::new());
        let mut random = 3u64;
        let mut dice = |sides: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % sides
        };
        for round in 0..50_000u64 {
            let filling = round / 10_000 % 2 == 0;
            if dice(5) < if filling { 3 } else { 1 } || known.is_empty() {
                let number = held.insert_with(|_| unacked(round));
                assert_eq!(known.insert(number, round), None, "a number has one message");
            } else {
                let number = *known.keys().nth(dice(known.len().min(50))).unwrap();
                let found = held.remove(number).map(|found| found.entry.sequence);
                assert_eq!(found, known.remove(&number));
                assert!(held.remove(number).is_none());
            }
            assert_eq!(held.len(), known.len());
        }
        let all: Vec<_> = held.iter().map(|(number, found)| (number, found.entry.sequence)).collect();
        assert_eq!(all, known.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_settled_gives_its_memory_back() {
        let mut held = Held::default();
        let numbers: Vec<u32> = (0..100_000).map(|at| held.insert_with(|_| unacked(at))).collect();
        for &number in &numbers[..90_000] {
            held.remove(number);
        }
        assert!(held.chunks.iter().flatten().count() <= 100_000 / 10 / CHUNK_ENTRIES + 2);
        for &number in &numbers[90_000..] {
            held.remove(number);
        }
        assert!(held.is_empty() && held.chunks.iter().flatten().count() <= 1);
        assert!((0..1000).all(|at| held.insert_with(|_| unacked(at)) < 100_000 + CHUNK_ENTRIES as u32));
    }
}
