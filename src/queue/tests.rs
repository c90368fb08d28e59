use std::sync::Arc;

use super::*;
use crate::budget::Budget;
use crate::ids::{ConnectionId, ShardId};
use crate::message::Message;
use crate::pages::Pages;

pub struct Bench {
    pub queue: Queue,
    pub pages: Pages,
}

impl Bench {
    pub fn new() -> Bench {
        let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        let pages = Pages::new(Arc::new(Budget::new(usize::MAX)));
        Bench { queue: Queue::new(id, Box::from(&b"q"[..]), false), pages }
    }

    pub fn publish(&mut self, body: u8) {
        let at = self.pages.store(&Message { route: b"\0\0", content: &[body] });
        self.queue.push(at);
    }

    pub fn consume(&mut self, handle: u32, no_ack: bool, prefetch: u16, window: u32) -> ConsumerId {
        self.consume_on(handle, Terms { no_ack, exclusive: false, prefetch, limited: false, window })
    }

    pub fn consume_limited(&mut self, handle: u32, prefetch: u16) -> ConsumerId {
        let terms = Terms { no_ack: false, exclusive: false, prefetch, limited: true, window: 1000 };
        self.consume_on(handle, terms)
    }

    fn consume_on(&mut self, handle: u32, terms: Terms) -> ConsumerId {
        let connection = ConnectionId { shard: ShardId(0), slot: handle, generation: 1 };
        self.queue.add_consumer(ConsumerAt { connection, handle }, terms)
    }

    /// Serves all that can be served: (handle, body, redelivered, unacked number).
    pub fn serve(&mut self) -> Vec<(u32, u8, bool, Option<u32>)> {
        let mut served = Vec::new();
        while let Some((entry, delivery)) = self.queue.next(|_| 10) {
            self.queue.invariants();
            let body = self.pages.read(entry.message).content[0];
            served.push((delivery.to.handle, body, entry.redelivered, delivery.unacked));
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
    let message = bench.queue.settle(served[0].3.unwrap()).unwrap();
    bench.pages.release(message);
    assert_eq!(bench.serve()[0].1, 2);
    assert_eq!((bench.queue.ready_count(), bench.queue.unacked_count()), (1, 2));
}

#[test]
fn a_window_bounds_what_is_sent_until_a_grant() {
    let mut bench = Bench::new();
    let consumer = bench.consume(1, true, 0, 25);
    (0..9).for_each(|body| bench.publish(body));
    assert_eq!(bench.serve().len(), 3, "the third message overdraws the window");
    bench.queue.grant(consumer, 5);
    assert_eq!(bench.serve().len(), 0, "what was overdrawn is paid back first");
    bench.queue.grant(consumer, 10);
    assert_eq!(bench.serve().len(), 1);
}

#[test]
fn a_requeued_message_returns_to_its_old_place_as_redelivered() {
    let mut bench = Bench::new();
    bench.consume(1, false, 3, 1000);
    (0..4).for_each(|body| bench.publish(body));
    let served = bench.serve();
    bench.queue.requeue(served[1].3.unwrap());
    bench.queue.requeue(served[0].3.unwrap());
    let again: Vec<_> = bench.serve().iter().map(|served| (served.1, served.2)).collect();
    assert_eq!(again, [(0, true), (1, true)]);
}

#[test]
fn an_ack_of_a_departed_consumer_frees_no_room_of_its_successor() {
    let mut bench = Bench::new();
    let first = bench.consume(1, false, 1, 1000);
    bench.publish(0);
    let served = bench.serve();
    assert!(!bench.queue.remove_consumer(first));
    bench.publish(1);
    bench.publish(2);
    bench.consume(2, false, 1, 1000);
    assert_eq!(bench.serve().len(), 1);
    bench.queue.settle(served[0].3.unwrap());
    bench.queue.invariants();
    assert_eq!(bench.serve().len(), 0);
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut bench = Bench::new();
    assert!(bench.queue.admits(true));
    let first = bench.consume(1, true, 0, 10);
    assert!(!bench.queue.admits(true) && bench.queue.admits(false));
    bench.queue.remove_consumer(first);
    let terms = Terms { no_ack: true, exclusive: true, prefetch: 0, limited: false, window: 10 };
    let exclusive = bench.consume_on(2, terms);
    assert!(!bench.queue.admits(false));
    bench.queue.remove_consumer(exclusive);
    assert!(bench.queue.admits(true));
}

#[test]
fn a_dead_queue_gives_back_all_its_messages_piece_by_piece() {
    let mut bench = Bench::new();
    bench.consume(1, false, 3, 1000);
    (0..9).for_each(|body| bench.publish(body));
    bench.serve();
    let (mut doomed, consumers) = bench.queue.die();
    assert_eq!(consumers.len(), 1);
    let Bench { pages, .. } = &mut bench;
    assert!(!doomed.free_some(6, |message| pages.release(message)));
    assert!(doomed.free_some(6, |message| pages.release(message)));
    assert_eq!(bench.pages.live(), 0);
}

#[test]
fn an_auto_delete_queue_ends_with_its_last_consumer() {
    let mut bench = Bench::new();
    bench.queue.auto_delete = true;
    let first = bench.consume(1, true, 0, 10);
    let second = bench.consume(2, true, 0, 10);
    assert!(!bench.queue.remove_consumer(first));
    assert!(bench.queue.remove_consumer(second));
}
