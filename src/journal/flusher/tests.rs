use std::io::ErrorKind;

use super::*;
use crate::journal::memory::{Dice, MemoryDisk, SEGMENT_BYTES, Scribe, read, segment_path};

fn scribe(disk: &MemoryDisk, groups: usize) -> Scribe {
    let mut scribe = Scribe::new(disk);
    let mut dice = Dice(5);
    for _ in 0..groups {
        scribe.scribble(&mut dice, true);
        scribe.settle().expect("the disk is well");
    }
    scribe
}

/// A record that takes a segment of its own.
fn fill_segment(scribe: &mut Scribe, free_before: u32) {
    scribe.record(1, &vec![1; SEGMENT_BYTES as usize - 20_000]);
    scribe.send_freeing(true, free_before);
}

#[test]
fn what_nobody_waits_for_is_written_and_not_synced() {
    let disk = MemoryDisk::default();
    let mut scribe = Scribe::new(&disk);
    scribe.record(1, b"a");
    scribe.send(false);
    scribe.settle().expect("the disk is well");
    assert_eq!((scribe.link.written(), scribe.link.synced()), (scribe.next, Position::NONE));
    scribe.record(1, b"b");
    scribe.send(true);
    scribe.settle().expect("the disk is well");
    assert_eq!(scribe.link.synced(), scribe.next);
}

#[test]
fn groups_that_wait_together_share_a_write_and_a_sync() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 1);
    let (writes, syncs) = (disk.calls("write"), disk.calls("sync"));
    for n in 0..5 {
        scribe.record(n, b"abc");
        scribe.send(true);
    }
    assert!(scribe.step().unwrap() && scribe.step().unwrap());
    assert_eq!(scribe.link.synced(), scribe.next);
    assert_eq!((disk.calls("write") - writes, disk.calls("sync") - syncs), (1, 1));
    let buffer = scribe.link.take_buffer().expect("buffers come back");
    assert!(buffer.is_empty() && buffer.capacity() > 0);
}

#[test]
fn a_failed_write_or_sync_is_final_and_nothing_more_counts_as_synced() {
    for operation in ["write", "sync"] {
        for nth in 0..30 {
            let disk = MemoryDisk::default();
            let mut scribe = Scribe::new(&disk);
            let (mut dice, mut failed) = (Dice(nth as u64), false);
            disk.fail(operation, nth, ErrorKind::Other);
            for _ in 0..30 {
                scribe.scribble(&mut dice, true);
                let synced = scribe.link.synced();
                if scribe.settle().is_err() {
                    failed = true;
                    let calls = (disk.calls("write"), disk.calls("sync"));
                    assert!(scribe.step().is_err() && scribe.flusher.finish().is_err());
                    assert_eq!((disk.calls("write"), disk.calls("sync")), calls, "nothing is tried again");
                    assert!(scribe.link.synced() >= synced);
                    break;
                }
            }
            assert!(failed, "{operation} {nth} was reached");
            disk.crash(&mut dice);
            let (entries, scan) = read(&disk);
            assert!(entries.starts_with(scribe.entries_before(scribe.link.synced())), "{operation} {nth}");
            assert!(scribe.entries.starts_with(&entries) && scan.damage.is_empty(), "{operation} {nth}");
        }
    }
}

#[test]
fn a_write_without_room_is_a_failure() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 1);
    disk.fail("write", 0, ErrorKind::StorageFull);
    scribe.record(1, b"a");
    scribe.send(true);
    let failure = scribe.settle().expect_err("the write fails");
    assert!(failure.is_no_room() && failure.operation == "write");
    assert_eq!(failure.path, segment_path(1));
}

#[test]
fn groups_wait_for_room_and_are_written_then() {
    let disk = MemoryDisk::default();
    disk.set_room(u64::from(SEGMENT_BYTES));
    let mut scribe = Scribe::new(&disk);
    fill_segment(&mut scribe, 0);
    fill_segment(&mut scribe, 0);
    scribe.settle().expect("want of room is no failure");
    let synced = scribe.link.synced();
    assert_eq!(
        (synced.segment(), scribe.link.low_on_disk(), scribe.flusher.waits_for_room()),
        (1, true, true)
    );
    let tries = disk.calls("create");
    (0..100).for_each(|_| assert!(!scribe.step().unwrap()));
    assert_eq!(disk.calls("create"), tries, "tried once a second");
    disk.set_room(u64::MAX);
    scribe.now += JOURNAL_SPACE_LOOK_NS;
    scribe.settle().expect("the disk is well");
    assert_eq!((scribe.link.synced(), scribe.link.low_on_disk()), (scribe.next, false));
    assert_eq!(read(&disk).0, scribe.entries);
}

#[test]
fn room_that_ends_at_any_call_loses_nothing() {
    for operation in ["create", "rename", "sync_dir", "remove"] {
        for nth in 0..12 {
            let disk = MemoryDisk::default();
            disk.fail(operation, nth, ErrorKind::StorageFull);
            let mut scribe = Scribe::new(&disk);
            let mut dice = Dice(nth as u64);
            for n in 0..40 {
                scribe.scribble(&mut dice, true);
                if n % 8 == 7 {
                    let free_before = scribe.link.synced().segment().saturating_sub(1);
                    scribe.record(9, b"");
                    scribe.send_freeing(true, free_before);
                }
                let _ = scribe.settle();
                scribe.now += JOURNAL_SPACE_LOOK_NS;
            }
            let _ = scribe.flusher.finish();
            disk.crash(&mut dice);
            let (entries, scan) = read(&disk);
            let kept = entries.first().map_or(scribe.next, |entry| entry.at);
            let freed = scribe.entries_before(kept).len();
            let synced = scribe.entries_before(scribe.link.synced()).len();
            assert!(entries.starts_with(&scribe.entries[freed..synced.max(freed)]), "{operation} {nth}");
            assert!(scan.damage.is_empty(), "{operation} {nth}: {:?}", scan.damage);
        }
    }
}

#[test]
fn a_low_disk_is_said_with_some_slack() {
    let disk = MemoryDisk::default();
    let link = Arc::new(Link::new(Position::NONE));
    let config = FlusherConfig {
        dir: "journal-0".to_owned(),
        journal: 1,
        segment_bytes: SEGMENT_BYTES,
        disk_free_min: DiskFloor::new(1000),
    };
    let floor = config.disk_free_min.clone();
    let mut flusher = Flusher::new(disk.clone(), config, 1, link.clone());
    for (second, (room, low)) in
        [(1000, false), (999, true), (1099, true), (1100, false)].into_iter().enumerate()
    {
        disk.set_room(room);
        flusher.step(second as u64 * JOURNAL_SPACE_LOOK_NS).unwrap();
        assert_eq!(link.low_on_disk(), low, "{room} bytes free");
    }
    floor.set(1101);
    flusher.step(4 * JOURNAL_SPACE_LOOK_NS).unwrap();
    assert!(link.low_on_disk(), "a new limit counts at the next look");
}

#[test]
fn a_name_that_is_not_synced_holds_no_groups() {
    // The header's sync is the last before the folder's; if that fails, nothing was written behind the header.
    let disk = MemoryDisk::default();
    disk.fail("sync_dir", 1, ErrorKind::Other);
    let mut scribe = Scribe::new(&disk);
    scribe.record(1, b"a");
    scribe.send(true);
    assert!(scribe.settle().is_err());
    assert_eq!((disk.calls("write"), scribe.link.written()), (1, Position::NONE));
    disk.crash(&mut Dice(1));
    let (entries, scan) = read(&disk);
    assert!(entries.is_empty() && scan.next_segment == 1 && scan.damage.is_empty());
}

#[test]
fn a_segment_is_made_ahead_and_freed_ones_are_used_again() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 1);
    assert_eq!(disk.names(), [segment_path(1)], "not before much of the segment is used");
    fill_segment(&mut scribe, 0);
    scribe.settle().expect("the disk is well");
    assert!(disk.names().contains(&"journal-0/spare-1".to_owned()));
    for _ in 0..5 {
        fill_segment(&mut scribe, 0);
        scribe.settle().expect("the disk is well");
    }
    let creates = disk.calls("create");
    fill_segment(&mut scribe, 6);
    scribe.settle().expect("the disk is well");
    let spares = disk.names().iter().filter(|name| name.contains("spare")).count();
    assert_eq!((disk.names().len(), spares), (2 + spares, 2), "5 gone, and not more than two kept");
    for _ in 0..10 {
        let free_before = scribe.next.segment();
        fill_segment(&mut scribe, free_before);
        scribe.settle().expect("the disk is well");
    }
    assert!(disk.calls("create") <= creates + 1, "a steady stream makes no more files");
    let (entries, scan) = read(&disk);
    assert_eq!(entries, scribe.entries[scribe.entries.len() - entries.len()..]);
    assert!(!entries.is_empty() && scan.damage.is_empty() && scan.foreign.is_empty());
}

#[test]
fn a_file_that_is_not_ours_is_taken_out_of_the_row_and_kept() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 1);
    for _ in 0..3 {
        fill_segment(&mut scribe, 0);
        scribe.settle().expect("the disk is well");
    }
    disk.rot(&segment_path(2), |bytes| bytes[20] ^= 1);
    fill_segment(&mut scribe, 4);
    scribe.settle().expect("the disk is well");
    assert!(disk.names().contains(&format!("{}.aside", segment_path(2))));
    assert!(read(&disk).1.foreign.is_empty());
}

#[test]
fn a_group_larger_than_a_segment_has_one_of_its_own() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 1);
    scribe.record(3, &vec![3; 5 * SEGMENT_BYTES as usize]);
    scribe.send(true);
    scribe.scribble(&mut Dice(9), true);
    scribe.settle().expect("the disk is well");
    let (entries, scan) = read(&disk);
    assert_eq!((entries, scan.end), (scribe.entries, scribe.next));
    assert!(scan.segments[1].bytes > 5 * u64::from(SEGMENT_BYTES));
}

#[test]
fn who_rests_stamps_and_a_clean_stop_says_so() {
    let disk = MemoryDisk::default();
    let mut scribe = scribe(&disk, 3);
    let writes = disk.calls("write");
    scribe.settle().expect("the disk is well");
    assert_eq!(disk.calls("write"), writes);
    scribe.now += JOURNAL_STAMP_AFTER_NS;
    scribe.settle().expect("the disk is well");
    assert_eq!(disk.calls("write"), writes + 1, "once per rest");
    scribe.record(1, b"unsynced");
    scribe.send(false);
    scribe.flusher.finish().expect("the disk is well");
    disk.crash(&mut Dice(3));
    let (entries, scan) = read(&disk);
    assert_eq!((entries, scan.cut, scan.end), (scribe.entries, None, scribe.next));
}

#[test]
fn the_thread_ends_when_told_with_all_synced() {
    let root = std::env::temp_dir().join(format!("haremq-flusher-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let disk = crate::journal::OsDisk::new(&root).unwrap();
    let link = Arc::new(Link::new(Position::NONE));
    let config = FlusherConfig {
        dir: "j".to_owned(),
        journal: 7,
        segment_bytes: SEGMENT_BYTES,
        disk_free_min: DiskFloor::default(),
    };
    let flusher = Flusher::new(disk.clone(), config, 1, link.clone());
    let (shard, told) = (thread::current(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let counter = told.clone();
    let thread = thread::spawn(move || {
        let notify = || {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            shard.unpark();
        };
        run(flusher, notify, |failure| panic!("{failure}"));
    });
    let mut next = Position::new(1, GROUPS_AT);
    for n in 0..20u8 {
        let mut bytes = vec![0; layout::GROUP_HEADER_BYTES];
        let at = layout::begin_record(&mut bytes, n);
        bytes.push(n);
        layout::end_record(&mut bytes, at);
        // Of 14 pages that a segment has for groups.
        if next.offset() >= SEGMENT_BYTES {
            next = Position::new(next.segment() + 1, GROUPS_AT);
        }
        let end = Position::new(next.segment(), next.offset() + 4096);
        link.try_send(Group { bytes, at: next, end, sync: n % 2 == 0, free_before: 0 }).unwrap();
        link.wake();
        next = end;
        while n % 2 == 0 && link.synced() < end {
            thread::park_timeout(Duration::from_secs(10));
        }
    }
    link.stop();
    thread.join().unwrap();
    assert_eq!(link.synced(), next);
    assert!(told.load(std::sync::atomic::Ordering::Relaxed) >= 10);
    let mut kinds = Vec::new();
    let scan = crate::journal::read_journal(&disk, "j", &mut |_, kind, _| kinds.push(kind)).unwrap();
    assert_eq!((kinds, scan.end, scan.cut), ((0..20).collect(), next, None));
    std::fs::remove_dir_all(root).unwrap();
}
