//! Files that are empty, missing, copied, blank in parts, or no files at all.

use super::map::{Map, end_of, goes_on, is_named, serves};
use super::*;

fn map(seed: u64) -> Map {
    Map::draw(seed, 32_768, &[16, 300, 2_000], 3..8)
}

/// Looks at the journal twice and goes on with it, with everything served but what lies within the range.
fn look(map: &Map, lost: std::ops::Range<Position>, place: &str) -> Scan {
    let (from, to) = (map.index(lost.start), map.index(lost.end));
    let expected = || map.entries[..from].iter().chain(&map.entries[to..]);
    let scan = serves(&map.disk, expected(), || place.to_owned());
    assert_eq!(serves(&map.disk, expected(), || place.to_owned()), scan);
    goes_on(&map.disk, &scan, map.segment_bytes, &expected().cloned().collect::<Vec<_>>(), || {
        place.to_owned()
    });
    set_aside(&map.disk, DIR, &scan.damage).expect("the disk is well");
    scan
}

fn segment(number: u32) -> std::ops::Range<Position> {
    Position::new(number, 0)..Position::new(number + 1, 0)
}

/// What is done to a segment so that nothing is left of it: the names that are not ours then, if one more or less.
type Loss = (&'static str, fn(&MemoryDisk, &str), bool);

const LOSSES: [Loss; 7] = [
    ("missing", |disk, path| disk.take_away(path), false),
    ("empty", |disk, path| disk.rot(path, |bytes| bytes.clear()), true),
    ("one byte", |disk, path| disk.rot(path, |bytes| bytes.truncate(1)), true),
    ("blank", |disk, path| disk.rot(path, |bytes| bytes.fill(0)), true),
    ("noise", |disk, path| disk.rot(path, |bytes| bytes.fill(0xA5)), true),
    (
        "a copy of the oldest",
        |disk, path| {
            let copy = disk.rot(&segment_path(3), |bytes| bytes.clone());
            disk.put(path, copy);
        },
        true,
    ),
    (
        "a folder",
        |disk, path| {
            disk.take_away(path);
            disk.put_folder(path);
        },
        true,
    ),
];

#[test]
fn a_segment_of_which_nothing_is_left_costs_itself_and_is_named() {
    for (what, lose, is_foreign) in LOSSES {
        for number in 4..8 {
            let map = map(1);
            lose(&map.disk, &segment_path(number));
            let scan = look(&map, segment(number), &format!("{number} is {what}"));
            let missing = Damage { from: segment(number).start, to: segment(number).end, what: Rot::Missing };
            // Of the last nothing says that it was there.
            assert_eq!(scan.damage, if number == 7 { vec![] } else { vec![missing] }, "{number} is {what}");
            let is_unbegun = matches!(what, "empty" | "blank" | "a copy of the oldest");
            let named = (scan.unbegun.len(), scan.foreign.len());
            assert_eq!(named, (is_unbegun.into(), (is_foreign && !is_unbegun).into()), "{number} is {what}");
            assert_eq!(scan.next_segment, if number == 7 && !is_foreign { 7 } else { 8 });
        }
    }
}

/// What is freed is gone from the row, whatever it was.
#[test]
fn what_is_no_segment_does_not_keep_others_from_being_freed() {
    for (what, lose, is_foreign) in LOSSES {
        let map = map(2);
        lose(&map.disk, &segment_path(5));
        map.disk.put_folder(&format!("{DIR}/spare-9"));
        let (_, scan) = read(&map.disk);
        let mut next = Scribe::sized(&map.disk, &scan, map.segment_bytes);
        next.record(1, b"the last");
        next.send_freeing(true, scan.next_segment);
        next.settle().unwrap_or_else(|failure| panic!("{what}: {failure}"));
        let last = read(&map.disk);
        assert_eq!((last.0, last.1.damage), (next.entries.clone(), vec![]), "{what}");
        let aside = map.disk.list(DIR).expect("the disk is well").contains(&format!("{:010}.seg.aside", 5));
        assert_eq!(aside, is_foreign && what != "blank" && what != "a copy of the oldest" && what != "empty");
    }
}

#[test]
fn a_file_with_the_last_of_all_numbers_leaves_numbers_to_go_on_with() {
    for number in [u32::MAX - 1, 1 << 31, (1 << 31) - 1] {
        let map = map(3);
        let copy = map.disk.rot(&segment_path(4), |bytes| bytes.clone());
        map.disk.put(&segment_path(number), copy);
        let scan = look(&map, segment(u32::MAX - 1), "a copy far away");
        assert_eq!((scan.damage.len(), scan.unbegun.len(), scan.foreign.len()), (0, 1, 0));
        assert!(scan.next_segment <= 1 << 31, "{}", scan.next_segment);
    }
}

#[test]
fn pages_that_are_blank_cost_their_records_and_are_named() {
    for number in 3..8 {
        let map = map(4);
        let path = segment_path(number);
        let file = map.disk.rot(&path, |bytes| bytes.clone());
        let end = if number == 7 { map.end } else { Position::new(number + 1, 0) };
        for from in (0..map.segment_bytes).step_by(4096) {
            for to in (from + 4096..=map.segment_bytes).step_by(4096) {
                let place = || format!("{number} is blank from {from} to {to}");
                map.disk.rot(&path, |bytes| bytes[from as usize..to as usize].fill(0));
                let blank = Position::new(number, from)..Position::new(number, to);
                let claim = map.claim(|at| !blank.contains(&at));
                let is_blank = |entry: &Entry| entry.at < blank.end && blank.start < end_of(entry);
                // The first group of those that nobody is known to have relied on that is not whole, and all behind it.
                let cut = map.groups.iter().find(|group| {
                    let is_whole = !blank.contains(&group.header.at)
                        && !map.entries[group.entries.clone()].iter().any(is_blank);
                    group.header.at >= claim && !is_whole
                });
                let cut = cut.map_or(end, |group| group.header.at);
                let kept = |entry: &&Entry| !is_blank(entry) && entry.at < cut || entry.at >= end;
                let expected: Vec<Entry> = map.entries.iter().filter(kept).cloned().collect();
                let scan = serves(&map.disk, &expected, place);
                for lost in map.entries.iter().filter(|entry| is_blank(entry) && entry.at < claim) {
                    // Of the oldest, nothing is left that tells it from one that was freed.
                    let is_freed = number == 3 && !scan.foreign.is_empty();
                    assert!(is_freed || is_named(&scan.damage, lost, end_of(lost)), "{}: {lost:?}", place());
                }
                if expected.len() == map.entries.len() && from > 0 && to <= GROUPS_AT {
                    assert_eq!(scan.damage, [], "{}", place());
                }
                assert_eq!(serves(&map.disk, &expected, place), scan);
                goes_on(&map.disk, &scan, map.segment_bytes, &expected, place);
                map.disk.rot(&path, |bytes| bytes.clone_from(&file));
            }
        }
    }
}

#[test]
fn a_segment_that_is_not_there_is_named() {
    let (disk, scribe) = killed(7, 120);
    let last = scribe.next.segment();
    disk.take_away(&segment_path(3));
    let (entries, scan) = read(&disk);
    let expected: Vec<Entry> =
        scribe.entries.iter().filter(|entry| entry.at.segment() != 3).cloned().collect();
    assert_eq!(entries, expected);
    let missing = Damage { from: Position::new(3, 0), to: Position::new(4, 0), what: Rot::Missing };
    assert_eq!(scan.damage, [missing]);
    assert_eq!(scan.next_segment, last + 1);
    // Those at the front were freed.
    disk.take_away(&segment_path(1));
    disk.take_away(&segment_path(2));
    assert_eq!(read(&disk).1.damage, []);
}

#[test]
fn the_last_segment_gone_is_a_tail_unless_the_next_process_knew_it() {
    let (disk, scribe) = killed(8, 60);
    let last = scribe.next.segment();
    let (before, scan) = read(&disk);
    let away = disk.rot(&segment_path(last), |bytes| bytes.clone());
    disk.take_away(&segment_path(last));
    let (entries, alone) = read(&disk);
    assert_eq!(alone.damage, []);
    disk.put(&segment_path(last), away);
    let mut next = Scribe::after(&disk, &scan);
    next.scribble(&mut Dice(1), true);
    next.settle().expect("the disk is well");
    assert_eq!(read(&disk).0, [before, next.entries.clone()].concat());
    disk.take_away(&segment_path(last));
    let (after, scan) = read(&disk);
    assert_eq!(after, [entries, next.entries].concat());
    assert!(matches!(scan.damage[..], [Damage { what: Rot::Missing, .. }]), "{:?}", scan.damage);
}

#[test]
fn files_that_are_not_ours_are_named_and_left_alone() {
    let (disk, scribe) = killed(12, 60);
    let last = scribe.next.segment();
    let copy = disk.rot(&segment_path(2), |bytes| bytes.clone());
    let other = SegmentHeader {
        journal: 1,
        segment: last + 4,
        bytes: 9,
        first: 1,
        recovered: Position::NONE,
        previous: 0,
    };
    let strange = ["notes.txt", "00000001.seg", "0000000000.seg"].map(|name| format!("{DIR}/{name}"));
    strange.iter().for_each(|path| disk.put(path, vec![1; 10]));
    disk.put(&segment_path(last + 1), Vec::new());
    disk.put(&segment_path(last + 2), copy);
    disk.put(&segment_path(last + 3), vec![0xee; 100_000]);
    disk.put(&segment_path(last + 4), other.to_page().to_vec());
    disk.put(&segment_path(last + 5), vec![0; 70_000]);
    let names = disk.names();
    let (entries, scan) = read(&disk);
    assert_eq!((entries, scan.damage.len(), scan.cut), (scribe.entries, 0, None));
    assert_eq!((scan.foreign.len(), scan.unbegun.len(), scan.next_segment), (5, 3, last + 6));
    assert_eq!(scan.segments.len() as u32, last + 5);
    assert_eq!(disk.names(), names);
}
