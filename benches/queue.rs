//! A queue and its message memory alone: store, push, serve, settle.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use haremq::budget::Budget;
use haremq::ids::{ConnectionId, Name, QueueId, ShardId, root};
use haremq::message::Message;
use haremq::pages::Pages;
use haremq::queue::{ConsumerAt, Marks, Queue, Settled, Terms, Timers};
use haremq::queue_args::QueueArgs;
use haremq::settlement::Settlement;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const MESSAGES: usize = 10_000;

/// Stored and pushed behind each other, then served and settled.
#[divan::bench(args = [16, 1024])]
fn fill_and_drain(bencher: Bencher, body: usize) {
    let (mut queue, mut pages, mut timers) = empty(&QueueArgs::default());
    add_consumer(&mut queue, &mut timers);
    let content = vec![7; body + 30];
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            let at = pages.store(&Message { route: b"\0\x01q", content: &content });
            queue.push(at, &Marks::default(), &pages, &mut timers);
        }
        drain(&mut queue, &mut pages, &mut timers);
    });
}

/// Served, returned to the old place, served again.
#[divan::bench]
fn requeue(bencher: Bencher) {
    let (mut queue, mut pages, mut timers) = empty(&QueueArgs::default());
    add_consumer(&mut queue, &mut timers);
    for _ in 0..MESSAGES {
        let at = pages.store(&Message { route: b"\0\x01q", content: &[7; 50] });
        queue.push(at, &Marks::default(), &pages, &mut timers);
    }
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut unacked = Vec::with_capacity(MESSAGES);
        while let Some((_, delivery)) = queue.next(&pages, &mut timers) {
            unacked.extend(delivery.unacked);
        }
        for at in unacked {
            queue.settle(at, Settlement::Requeue, &pages, &mut timers);
        }
    });
}

/// The same with a priority each, and with a time to live each.
#[divan::bench(args = ["plain", "priorities", "ttl"])]
fn fill_and_drain_by_rules(bencher: Bencher, rule: &str) {
    let args = QueueArgs { priority_max: (rule == "priorities").then_some(255), ..QueueArgs::default() };
    let (mut queue, mut pages, mut timers) = empty(&args);
    add_consumer(&mut queue, &mut timers);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for count in 0..MESSAGES as u64 {
            let at = pages.store(&Message { route: b"\0\x01q", content: &[7; 50] });
            let random = count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let ttl_ns = (rule == "ttl").then_some(1_000_000_000 + random);
            let marks = Marks { ttl_ns, ..queue.marks(Some(random as u8), None, false) };
            queue.push(at, &marks, &pages, &mut timers);
        }
        drain(&mut queue, &mut pages, &mut timers);
    });
}

fn drain(queue: &mut Queue, pages: &mut Pages, timers: &mut Timers) {
    while let Some((_, delivery)) = queue.next(pages, timers) {
        let unacked = delivery.unacked.expect("this consumer acks");
        let Some(Settled::Gone(entry)) = queue.settle(unacked, Settlement::Ack, pages, timers) else {
            panic!("just delivered")
        };
        pages.release(entry.message);
    }
}

fn empty(args: &QueueArgs) -> (Queue, Pages, Timers) {
    let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
    let pages = Pages::new(Arc::new(Budget::new(usize::MAX)));
    (Queue::new(id, root(), Name::from(&b"q"[..]), false, args), pages, Timers::default())
}

/// One whose window never ends within a bench: it is granted what it used.
fn add_consumer(queue: &mut Queue, timers: &mut Timers) {
    let connection = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
    let consumer = queue.add_consumer(ConsumerAt { connection, handle: 0 }, Terms::default(), timers);
    for _ in 0..1_000_000 {
        queue.grant(consumer, u32::MAX);
    }
}
