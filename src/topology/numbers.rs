//! What the topologies of all vhosts count together: the queues of each shard, and the numbers of durable ones.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ids::{QueueUid, ShardId};

/// Lives on: the control shard. Atomic, as it is made on the thread that starts the shards.
#[derive(Debug)]
pub struct Numbers {
    /// How many queues each shard has, living or being made.
    queues: Box<[AtomicU32]>,
    /// The number of the next durable queue.
    next_uid: AtomicU64,
    /// Queues that are being unbound.
    unbinding: AtomicU32,
}

impl Numbers {
    /// `shards` is at least 1.
    pub fn new(shards: u16) -> Numbers {
        assert!(shards > 0, "the control shard is one");
        Numbers {
            queues: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            next_uid: AtomicU64::new(1),
            unbinding: AtomicU32::new(0),
        }
    }

    pub fn shards(&self) -> u16 {
        u16::try_from(self.queues.len()).expect("shards are counted in 16 bits")
    }

    pub fn queues_on(&self, shard: ShardId) -> u32 {
        self.queues[shard.index()].load(Ordering::Relaxed)
    }

    /// The shard with the fewest queues; among those the declarer's own, else the first.
    pub(super) fn place(&self, declarer: ShardId) -> ShardId {
        let shards = (0..self.shards()).map(ShardId);
        let first = shards.min_by_key(|&shard| self.queues_on(shard)).unwrap_or_default();
        let on = if self.queues_on(declarer) == self.queues_on(first) { declarer } else { first };
        self.put(on);
        on
    }

    /// A queue lives, or is made, there.
    pub(super) fn put(&self, on: ShardId) {
        self.queues[on.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, on: ShardId) {
        self.queues[on.index()].fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn unbinds(&self) -> bool {
        self.unbinding.load(Ordering::Relaxed) > 0
    }

    pub(super) fn begin_to_unbind(&self) {
        self.unbinding.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_to_unbind(&self) {
        self.unbinding.fetch_sub(1, Ordering::Relaxed);
    }

    /// One that no queue has or had. If the queue never comes to be recorded, nothing was kept for it either.
    pub(super) fn give_uid(&self) -> QueueUid {
        QueueUid(self.next_uid.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn next_uid(&self) -> QueueUid {
        QueueUid(self.next_uid.load(Ordering::Relaxed))
    }

    /// Lower numbers may have been given out.
    pub(super) fn go_on_from(&self, uid: QueueUid) {
        self.next_uid.store(uid.0, Ordering::Relaxed);
    }
}
