//! What it costs to carry an item from one thread to another, by the size of the batch.

use divan::counter::ItemsCount;
use haremq::mesh::ring::ring;
use std::collections::VecDeque;
use std::thread;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// The size of a command: what crosses per message is a line or less.
type Item = [u64; 4];

const ITEMS: usize = 1 << 18;
const CAPACITY: usize = 4096;

#[divan::bench(args = [1, 16, 64, 256], sample_size = 1, sample_count = 20)]
fn between_two_threads(bencher: divan::Bencher, batch: usize) {
    bencher.counter(ItemsCount::new(ITEMS)).bench_local(|| carry(batch));
}

#[divan::bench(args = [1, 16, 64, 256], sample_size = 1, sample_count = 20)]
fn within_one_thread(bencher: divan::Bencher, batch: usize) {
    let (mut producer, mut consumer) = ring::<Item>(CAPACITY);
    let (mut items, mut out) = (VecDeque::with_capacity(batch), Vec::with_capacity(batch));
    bencher.counter(ItemsCount::new(ITEMS)).bench_local(|| {
        for _ in 0..ITEMS / batch {
            items.extend((0..batch).map(|n| [n as u64; 4]));
            producer.push_from(&mut items);
            consumer.pop_into(&mut out, batch);
            divan::black_box(&out);
            out.clear();
        }
    });
}

fn carry(batch: usize) {
    let (mut producer, mut consumer) = ring::<Item>(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut items = VecDeque::with_capacity(batch);
            for _ in 0..ITEMS / batch {
                items.extend((0..batch).map(|n| [n as u64; 4]));
                while !items.is_empty() {
                    if producer.push_from(&mut items) == 0 {
                        thread::yield_now();
                    }
                }
            }
        });
        let (mut received, mut out) = (0, Vec::with_capacity(batch));
        while received < ITEMS {
            let count = consumer.pop_into(&mut out, batch);
            if count == 0 {
                // Who only spins keeps the other from a core that they may have to share.
                thread::yield_now();
            }
            received += count;
            divan::black_box(&out);
            out.clear();
        }
    });
}
