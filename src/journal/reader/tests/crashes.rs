//! Crash, write, crash, write, read: what one start found is what every later one finds.

use super::map::{draw_record, serves};
use super::*;

/// What rot, or a disk that lies, does to the last segments.
fn harm(disk: &MemoryDisk, dice: &mut Dice) {
    let mut segments: Vec<String> = disk.list(DIR).expect("the disk is well");
    segments.retain(|name| name.ends_with(".seg"));
    segments.sort();
    let Some(number) = segments.len().checked_sub(1 + dice.roll(2)) else { return };
    let path = format!("{DIR}/{}", segments[number]);
    if dice.roll(12) == 0 {
        return disk.take_away(&path);
    }
    let mut bytes = disk.rot(&path, |bytes| bytes.clone());
    let at = dice.roll(bytes.len().max(1));
    match dice.roll(5) {
        0 => bytes.truncate(at),
        1 => bytes.truncate(at / 4096 * 4096),
        2 => bytes.iter_mut().skip(at / 4096 * 4096).for_each(|byte| *byte = 0),
        3 => bytes.iter_mut().skip(at / 4096 * 4096).take(4096).for_each(|byte| *byte = 0),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.roll(8)),
    }
    disk.put(&path, bytes);
}

fn write(scribe: &mut Scribe, dice: &mut Dice) {
    for _ in 0..dice.roll(30) {
        (0..1 + dice.roll(3)).for_each(|_| draw_record(scribe, dice, &[16, 300, 4_000]));
        scribe.send(dice.roll(3) > 0);
        for _ in 0..dice.roll(5) {
            scribe.step().expect("the disk is well");
        }
        if dice.roll(12) == 0 || scribe.link.take_buffer().is_none() {
            scribe.now += 1_000_000_000;
            scribe.settle().expect("the disk is well");
        }
    }
    if dice.roll(4) == 0 {
        scribe.flusher.finish().expect("the disk is well");
    }
}

/// Damage, a start, writing, a crash without damage, a start: four times.
#[test]
fn what_one_start_found_the_next_finds_too_with_what_was_written_since() {
    let (mut damaged, mut cut, mut lost) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let disk = MemoryDisk::default();
        let mut scan = Scan { next_segment: 1, ..Scan::default() };
        let mut known = Vec::<Entry>::new();
        for process in 0..8 {
            let place = || format!("seed {seed}, process {process}");
            let mut scribe = Scribe::sized(&disk, &scan, 32_768);
            write(&mut scribe, &mut dice);
            let must = known.len() + scribe.entries_before(scribe.link.synced()).len();
            known.append(&mut scribe.entries);
            disk.crash(&mut dice);
            let is_harmed = process % 2 == 0;
            if is_harmed {
                harm(&disk, &mut dice);
            }
            let (entries, next) = read(&disk);
            if is_harmed {
                assert!(is_within(&entries, &known), "{}: not what was written", place());
            } else {
                assert!(known.starts_with(&entries), "{}: not what was found before", place());
                assert!(entries.len() >= must, "{}: {} of {must}", place(), entries.len());
            }
            assert_eq!(serves(&disk, &entries, place), next, "{}", place());
            lost += usize::from(entries.len() < must);
            damaged += usize::from(!next.damage.is_empty());
            cut += usize::from(next.cut.is_some());
            (known, scan) = (entries, next);
        }
    }
    assert!(damaged.min(cut).min(lost) > 50, "{damaged} {cut} {lost}");
}

/// Whichever process wrote the segment, and whichever are there before and behind it.
#[test]
fn a_lost_header_among_the_segments_of_many_processes_loses_nothing_else() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let disk = MemoryDisk::default();
        let (mut scan, mut freed) = (Scan { next_segment: 1, ..Scan::default() }, 0);
        for _ in 0..4 {
            let mut scribe = Scribe::after(&disk, &scan);
            (0..dice.roll(30)).for_each(|_| act(&mut scribe, &mut dice, &mut freed));
            disk.crash(&mut dice);
            scan = read(&disk).1;
        }
        let (entries, sound) = read(&disk);
        for segment in sound.segments.iter().filter(|segment| segment.groups > 0) {
            let place = || format!("seed {seed}, segment {}", segment.number);
            let path = segment_path(segment.number);
            disk.rot(&path, |bytes| bytes[20] ^= 1);
            let scan = serves(&disk, &entries, place);
            let from = Position::new(segment.number, 0);
            let header =
                Damage { from, to: Position::new(segment.number, PAGE_BYTES as u32), what: Rot::Header };
            assert_eq!((&scan.damage[..], scan.end), (&[header][..], sound.end), "{}", place());
            disk.rot(&path, |bytes| bytes[20] ^= 1);
            lost += 1;
        }
    }
    assert!(lost > 200, "{lost}");
}

const SEEDS: u64 = 300;
