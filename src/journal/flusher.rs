//! The flusher of a journal: brings groups to disk in the order in which they come, on a thread of its own.
//!
//! ```text
//! step:  sync due?  -> fdatasync, publish `synced`, free segments
//!        groups?    -> seal, one write per segment, publish `written`
//!        else       -> stamp the segment, make the next one ahead
//! ```
//! One step does one of these, the first that there is to do; groups that come while it syncs are the next write. A
//! write or sync that fails is final: what the kernel then has of a page is unknown, and a second sync may succeed
//! without it.

mod folder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::layout::{self, GROUPS_AT, STAMP_AT, Stamp};
use super::link::{Group, Link};
use super::position::Position;
use crate::budget::DiskFloor;
use crate::limits::{
    JOURNAL_SPACE_LOOK_NS, JOURNAL_STAMP_AFTER_NS, JOURNAL_WRITE_BYTES, JOURNAL_ZERO_AHEAD_BYTES,
    JOURNAL_ZERO_BYTES, JOURNAL_ZERO_WORTH_BYTES,
};
use folder::Folder;

pub struct FlusherConfig {
    /// The journal's folder, from the store's root. Made if need be.
    pub dir: String,
    /// A number drawn when the journal was first made.
    pub journal: u64,
    /// Size of a segment; one group that needs more gets a segment of its own size.
    pub segment_bytes: u32,
    /// Free bytes of the disk below which `low_on_disk` is set; it is cleared at 10 % above.
    pub disk_free_min: DiskFloor,
}

/// What could not be done. Nothing is written after it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub operation: &'static str,
    pub path: String,
    pub error: Arc<io::Error>,
}

/// Lives on: the flusher's thread of its shard.
pub struct Flusher<D: Disk> {
    folder: Folder<D>,
    link: Arc<Link>,
    disk_free_min: DiskFloor,
    current: Option<Current<D::File>>,
    /// Taken from the ring and not yet written.
    taken: VecDeque<Group>,
    previous: u32,
    written: Position,
    synced: Position,
    stamped: Position,
    sync_due: bool,
    /// So little was written last that most of the time goes into the file system's own records.
    writes_little: bool,
    /// Segments with lower numbers go with the next sync; 0: none.
    free_before: u32,
    low: bool,
    /// A segment could not be made for want of room: when to try again.
    no_room_until: Option<u64>,
    look_at: u64,
    stamp_at: u64,
    failed: Option<Failure>,
}

/// The segment that is written.
struct Current<F> {
    segment: u32,
    path: String,
    file: F,
    /// Up to where it was written before, with zeros or in an earlier life.
    zeroed: u64,
}

impl<D: Disk> Flusher<D> {
    /// `first_segment` has never been used (`Scan::next_segment`); the first group is to be at its offset `GROUPS_AT`.
    pub fn new(disk: D, config: FlusherConfig, first_segment: u32, link: Arc<Link>) -> Flusher<D> {
        assert!(first_segment > 0, "segments are counted from one");
        assert!((config.segment_bytes as usize).is_multiple_of(layout::GROUP_ALIGN));
        assert!(config.segment_bytes > GROUPS_AT, "a segment has room for a group");
        let recovered = link.synced();
        Flusher {
            folder: Folder::new(
                disk,
                config.dir,
                config.journal,
                config.segment_bytes,
                first_segment,
                recovered,
            ),
            disk_free_min: config.disk_free_min,
            current: None,
            taken: VecDeque::new(),
            previous: 0,
            written: link.written(),
            synced: recovered,
            stamped: recovered,
            sync_due: false,
            writes_little: false,
            free_before: 0,
            low: false,
            no_room_until: None,
            look_at: 0,
            stamp_at: 0,
            failed: None,
            link,
        }
    }

    /// Does one thing; false if there is nothing to do. `now` is in ns and monotonic.
    ///
    /// After a failure every step answers it.
    pub fn step(&mut self, now: u64) -> Result<bool, Failure> {
        self.failing(|flusher| flusher.work(now))
    }

    /// At a clean stop: writes and syncs what there is, and stamps the segment. Groups for which the disk has no room
    /// are left; nobody was told that they are written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.failing(|flusher| {
            flusher.no_room_until = None;
            while flusher.sync_due || flusher.write(0)? {
                flusher.sync()?;
            }
            flusher.stamp()?;
            flusher.sync_due = true;
            flusher.sync()
        })
    }

    /// Whether it holds groups that the disk has no room for.
    pub fn waits_for_room(&self) -> bool {
        self.no_room_until.is_some()
    }

    fn failing<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        let done = work(self);
        self.failed = done.as_ref().err().cloned();
        done
    }

    fn work(&mut self, now: u64) -> Result<bool, Failure> {
        self.look_at_room(now);
        if self.sync_due {
            self.sync()?;
            return Ok(true);
        }
        if self.write(now)? {
            self.stamp_at = now + JOURNAL_STAMP_AFTER_NS;
            return Ok(true);
        }
        self.rest(now)
    }

    /// Writes the groups at the front that lie in one segment; false if there are none, or no room for the segment.
    fn write(&mut self, now: u64) -> Result<bool, Failure> {
        self.take();
        let Some(first) = self.taken.front() else { return Ok(false) };
        let segment = first.at.segment();
        if !self.turn_to(segment, u64::from(first.end.offset()), now)? {
            return Ok(false);
        }
        let count = self.taken.iter().take_while(|group| group.at.segment() == segment).count();
        let from = self.seal(count);
        let slices: Vec<_> = self.taken.iter().take(count).map(|group| IoSlice::new(&group.bytes)).collect();
        let current = self.current.as_ref().expect("the segment was turned to");
        let done = self.folder.disk.write_at(&current.file, u64::from(from), &slices);
        done.map_err(failed("write", &current.path))?;
        let bytes: usize = self.taken.iter().take(count).map(|group| group.bytes.len()).sum();
        self.writes_little = bytes <= JOURNAL_ZERO_WORTH_BYTES;
        for group in self.taken.drain(..count) {
            assert!(group.free_before <= segment, "what is written is not freed");
            self.written = group.end;
            self.free_before = self.free_before.max(group.free_before);
            self.sync_due |= group.sync || group.free_before > 0;
            self.link.give_back(group.bytes);
        }
        self.link.publish_written(self.written);
        Ok(true)
    }

    fn take(&mut self) {
        let mut bytes: usize = self.taken.iter().map(|group| group.bytes.len()).sum();
        while bytes < JOURNAL_WRITE_BYTES {
            let Some(group) = self.link.take_group() else { return };
            bytes += group.bytes.len();
            self.taken.push_back(group);
        }
    }

    /// Seals the groups at the front; answers the offset of the first.
    fn seal(&mut self, count: usize) -> u32 {
        let from = self.taken[0].at;
        let mut at = from;
        for group in self.taken.iter_mut().take(count) {
            assert_eq!(group.at, at, "groups follow one another without a gap");
            self.previous =
                layout::seal(&mut group.bytes, at, self.folder.journal, self.previous, self.synced);
            at = Position::new(at.segment(), at.offset() + group.bytes.len() as u32);
            assert_eq!(group.end, at, "the shard counts the padding too");
        }
        from.offset()
    }

    /// Makes that segment the current one, all before it being synced; false if the disk has no room for it.
    fn turn_to(&mut self, segment: u32, bytes: u64, now: u64) -> Result<bool, Failure> {
        if self.current.as_ref().is_some_and(|current| current.segment == segment) {
            return Ok(true);
        }
        if self.no_room_until.is_some_and(|at| now < at) {
            return Ok(false);
        }
        let expected = self.current.as_ref().map_or(self.folder.first, |current| current.segment + 1);
        assert_eq!(segment, expected, "segments follow one another");
        self.sync()?;
        let made = self.folder.begin(segment, self.previous, bytes);
        self.no_room_until = match made {
            Ok((file, zeroed)) => {
                assert!(self.taken.front().is_some_and(|group| group.at.offset() == GROUPS_AT));
                self.current = Some(Current { segment, path: self.folder.path_of(segment), file, zeroed });
                None
            }
            Err(failure) if failure.is_no_room() => Some(now + JOURNAL_SPACE_LOOK_NS),
            Err(failure) => return Err(failure),
        };
        self.look_at = 0;
        self.look_at_room(now);
        Ok(self.no_room_until.is_none())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        if let Some(current) = &self.current
            && (self.synced < self.written || self.sync_due)
        {
            self.folder.disk.sync(&current.file).map_err(failed("fdatasync", &current.path))?;
            self.synced = self.written;
            self.link.publish_synced(self.synced);
        }
        self.sync_due = false;
        match std::mem::take(&mut self.free_before) {
            0 => Ok(()),
            before => self.folder.free(before),
        }
    }

    /// Writes down up to where all is synced. It does not count until a later sync, and until then nothing relies on it.
    fn stamp(&mut self) -> Result<(), Failure> {
        let Some(current) = self.current.as_ref().filter(|_| self.stamped < self.synced) else {
            return Ok(());
        };
        let stamp =
            Stamp { journal: self.folder.journal, segment: current.segment, synced: self.synced }.to_page();
        let done = self.folder.disk.write_at(&current.file, STAMP_AT, &[IoSlice::new(&stamp)]);
        done.map_err(failed("write", &current.path))?;
        self.stamped = self.synced;
        Ok(())
    }

    /// Writes zeros in front of the next groups, if little is left that was written before.
    fn zero_ahead(&mut self) -> Result<bool, Failure> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let written = u64::from(self.written.offset());
        let from = current.zeroed.max(written);
        if self.written.segment() != current.segment
            || from >= (written + JOURNAL_ZERO_AHEAD_BYTES / 2).min(self.folder.segment_bytes())
        {
            return Ok(false);
        }
        let to = self.folder.segment_bytes().min(from + JOURNAL_ZERO_BYTES);
        self.folder.zero(&current.file, &current.path, from..to)?;
        current.zeroed = to;
        Ok(true)
    }

    /// A server that is hardly used takes no room ahead.
    fn make_ahead(&mut self, zeroed: bool) -> Result<bool, Failure> {
        let is_early = u64::from(self.written.offset()) < self.folder.segment_bytes() / 2;
        if self.current.is_none() || is_early { Ok(false) } else { self.folder.make_ahead(zeroed) }
    }

    /// What can be done while nobody waits.
    fn rest(&mut self, now: u64) -> Result<bool, Failure> {
        let is_idle = now >= self.stamp_at;
        if self.stamped < self.synced && is_idle {
            self.stamp()?;
            return Ok(true);
        }
        if self.low {
            return Ok(false);
        }
        // Zeros are a second write of everything. They pay where little is written at a time, and where nobody waits.
        let zeroes = is_idle || self.writes_little;
        let ahead = if zeroes { self.zero_ahead() } else { Ok(false) };
        match ahead.and_then(|done| if done { Ok(true) } else { self.make_ahead(zeroes) }) {
            Err(failure) if failure.is_no_room() => {
                self.set_low(true);
                Ok(false)
            }
            done => done,
        }
    }

    fn look_at_room(&mut self, now: u64) {
        if now < self.look_at {
            return;
        }
        self.look_at = now + JOURNAL_SPACE_LOOK_NS;
        // Who cannot say how much is free still finds out when a segment cannot be made.
        if let Ok(free) = self.folder.disk.free_bytes() {
            let least = self.disk_free_min.bytes();
            let margin = if self.low { least / 10 } else { 0 };
            let enough = least.saturating_add(margin);
            self.set_low(free < enough || self.no_room_until.is_some());
        } else if self.no_room_until.is_some() {
            self.set_low(true);
        }
    }

    fn set_low(&mut self, low: bool) {
        self.low = low;
        self.link.publish_low_on_disk(low);
    }
}

impl Failure {
    pub fn new(operation: &'static str, path: &str, error: io::Error) -> Failure {
        Failure { operation, path: path.to_owned(), error: Arc::new(error) }
    }

    /// Whether it is for want of room on the disk.
    pub fn is_no_room(&self) -> bool {
        matches!(self.error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.path, self.error)
    }
}

impl std::error::Error for Failure {}

/// Names what failed.
fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure { operation, path: path.to_owned(), error: Arc::new(error) }
}

/// The flusher's thread. `notify` is called when written or synced moved; the loop ends when the link says stop and what
/// it holds is written, or after a failure.
pub fn run<D: Disk>(mut flusher: Flusher<D>, notify: impl Fn(), on_failure: impl FnOnce(Failure)) {
    let (link, begin) = (flusher.link.clone(), Instant::now());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let stepped = loop {
        let before = (link.written(), link.synced(), link.low_on_disk());
        let stopping = link.is_stopping();
        let now = begin.elapsed().as_nanos() as u64;
        let done = if stopping { flusher.finish().map(|()| false) } else { flusher.step(now) };
        if before != (link.written(), link.synced(), link.low_on_disk()) {
            notify();
        }
        match done {
            Err(failure) => break Err(failure),
            Ok(_) if stopping => break Ok(()),
            Ok(true) => {}
            Ok(false) => {
                if link.park(&waker, !flusher.waits_for_room()) {
                    thread::park_timeout(Duration::from_nanos(JOURNAL_SPACE_LOOK_NS));
                }
            }
        }
    };
    if let Err(failure) = stepped {
        on_failure(failure);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
