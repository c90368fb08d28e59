//! What a shard and its flusher share. (A stand-in until the files are merged.)

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use super::Position;

pub struct Group {
    pub bytes: Vec<u8>,
    pub at: Position,
    pub end: Position,
    pub sync: bool,
    pub free_before: u32,
}

pub struct Link {
    pub groups: ArrayQueue<Group>,
    pub buffers: ArrayQueue<Vec<u8>>,
    written: AtomicU64,
    synced: AtomicU64,
    low_on_disk: AtomicBool,
}

impl Link {
    pub fn try_send(&self, group: Group) -> Result<(), Group> {
        self.groups.push(group)
    }

    pub fn is_taken(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn take_buffer(&self) -> Option<Vec<u8>> {
        self.buffers.pop()
    }

    pub fn written(&self) -> Position {
        Position::from_bits(self.written.load(Ordering::Acquire))
    }

    pub fn synced(&self) -> Position {
        Position::from_bits(self.synced.load(Ordering::Acquire))
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Link {
        Link {
            groups: ArrayQueue::new(64),
            buffers: ArrayQueue::new(64),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            low_on_disk: AtomicBool::new(false),
        }
    }

    /// As if the flusher had come there.
    #[cfg(test)]
    pub(crate) fn pretend_synced(&self, end: Position) {
        self.written.store(end.to_bits(), Ordering::Release);
        self.synced.store(end.to_bits(), Ordering::Release);
    }

    pub fn low_on_disk(&self) -> bool {
        self.low_on_disk.load(Ordering::Relaxed)
    }
}
