//! The whole way of a message in one process: bytes of a publish in, bytes of a delivery out.

#[path = "../src/walk/hall.rs"]
#[allow(dead_code, reason = "each of its users takes what it needs")]
mod hall;

use divan::Bencher;
use divan::counter::ItemsCount;
use hall::{Hall, consume, declare, publish};
use haremq::amqp::method::Method;
use haremq::amqp::table::Table;
use haremq::amqp::wire::ShortStr;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const MESSAGES: usize = 500;

/// Straight through, one shard.
#[divan::bench(args = [16, 1024])]
fn auto_ack(bencher: Bencher, body: usize) {
    run(bencher, 1, true, 1, body);
}

/// Stored until an ack for the whole batch.
#[divan::bench(args = [16, 1024])]
fn manual_ack(bencher: Bencher, body: usize) {
    run(bencher, 1, false, 1, body);
}

/// Publisher, queue and consumer on three shards, all on this thread.
#[divan::bench(args = [16, 1024])]
fn three_shards(bencher: Bencher, body: usize) {
    run(bencher, 3, true, 1, body);
}

/// To ten queues; an item is a delivery.
#[divan::bench]
fn fanout_10(bencher: Bencher) {
    run(bencher, 1, true, 10, 16);
}

fn run(bencher: Bencher, shards: u16, no_ack: bool, queues: usize, body: usize) {
    let mut hall = Hall::new(shards);
    let publisher = hall.connect(0);
    let consumer = hall.connect(usize::from(shards) - 1);
    for name in NAMES.into_iter().take(queues) {
        hall.send(consumer, &declare(name));
        let bind = Method::QueueBind {
            queue: ShortStr::from(name),
            exchange: ShortStr::from("amq.fanout"),
            routing_key: ShortStr::EMPTY,
            nowait: true,
            arguments: Table::EMPTY,
        };
        hall.send(consumer, &bind);
        hall.send(consumer, &consume(name, no_ack));
    }
    hall.discard_output = true;
    let batch = publish("amq.fanout", "", &vec![7; body]).repeat(MESSAGES);
    bencher.counter(ItemsCount::new(MESSAGES * queues)).bench_local(|| {
        hall.bytes(publisher, &batch);
        if !no_ack {
            hall.send(consumer, &Method::BasicAck { delivery_tag: 0, multiple: true });
        }
    });
}

const NAMES: [&str; 10] = ["q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9"];
