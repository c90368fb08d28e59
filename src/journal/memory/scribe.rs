//! Writes a journal as a shard does, and remembers what it wrote.

use std::fmt;
use std::sync::Arc;

use super::{DIR, Dice, JOURNAL, MemoryDisk, SEGMENT_BYTES};
use crate::budget::DiskFloor;
use crate::journal::layout::{GROUP_HEADER_BYTES, GROUPS_AT, begin_record, end_record, padded, segment_name};
use crate::journal::reader::{Scan, read_journal};
use crate::journal::{Failure, Flusher, FlusherConfig, Group, Link, Position};

/// What the reader says of a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Position,
    pub kind: u8,
    pub body: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.at, self.body.len())
    }
}

/// Writes records as a shard does and remembers them.
pub struct Scribe {
    pub link: Arc<Link>,
    pub flusher: Flusher<MemoryDisk>,
    pub entries: Vec<Entry>,
    pub now: u64,
    pub next: Position,
    segment_bytes: u32,
    group: Vec<u8>,
    pending: Vec<Entry>,
}

impl Scribe {
    /// Goes on behind what was read.
    pub fn after(disk: &MemoryDisk, scan: &Scan) -> Scribe {
        Scribe::sized(disk, scan, SEGMENT_BYTES)
    }

    pub fn sized(disk: &MemoryDisk, scan: &Scan, segment_bytes: u32) -> Scribe {
        let link = Arc::new(Link::new(scan.end));
        let config = FlusherConfig {
            dir: DIR.to_owned(),
            journal: scan.journal.unwrap_or(JOURNAL),
            segment_bytes,
            disk_free_min: DiskFloor::default(),
        };
        Scribe {
            flusher: Flusher::new(disk.clone(), config, scan.next_segment, link.clone()),
            link,
            entries: Vec::new(),
            now: 0,
            next: Position::new(scan.next_segment, GROUPS_AT),
            segment_bytes,
            group: vec![0; GROUP_HEADER_BYTES],
            pending: Vec::new(),
        }
    }

    pub fn new(disk: &MemoryDisk) -> Scribe {
        Scribe::after(disk, &Scan { next_segment: 1, ..Scan::default() })
    }

    pub fn record(&mut self, kind: u8, body: &[u8]) {
        let at = begin_record(&mut self.group, kind);
        self.group.extend_from_slice(body);
        end_record(&mut self.group, at);
        self.pending.push(Entry { at: Position::new(0, at as u32), kind, body: body.to_vec() });
    }

    pub fn send(&mut self, sync: bool) {
        self.send_freeing(sync, 0);
    }

    pub fn send_freeing(&mut self, sync: bool, free_before: u32) {
        let bytes = std::mem::replace(&mut self.group, vec![0; GROUP_HEADER_BYTES]);
        let need = padded(bytes.len()) as u32;
        if self.next.offset() > GROUPS_AT && self.next.offset() + need > self.segment_bytes {
            self.next = Position::new(self.next.segment() + 1, GROUPS_AT);
        }
        let at = self.next;
        self.next = Position::new(at.segment(), at.offset() + need);
        for mut entry in self.pending.drain(..) {
            entry.at = Position::new(at.segment(), at.offset() + entry.at.offset());
            self.entries.push(entry);
        }
        let group = Group { bytes, at, end: self.next, sync, free_before };
        self.link.try_send(group).expect("the ring has room");
    }

    /// A group of drawn records.
    pub fn scribble(&mut self, dice: &mut Dice, sync: bool) {
        for _ in 0..1 + dice.roll(6) {
            let len = [0, 1, 7, 100, 1000, 5000][dice.roll(6)] + dice.roll(9);
            let (kind, fill) = (dice.next() as u8, dice.next() as u8);
            self.record(kind, &vec![fill; len]);
        }
        self.send(sync);
    }

    /// Steps until there is nothing to do.
    pub fn settle(&mut self) -> Result<(), Failure> {
        while self.step()? {}
        Ok(())
    }

    pub fn step(&mut self) -> Result<bool, Failure> {
        self.now += 1_000_000;
        self.flusher.step(self.now)
    }

    /// What is behind no position but this.
    pub fn entries_before(&self, position: Position) -> &[Entry] {
        let count = self.entries.iter().take_while(|entry| entry.at < position).count();
        &self.entries[..count]
    }
}

pub fn read(disk: &MemoryDisk) -> (Vec<Entry>, Scan) {
    let mut entries = Vec::new();
    let scan = read_journal(disk, DIR, &mut |at, kind, body| {
        entries.push(Entry { at, kind, body: body.to_vec() });
    });
    (entries, scan.expect("the disk can be read"))
}

pub fn segment_path(segment: u32) -> String {
    format!("{DIR}/{}", segment_name(segment))
}
