//! A bounded queue from one shard to one other: single producer, single consumer, no locks.
//!
//! ```text
//!            head (consumer writes)          tail (producer writes)
//!              v                               v
//!   slots  [ . | x | x | x | x | x | x | x | . | . ]     head <= tail <= head + capacity
//! ```
//! `head` and `tail` count items since the start (wrapping) and lie on cache lines of their own. Each side
//! remembers the last value it saw of the other's index and looks again only when that is not enough,
//! so a batch costs one shared load and one shared store.
//!
//! A producer that found the ring full keeps the rest in memory of its own and raises the `spilled` flag;
//! the consumer, having popped, looks at the flag and rings the producer's bell.
#![allow(unsafe_code)]

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};
use std::collections::VecDeque;
use std::mem::MaybeUninit;

/// Makes a ring of `capacity` items: a power of two, at least 2.
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity >= 2 && capacity.is_power_of_two(), "a ring holds a power of two, at least 2");
    let shared = Arc::new(Shared {
        head: Line(AtomicUsize::new(0)),
        tail: Line(AtomicUsize::new(0)),
        spilled: Line(AtomicBool::new(false)),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer { shared: shared.clone(), tail: 0, head_seen: 0, spilled: false };
    (producer, Consumer { shared, head: 0, tail_seen: 0 })
}

/// Lives on: the sending shard.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
    spilled: bool,
}

impl<T> Producer<T> {
    /// Hands the item back if the ring is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.free(1) == 0 {
            return Err(item);
        }
        self.write(item);
        self.publish();
        Ok(())
    }

    /// Moves items from the front of `items` until the ring is full, with one release store; answers how many.
    ///
    /// Keeps the `spilled` flag: up while `items` has a rest. A shard with a rest must look at `is_full` once
    /// more when it parks, because a consumer that popped a moment before did not see the flag.
    pub fn push_from(&mut self, items: &mut VecDeque<T>) -> usize {
        let count = self.free(items.len()).min(items.len());
        if count > 0 {
            items.drain(..count).for_each(|item| self.write(item));
            self.publish();
        }
        self.set_spilled(!items.is_empty());
        count
    }

    pub fn is_full(&self) -> bool {
        self.waiting() == self.shared.slots.len()
    }

    /// How many items the other side has not taken yet.
    pub fn waiting(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.0.load(Ordering::Acquire))
    }

    /// Says whether this side holds items that found no room, for who uses `push`. The fence between the flag
    /// and the last look at `is_full` is the one in `Doorbell::park`.
    pub fn set_spilled(&mut self, spilled: bool) {
        if self.spilled != spilled {
            self.spilled = spilled;
            self.shared.spilled.0.store(spilled, Ordering::Relaxed);
        }
    }

    /// Free slots; looks at the consumer's index only if the last look does not show `wanted` of them.
    fn free(&mut self, wanted: usize) -> usize {
        let capacity = self.shared.slots.len();
        let free = capacity - self.tail.wrapping_sub(self.head_seen);
        if free >= wanted {
            return free;
        }
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        capacity - self.tail.wrapping_sub(self.head_seen)
    }

    /// The caller has made sure of a free slot; `publish` makes the item visible.
    #[inline]
    fn write(&mut self, item: T) {
        debug_assert!(self.tail.wrapping_sub(self.head_seen) < self.shared.slots.len());
        // SAFETY: the slot at `tail` is free: `free()` saw with acquire that the consumer moved its former
        // item out, and the consumer does not read it before `publish`. This is the only producer.
        self.shared.slot(self.tail).with_mut(|slot| unsafe { slot.write(MaybeUninit::new(item)) });
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        self.shared.tail.0.store(self.tail, Ordering::Release);
    }
}

/// Lives on: the receiving shard.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

impl<T> Consumer<T> {
    pub fn pop(&mut self) -> Option<T> {
        if self.filled(1) == 0 {
            return None;
        }
        let item = self.read();
        self.release();
        Some(item)
    }

    /// Moves up to `max` items to the end of `out`, with one release store; answers how many.
    pub fn pop_into(&mut self, out: &mut impl Extend<T>, max: usize) -> usize {
        let count = self.filled(max).min(max);
        if count > 0 {
            out.extend(Taken { left: count, consumer: self });
        }
        count
    }

    pub fn is_empty(&self) -> bool {
        self.shared.tail.0.load(Ordering::Acquire) == self.head
    }

    /// The producer holds items that found no room: to be asked after each batch of pops, and answered by
    /// ringing its bell.
    pub fn producer_spilled(&self) -> bool {
        fence(Ordering::SeqCst);
        self.shared.spilled.0.load(Ordering::Relaxed)
    }

    /// Items to pop; looks at the producer's index only if the last look does not show `wanted` of them.
    fn filled(&mut self, wanted: usize) -> usize {
        let filled = self.tail_seen.wrapping_sub(self.head);
        if filled >= wanted {
            return filled;
        }
        self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.head)
    }

    /// The caller has made sure of an item; `release` gives its slot back.
    #[inline]
    fn read(&mut self) -> T {
        debug_assert!(self.head != self.tail_seen);
        // SAFETY: the slot at `head` is filled: `filled()` saw with acquire that the producer wrote it, and
        // the producer does not write it again before `release`. `head` moves on, so it is read once.
        let item = self.shared.slot(self.head).with(|slot| unsafe { slot.read().assume_init() });
        self.head = self.head.wrapping_add(1);
        item
    }

    fn release(&mut self) {
        self.shared.head.0.store(self.head, Ordering::Release);
    }
}

/// The items of one batch on their way out. Releases the slots of those that were taken, at its end.
struct Taken<'a, T> {
    left: usize,
    consumer: &'a mut Consumer<T>,
}

impl<T> Iterator for Taken<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        Some(self.consumer.read())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Taken<'_, T> {}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.consumer.release();
    }
}

struct Shared<T> {
    head: Line<AtomicUsize>,
    tail: Line<AtomicUsize>,
    spilled: Line<AtomicBool>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: an item is written by the one producer and read by the one consumer, never at once (see `write`
// and `read`), so sharing the slots moves items between threads, which `T: Send` allows.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; the last owner drops the items on its thread.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[index & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: both ends are gone, and what lies between `head` and `tail` was written and not read.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// Keeps its content from sharing a cache line (or the pair of lines that is fetched together).
#[repr(align(128))]
struct Line<T>(T);
