use std::sync::Arc;

use super::*;
use crate::budget::Budget;
use crate::ids::{ConnectionId, ShardId, root};
use crate::message::Message;
use crate::pages::Pages;

pub struct Bench {
    pub queue: Queue,
    pub pages: Pages,
    pub timers: Timers,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&QueueArgs::default())
    }

    pub fn with(args: &QueueArgs) -> Bench {
        let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        let pages = Pages::new(Arc::new(Budget::new(usize::MAX)));
        let queue = Queue::new(id, root(), Name::from(&b"q"[..]), false, args);
        Bench { queue, pages, timers: Timers::default() }
    }

    pub fn publish(&mut self, body: u8) {
        self.publish_marked(body, &Marks::default());
    }

    pub fn publish_marked(&mut self, body: u8, marks: &Marks) {
        let at = self.pages.store(&Message { route: b"\0\0", content: &[body] });
        self.queue.push(at, marks, &self.pages, &mut self.timers);
    }

    pub fn settle(&mut self, unacked: Option<u32>, settlement: Settlement) -> Option<Settled> {
        self.queue.settle(unacked?, settlement, &self.pages, &mut self.timers)
    }

    pub fn ack(&mut self, unacked: Option<u32>) {
        let Some(Settled::Gone(entry)) = self.settle(unacked, Settlement::Ack) else {
            panic!("an ack ends a message")
        };
        self.pages.release(entry.message);
    }

    pub fn leave(&mut self, consumer: ConsumerId) -> bool {
        self.queue.remove_consumer(consumer, &mut self.timers)
    }

    pub fn consume(&mut self, handle: u32, no_ack: bool, prefetch: u16, window: u32) -> ConsumerId {
        self.consume_on(handle, Terms { no_ack, prefetch, window, ..Terms::default() })
    }

    pub fn consume_limited(&mut self, handle: u32, prefetch: u16) -> ConsumerId {
        let terms = Terms { prefetch, limited: true, window: 1000, ..Terms::default() };
        self.consume_on(handle, terms)
    }

    pub fn consume_on(&mut self, handle: u32, terms: Terms) -> ConsumerId {
        let connection = ConnectionId { shard: ShardId(0), slot: handle, generation: 1 };
        self.queue.add_consumer(ConsumerAt { connection, handle }, terms, &mut self.timers)
    }

    /// Serves all that can be served: (handle, body, redelivered, unacked number).
    pub fn serve(&mut self) -> Vec<(u32, u8, bool, Option<u32>)> {
        let mut served = Vec::new();
        while let Some((entry, delivery)) = self.queue.next(&self.pages, &mut self.timers) {
            self.queue.invariants(&self.pages);
            let body = self.pages.read(entry.message).content[0];
            served.push((delivery.to.handle, body, entry.is_redelivered(), delivery.unacked));
        }
        served
    }
}

#[test]
fn consumers_are_served_in_turn() {
    let mut bench = Bench::new();
    bench.consume(1, true, 0, 1000);
    bench.consume(2, true, 0, 1000);
    (0..4).for_each(|body| bench.publish(body));
    let order: Vec<_> = bench.serve().iter().map(|served| (served.0, served.1)).collect();
    assert_eq!(order, [(1, 0), (2, 1), (1, 2), (2, 3)]);
}

#[test]
fn prefetch_bounds_what_is_unacked_until_an_ack() {
    let mut bench = Bench::new();
    bench.consume(1, false, 2, 1000);
    (0..4).for_each(|body| bench.publish(body));
    let served = bench.serve();
    assert_eq!(served.len(), 2);
    bench.ack(served[0].3);
    assert_eq!(bench.serve()[0].1, 2);
    assert_eq!((bench.queue.ready_count(), bench.queue.unacked_count()), (1, 2));
}

#[test]
fn a_window_bounds_what_is_sent_until_a_grant() {
    let mut bench = Bench::new();
    let consumer = bench.consume(1, true, 0, 125);
    (0..9).for_each(|body| bench.publish(body));
    assert_eq!(bench.serve().len(), 3, "the third message overdraws the window");
    bench.queue.grant(consumer, 25);
    assert_eq!(bench.serve().len(), 0, "what was overdrawn is paid back first");
    bench.queue.grant(consumer, 50);
    assert_eq!(bench.serve().len(), 1);
}

#[test]
fn a_requeued_message_returns_to_its_old_place_as_redelivered() {
    let mut bench = Bench::new();
    bench.consume(1, false, 3, 1000);
    (0..4).for_each(|body| bench.publish(body));
    let served = bench.serve();
    bench.settle(served[1].3, Settlement::Requeue);
    bench.settle(served[0].3, Settlement::Requeue);
    let again: Vec<_> = bench.serve().iter().map(|served| (served.1, served.2)).collect();
    assert_eq!(again, [(0, true), (1, true)]);
}

#[test]
fn an_ack_of_a_departed_consumer_frees_no_room_of_its_successor() {
    let mut bench = Bench::new();
    let first = bench.consume(1, false, 1, 1000);
    bench.publish(0);
    let served = bench.serve();
    assert!(!bench.leave(first));
    bench.publish(1);
    bench.publish(2);
    bench.consume(2, false, 1, 1000);
    assert_eq!(bench.serve().len(), 1);
    bench.ack(served[0].3);
    bench.queue.invariants(&bench.pages);
    assert_eq!(bench.serve().len(), 0);
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut bench = Bench::new();
    assert!(bench.queue.admits(true));
    let first = bench.consume(1, true, 0, 10);
    assert!(!bench.queue.admits(true) && bench.queue.admits(false));
    bench.leave(first);
    let terms = Terms { no_ack: true, exclusive: true, window: 10, ..Terms::default() };
    let exclusive = bench.consume_on(2, terms);
    assert!(!bench.queue.admits(false));
    bench.leave(exclusive);
    assert!(bench.queue.admits(true));
}

#[test]
fn a_dead_queue_gives_back_all_its_messages_piece_by_piece() {
    let mut bench = Bench::new();
    bench.consume(1, false, 3, 1000);
    (0..9).for_each(|body| bench.publish(body));
    bench.serve();
    assert_eq!(bench.queue.die(&mut bench.timers).len(), 1);
    assert!(bench.settle(Some(0), Settlement::Requeue).is_none());
    bench.ack(Some(1));
    let Bench { queue, mut pages, mut timers } = bench;
    let mut doomed = queue.remains();
    assert!(!doomed.free_some(6, &mut timers, |entry| pages.release(entry.message)));
    assert!(doomed.free_some(6, &mut timers, |entry| pages.release(entry.message)));
    assert_eq!(pages.live(), 0);
}

#[test]
fn an_auto_delete_queue_ends_with_its_last_consumer() {
    let mut bench = Bench::new();
    bench.queue.auto_delete = true;
    let first = bench.consume(1, true, 0, 10);
    let second = bench.consume(2, true, 0, 10);
    assert!(!bench.leave(first));
    assert!(bench.leave(second));
}

#[test]
fn it_is_counted_how_long_messages_waited_and_how_long_their_consumers_took() {
    let mut bench = Bench::new();
    (0..3).for_each(|body| bench.publish(body));
    bench.timers.now = 5_000_000;
    bench.publish(3);
    bench.timers.now = 9_000_000;
    assert_eq!(bench.queue.oldest_ready_ns(&bench.timers), Some(9_000_000));
    bench.consume(1, false, 0, 1000);
    let served = bench.serve();
    assert_eq!(bench.queue.oldest_ready_ns(&bench.timers), None);
    bench.timers.now = 12_000_000;
    bench.settle(served[0].3, Settlement::Requeue);
    bench.serve();
    for served in &served[1..] {
        bench.ack(served.3);
    }
    let QueueLatency { waited, acked, .. } = bench.queue.latency();
    let waited = waited.histogram();
    assert_eq!((waited.len(), waited.count_at(9_000), waited.count_at(4_000)), (4, 3, 1), "once each");
    assert_eq!(acked.histogram().count_at(3_000), 3);
    assert_eq!(bench.timers.latency.waited.histogram().len(), 4);
}

#[test]
fn what_went_straight_through_did_not_wait() {
    let mut bench = Bench::new();
    bench.consume(1, true, 0, 1000);
    assert!(bench.queue.direct(1).is_some());
    bench.queue.run_ended(7);
    assert_eq!(bench.queue.latency().waited.histogram().count_at(0), 8);
}

#[test]
fn messages_of_a_higher_priority_do_not_hide_the_age_of_those_below() {
    let mut bench = Bench::new();
    bench.publish_marked(0, &Marks::default());
    bench.timers.now = 2_000_000;
    bench.publish_marked(1, &Marks { priority: 1, ..Marks::default() });
    bench.timers.now = 3_000_000;
    assert_eq!(bench.queue.oldest_ready_ns(&bench.timers), Some(3_000_000));
}
