//! The bell of a shard: whoever gives it work rings, and only a sleeping shard costs a system call.
//!
//! ```text
//! shard                                   peer
//!   register waker                          publish work
//!   parked = true                           fence
//!   fence                                   parked? swap to false, wake
//!   look for work again: found -> stay up
//! ```
//! Of the two sides at least one sees the other's write, because both put a fence between their own
//! write and their look at the other's.

use super::sync::{AtomicBool, AtomicWaker, Ordering, fence};
use std::task::Waker;

/// Lives on: shared by all shards and by the threads that hand them work.
#[repr(align(128))]
pub struct Doorbell {
    parked: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Doorbell {
    fn default() -> Self {
        Doorbell { parked: AtomicBool::new(false), waker: AtomicWaker::new() }
    }
}

impl Doorbell {
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the shard if it sleeps. To be called after the work was published, once per batch.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        // The load keeps the line shared while the shard is busy, which is when the bell is rung most.
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Declares the shard asleep, unless `ready` finds work. True: it is parked, and the next `ring` wakes it.
    ///
    /// `ready` must look at everything that is published before a `ring`.
    pub fn park(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool {
        self.waker.register(waker);
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if ready() {
            self.parked.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }
}
