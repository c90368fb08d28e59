//! What the thread of a shard and that of its flusher share: groups one way, emptied buffers and positions the other.
//!
//! ```text
//! shard                                    flusher
//!   try_send ---- groups (bounded) ------->  seal, write, sync
//!   take_buffer <-- buffers (bounded) -----
//!   written(), synced() <-- two atomics ---
//!   wake --------- parked? ---------------->  parks only if groups is empty
//! ```
//! Of `wake` and `park` at least one sees the other's write, because both put a fence between their own write and
//! their look at the other's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

use super::position::Position;
use crate::limits::{JOURNAL_BUFFER_KEEP_BYTES, JOURNAL_GROUPS};

/// Records on their way to the disk.
#[derive(Debug)]
pub struct Group {
    /// Room for the header, then records: what `layout::seal` takes.
    pub bytes: Vec<u8>,
    pub at: Position,
    /// Behind the padded group, in the same segment.
    pub end: Position,
    /// Somebody waits until it is synced; if not, written is enough.
    pub sync: bool,
    /// Segments with lower numbers may go once this group is synced; 0: none. The group counts as one to sync then.
    pub free_before: u32,
}

/// Lives on: shared by a shard and its flusher.
pub struct Link {
    groups: ArrayQueue<Group>,
    buffers: ArrayQueue<Vec<u8>>,
    written: AtomicU64,
    synced: AtomicU64,
    low_on_disk: AtomicBool,
    stopping: AtomicBool,
    parked: AtomicBool,
    waker: AtomicWaker,
}

impl Link {
    /// `recovered` is where the reader found the journal to end (`Scan::end`), `Position::NONE` if there was none.
    pub fn new(recovered: Position) -> Link {
        Link {
            groups: ArrayQueue::new(JOURNAL_GROUPS),
            buffers: ArrayQueue::new(JOURNAL_GROUPS),
            written: AtomicU64::new(recovered.as_u64()),
            synced: AtomicU64::new(recovered.as_u64()),
            low_on_disk: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }
}

/// The shard's side.
impl Link {
    /// Hands over a group, or gives it back if `JOURNAL_GROUPS` are waiting. `wake` is to follow, once per batch.
    pub fn try_send(&self, group: Group) -> Result<(), Group> {
        self.groups.push(group)
    }

    /// Whether the flusher has taken all there is.
    pub fn is_taken(&self) -> bool {
        self.groups.is_empty()
    }

    /// An empty buffer with room.
    pub fn take_buffer(&self) -> Option<Vec<u8>> {
        self.buffers.pop()
    }

    /// Up to where the operating system has it: a crash of this process loses nothing of it.
    pub fn written(&self) -> Position {
        Position::from_u64(self.written.load(Ordering::Acquire))
    }

    /// Up to where it is on disk: no crash loses anything of it.
    pub fn synced(&self) -> Position {
        Position::from_u64(self.synced.load(Ordering::Acquire))
    }

    /// Whether the disk has less room than it should, or so little that groups wait.
    pub fn low_on_disk(&self) -> bool {
        self.low_on_disk.load(Ordering::Relaxed)
    }

    /// Wakes the flusher if it sleeps.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        // The load keeps the line shared while the flusher is busy.
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Tells the flusher to write what is there, sync, and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }
}

/// The flusher's side.
impl Link {
    pub(crate) fn take_group(&self) -> Option<Group> {
        self.groups.pop()
    }

    /// What does not fit is dropped, and so is most of a buffer that one large message made large.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(JOURNAL_BUFFER_KEEP_BYTES);
        let _ = self.buffers.push(buffer);
    }

    pub(super) fn publish_written(&self, position: Position) {
        debug_assert!(position >= self.written());
        self.written.store(position.as_u64(), Ordering::Release);
    }

    pub(super) fn publish_synced(&self, position: Position) {
        debug_assert!(position >= self.synced() && position <= self.written());
        self.synced.store(position.as_u64(), Ordering::Release);
    }

    pub(super) fn publish_low_on_disk(&self, low: bool) {
        self.low_on_disk.store(low, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Declares the flusher asleep, unless it is to stop, or `wants_groups` and there are some. True: it sleeps, and the
    /// next `wake` wakes it.
    pub(super) fn park(&self, waker: &Waker, wants_groups: bool) -> bool {
        self.waker.register(waker);
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.is_stopping() || (wants_groups && !self.groups.is_empty()) {
            self.parked.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
impl Link {
    /// As if the flusher had come there.
    pub(crate) fn pretend_synced(&self, end: Position) {
        self.publish_written(end);
        self.publish_synced(end);
    }

    pub(crate) fn for_tests() -> Link {
        Link::new(Position::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(bytes: Vec<u8>) -> Group {
        Group { bytes, at: Position::NONE, end: Position::NONE, sync: true, free_before: 0 }
    }

    #[test]
    fn a_full_ring_gives_the_group_back() {
        let link = Link::new(Position::NONE);
        (0..JOURNAL_GROUPS).for_each(|_| link.try_send(group(Vec::new())).expect("room"));
        assert_eq!(link.try_send(group(vec![7])).map_err(|group| group.bytes), Err(vec![7]));
        assert!(link.take_group().is_some());
        link.try_send(group(vec![7])).expect("room again");
    }

    #[test]
    fn a_buffer_comes_back_empty_and_not_too_large() {
        let link = Link::new(Position::NONE);
        assert!(link.take_buffer().is_none());
        link.give_back(vec![1; 2 * JOURNAL_BUFFER_KEEP_BYTES]);
        let buffer = link.take_buffer().expect("given back");
        assert!(buffer.is_empty() && buffer.capacity() <= JOURNAL_BUFFER_KEEP_BYTES && buffer.capacity() > 0);
        (0..2 * JOURNAL_GROUPS).for_each(|_| link.give_back(Vec::new()));
    }

    #[test]
    fn the_flusher_sleeps_only_with_nothing_to_do() {
        let link = Link::new(Position::new(3, 8192));
        assert_eq!((link.written(), link.synced()), (Position::new(3, 8192), Position::new(3, 8192)));
        assert!(link.park(Waker::noop(), true));
        link.wake();
        link.try_send(group(Vec::new())).expect("room");
        assert!(!link.park(Waker::noop(), true));
        assert!(link.park(Waker::noop(), false), "it has groups already that it cannot write");
        link.stop();
        assert!(!link.park(Waker::noop(), false));
    }
}
