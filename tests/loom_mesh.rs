//! Every interleaving of the ring and the doorbell, under loom, with rings of capacity 2.

/// The two files as they are, on loom's types instead of the platform's.
#[allow(dead_code)]
#[path = "../src/mesh"]
mod mesh {
    pub mod doorbell;
    pub mod ring;

    pub mod sync {
        pub use loom::cell::UnsafeCell;
        pub use loom::sync::Arc;
        pub use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
        use std::task::Waker;

        /// The contract of `atomic_waker::AtomicWaker`, whose own inside loom cannot see.
        pub struct AtomicWaker(loom::sync::Mutex<Option<Waker>>);

        impl AtomicWaker {
            pub fn new() -> Self {
                AtomicWaker(loom::sync::Mutex::new(None))
            }

            pub fn register(&self, waker: &Waker) {
                *self.0.lock().expect("no panic while locked") = Some(waker.clone());
            }

            pub fn wake(&self) {
                let waker = self.0.lock().expect("no panic while locked").take();
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}

use loom::sync::{Arc, Notify};
use loom::thread;
use mesh::doorbell::Doorbell;
use mesh::ring::{Consumer, Producer, ring};
use std::collections::VecDeque;
use std::task::{Wake, Waker};

/// A thread that sleeps until its waker is called. Sleeping for ever is a deadlock, which loom reports.
#[derive(Clone)]
struct Sleeper(Arc<Notify>);

impl Sleeper {
    fn new() -> Self {
        Sleeper(Arc::new(Notify::new()))
    }

    fn waker(&self) -> Waker {
        struct ByNotify(Arc<Notify>);
        impl Wake for ByNotify {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.notify();
            }
        }
        Waker::from(std::sync::Arc::new(ByNotify(self.0.clone())))
    }

    fn sleep(&self) {
        self.0.wait();
    }
}

/// Pops `count` items, sleeping on `bell` when there is none, and rings `sender` if it spilled.
fn receive(mut consumer: Consumer<usize>, count: usize, bell: &Doorbell, sender: Option<&Doorbell>) {
    let sleeper = Sleeper::new();
    let waker = sleeper.waker();
    let mut next = 0;
    while next < count {
        if let Some(item) = consumer.pop() {
            assert_eq!(item, next);
            next += 1;
            if consumer.producer_spilled() {
                sender.into_iter().for_each(Doorbell::ring);
            }
        } else if bell.park(&waker, || !consumer.is_empty()) {
            sleeper.sleep();
        }
    }
    assert!(consumer.is_empty());
}

/// Pushes 0..count, and sleeps on `bell` while the ring is full and a rest is left.
fn send(mut producer: Producer<usize>, count: usize, bell: &Doorbell, receiver: &Doorbell) {
    let sleeper = Sleeper::new();
    let waker = sleeper.waker();
    let mut items: VecDeque<usize> = (0..count).collect();
    while !items.is_empty() {
        if producer.push_from(&mut items) > 0 {
            receiver.ring();
        } else if bell.park(&waker, || !producer.is_full()) {
            sleeper.sleep();
        }
    }
}

fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}

#[test]
fn nothing_is_lost_or_reordered_through_a_ring_of_two() {
    model(3, || {
        let (mut producer, mut consumer) = ring(2);
        let sender = thread::spawn(move || {
            for item in 0..3 {
                while producer.push(item).is_err() {
                    thread::yield_now();
                }
            }
        });
        for item in 0..3 {
            let got = loop {
                match consumer.pop() {
                    Some(got) => break got,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(got, item);
        }
        sender.join().expect("the sender does not panic");
    });
}

#[test]
fn batches_are_not_torn() {
    model(3, || {
        let (mut producer, mut consumer) = ring(2);
        let sender = thread::spawn(move || {
            let mut items: VecDeque<usize> = (0..4).collect();
            while !items.is_empty() {
                if producer.push_from(&mut items) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut out = Vec::new();
        while out.len() < 4 {
            if consumer.pop_into(&mut out, 2) == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(out, [0, 1, 2, 3]);
        sender.join().expect("the sender does not panic");
    });
}

#[test]
fn what_is_left_inside_is_dropped_once() {
    model(3, || {
        let item = Arc::new(());
        let (mut producer, mut consumer) = ring(2);
        let sent = item.clone();
        let sender = thread::spawn(move || {
            for _ in 0..2 {
                assert!(producer.push(sent.clone()).is_ok());
            }
        });
        drop(consumer.pop());
        drop(consumer);
        sender.join().expect("the sender does not panic");
        assert_eq!(Arc::strong_count(&item), 1);
    });
}

#[test]
fn a_shard_that_parks_is_woken_for_what_was_pushed() {
    model(3, || {
        let (mut producer, consumer) = ring(2);
        let bell = Arc::new(Doorbell::new());
        let ringer = bell.clone();
        let sender = thread::spawn(move || {
            for item in 0..2 {
                assert_eq!(producer.push(item), Ok(()));
                ringer.ring();
            }
        });
        receive(consumer, 2, &bell, None);
        sender.join().expect("the sender does not panic");
    });
}

#[test]
fn a_producer_that_spilled_is_rung_by_the_side_that_pops() {
    model(2, || {
        let (producer, consumer) = ring(2);
        let bells = Arc::new((Doorbell::new(), Doorbell::new()));
        let theirs = bells.clone();
        let sender = thread::spawn(move || send(producer, 4, &theirs.0, &theirs.1));
        receive(consumer, 4, &bells.1, Some(&bells.0));
        sender.join().expect("the sender does not panic");
    });
}

#[test]
fn two_threads_that_ring_one_bell_do_not_lose_a_wake() {
    model(2, || {
        let (mut first, mut from_first) = ring(2);
        let (mut second, mut from_second) = ring(2);
        let bell = Arc::new(Doorbell::new());
        let (bell_1, bell_2) = (bell.clone(), bell.clone());
        let threads = [
            thread::spawn(move || {
                assert_eq!(first.push(1), Ok(()));
                bell_1.ring();
            }),
            thread::spawn(move || {
                assert_eq!(second.push(2), Ok(()));
                bell_2.ring();
            }),
        ];
        let sleeper = Sleeper::new();
        let waker = sleeper.waker();
        let mut sum = 0;
        while sum < 3 {
            let got = from_first.pop().unwrap_or(0) + from_second.pop().unwrap_or(0);
            sum += got;
            if got == 0 && bell.park(&waker, || !from_first.is_empty() || !from_second.is_empty()) {
                sleeper.sleep();
            }
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}
