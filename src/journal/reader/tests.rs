mod crashes;
mod cuts;
mod files;
mod flips;
mod map;

use super::*;
use crate::journal::layout::{SegmentHeader, Stamp, seal};
use crate::journal::memory::{
    DIR, Dice, Entry, JOURNAL, MemoryDisk, SEGMENT_BYTES, Scribe, read, segment_path,
};

/// A journal of one process that was killed, everything synced.
fn killed(seed: u64, groups: usize) -> (MemoryDisk, Scribe) {
    let disk = MemoryDisk::default();
    let mut scribe = Scribe::new(&disk);
    let mut dice = Dice(seed);
    for _ in 0..groups {
        scribe.scribble(&mut dice, true);
        scribe.settle().expect("the disk is well");
    }
    (disk, scribe)
}

/// Whether `part` is in `whole`, in its order.
fn is_within(part: &[Entry], whole: &[Entry]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|entry| rest.any(|other| other == entry))
}

/// Starts of the groups, in order.
fn group_starts(disk: &MemoryDisk, last: u32) -> Vec<Position> {
    let mut starts = Vec::new();
    for segment in 1..=last {
        disk.rot(&segment_path(segment), |bytes| {
            let mut at = GROUPS_AT as usize;
            while let Some(group) =
                bytes.get(at..).and_then(|rest| GroupHeader::read(rest, Position::new(segment, at as u32)))
            {
                starts.push(group.at);
                at = group.end();
            }
        });
    }
    starts
}

#[test]
fn what_was_written_is_read_in_order_and_again() {
    for seed in 0..20 {
        let (disk, mut scribe) = killed(seed, 60);
        let (entries, scan) = read(&disk);
        assert_eq!(entries, scribe.entries, "seed {seed}");
        assert!(scan.damage.is_empty() && scan.foreign.is_empty() && scan.cut.is_none(), "{scan:?}");
        assert_eq!((scan.journal, scan.end), (Some(JOURNAL), scribe.next));
        assert_eq!(scan.next_segment, scribe.next.segment() + 1);
        let records: u64 = scan.segments.iter().map(|segment| segment.records).sum();
        let groups: u32 = scan.segments.iter().map(|segment| segment.groups).sum();
        assert_eq!((records, groups), (entries.len() as u64, 60));
        assert_eq!(read(&disk), (entries, scan));
        scribe.flusher.finish().expect("the disk is well");
        assert_eq!(read(&disk).1.cut, None);
    }
}

#[test]
fn after_many_crashes_all_that_was_synced_is_there_and_nothing_else() {
    for seed in 0..500 {
        let mut dice = Dice(seed);
        let disk = MemoryDisk::default();
        let (mut kept, mut freed) = (Vec::<Entry>::new(), 0);
        let mut scan = Scan { next_segment: 1, ..Scan::default() };
        for process in 0..5 {
            let mut scribe = Scribe::after(&disk, &scan);
            for _ in 0..dice.roll(40) {
                act(&mut scribe, &mut dice, &mut freed);
            }
            if dice.roll(4) == 0 {
                scribe.flusher.finish().expect("the disk is well");
            }
            let must = kept.len() + scribe.entries_before(scribe.link.synced()).len();
            kept.extend_from_slice(&scribe.entries);
            disk.crash(&mut dice);
            let (entries, after) = read(&disk);
            let place = format!("seed {seed}, process {process}");
            let begin = entries.first().and_then(|first| kept.iter().position(|entry| entry == first));
            let begin = begin.unwrap_or(kept.len());
            assert!(kept[begin..].starts_with(&entries), "{place}: not what was written");
            let lost = kept[..must].iter().take(begin).find(|entry| entry.at.segment() >= freed);
            assert_eq!(lost, None, "{place}: synced, not freed, and lost");
            assert!(entries.is_empty() || begin + entries.len() >= must, "{place}: synced and lost");
            assert_eq!(after.damage, [], "{place}");
            assert!(after.next_segment >= scan.next_segment, "{place}");
            kept = entries;
            scan = after;
        }
    }
}

/// Something that a shard does.
fn act(scribe: &mut Scribe, dice: &mut Dice, freed: &mut u32) {
    if dice.roll(12) == 0 && scribe.next.offset() > GROUPS_AT {
        *freed = (*freed).max(scribe.next.segment().saturating_sub(dice.roll(3) as u32));
        scribe.record(0, b"these are gone");
        scribe.send_freeing(false, *freed);
    }
    let sync = dice.roll(3) > 0;
    scribe.scribble(dice, sync);
    for _ in 0..dice.roll(4) {
        scribe.step().expect("the disk is well");
    }
    if dice.roll(10) == 0 {
        scribe.now += 1_000_000_000;
        scribe.settle().expect("the disk is well");
    }
    if scribe.link.take_buffer().is_none() {
        scribe.settle().expect("the disk is well");
    }
}

#[test]
fn a_tail_that_was_never_said_to_be_synced_is_cut_in_silence_at_every_byte() {
    let (disk, scribe) = killed(1, 5);
    let path = segment_path(1);
    disk.rot(&path, |bytes| bytes.truncate(scribe.next.offset() as usize));
    let mut count = scribe.entries.len();
    while disk.rot(&path, |bytes| bytes.pop()).is_some() {
        let (entries, scan) = read(&disk);
        assert!(scribe.entries.starts_with(&entries) && entries.len() <= count);
        assert_eq!(scan.damage.iter().filter(|damage| damage.what != Rot::Header).count(), 0);
        count = entries.len();
    }
    assert_eq!(count, 0);
}

#[test]
fn what_a_stamp_says_was_synced_is_missed_at_every_byte() {
    let (disk, mut scribe) = killed(2, 5);
    scribe.flusher.finish().expect("the disk is well");
    let path = segment_path(1);
    disk.rot(&path, |bytes| bytes.truncate(scribe.next.offset() as usize));
    let all = scribe.entries.len();
    for len in (GROUPS_AT as usize..scribe.next.offset() as usize).rev() {
        disk.rot(&path, |bytes| bytes.truncate(len));
        let (entries, scan) = read(&disk);
        assert!(is_within(&entries, &scribe.entries));
        assert_eq!(entries.len() < all, !scan.damage.is_empty(), "{len}");
        assert!(scan.cut.is_none() && (scan.damage.is_empty() || scan.end == scribe.next), "{len}: {scan:?}");
    }
}

#[test]
fn a_flipped_bit_of_the_last_groups_costs_at_most_them() {
    let (disk, scribe) = killed(3, 12);
    let last = scribe.next.segment();
    let starts = group_starts(&disk, last);
    let from = starts[starts.len() - 2];
    assert_eq!(from.segment(), last);
    let before = scribe.entries_before(from);
    for byte in from.offset()..scribe.next.offset() {
        for bit in 0..8 {
            disk.rot(&segment_path(last), |bytes| bytes[byte as usize] ^= 1 << bit);
            let (entries, scan) = read(&disk);
            assert!(entries.starts_with(before) && is_within(&entries, &scribe.entries), "{byte} {bit}");
            assert!(
                scan.damage.is_empty() || entries.len() < scribe.entries.len() || byte < from.offset() + 48
            );
            disk.rot(&segment_path(last), |bytes| bytes[byte as usize] ^= 1 << bit);
        }
    }
}

#[test]
fn a_flipped_bit_of_a_synced_record_costs_that_record() {
    let (disk, scribe) = killed(4, 400);
    let last_start = *group_starts(&disk, scribe.next.segment()).last().expect("groups");
    let synced = scribe.entries_before(last_start).len();
    let mut dice = Dice(4);
    for _ in 0..1000 {
        let hit = dice.roll(synced);
        let entry = &scribe.entries[hit];
        let bit = dice.roll((16 + entry.body.len()) * 8);
        let byte = entry.at.offset() as usize + bit / 8;
        let path = segment_path(entry.at.segment());
        disk.rot(&path, |bytes| bytes[byte] ^= 1 << (bit % 8));
        let (entries, scan) = read(&disk);
        let mut expected = scribe.entries.clone();
        expected.remove(hit);
        assert_eq!(entries, expected, "bit {bit} of record {hit}");
        let end = entry.at.offset() + (16 + entry.body.len() as u32).next_multiple_of(8);
        let to = Position::new(entry.at.segment(), end);
        assert_eq!(scan.damage, [Damage { from: entry.at, to, what: Rot::Records }]);
        assert_eq!(scan.cut, None);
        disk.rot(&path, |bytes| bytes[byte] ^= 1 << (bit % 8));
    }
}

#[test]
fn a_rotten_group_header_is_named_and_its_records_are_read() {
    let (disk, scribe) = killed(5, 100);
    let starts = group_starts(&disk, scribe.next.segment());
    for pair in starts.windows(2) {
        let (at, next) = (pair[0], pair[1]);
        let path = segment_path(at.segment());
        disk.rot(&path, |bytes| bytes[at.offset() as usize + 30] ^= 1);
        let (entries, scan) = read(&disk);
        assert_eq!(entries, scribe.entries, "{at}");
        let [damage] = scan.damage[..] else { panic!("{at}: {:?}", scan.damage) };
        assert_eq!((damage.from, damage.what), (at, Rot::Groups));
        assert!(damage.to == next || damage.to.segment() < next.segment());
        disk.rot(&path, |bytes| bytes[at.offset() as usize + 30] ^= 1);
    }
}

#[test]
fn a_page_that_is_zeroed_or_of_another_place_costs_its_groups() {
    let (disk, scribe) = killed(6, 120);
    let starts = group_starts(&disk, scribe.next.segment());
    let last = *starts.last().expect("groups");
    let mut dice = Dice(6);
    for _ in 0..400 {
        let segment = 1 + dice.roll(last.segment() as usize - 1) as u32;
        let page = 2 + dice.roll(SEGMENT_BYTES as usize / 4096 - 2);
        let source = (1 + dice.roll(last.segment() as usize) as u32, 2 + dice.roll(14));
        let other = disk.rot(&segment_path(source.0), |bytes| bytes[source.1 * 4096..][..4096].to_vec());
        let other = if dice.roll(2) == 0 { vec![0; 4096] } else { other };
        let before = disk.rot(&segment_path(segment), |bytes| {
            let before = bytes[page * 4096..][..4096].to_vec();
            bytes[page * 4096..][..4096].copy_from_slice(&other);
            before
        });
        let (entries, scan) = read(&disk);
        assert!(is_within(&entries, &scribe.entries));
        let (from, to) = (page as u32 * 4096, page as u32 * 4096 + 4096);
        let touched = |entry: &Entry| {
            let begin = entry.at.offset();
            entry.at.segment() == segment && begin < to && begin + 16 + entry.body.len() as u32 > from
        };
        let untouched: Vec<Entry> = scribe.entries.iter().filter(|entry| !touched(entry)).cloned().collect();
        assert!(is_within(&untouched, &entries), "segment {segment}, page {page}");
        assert_eq!(entries.len() < scribe.entries.len(), !scan.damage.is_empty(), "{:?}", scan.damage);
        disk.rot(&segment_path(segment), |bytes| bytes[page * 4096..][..4096].copy_from_slice(&before));
    }
}

#[test]
fn what_a_process_cut_stays_cut() {
    // The second group cannot be read at one start, and can at the next.
    let (disk, scribe) = killed(9, 3);
    let starts = group_starts(&disk, 1);
    let at = starts[2].offset() as usize;
    disk.rot(&segment_path(1), |bytes| bytes[at] ^= 1);
    let (before, scan) = read(&disk);
    assert_eq!((before.as_slice(), scan.cut), (scribe.entries_before(starts[2]), Some(starts[2])));
    let mut next = Scribe::after(&disk, &scan);
    next.scribble(&mut Dice(1), true);
    next.settle().expect("the disk is well");
    disk.rot(&segment_path(1), |bytes| bytes[at] ^= 1);
    let (entries, scan) = read(&disk);
    assert_eq!(entries, [before, next.entries].concat());
    assert_eq!((scan.damage, scan.cut), (vec![], None));
}

/// Gives a group a wrong `previous`.
fn make_stale(disk: &MemoryDisk, at: Position) {
    disk.rot(&segment_path(at.segment()), |bytes| {
        let bytes = &mut bytes[at.offset() as usize..];
        let header = GroupHeader::read(bytes, at).expect("sound");
        let mut group = bytes[..header.bytes as usize].to_vec();
        seal(&mut group, at, JOURNAL, header.previous ^ 1, header.synced);
        bytes[..group.len()].copy_from_slice(&group);
    });
}

#[test]
fn a_stale_group_is_a_tail_or_named() {
    let (disk, scribe) = killed(10, 60);
    let starts = group_starts(&disk, scribe.next.segment());
    let last = *starts.last().expect("groups");
    make_stale(&disk, last);
    let (entries, scan) = read(&disk);
    assert_eq!((entries.as_slice(), scan.cut), (scribe.entries_before(last), Some(last)));
    assert_eq!(scan.damage, []);
    let (disk, _) = killed(10, 60);
    make_stale(&disk, starts[20]);
    let (entries, scan) = read(&disk);
    assert!(is_within(&entries, &scribe.entries) && entries.len() < scribe.entries.len());
    assert_eq!((scan.damage[0].from, scan.damage[0].what), (starts[20], Rot::Stale));
    assert_eq!(entries.last(), scribe.entries.last());
}

#[test]
fn a_lost_header_page_loses_nothing_else() {
    for segments in [10, 60] {
        let (disk, scribe) = killed(11, segments);
        for segment in 1..=scribe.next.segment() {
            let before = disk.rot(&segment_path(segment), |bytes| {
                let before = bytes[..4096].to_vec();
                bytes[..4096].fill(if segment % 2 == 0 { 0 } else { 0xa5 });
                before
            });
            let (entries, scan) = read(&disk);
            assert_eq!(entries, scribe.entries);
            assert_eq!(scan.damage.iter().map(|damage| damage.what).collect::<Vec<_>>(), [Rot::Header]);
            disk.rot(&segment_path(segment), |bytes| bytes[..4096].copy_from_slice(&before));
        }
    }
}

#[test]
fn nothing_at_all_is_an_empty_journal() {
    let disk = MemoryDisk::default();
    let (entries, scan) = read(&disk);
    assert_eq!((entries, scan), (vec![], Scan { next_segment: 1, ..Scan::default() }));
}

#[test]
fn a_layout_of_later_days_is_not_read_and_not_cut() {
    let disk = MemoryDisk::default();
    let header =
        SegmentHeader { journal: 1, segment: 1, bytes: 9, first: 1, recovered: Position::NONE, previous: 0 };
    let mut page = header.to_page();
    page[12] = 2;
    let crc = crc32c::crc32c(&page[12..]).to_le_bytes();
    page[8..12].copy_from_slice(&crc);
    disk.put(&segment_path(1), page.to_vec());
    let error = read_journal(&disk, DIR, &mut |_, _, _| ()).expect_err("unknown");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn a_torn_stamp_counts_for_nothing() {
    let (disk, scribe) = killed(13, 4);
    let stamp = Stamp { journal: JOURNAL, segment: 1, synced: Position::new(9, 9) }.to_page();
    disk.rot(&segment_path(1), |bytes| bytes[4096..4096 + 20].copy_from_slice(&stamp[..20]));
    let (entries, scan) = read(&disk);
    assert_eq!((entries, scan.damage.len()), (scribe.entries, 0));
}

#[test]
fn random_bytes_anywhere_are_no_panic_and_no_record() {
    for seed in 0..400 {
        let (disk, scribe) = killed(seed % 7, 30);
        let mut dice = Dice(seed);
        for _ in 0..1 + dice.roll(6) {
            let segment = 1 + dice.roll(scribe.next.segment() as usize) as u32;
            disk.rot(&segment_path(segment), |bytes| {
                let from = dice.roll(bytes.len());
                let to = bytes.len().min(from + 1 + dice.roll(9000));
                bytes[from..to].fill_with(|| dice.next() as u8);
            });
        }
        let (entries, scan) = read(&disk);
        assert!(is_within(&entries, &scribe.entries), "seed {seed}");
        assert_eq!(read(&disk), (entries, scan.clone()), "seed {seed}");
        set_aside(&disk, DIR, &scan.damage).expect("the disk is well");
    }
}

#[test]
fn damage_is_set_aside_byte_for_byte() {
    let (disk, scribe) = killed(14, 120);
    let starts = group_starts(&disk, scribe.next.segment());
    let (at, next) = (starts[1], starts[2]);
    disk.rot(&segment_path(1), |bytes| bytes[at.offset() as usize] ^= 1);
    disk.take_away(&segment_path(3));
    let scan = read(&disk).1;
    assert_eq!(scan.damage.len(), 2);
    let path = format!("set-aside/journal-0-1-{}.bin", at.offset());
    for _ in 0..2 {
        assert_eq!(
            set_aside(&disk, DIR, &scan.damage).expect("the disk is well"),
            *std::slice::from_ref(&path)
        );
    }
    let range = at.offset() as usize..next.offset() as usize;
    let original = disk.rot(&segment_path(1), |bytes| bytes[range].to_vec());
    assert_eq!(disk.rot(&path, |bytes| bytes.clone()), original);
    assert_eq!(read(&disk).1, scan);
}
