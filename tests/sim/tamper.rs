//! Bugs of a server that keeps, forgets or reads its log otherwise, planted in the log between two servers.
//!
//! What is changed is sealed again, so that a reader finds nothing to complain of.

use std::collections::{BTreeMap, BTreeSet};

use haremq::journal::layout::{
    GROUPS_AT, GroupHeader, PAGE_BYTES, RECORD_HEADER_BYTES, STAMP_AT, padded, seal, segment_of,
};
use haremq::journal::record::{Record, kind};
use haremq::journal::{Disk, Position};

use crate::dice::Dice;
use crate::disk::SimDisk;
use crate::faults::Fault;

/// The sound groups of one journal, in their order.
struct Log<'a> {
    disk: &'a SimDisk,
    /// By number.
    segments: BTreeMap<u32, (String, Vec<u8>)>,
    groups: Vec<GroupHeader>,
    changed: bool,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Spot {
    group: usize,
    segment: u32,
    offset: usize,
    kind: u8,
    len: usize,
}

pub fn tamper(disk: &SimDisk, fault: Fault, dice: &mut Dice) {
    let folders = disk.list("").unwrap_or_default();
    for dir in folders.iter().filter(|dir| dir.starts_with("journal-") || *dir == "topology") {
        let mut log = Log::read(disk, dir);
        if log.groups.is_empty() {
            continue;
        }
        if dir == "topology" {
            if fault == Fault::DeletedReturns {
                log.strike(TOPOLOGY_QUEUE_DELETED);
            }
        } else {
            log.tamper(fault, dice);
        }
        log.write();
    }
}

impl<'a> Log<'a> {
    fn read(disk: &'a SimDisk, dir: &str) -> Log<'a> {
        let names = disk.list(dir).unwrap_or_default();
        let segments = names.iter().filter_map(|name| {
            let path = format!("{dir}/{name}");
            Some((segment_of(name)?, (path.clone(), disk.content(&path))))
        });
        let mut log = Log { disk, segments: segments.collect(), groups: Vec::new(), changed: false };
        let mut before = None;
        for (&segment, (_, bytes)) in &log.segments {
            let mut offset = GROUPS_AT as usize;
            while let Some(rest) = bytes.get(offset..)
                && let Some(group) = GroupHeader::read(rest, Position::new(segment, offset as u32))
                && group.end() <= bytes.len()
                && (group.previous == 0 || before.is_none_or(|before| before == group.previous))
            {
                (before, offset) = (Some(group.crc), group.end());
                log.groups.push(group);
            }
        }
        log
    }

    fn tamper(&mut self, fault: Fault, dice: &mut Dice) {
        match fault {
            Fault::CutOneGroup => self.cut(),
            Fault::FreedEarly => self.free_early(),
            Fault::StaleGroup => self.append_stale(dice),
            Fault::TxWithoutCommit => {
                self.strike(kind::COMMITTED);
                for spot in self.spots() {
                    if matches!(spot.kind, kind::MESSAGE | kind::PLACE) {
                        self.body_mut(spot)[..8].fill(0);
                    }
                }
            }
            Fault::TxInPart => {
                let in_tx = |log: &Log<'_>, spot: &Spot| spot.kind == kind::MESSAGE && log.tx(*spot) != 0;
                self.strike_one(dice, in_tx);
            }
            Fault::GapInRow => self.strike_one(dice, |_, spot| spot.kind == kind::MESSAGE),
            Fault::SettledReturns => self.strike_one(dice, |_, spot| spot.kind == kind::SETTLED),
            Fault::ChecksumIgnored => {
                if let Some(spot) = self.live(dice) {
                    let body = self.body_mut(spot);
                    let end = 24 + u64::from_le_bytes(*body[16..].first_chunk().expect("a message")) as usize;
                    body[end - 1] ^= 1;
                }
            }
            Fault::AckAhead => self.settle_another(dice),
            Fault::SequenceReused => self.reuse_sequence(),
            _ => {}
        }
    }

    fn spots(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let (mut offset, end) = group.records_span();
            let segment = group.at.segment();
            let bytes = &self.segments[&segment].1;
            while offset < end {
                let len = u32::from_le_bytes(*bytes[offset + 8..].first_chunk().expect("a record")) as usize;
                spots.push(Spot { group: number, segment, offset, kind: bytes[offset + 4], len });
                offset += (RECORD_HEADER_BYTES + len).next_multiple_of(8);
            }
        }
        spots
    }

    fn body(&self, spot: Spot) -> &[u8] {
        &self.segments[&spot.segment].1[spot.offset + RECORD_HEADER_BYTES..][..spot.len]
    }

    fn body_mut(&mut self, spot: Spot) -> &mut [u8] {
        self.changed = true;
        let (_, bytes) = self.segments.get_mut(&spot.segment).expect("it was read from there");
        &mut bytes[spot.offset + RECORD_HEADER_BYTES..][..spot.len]
    }

    fn tx(&self, spot: Spot) -> u64 {
        u64::from_le_bytes(*self.body(spot).first_chunk().unwrap_or(&[0; 8]))
    }

    /// The record means nothing any more.
    fn erase(&mut self, spot: Spot) {
        self.changed = true;
        let (_, bytes) = self.segments.get_mut(&spot.segment).expect("it was read from there");
        bytes[spot.offset + 4] = NONSENSE;
    }

    fn strike(&mut self, kind: u8) {
        for spot in self.spots().into_iter().filter(|spot| spot.kind == kind) {
            self.erase(spot);
        }
    }

    fn strike_one(&mut self, dice: &mut Dice, is_it: impl Fn(&Log<'_>, &Spot) -> bool) {
        let spots: Vec<Spot> = self.spots().into_iter().filter(|spot| is_it(self, spot)).collect();
        if let Some(&spot) = dice.pick(&spots) {
            self.erase(spot);
        }
    }

    /// Queue and sequence of each place of a message.
    fn places(&self, spot: Spot) -> Vec<(u64, u64)> {
        match Record::decode(spot.kind, self.body(spot)) {
            Some(Record::Message { places, .. }) => {
                places.iter().map(|place| (place.queue.0, place.sequence)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn settled(&self) -> BTreeSet<(u64, u64)> {
        let mut settled = BTreeSet::new();
        for spot in self.spots() {
            let record = Record::decode(spot.kind, self.body(spot));
            if let Some(Record::Settled(of) | Record::Committed { settled: of, .. }) = record {
                settled.extend(of.iter().map(|(queue, sequence)| (queue.0, sequence)));
            }
        }
        settled
    }

    /// A message that counts.
    fn live(&self, dice: &mut Dice) -> Option<Spot> {
        let settled = self.settled();
        let is_live = |spot: &Spot| {
            spot.kind == kind::MESSAGE
                && self.tx(*spot) == 0
                && self.places(*spot).iter().any(|place| !settled.contains(place))
        };
        let live: Vec<Spot> = self.spots().into_iter().filter(is_live).collect();
        dice.pick(&live).copied()
    }

    /// What settles a message is there, and that message is another.
    fn settle_another(&mut self, dice: &mut Dice) {
        let settles: Vec<Spot> =
            self.spots().into_iter().filter(|spot| spot.kind == kind::SETTLED && spot.len >= 16).collect();
        let Some(live) = self.live(dice) else { return };
        let (Some(&spot), Some(&(queue, sequence))) = (dice.pick(&settles), self.places(live).first()) else {
            return;
        };
        let is_behind = (live.segment, live.offset) < (spot.segment, spot.offset);
        if is_behind {
            let body = self.body_mut(spot);
            body[..8].copy_from_slice(&queue.to_le_bytes());
            body[8..16].copy_from_slice(&sequence.to_le_bytes());
        }
    }

    /// A queue's first message since a start has the number of one that was there before.
    fn reuse_sequence(&mut self) {
        let settled = self.settled();
        let mut before: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        let mut life = 0;
        let mut group = usize::MAX;
        for spot in self.spots() {
            if spot.group != group {
                group = spot.group;
                life += u32::from(self.groups[group].previous == 0);
            }
            let [(queue, sequence)] = self.places(spot)[..] else { continue };
            if settled.contains(&(queue, sequence)) {
                continue;
            }
            match before.get(&queue) {
                Some(&(of, earlier)) if of < life => {
                    let at = spot.len - 12;
                    self.body_mut(spot)[at..at + 8].copy_from_slice(&earlier.to_le_bytes());
                    return;
                }
                _ => drop(before.insert(queue, (life, sequence))),
            }
        }
    }

    /// The last group counts as torn.
    fn cut(&mut self) {
        let Some(group) = self.groups.pop() else { return };
        let (_, bytes) = self.segments.get_mut(&group.at.segment()).expect("it was read from there");
        let at = group.at.offset() as usize;
        bytes[at..at + PAGE_BYTES].fill(0);
        for (_, bytes) in self.segments.values_mut() {
            if bytes.len() >= STAMP_AT as usize + PAGE_BYTES {
                bytes[STAMP_AT as usize..][..PAGE_BYTES].fill(0);
            }
        }
        self.changed = true;
    }

    fn free_early(&mut self) {
        if self.segments.len() > 1
            && let Some((_, (path, _))) = self.segments.pop_first()
        {
            self.disk.lose(&path);
            self.groups.clear();
        }
    }

    /// What an earlier life of the file left behind the last group counts as its continuation.
    fn append_stale(&mut self, dice: &mut Dice) {
        let Some(last) = self.groups.last().copied() else { return };
        let Some(stale) = dice.pick(&self.groups[..self.groups.len() - 1]).copied() else { return };
        let from = &self.segments[&stale.at.segment()].1;
        let mut group = from[stale.at.offset() as usize..][..stale.bytes as usize].to_vec();
        let at = Position::new(last.at.segment(), last.end() as u32);
        let (_, bytes) = self.segments.get_mut(&last.at.segment()).expect("it was read from there");
        if last.end() + padded(group.len()) <= bytes.len() {
            seal(&mut group, at, last.journal, last.crc, last.synced);
            bytes[last.end()..][..group.len()].copy_from_slice(&group);
            self.changed = true;
        }
    }

    /// Seals all again.
    fn write(mut self) {
        if !self.changed {
            return;
        }
        let mut previous = 0;
        for group in &self.groups {
            let (_, bytes) = self.segments.get_mut(&group.at.segment()).expect("it was read from there");
            let at = group.at.offset() as usize;
            let mut sealed = bytes[at..at + group.bytes as usize].to_vec();
            let of = if group.previous == 0 { 0 } else { previous };
            previous = seal(&mut sealed, group.at, group.journal, of, group.synced);
            bytes[at..at + sealed.len()].copy_from_slice(&sealed);
        }
        if let Some(last) = self.groups.last() {
            let (_, bytes) = self.segments.get_mut(&last.at.segment()).expect("it was read from there");
            let next = Position::new(last.at.segment(), last.end() as u32);
            if let Some(rest) = bytes.get(last.end()..)
                && let Some(stale) = GroupHeader::read(rest, next)
            {
                let mut sealed = rest[..stale.bytes as usize].to_vec();
                seal(&mut sealed, next, stale.journal, previous, stale.synced);
                bytes[last.end()..][..sealed.len()].copy_from_slice(&sealed);
            }
        }
        for (path, bytes) in self.segments.into_values() {
            self.disk.tamper(&path, |content| *content = bytes);
        }
    }
}

/// No record's kind.
const NONSENSE: u8 = 255;
/// `src/topology/record.rs`
const TOPOLOGY_QUEUE_DELETED: u8 = 33;
