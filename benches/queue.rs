//! A queue and its message memory alone: store, push, serve, settle.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use haremq::budget::Budget;
use haremq::ids::{ConnectionId, QueueId, ShardId};
use haremq::message::Message;
use haremq::pages::Pages;
use haremq::queue::{ConsumerAt, Queue, Terms};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const MESSAGES: usize = 10_000;

/// Stored and pushed behind each other, then served and settled.
#[divan::bench(args = [16, 1024])]
fn fill_and_drain(bencher: Bencher, body: usize) {
    let (mut queue, mut pages) = empty();
    add_consumer(&mut queue);
    let content = vec![7; body + 30];
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            queue.push(pages.store(&Message { route: b"\0\x01q", content: &content }));
        }
        while let Some((_, delivery)) = queue.next(|at| pages.read(at).window_bytes()) {
            let message =
                queue.settle(delivery.unacked.expect("this consumer acks")).expect("just delivered");
            pages.release(message);
        }
    });
}

/// Served, returned to the old place, served again.
#[divan::bench]
fn requeue(bencher: Bencher) {
    let (mut queue, mut pages) = empty();
    add_consumer(&mut queue);
    for _ in 0..MESSAGES {
        queue.push(pages.store(&Message { route: b"\0\x01q", content: &[7; 50] }));
    }
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut unacked = Vec::with_capacity(MESSAGES);
        while let Some((_, delivery)) = queue.next(|_| 0) {
            unacked.extend(delivery.unacked);
        }
        unacked.into_iter().for_each(|at| queue.requeue(at));
    });
}

fn empty() -> (Queue, Pages) {
    let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
    let pages = Pages::new(Arc::new(Budget::new(usize::MAX)));
    (Queue::new(id, Box::from(&b"q"[..]), false), pages)
}

/// One whose window never ends within a bench: it is granted what it used.
fn add_consumer(queue: &mut Queue) {
    let connection = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
    let terms = Terms { no_ack: false, exclusive: false, prefetch: 0, limited: false, window: u32::MAX };
    let consumer = queue.add_consumer(ConsumerAt { connection, handle: 0 }, terms);
    for _ in 0..1_000_000 {
        queue.grant(consumer, u32::MAX);
    }
}
