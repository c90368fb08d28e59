//! The journal of the topology, and what must not be told before it is on disk.
//!
//! ```text
//! Topology -> Effect::Record ------> journal --(flusher)--> Proof
//!          -> Effect::CreateQueue ------------------------------|------> carried out at once
//!          -> any other effect ----> held, behind the records   +------> carried out, in order
//! ```
//! A queue may be made at once, though what is held in front of it is not told: until its own record is on disk no router
//! leads to it and no reply names it, and it has no name where it is made, so that it disturbs no queue of the same name
//! that is going. So the records of declares that come together are synced together.

use std::collections::VecDeque;

use crate::journal::{Due, Journal, Promised, Proof, Urgency};
use crate::limits::{LOG_BYTES_MIN, LOG_GROWTH, SNAPSHOT_THINGS};
use crate::queue_args::Durability;
use crate::topology::{Effect, Record, Restored, Snapshot, Vhosts};

/// Lives on: the control shard.
pub(super) struct Ledger {
    journal: Journal,
    /// How far the journal had come when it was looked at last.
    proof: Proof,
    /// When the last record of a change is on disk.
    due: Due,
    /// Effects behind records that are not, in their order: no more than what channels wait for and queues that end.
    held: VecDeque<Promised<Effect>>,
    /// Bytes of the records since the last snapshot began.
    log_bytes: u64,
    /// Bytes of the last snapshot.
    image_bytes: u64,
    /// False: what is in the log must stay there.
    may_shrink: bool,
    taking: Option<Taking>,
}

/// A snapshot that is being written.
struct Taking {
    walk: Snapshot,
    /// Where it begins: what is in segments before it counts no more once it is complete.
    segment: u32,
    bytes: u64,
}

impl Ledger {
    /// What was kept out of the topology would not be in a snapshot: then the log may only grow.
    pub fn new(mut journal: Journal, restored: &Restored) -> Ledger {
        Ledger {
            proof: journal.proof(),
            journal,
            due: Due::NOW,
            held: VecDeque::new(),
            log_bytes: restored.log_bytes,
            image_bytes: restored.image_bytes,
            may_shrink: restored.kept_out.is_empty(),
            taking: None,
        }
    }

    /// Records, or holds, what the topology wants done. Answers what is to be done now.
    pub fn take(&mut self, effect: Effect) -> Option<Effect> {
        let promised = match effect {
            Effect::Record { vhost, record } => {
                let at = self.journal.record(record.kind(), Urgency::Sync, |body| {
                    self.log_bytes += written(&vhost, &record, body);
                });
                self.due = Due::when(at, Durability::Fsync);
                return None;
            }
            Effect::CreateQueue { .. } => return Some(effect),
            Effect::Broadcast { .. }
            | Effect::Reply { .. }
            | Effect::QueueGone { .. }
            | Effect::EndQueue { .. }
            | Effect::Access { .. }
            | Effect::Parameters { .. } => Promised::new(self.due, effect),
        };
        if self.held.is_empty() && promised.is_kept(&self.proof) {
            return promised.keep(&self.proof).ok();
        }
        self.held.push_back(promised);
        None
    }

    /// Sees how far the journal has come.
    pub fn look(&mut self) {
        self.proof = self.journal.proof();
    }

    /// The next effect whose time has come.
    pub fn next(&mut self) -> Option<Effect> {
        let promised = self.held.pop_front_if(|promised| promised.is_kept(&self.proof))?;
        promised.keep(&self.proof).ok()
    }

    /// Goes on with a snapshot, or begins one if the log has grown enough.
    pub fn work(&mut self, vhosts: &Vhosts) {
        if !self.may_take() {
            return;
        }
        let taking = self.taking.get_or_insert_with(|| {
            self.log_bytes = 0;
            let at = self.journal.record(Record::SnapshotBegin.kind(), Urgency::Write, |_| {});
            Taking { walk: Snapshot::default(), segment: at.segment(), bytes: 0 }
        });
        let (journal, bytes) = (&mut self.journal, &mut taking.bytes);
        let is_done = taking.walk.walk(vhosts, SNAPSHOT_THINGS, &mut |vhost, record| {
            journal.record(record.kind(), Urgency::Write, |body| *bytes += written(vhost, &record, body));
        });
        if is_done {
            self.image_bytes = taking.bytes;
            self.journal.record(Record::SnapshotEnd.kind(), Urgency::Sync, |_| {});
            self.journal.free_before(taking.segment);
            self.taking = None;
        }
    }

    /// Hands records on. To be called at the end of each batch.
    pub fn flush(&mut self, now: u64) {
        self.journal.now = now;
        self.journal.flush();
    }

    pub fn has_work(&self) -> bool {
        self.has_news() || self.may_take()
    }

    /// Whether the journal has come further than was seen.
    pub fn has_news(&self) -> bool {
        self.journal.is_beyond(&self.proof)
    }

    /// Whether all records are on disk, and what waited for them is done.
    pub fn is_done(&mut self) -> bool {
        self.held.is_empty() && self.journal.is_done()
    }

    /// A snapshot can wait for the disk; what clients ask for comes first.
    fn may_take(&self) -> bool {
        let grown = self.log_bytes > LOG_BYTES_MIN.max(LOG_GROWTH * self.image_bytes);
        self.may_shrink && (self.taking.is_some() || grown) && !self.journal.is_behind()
    }
}

/// Writes the body of a record; answers its bytes.
fn written(vhost: &[u8], record: &Record, body: &mut Vec<u8>) -> u64 {
    let before = body.len();
    record.encode(vhost, body);
    (body.len() - before) as u64
}

#[cfg(test)]
mod tests;
