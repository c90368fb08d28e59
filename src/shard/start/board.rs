//! Where the shards leave their notes for the log, and the thread that waits there.

use crate::limits::NOTES_MAX;
use crate::shard::notes::Note;
use crossbeam_queue::ArrayQueue;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

/// Lives on: shared by the shards and the thread of the log. A shard never waits at it: what finds no room is counted.
pub struct Board {
    notes: ArrayQueue<Note>,
    lost: AtomicU64,
    reader: OnceLock<Thread>,
}

impl Default for Board {
    fn default() -> Board {
        Board { notes: ArrayQueue::new(NOTES_MAX), lost: AtomicU64::new(0), reader: OnceLock::new() }
    }
}

impl Board {
    /// `lost`: how many more there were.
    pub fn leave(&self, notes: impl Iterator<Item = Note>, lost: u64) {
        let (mut left, mut lost) = (false, lost);
        for note in notes {
            left = true;
            lost += u64::from(self.notes.push(note).is_err());
        }
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if left && let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }

    /// The thread that is woken when there is something to read; there is one.
    pub fn wake(&self, reader: Thread) {
        let _ = self.reader.set(reader);
    }

    pub fn take(&self) -> Option<Note> {
        self.notes.pop()
    }

    /// How many were lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}
