//! What a journal costs: sealing groups, and bringing them to this disk.
//!
//! The files are made below `target/`, which has to lie on the disk that is meant.

use divan::counter::BytesCount;
use haremq::budget::DiskFloor;
use haremq::journal::layout::{GROUP_HEADER_BYTES, GROUPS_AT, begin_record, end_record, padded, seal};
use haremq::journal::{Flusher, FlusherConfig, Group, Link, OsDisk, Position, read_journal};
use std::fs;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
/// Groups that one sample writes, at most as many as fill three quarters of a segment.
const fn groups(bytes: usize) -> usize {
    let fitting = 48 * 1024 * 1024 / bytes;
    if fitting < 512 { fitting } else { 512 }
}

const BODY: [u8; 1024] = [7; 1024];
const SECOND_NS: u64 = 1_000_000_000;

fn fill(group: &mut Vec<u8>, bytes: usize) {
    group.clear();
    group.resize(GROUP_HEADER_BYTES, 0);
    while group.len() + BODY.len() + 16 <= bytes {
        let at = begin_record(group, 1);
        group.extend_from_slice(&BODY);
        end_record(group, at);
    }
}

#[divan::bench(args = [4096, 65_536, 1 << 20])]
fn sealing(bencher: divan::Bencher, bytes: usize) {
    let mut group = Vec::new();
    fill(&mut group, bytes);
    let unpadded = group.len();
    bencher.counter(BytesCount::new(unpadded)).bench_local(|| {
        group.truncate(unpadded);
        seal(&mut group, Position::new(1, GROUPS_AT), 7, 1, Position::NONE)
    });
}

/// What a shard does with its flusher, on one thread.
struct Bench {
    link: Arc<Link>,
    flusher: Flusher<OsDisk>,
    next: Position,
    now: u64,
}

impl Bench {
    fn new(folder: &str) -> Bench {
        let root = format!("{}/target/bench-journal/{folder}", env!("CARGO_MANIFEST_DIR"));
        let _ = fs::remove_dir_all(&root);
        let link = Arc::new(Link::new(Position::NONE));
        let config = FlusherConfig {
            dir: "j".to_owned(),
            journal: 7,
            segment_bytes: SEGMENT_BYTES,
            disk_free_min: DiskFloor::default(),
        };
        let flusher = Flusher::new(OsDisk::new(root).expect("a folder to write in"), config, 1, link.clone());
        Bench { link, flusher, next: Position::new(1, GROUPS_AT), now: 0 }
    }

    /// Sends a group and steps until it is synced, `groups(bytes)` times.
    fn write(&mut self, bytes: usize) {
        for _ in 0..groups(bytes) {
            self.send(bytes, 0);
            while self.link.synced() < self.next {
                self.flusher.step(self.now).expect("the disk is well");
            }
        }
    }

    fn send(&mut self, bytes: usize, free_before: u32) {
        let mut group = self.link.take_buffer().unwrap_or_default();
        fill(&mut group, bytes);
        let end = Position::new(self.next.segment(), self.next.offset() + padded(group.len()) as u32);
        let group = Group { bytes: group, at: self.next, end, sync: true, free_before };
        self.link.try_send(group).expect("the ring has room");
        self.next = end;
    }

    /// Begins the next segment with a small group, and has nothing more to do for a while if `rests`.
    fn roll(&mut self, free_before: u32, rests: bool) {
        if self.next.offset() > GROUPS_AT {
            self.next = Position::new(self.next.segment() + 1, GROUPS_AT);
        }
        self.send(4096, free_before);
        while self.link.synced() < self.next {
            self.flusher.step(self.now).expect("the disk is well");
        }
        self.now += SECOND_NS;
        while rests && self.flusher.step(self.now).expect("the disk is well") {}
    }
}

/// Segments that are only reserved: none was made ahead.
#[divan::bench(args = [4096, 65_536, 1 << 20], sample_size = 1, sample_count = 5)]
fn syncing_into_fresh_segments(bencher: divan::Bencher, bytes: usize) {
    let mut bench = Bench::new("fresh");
    let bench = std::cell::RefCell::new(&mut bench);
    bencher
        .counter(BytesCount::new(groups(bytes) * bytes))
        .with_inputs(|| bench.borrow_mut().roll(0, false))
        .bench_local_values(|()| bench.borrow_mut().write(bytes));
}

/// Segments that were made ahead while there was time, and zeroed.
#[divan::bench(args = [4096, 65_536, 1 << 20], sample_size = 1, sample_count = 5)]
fn syncing_into_segments_made_ahead(bencher: divan::Bencher, bytes: usize) {
    let mut bench = Bench::new("ahead");
    bench.roll(0, true);
    let bench = std::cell::RefCell::new(&mut bench);
    bencher
        .counter(BytesCount::new(groups(bytes) * bytes))
        .with_inputs(|| bench.borrow_mut().roll(0, true))
        .bench_local_values(|()| bench.borrow_mut().write(bytes));
}

/// Segments that were written and freed before.
#[divan::bench(args = [4096, 65_536, 1 << 20], sample_size = 1, sample_count = 5)]
fn syncing_into_recycled_segments(bencher: divan::Bencher, bytes: usize) {
    let mut bench = Bench::new("recycled");
    for _ in 0..3 {
        bench.roll(0, true);
        bench.write(1 << 20);
    }
    let bench = std::cell::RefCell::new(&mut bench);
    bencher
        .counter(BytesCount::new(groups(bytes) * bytes))
        .with_inputs(|| {
            let mut bench = bench.borrow_mut();
            let free_before = bench.next.segment();
            bench.roll(free_before, false);
        })
        .bench_local_values(|()| bench.borrow_mut().write(bytes));
}

#[divan::bench(args = [65_536, 1 << 20], sample_size = 1, sample_count = 5)]
fn reading(bencher: divan::Bencher, bytes: usize) {
    let mut bench = Bench::new("read");
    for _ in 0..4 {
        bench.roll(0, false);
        bench.write(bytes);
    }
    drop(bench);
    let root = format!("{}/target/bench-journal/read", env!("CARGO_MANIFEST_DIR"));
    let disk = OsDisk::new(root).expect("the folder is there");
    bencher.counter(BytesCount::new(4 * groups(bytes) * bytes)).bench_local(|| {
        let mut records = 0u64;
        let scan = read_journal(&disk, "j", &mut |_, _, _| records += 1).expect("the disk is well");
        assert!(scan.damage.is_empty() && records > 0);
    });
}
