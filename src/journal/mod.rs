//! What outlives the server: a log of what became of messages, one per shard, and one of the topology.
//!
//! ```text
//! record -> group -> Link =SPSC=> flusher (a thread): one write, one sync -> Link -> Proof -> what was promised
//!             the next group forms meanwhile
//! ```

pub mod disk;
pub mod flusher;
mod keep;
pub mod layout;
mod link;
#[cfg(test)]
mod memory;
mod position;
mod promise;
pub mod reader;
pub mod record;
mod recovery;

pub use disk::{Disk, OsDisk};
pub use flusher::{Failure, Flusher, FlusherConfig};
pub use keep::{Keep, Keeps};
pub use link::{Group, Link};
pub use position::Position;
pub use promise::{Due, Promised, Proof};
pub use reader::{Damage, Rot, Scan, SegmentInfo, read_journal, set_aside};
pub use recovery::{Held, HeldMessage, Recovered, Recovery};

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{GROUP_BYTES, JOURNAL_BEHIND_BYTES, LAZY_NS};
use layout::{
    GROUP_HEADER_BYTES, GROUPS_AT, RECORD_HEADER_BYTES, begin_record, body_len, end_record, padded,
};

/// The shard's side: records are gathered here and go to the flusher in groups.
///
/// Lives on: its shard.
pub struct Journal {
    link: Arc<Link>,
    segment_bytes: u32,
    /// The group that forms, and where it will lie.
    group: Vec<u8>,
    at: Position,
    urgency: Urgency,
    /// When records that nobody waits for are written, by the clock of `now`.
    lazy_at: Option<u64>,
    /// When some of them, that may have gone on already, are synced.
    owed_at: Option<u64>,
    /// Where the last record begins in it; 0 if there is none.
    last: usize,
    /// Groups for which the link has no room.
    ready: VecDeque<Group>,
    /// Ends and sizes of groups that are not written yet.
    under_way: VecDeque<(Position, usize)>,
    /// The sum of their sizes.
    behind_bytes: usize,
    /// Where the last group ends that was handed on.
    handed_on: Position,
    free_before: u32,
    pub now: u64,
}

/// Most that `extend` adds.
const EXTENSION_BYTES: usize = 32;

/// Who waits for a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// Nobody, and it need not come to the disk alone: it goes with the next group.
    Aside,
    /// Nobody: it is written with the next group, or after a while.
    Loose,
    /// Nobody: the same, and it is on disk by then.
    Lazy,
    /// Somebody, for it to be written.
    Write,
    /// Somebody, for it to be on disk.
    Sync,
}

impl Journal {
    /// `first_segment` was never written to.
    pub fn new(link: Arc<Link>, first_segment: u32, segment_bytes: u32) -> Journal {
        Journal {
            link,
            segment_bytes,
            group: vec![0; GROUP_HEADER_BYTES],
            at: Position::new(first_segment, GROUPS_AT),
            urgency: Urgency::Aside,
            lazy_at: None,
            owed_at: None,
            last: 0,
            ready: VecDeque::new(),
            under_way: VecDeque::new(),
            behind_bytes: 0,
            handed_on: Position::NONE,
            free_before: 0,
            now: 0,
        }
    }

    /// Appends a record whose body `write` makes; answers where it lies.
    #[inline]
    pub fn record(&mut self, kind: u8, urgency: Urgency, write: impl FnOnce(&mut Vec<u8>)) -> Position {
        let at = begin_record(&mut self.group, kind);
        write(&mut self.group);
        self.end(at, urgency)
    }

    /// Adds up to `EXTENSION_BYTES` to the body of the record at `at`. False: it is not the last, has gone on already, or
    /// would leave its segment.
    pub fn extend(&mut self, at: Position, urgency: Urgency, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let last = self.last;
        let end = self.at.offset() as usize + padded(self.group.len() + EXTENSION_BYTES);
        if last == 0 || at != self.position(last) || end > self.segment_bytes as usize {
            return false;
        }
        self.group.truncate(last + RECORD_HEADER_BYTES + body_len(&self.group, last));
        write(&mut self.group);
        self.end(last, urgency);
        true
    }

    /// What waits for this is true once everything recorded so far is.
    pub fn forming(&self) -> Position {
        self.at
    }

    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// Segments below this one hold nothing that counts, once what is recorded so far is on disk.
    pub fn free_before(&mut self, segment: u32) {
        self.free_before = segment;
    }

    /// Hands on what has gathered, if somebody waits for it or it is much, unless the flusher has enough to do.
    pub fn flush(&mut self) {
        self.send_ready();
        let is_owed = self.is_owed();
        if is_owed && self.group.len() == GROUP_HEADER_BYTES && self.ready.is_empty() && self.link.is_taken()
        {
            // There is nothing to bring the sync but a record that says nothing.
            self.record(record::kind::SETTLED, Urgency::Sync, |_| ());
        }
        let is_late = self.lazy_at.is_some_and(|at| at <= self.now);
        let waited_for = self.urgency > Urgency::Lazy || is_late || is_owed;
        let is_idle = self.ready.is_empty() && self.link.is_taken();
        if waited_for && is_idle || self.group.len() >= GROUP_BYTES {
            self.hand_on();
        }
    }

    /// Whether nothing was recorded that anybody could miss.
    pub fn is_untouched(&self) -> bool {
        self.urgency == Urgency::Aside && self.handed_on == Position::NONE
    }

    /// Hands on all there is, to be synced.
    pub fn flush_all(&mut self) {
        self.urgency = Urgency::Sync;
        self.hand_on();
    }

    /// When `flush` should be called again, at the latest, by the clock of `now`.
    pub fn next_at(&self) -> Option<u64> {
        // What the flusher has not taken yet, its bell calls for.
        self.lazy_at.into_iter().chain(self.owed_at).min().filter(|_| self.link.is_taken())
    }

    /// What is on disk by now. The flusher's bell rings when there is more.
    pub fn proof(&mut self) -> Proof {
        let proof = Proof { written: self.link.written(), synced: self.link.synced() };
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(end, _)| *end <= proof.written) {
            self.behind_bytes -= bytes;
        }
        proof
    }

    /// Whether there is too little room on the disk.
    pub fn is_low_on_disk(&self) -> bool {
        self.link.low_on_disk()
    }

    /// Whether more is written or on disk than that proof says.
    pub fn is_beyond(&self, proof: &Proof) -> bool {
        (self.link.written(), self.link.synced()) != (proof.written, proof.synced)
    }

    /// Whether so much waits to be written that no more should be taken.
    pub fn is_behind(&self) -> bool {
        self.behind_bytes + self.group.len() > JOURNAL_BEHIND_BYTES
    }

    /// Whether everything recorded is on disk.
    pub fn is_done(&mut self) -> bool {
        self.group.len() == GROUP_HEADER_BYTES && self.proof().synced >= self.handed_on
    }

    fn is_owed(&self) -> bool {
        self.owed_at.is_some_and(|at| at <= self.now)
    }

    fn end(&mut self, at: usize, urgency: Urgency) -> Position {
        end_record(&mut self.group, at);
        self.last = at;
        self.wait_for(urgency);
        if self.at.offset() as usize + padded(self.group.len()) > self.segment_bytes as usize {
            self.turn_segment(urgency);
        }
        self.position(self.last)
    }

    /// Of a record in the group that forms.
    fn wait_for(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(urgency);
        if matches!(urgency, Urgency::Loose | Urgency::Lazy) {
            self.lazy_at.get_or_insert(self.now + LAZY_NS);
        }
        if urgency == Urgency::Lazy {
            self.owed_at.get_or_insert(self.now + LAZY_NS);
        }
    }

    fn position(&self, in_group: usize) -> Position {
        Position::new(self.at.segment(), self.at.offset() + in_group as u32)
    }

    /// The last record does not fit into the segment: it opens the next one, which is made for its size.
    fn turn_segment(&mut self, urgency: Urgency) {
        if self.last == GROUP_HEADER_BYTES && self.at.offset() == GROUPS_AT {
            return;
        }
        let record = self.group.split_off(self.last);
        let next = Position::new(self.at.segment() + 1, GROUPS_AT);
        self.hand_on();
        self.at = next;
        self.group.extend_from_slice(&record);
        self.last = GROUP_HEADER_BYTES;
        self.wait_for(urgency);
    }

    fn hand_on(&mut self) {
        let len = self.group.len();
        if len == GROUP_HEADER_BYTES {
            return;
        }
        let mut next = self.link.take_buffer().unwrap_or_default();
        next.clear();
        next.resize(GROUP_HEADER_BYTES, 0);
        let bytes = std::mem::replace(&mut self.group, next);
        let end = Position::new(self.at.segment(), self.at.offset() + padded(len) as u32);
        let sync = matches!(self.urgency, Urgency::Sync | Urgency::Lazy) || self.is_owed();
        self.ready.push_back(Group { bytes, at: self.at, end, sync, free_before: self.free_before });
        self.under_way.push_back((end, len));
        self.handed_on = end;
        self.behind_bytes += len;
        (self.at, self.last, self.urgency, self.lazy_at) = (end, 0, Urgency::Aside, None);
        if sync {
            self.owed_at = None;
        }
        self.send_ready();
    }

    fn send_ready(&mut self) {
        let waiting = self.ready.len();
        while let Some(group) = self.ready.pop_front() {
            if let Err(group) = self.link.try_send(group) {
                self.ready.push_front(group);
                break;
            }
        }
        // Called after every batch: who has been given nothing new has nothing to wake for.
        if self.ready.len() < waiting {
            self.link.wake();
        }
    }
}

/// Kinds and bodies of a group's records, as a reader would find them.
#[cfg(test)]
pub(crate) fn records_of(group: &Group) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut records) = (GROUP_HEADER_BYTES, Vec::new());
    while at < group.bytes.len() {
        let body = at + RECORD_HEADER_BYTES;
        let end = body + body_len(&group.bytes, at);
        records.push((group.bytes[at + 4], group.bytes[body..end].to_vec()));
        at = end.next_multiple_of(8);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_flusher_is_woken_for_a_group_and_not_for_a_batch_without_one() {
        let (link, wakes) = (Arc::new(Link::for_tests()), Arc::new(Wakes::default()));
        let mut journal = Journal::new(link.clone(), 1, 1 << 20);
        assert!(link.park(&Waker::from(wakes.clone()), true));
        journal.flush();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "nothing was recorded");
        journal.record(1, Urgency::Sync, |body| body.push(7));
        journal.flush();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(link.take_group().is_some());
        assert!(link.park(&Waker::from(wakes.clone()), true));
        journal.flush();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "what was given is taken");
    }

    #[test]
    fn what_is_to_be_on_disk_in_time_is_so_beside_groups_that_are_only_written() {
        let link = Arc::new(Link::for_tests());
        let mut journal = Journal::new(link.clone(), 1, 1 << 20);
        let syncs = |journal: &mut Journal| {
            journal.flush();
            link.take_group().map(|group| group.sync)
        };
        journal.record(1, Urgency::Loose, |body| body.push(7));
        assert_eq!(syncs(&mut journal), None, "nobody waits");
        journal.now = LAZY_NS;
        assert_eq!(syncs(&mut journal), Some(false), "written is enough");
        journal.record(1, Urgency::Lazy, |body| body.push(7));
        journal.record(1, Urgency::Write, |body| body.push(7));
        assert_eq!(syncs(&mut journal), Some(false), "somebody waits for it to be written");
        assert_eq!(journal.next_at(), Some(2 * LAZY_NS), "and it is to be synced by then");
        assert_eq!(syncs(&mut journal), None);
        journal.now = 2 * LAZY_NS;
        assert_eq!(syncs(&mut journal), Some(true));
        assert_eq!((syncs(&mut journal), journal.next_at()), (None, None));
    }
}
