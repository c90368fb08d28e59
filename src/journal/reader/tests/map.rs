//! A journal as shards write it, and a map of it: what lies where, so that each test knows what damage must cost.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Damage, GROUP_HEADER_BYTES, GROUPS_AT, GroupHeader, PAGE_BYTES, Position, Scan, read_journal};
use crate::ids::QueueUid;
use crate::journal::layout::{RECORD_HEADER_BYTES, STAMP_AT, Stamp};
use crate::journal::memory::{DIR, Dice, Entry, MemoryDisk, Scribe, segment_path};
use crate::journal::record::{self, Place, kind};

/// A journal of one process that was killed, everything synced.
pub struct Map {
    pub disk: MemoryDisk,
    pub entries: Vec<Entry>,
    pub groups: Vec<Mapped>,
    /// What the stamp of a segment says.
    pub stamps: BTreeMap<u32, Position>,
    pub end: Position,
    pub segment_bytes: u32,
}

pub struct Mapped {
    pub header: GroupHeader,
    /// Its records, by index.
    pub entries: Range<usize>,
}

/// What a byte of a segment belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spot {
    Header,
    Stamp,
    Group(usize),
    Record(usize),
    /// Padding, or never written.
    Nothing,
}

impl Map {
    /// Its oldest segments are freed, so that those from `segments.start` to before `segments.end` are there.
    pub fn draw(seed: u64, segment_bytes: u32, sizes: &[usize], segments: Range<u32>) -> Map {
        let disk = MemoryDisk::default();
        let mut scribe = Scribe::sized(&disk, &Scan { next_segment: 1, ..Scan::default() }, segment_bytes);
        let mut dice = Dice(seed);
        // The last segment is to be half full.
        while scribe.next < Position::new(segments.end - 1, segment_bytes / 2) {
            for _ in 0..1 + dice.roll(9) * dice.roll(2) {
                draw_record(&mut scribe, &mut dice, sizes);
            }
            scribe.send_freeing(true, segments.start.min(scribe.next.segment()));
            scribe.settle().expect("the disk is well");
            if dice.roll(8) == 0 {
                // It rests, and stamps.
                scribe.now += 1_000_000_000;
                scribe.settle().expect("the disk is well");
            }
        }
        assert_eq!(scribe.next.segment(), segments.end - 1);
        scribe.entries.retain(|entry| entry.at.segment() >= segments.start);
        Map::of(disk, scribe.entries, scribe.next, segments, segment_bytes)
    }

    fn of(disk: MemoryDisk, entries: Vec<Entry>, end: Position, segments: Range<u32>, bytes: u32) -> Map {
        let mut map =
            Map { disk, entries, groups: Vec::new(), stamps: BTreeMap::new(), end, segment_bytes: bytes };
        for segment in segments {
            let bytes = map.disk.rot(&segment_path(segment), |bytes| bytes.clone());
            if let Some(stamp) = Stamp::read(&bytes[STAMP_AT as usize..]).filter(|s| s.segment == segment) {
                map.stamps.insert(segment, stamp.synced);
            }
            let mut at = Position::new(segment, GROUPS_AT);
            while let Some(header) =
                bytes.get(at.offset() as usize..).and_then(|bytes| GroupHeader::read(bytes, at))
            {
                let to = Position::new(segment, header.end() as u32);
                let range = map.index(header.at)..map.index(to);
                map.groups.push(Mapped { header, entries: range });
                at = to;
            }
        }
        map
    }

    /// Of the first record at or behind `at`.
    pub fn index(&self, at: Position) -> usize {
        self.entries.partition_point(|entry| entry.at < at)
    }

    pub fn group_of(&self, entry: usize) -> &Mapped {
        let behind = self.groups.partition_point(|group| group.header.at <= self.entries[entry].at);
        &self.groups[behind - 1]
    }

    pub fn spot(&self, at: Position) -> Spot {
        if at.offset() < GROUPS_AT {
            let within = at.offset() as usize % PAGE_BYTES;
            return match at.offset() as usize / PAGE_BYTES {
                0 => Spot::Header,
                _ if within < STAMP_BYTES && self.stamps.contains_key(&at.segment()) => Spot::Stamp,
                _ => Spot::Nothing,
            };
        }
        let group = self.groups.iter().position(|group| {
            let from = group.header.at;
            (from..Position::new(from.segment(), from.offset() + GROUP_HEADER_BYTES as u32)).contains(&at)
        });
        let entry = self.entries.partition_point(|entry| entry.at <= at).checked_sub(1);
        match (group, entry.filter(|&entry| at < end_of(&self.entries[entry]))) {
            (Some(group), _) => Spot::Group(group),
            (None, Some(entry)) => Spot::Record(entry),
            (None, None) => Spot::Nothing,
        }
    }

    /// Up to where something says that all was synced, of what `counts`.
    pub fn claim(&self, counts: impl Fn(Position) -> bool) -> Position {
        let stamps = self.stamps.iter().map(|(&segment, &synced)| (Position::new(segment, 4096), synced));
        let groups = self.groups.iter().map(|group| (group.header.at, group.header.synced));
        let claims = stamps.chain(groups).filter(|&(at, _)| counts(at));
        claims.map(|(_, synced)| synced).max().unwrap_or_default()
    }

    pub fn flip(&self, at: Position, bit: u8) {
        self.disk.rot(&segment_path(at.segment()), |bytes| bytes[at.offset() as usize] ^= 1 << bit);
    }
}

/// Behind its last byte.
pub fn end_of(entry: &Entry) -> Position {
    let bytes = (RECORD_HEADER_BYTES + entry.body.len()) as u32;
    Position::new(entry.at.segment(), entry.at.offset() + bytes)
}

/// Reads the journal; panics if it serves anything but `expected`, in that order.
pub fn serves<'a>(
    disk: &MemoryDisk,
    expected: impl IntoIterator<Item = &'a Entry>,
    place: impl Fn() -> String,
) -> Scan {
    let mut expected = expected.into_iter();
    let scan = read_journal(disk, DIR, &mut |at, kind, body| {
        let due = expected.next();
        let is_due = due.is_some_and(|due| (due.at, due.kind, &due.body[..]) == (at, kind, body));
        assert!(is_due, "{}: {at} was served, {due:?} is due", place());
    });
    let due = expected.next();
    assert!(due.is_none(), "{}: {due:?} was not served", place());
    scan.unwrap_or_else(|error| panic!("{}: {error}", place()))
}

/// Whether a damaged range covers all of it that lies before `file_end`, where its segment's file ends.
pub fn is_named(damage: &[Damage], entry: &Entry, file_end: Position) -> bool {
    let end = end_of(entry).min(file_end);
    damage.iter().any(|range| range.from <= entry.at && end <= range.to)
}

/// What comes after a journal was read: a process goes on with it and is killed, and both parts are read.
pub fn goes_on(
    disk: &MemoryDisk,
    scan: &Scan,
    segment_bytes: u32,
    served: &[Entry],
    place: impl Fn() -> String,
) {
    let disk = disk.copy();
    let mut next = Scribe::sized(&disk, scan, segment_bytes);
    let mut dice = Dice(scan.end.as_u64());
    for _ in 0..2 {
        draw_record(&mut next, &mut dice, &[300]);
        next.send(true);
    }
    next.settle().expect("the disk is well");
    serves(&disk, served.iter().chain(&next.entries), || format!("{}, gone on", place()));
}

/// Any of the records that a shard makes, as it makes them; `sizes` of bodies of messages are about these.
pub fn draw_record(scribe: &mut Scribe, dice: &mut Dice, sizes: &[usize]) {
    let (queue, sequence) = (QueueUid(1 + dice.next() % 3), dice.next() % 1_000);
    let place = Place { queue, sequence, returns: dice.next() as u16, letter: false, redelivered: true };
    let tx = dice.next() % 2;
    let mut body = Vec::new();
    let kind = match dice.roll(12) {
        0 => {
            record::put_place_of(&mut body, tx, scribe.next);
            record::put_place(&mut body, &place);
            kind::PLACE
        }
        1 => {
            (0..dice.roll(5)).for_each(|n| record::put_settlement(&mut body, queue, n as u64));
            kind::SETTLED
        }
        2 => {
            record::put_place(&mut body, &place);
            kind::RETURNED
        }
        3 => {
            record::put_tx(&mut body, tx);
            record::put_settlement(&mut body, queue, sequence);
            kind::COMMITTED
        }
        4 => kind::START,
        5 => kind::STOP,
        6 => {
            record::put_journal(&mut body, dice.next());
            kind::ADOPTED
        }
        _ => {
            let len = sizes[dice.roll(sizes.len())] + dice.roll(16);
            let content: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
            record::put_message(&mut body, tx, dice.next(), b"\x01e\x01k", &framed(&content));
            record::put_place(&mut body, &place);
            kind::MESSAGE
        }
    };
    scribe.record(kind, &body);
}

/// A content header without properties, and a body.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frames = vec![2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0];
    frames.extend_from_slice(&(body.len() as u64).to_be_bytes());
    frames.extend_from_slice(&[0, 0, 0xCE, 3, 0, 1]);
    frames.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frames.extend_from_slice(body);
    frames.push(0xCE);
    frames
}

/// Of a stamp, what is checked.
pub const STAMP_BYTES: usize = 32;
