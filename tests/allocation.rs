//! In steady state nothing is allocated per message on publish, route and deliver, beyond message memory.
//!
//! Counted over a thousand batches after as many to warm up. What a batch may allocate (a chunk of a queue, a
//! parcel that a peer has kept) is far below one per message; the bound is one per hundred messages.
#![allow(unsafe_code)]

#[path = "../src/walk/hall.rs"]
#[allow(dead_code, reason = "each of its users takes what it needs")]
mod hall;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hall::{Hall, consume, declare, publish};
use haremq::amqp::method::Method;
use haremq::amqp::table::Table;
use haremq::amqp::wire::ShortStr;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCHES: u64 = 1_000;
const MESSAGES: u64 = 100;

#[test]
fn a_message_that_goes_straight_through_allocates_nothing() {
    let mut road = Road::new(1, true, "", "walk");
    assert_eq!(road.allocations_of(BATCHES), 0);
}

#[test]
fn a_message_that_is_acked_allocates_nothing() {
    let mut road = Road::new(1, false, "", "walk");
    assert_eq!(road.allocations_of(BATCHES), 0);
}

#[test]
fn a_message_through_an_exchange_allocates_nothing() {
    for exchange in ["amq.direct", "amq.fanout"] {
        let mut road = Road::new(1, true, exchange, "key");
        assert_eq!(road.allocations_of(BATCHES), 0, "{exchange}");
    }
}

#[test]
fn a_message_over_three_shards_allocates_next_to_nothing() {
    for no_ack in [true, false] {
        let mut road = Road::new(3, no_ack, "", "walk");
        let allocations = road.allocations_of(BATCHES);
        assert!(allocations < BATCHES * MESSAGES / 100, "{allocations} allocations");
    }
}

#[test]
fn a_backlog_allocates_next_to_nothing() {
    let mut road = Road::new(1, true, "", "backlog");
    road.hall.send(road.consumer, &declare("backlog"));
    road.hall.turn();
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..BATCHES {
        road.hall.bytes(road.publisher, &road.batch);
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert!(allocations < BATCHES * MESSAGES / 100, "{allocations} allocations");
}

/// A publisher, a queue and a consumer, each on a shard of its own where there are three.
struct Road {
    hall: Hall,
    publisher: usize,
    consumer: usize,
    batch: Vec<u8>,
    acks: bool,
    delivered: u64,
}

impl Road {
    fn new(shards: u16, no_ack: bool, exchange: &'static str, key: &'static str) -> Road {
        let mut hall = Hall::new(shards);
        let publisher = hall.connect(0);
        let owner = hall.connect(usize::from(shards > 1));
        let consumer = hall.connect(if shards > 1 { 2 } else { 0 });
        hall.send(owner, &declare("walk"));
        if !exchange.is_empty() {
            let bind = Method::QueueBind {
                queue: ShortStr::from("walk"),
                exchange: ShortStr::from(exchange),
                routing_key: ShortStr::from(key),
                nowait: true,
                arguments: Table::EMPTY,
            };
            hall.send(owner, &bind);
        }
        hall.send(consumer, &consume("walk", no_ack));
        let one = publish(exchange, key, b"sixteen bytes...");
        let batch = one.repeat(MESSAGES as usize);
        Road { hall, publisher, consumer, batch, acks: !no_ack, delivered: 0 }
    }

    /// Allocations of so many batches, after a warm-up of as many.
    fn allocations_of(&mut self, batches: u64) -> u64 {
        self.hall.discard_output = true;
        (0..batches).for_each(|_| self.batch());
        let before = ALLOCATIONS.with(Cell::get);
        (0..batches).for_each(|_| self.batch());
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        let delivered: u64 = self.hall.shards.iter_mut().map(|shard| shard.counters().delivered).sum();
        assert_eq!(delivered, 2 * batches * MESSAGES, "every message arrived");
        allocations
    }

    fn batch(&mut self) {
        self.hall.bytes(self.publisher, &self.batch);
        self.delivered += MESSAGES;
        if self.acks {
            let mut ack = *b"\x01\0\x01\0\0\0\x0D\0\x3C\0\x50\0\0\0\0\0\0\0\0\x01\xCE";
            ack[11..19].copy_from_slice(&self.delivered.to_be_bytes());
            self.hall.bytes(self.consumer, &ack);
        }
    }
}
