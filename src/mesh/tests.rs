//! The ring and the doorbell on real atomics. They stand beside their files and not in them, because
//! `tests/loom_mesh.rs` takes the files in with loom's types.

use super::doorbell::Doorbell;
use super::ring::ring;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn wakes() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), Waker::from(wakes))
}

#[test]
fn a_parked_shard_is_woken_once() {
    let (wakes, waker) = wakes();
    let bell = Doorbell::new();
    assert!(bell.park(&waker, || false));
    bell.ring();
    bell.ring();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_shard_that_is_up_is_not_woken() {
    let (wakes, waker) = wakes();
    let bell = Doorbell::new();
    bell.ring();
    assert!(!bell.park(&waker, || true));
    bell.ring();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn items_come_out_in_the_order_they_went_in() {
    let (mut producer, mut consumer) = ring(4);
    for round in 0..10 {
        (0..4).for_each(|n| producer.push(round * 4 + n).expect("room"));
        assert_eq!(producer.push(99), Err(99));
        assert!(producer.is_full());
        (0..4).for_each(|n| assert_eq!(consumer.pop(), Some(round * 4 + n)));
        assert!(consumer.is_empty() && consumer.pop().is_none());
    }
}

#[test]
fn a_batch_moves_what_fits_and_keeps_the_rest_in_order() {
    let (mut producer, mut consumer) = ring(4);
    let mut items: VecDeque<u32> = (0..10).collect();
    let mut out = Vec::new();
    assert_eq!(producer.push_from(&mut items), 4);
    assert_eq!(consumer.pop_into(&mut out, 3), 3);
    assert_eq!(producer.push_from(&mut items), 3);
    assert_eq!(consumer.pop_into(&mut out, 100), 4);
    assert_eq!(producer.push_from(&mut items), 3);
    assert_eq!(consumer.pop_into(&mut out, 100), 3);
    assert_eq!(out, (0..10).collect::<Vec<_>>());
}

#[test]
fn the_spilled_flag_is_up_while_a_rest_is_kept() {
    let (mut producer, mut consumer) = ring(2);
    let mut items: VecDeque<u32> = (0..3).collect();
    producer.push_from(&mut items);
    assert!(consumer.producer_spilled());
    consumer.pop();
    producer.push_from(&mut items);
    assert!(!consumer.producer_spilled());
}

#[test]
fn a_ring_drops_what_is_inside() {
    let item = Arc::new(());
    let (mut producer, mut consumer) = ring(4);
    (0..4).for_each(|_| producer.push(item.clone()).expect("room"));
    drop(consumer.pop());
    producer.push(item.clone()).expect("room");
    drop(producer);
    assert_eq!(Arc::strong_count(&item), 5);
    drop(consumer);
    assert_eq!(Arc::strong_count(&item), 1);
}

#[test]
fn a_batch_that_is_left_half_way_loses_nothing() {
    struct TwoOnly(Vec<u32>);
    impl Extend<u32> for TwoOnly {
        fn extend<I: IntoIterator<Item = u32>>(&mut self, items: I) {
            self.0.extend(items.into_iter().take(2));
        }
    }
    let (mut producer, mut consumer) = ring(4);
    (0..4).for_each(|n| producer.push(n).expect("room"));
    let mut two = TwoOnly(Vec::new());
    consumer.pop_into(&mut two, 4);
    assert_eq!((two.0, consumer.pop(), consumer.pop()), (vec![0, 1], Some(2), Some(3)));
}

#[test]
fn two_threads_see_every_item_once_and_in_order() {
    let (mut producer, mut consumer) = ring(8);
    let sender = std::thread::spawn(move || {
        let mut items: VecDeque<u32> = (0..100_000).collect();
        while !items.is_empty() {
            if producer.push_from(&mut items) == 0 {
                std::thread::yield_now();
            }
        }
    });
    let mut out = Vec::new();
    while out.len() < 100_000 {
        if consumer.pop_into(&mut out, 5) == 0 {
            std::thread::yield_now();
        }
    }
    sender.join().expect("the sender does not panic");
    assert!(out.into_iter().eq(0..100_000));
}
