//! A first-in-first-out list in chunks: it grows without ever moving what it holds.

use std::collections::VecDeque;

/// An empty list holds at most one small chunk.
pub struct Fifo<T> {
    chunks: VecDeque<Chunk<T>>,
    spare: Option<Vec<T>>,
    len: usize,
}

struct Chunk<T> {
    items: Vec<T>,
    taken: usize,
}

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo { chunks: VecDeque::new(), spare: None, len: 0 }
    }
}

impl<T: Copy> Fifo<T> {
    #[inline]
    pub fn push(&mut self, item: T) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.items.len() < CHUNK_ITEMS => chunk.items.push(item),
            _ => self.push_chunk(item),
        }
        self.len += 1;
    }

    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let chunk = self.chunks.front_mut()?;
        let item = chunk.items[chunk.taken];
        chunk.taken += 1;
        self.len -= 1;
        if chunk.taken == chunk.items.len() {
            self.drop_chunk();
        }
        Some(item)
    }

    #[inline]
    pub fn first(&self) -> Option<&T> {
        let chunk = self.chunks.front()?;
        Some(&chunk.items[chunk.taken])
    }

    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push_chunk(&mut self, item: T) {
        let mut items = self.spare.take().unwrap_or_else(|| {
            // The only chunk grows with what it holds; one behind a full chunk will fill as well.
            Vec::with_capacity(if self.chunks.is_empty() { 4 } else { CHUNK_ITEMS })
        });
        items.push(item);
        self.chunks.push_back(Chunk { items, taken: 0 });
    }

    /// A small chunk is kept: a queue that swings between empty and a few messages allocates nothing.
    fn drop_chunk(&mut self) {
        let Some(Chunk { mut items, .. }) = self.chunks.pop_front() else { return };
        if items.capacity() <= SPARE_ITEMS_MAX {
            items.clear();
            self.spare = Some(items);
        }
    }
}

/// 512 entries of 32 bytes: 16 KB, small beside a page, large beside a pointer.
const CHUNK_ITEMS: usize = 512;
/// Capacity of the emptied chunk that a queue may keep, entries.
const SPARE_ITEMS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first() {
        let mut fifo = Fifo::default();
        let (mut next_in, mut next_out) = (0u64, 0u64);
        for round in 0..2_000u64 {
            for _ in 0..round % 7 {
                fifo.push(next_in);
                next_in += 1;
            }
            for _ in 0..round % 5 {
                assert_eq!(fifo.first().copied(), (next_out < next_in).then_some(next_out));
                if let Some(item) = fifo.pop() {
                    assert_eq!(item, next_out);
                    next_out += 1;
                }
            }
            assert_eq!(fifo.len() as u64, next_in - next_out);
        }
        assert!(fifo.chunks.len() > 1);
    }
}
