//! Whatever a disk makes of a journal, reading it ends, serves nothing that was not written, and says the same again; and
//! a process goes on with it. Whatever a record holds, taking it in ends.
//!
//! The first octet of the input says what the rest is: edits of a sound journal, with or without knowledge of its
//! checksums, a whole segment, or records.
#![no_main]

#[path = "journal/disk.rs"]
mod disk;
#[path = "journal/edits.rs"]
mod edits;
#[path = "connection/heap.rs"]
mod heap;
#[path = "journal/records.rs"]
mod records;

use std::sync::Arc;

use disk::RamDisk;
use haremq::budget::{Budget, DiskFloor};
use haremq::journal::layout::{GROUP_HEADER_BYTES, GROUPS_AT, padded, segment_name};
use haremq::journal::{
    Flusher, FlusherConfig, Group, Link, Position, Recovery, Scan, read_journal, set_aside,
};
use haremq::pages::Pages;
use haremq::topology::Catalogue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&mode, rest)) = input.split_first() else { return };
    let before = heap::begin();
    match mode % 4 {
        0 => edited(rest),
        1 => forged(rest),
        2 => raw(rest),
        _ => take_in(rest),
    }
    let peak = heap::peak() - before;
    assert!(peak < HEAP_BYTES_MAX, "{peak} octets of heap for an input of {}", input.len());
});

/// Changes that know nothing of checksums: nothing is served that was not written, nor twice, nor in another order; and what
/// is lost from the midst of it is said.
fn edited(input: &[u8]) {
    let (disk, written) = journal();
    edits::apply(&disk, input);
    let Some((served, scan)) = looked_at(&disk) else { return };
    goes_on(&disk, &served, &scan);
    let mut rest = written.iter();
    assert!(served.iter().all(|entry| rest.any(|other| other == entry)), "{:?}", scan.damage);
    let is_said = !scan.damage.is_empty() || scan.cut.is_some() || !scan.foreign.is_empty();
    let begin = served.first().and_then(|first| written.iter().position(|entry| entry == first));
    assert!(is_said || written[begin.unwrap_or(0)..].starts_with(&served), "{scan:?}");
}

/// Changes with checksums to fit: all that is asked is that it ends, and is the same again.
fn forged(input: &[u8]) {
    let (disk, _) = journal();
    edits::apply(&disk, input);
    edits::forge(&disk, input);
    looked_at(&disk);
}

/// One file, as it is and made to fit.
fn raw(input: &[u8]) {
    let disk = RamDisk::default();
    disk.put(&segment_path(1), input.to_vec());
    looked_at(&disk);
    // Headers and groups lie at multiples of pages, which inputs are too short for.
    let mut bytes = vec![0; GROUPS_AT as usize];
    input.chunks(128).for_each(|piece| {
        bytes.extend_from_slice(piece);
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    });
    disk.put(&segment_path(1), bytes);
    edits::forge(&disk, input);
    looked_at(&disk);
}

/// Bodies of any kind, as logs of messages and of the topology take them.
fn take_in(input: &[u8]) {
    let mut recovery = recovery();
    let mut catalogue = Catalogue::default();
    for (number, (kind, body)) in (1..).zip(records::of(input)) {
        recovery.record(Position::new(1, number * 8), kind, &body);
        catalogue.apply(kind, &body);
    }
    let uids: Vec<_> = recovery.uids().collect();
    let held: usize =
        recovery.finish(|uid| uid.0 % 2 == 0).queues.values().map(|queue| queue.messages.len()).sum();
    assert!(uids.len() < 10_000 && held < 10_000);
    let _ = catalogue.records().count();
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    at: Position,
    kind: u8,
    body: Vec<u8>,
}

/// Reads, twice; takes in what was served, now and then, for that takes long; and sets the damage aside.
fn looked_at(disk: &RamDisk) -> Option<(Vec<Entry>, Scan)> {
    let (served, scan) = read(disk)?;
    assert_eq!(read(disk).as_ref(), Some(&(served.clone(), scan.clone())));
    if served.len() % 16 == 0 {
        let mut recovery = recovery();
        served.iter().for_each(|entry| recovery.record(entry.at, entry.kind, &entry.body));
        drop(recovery.finish(|_| true));
    }
    set_aside(disk, DIR, &scan.damage).expect("memory has room");
    Some((served, scan))
}

/// A process writes behind what was read; both are read then.
fn goes_on(disk: &RamDisk, served: &[Entry], scan: &Scan) {
    let mut more = served.to_vec();
    more.extend(write(disk, scan, &[(&[7, 7, 7], 1), (b"", 2)], scan.next_segment));
    let again = read(disk).expect("no other layout").0;
    assert!(again == more, "{} and then {}", served.len(), again.len());
}

/// None, if the layout is said to be another one.
fn read(disk: &RamDisk) -> Option<(Vec<Entry>, Scan)> {
    let mut entries = Vec::new();
    let scan = read_journal(disk, DIR, &mut |at, kind, body| {
        entries.push(Entry { at, kind, body: body.to_vec() });
    });
    match scan {
        Ok(scan) => Some((entries, scan)),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            None
        }
    }
}

/// What two processes wrote, in several segments each.
fn journal() -> (RamDisk, Vec<Entry>) {
    thread_local!(static SOUND: (RamDisk, Vec<Entry>) = two_processes());
    SOUND.with(|(disk, written)| (disk.copy(), written.clone()))
}

fn two_processes() -> (RamDisk, Vec<Entry>) {
    let disk = RamDisk::default();
    let mut written = Vec::new();
    let bodies = records::sound();
    for bodies in bodies.chunks(bodies.len() / 2 + 1) {
        let scan = read(&disk).expect("our own").1;
        let bodies: Vec<_> = bodies.iter().map(|(kind, body)| (&body[..], *kind)).collect();
        written.extend(write(&disk, &scan, &bodies, scan.next_segment));
    }
    (disk, written)
}

/// Two records to a group, each synced.
fn write(disk: &RamDisk, scan: &Scan, bodies: &[(&[u8], u8)], segment: u32) -> Vec<Entry> {
    let link = Arc::new(Link::new(scan.end));
    let journal = scan.journal.unwrap_or(JOURNAL);
    let config = FlusherConfig {
        dir: DIR.to_owned(),
        journal,
        segment_bytes: SEGMENT_BYTES,
        disk_free_min: DiskFloor::default(),
    };
    let mut flusher = Flusher::new(disk.clone(), config, segment, link.clone());
    let (mut next, mut written) = (Position::new(segment, GROUPS_AT), Vec::new());
    for pair in bodies.chunks(2) {
        let mut bytes = vec![0; GROUP_HEADER_BYTES];
        let mut places = Vec::new();
        for (body, kind) in pair {
            let at = haremq::journal::layout::begin_record(&mut bytes, *kind);
            bytes.extend_from_slice(body);
            haremq::journal::layout::end_record(&mut bytes, at);
            places.push((at as u32, *kind, body.to_vec()));
        }
        let need = padded(bytes.len()) as u32;
        if next.offset() > GROUPS_AT && next.offset() + need > SEGMENT_BYTES {
            next = Position::new(next.segment() + 1, GROUPS_AT);
        }
        let end = Position::new(next.segment(), next.offset() + need);
        written.extend(places.into_iter().map(|(at, kind, body)| {
            let at = Position::new(next.segment(), next.offset() + at);
            Entry { at, kind, body }
        }));
        link.try_send(Group { bytes, at: next, end, sync: true, free_before: 0 }).expect("the ring has room");
        while flusher.step(0).expect("memory has room") {}
        next = end;
    }
    written
}

fn recovery() -> Recovery {
    Recovery::new(Pages::new(Arc::new(Budget::new(usize::MAX))))
}

fn segment_path(segment: u32) -> String {
    format!("{DIR}/{}", segment_name(segment))
}

const DIR: &str = "journal-0";
const JOURNAL: u64 = 0x0123_4567_89ab_cdef;
const SEGMENT_BYTES: u32 = 20_480;
/// A scan takes a piece of 1 MiB in hand, a segment is at most what its file has; lengths that are only said take nothing.
const HEAP_BYTES_MAX: usize = 8 << 20;
