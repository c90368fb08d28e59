use super::super::tests::Bench;
use super::super::{Settled, Terms};
use super::*;
use crate::settlement::Settlement;

const MS: u64 = 1_000_000;

fn with(change: impl FnOnce(&mut QueueArgs)) -> Bench {
    let mut args = QueueArgs::default();
    change(&mut args);
    Bench::with(&args)
}

/// Publishes with what the queue makes of this priority and expiration.
fn publish(bench: &mut Bench, body: u8, priority: Option<u8>, expiration_ms: Option<u64>) {
    let marks = bench.queue.marks(priority, expiration_ms, false);
    bench.publish_marked(body, &marks);
}

/// Everything that is due by now, as the shard takes it: the bodies of the dead.
fn expired(bench: &mut Bench, now_ms: u64) -> Vec<u8> {
    bench.timers.now = now_ms * MS;
    let mut dead = Vec::new();
    while let Some((timer, due)) = bench.timers.due(&mut { usize::MAX }) {
        let Due::Expiry { priority, sequence, .. } = due else { panic!("{due:?}") };
        let Bench { queue, pages, timers } = bench;
        let found = queue.expire(timer, priority, sequence, pages, timers).expect("it is ready");
        assert_eq!(found.reason, Reason::Expired);
        dead.push(bench.pages.read(found.entry.message).content[0]);
        bench.queue.invariants(&bench.pages);
    }
    assert_eq!(bench.timers.len(), bench.queue.timer_count());
    dead
}

#[test]
fn a_message_expires_at_its_time_wherever_it_stands() {
    let mut bench = with(|args| args.message_ttl_ms = Some(1000));
    for (body, expiration_ms) in [(0, None), (1, Some(500)), (2, Some(5000)), (3, Some(100))] {
        publish(&mut bench, body, None, expiration_ms);
    }
    assert!(expired(&mut bench, 99).is_empty());
    assert_eq!(expired(&mut bench, 102), [3]);
    assert_eq!(expired(&mut bench, 998), [1]);
    assert_eq!(expired(&mut bench, 1002), [0, 2], "the smaller time wins");
    assert_eq!(bench.queue.ready_count(), 0);
}

#[test]
fn what_a_consumer_has_does_not_expire_but_does_when_it_comes_back() {
    let mut bench = with(|args| args.message_ttl_ms = Some(10));
    bench.consume(1, false, 0, 10_000);
    publish(&mut bench, 0, None, None);
    publish(&mut bench, 1, None, Some(90));
    let served = bench.serve();
    assert!(expired(&mut bench, 50).is_empty());
    assert!(matches!(
        bench.settle(served[0].3, Settlement::Requeue),
        Some(Settled::Dead(Dead { reason: Reason::Expired, .. }))
    ));
    assert_eq!(bench.queue.ready_count(), 0);
    bench.timers.now = 5 * MS;
    assert!(
        matches!(bench.settle(served[1].3, Settlement::Requeue), Some(Settled::Back(_))),
        "it keeps its own time"
    );
    bench.queue.invariants(&bench.pages);
}

#[test]
fn priorities_above_the_queues_own_count_as_that() {
    let mut bench = with(|args| args.priority_max = Some(5));
    for (body, priority) in [(0, None), (1, Some(5)), (2, Some(200)), (3, Some(1))] {
        publish(&mut bench, body, priority, None);
    }
    bench.consume(1, true, 0, 10_000);
    let order: Vec<u8> = bench.serve().iter().map(|served| served.1).collect();
    assert_eq!(order, [1, 2, 3, 0]);
}

#[test]
fn a_plain_queue_knows_no_priorities() {
    assert_eq!(Bench::new().queue.marks(Some(9), None, false), Marks::default());
}

#[test]
fn a_queue_that_is_too_long_drops_its_first() {
    let mut bench = with(|args| args.length_max = Some(2));
    let mut dropped = Vec::new();
    for body in 0..5 {
        publish(&mut bench, body, None, None);
        let Bench { queue, pages, timers } = &mut bench;
        while let Some(dead) = queue.drop_head(pages, timers) {
            assert_eq!(dead.reason, Reason::MaxLength);
            dropped.push(pages.read(dead.entry.message).content[0]);
        }
        bench.queue.invariants(&bench.pages);
    }
    assert_eq!(dropped, [0, 1, 2]);
}

#[test]
fn a_queue_that_refuses_counts_what_is_ready_and_not_what_is_unacked() {
    let mut bench = with(|args| {
        args.length_max = Some(1);
        args.overflow = Some(Overflow::RejectPublish);
    });
    assert_eq!(bench.queue.refuses(0), None);
    publish(&mut bench, 0, None, None);
    assert_eq!(bench.queue.refuses(0), Some(Overflow::RejectPublish));
    bench.consume(1, false, 0, 10_000);
    bench.serve();
    assert_eq!(bench.queue.refuses(0), None);
    let Bench { queue, pages, timers } = &mut bench;
    assert!(queue.drop_head(pages, timers).is_none());
}

#[test]
fn a_queue_that_takes_nothing_is_passed_by_no_run() {
    let mut bench = with(|args| {
        args.length_max = Some(0);
        args.overflow = Some(Overflow::RejectPublishDlx);
    });
    bench.consume(1, true, 0, 10_000);
    assert!(bench.queue.sole_taker().is_none());
    assert_eq!(bench.queue.refuses(0), Some(Overflow::RejectPublishDlx));
}

#[test]
fn a_message_may_return_so_often_and_no_more() {
    let mut bench = with(|args| args.delivery_limit = Some(2));
    bench.consume(1, false, 1, 10_000);
    publish(&mut bench, 7, None, None);
    for returns in 0..2 {
        let served = bench.serve();
        assert_eq!((served.len(), served[0].2), (1, returns > 0));
        assert!(matches!(bench.settle(served[0].3, Settlement::Requeue), Some(Settled::Back(_))));
    }
    let served = bench.serve();
    let Some(Settled::Dead(dead)) = bench.settle(served[0].3, Settlement::Requeue) else { panic!() };
    assert_eq!(dead.reason, Reason::DeliveryLimit);
    assert_eq!((bench.queue.ready_count(), bench.queue.unacked_count()), (0, 0));
}

#[test]
fn one_that_its_consumer_did_not_get_has_not_returned() {
    let mut bench = with(|args| args.delivery_limit = Some(0));
    bench.consume(1, false, 1, 10_000);
    publish(&mut bench, 7, None, None);
    let unacked = bench.serve()[0].3;
    assert!(matches!(bench.settle(unacked, Settlement::Undelivered), Some(Settled::Back(_))));
}

#[test]
fn a_rejected_message_dies_and_an_acked_one_does_not() {
    let mut bench = with(|args| args.dead_letter_exchange = Some(Name::from(&b""[..])));
    bench.consume(1, false, 0, 10_000);
    publish(&mut bench, 0, None, None);
    publish(&mut bench, 1, None, None);
    let served = bench.serve();
    bench.ack(served[0].3);
    let Some(Settled::Dead(dead)) = bench.settle(served[1].3, Settlement::Reject) else { panic!() };
    assert_eq!(dead.reason, Reason::Rejected);
    let to = bench.queue.graveyard().unwrap();
    assert_eq!((&*to.queue, &*to.exchange, &to.routing_key), (&b"q"[..], &b""[..], &None));
}

#[test]
fn an_exchange_of_a_name_that_none_can_have_is_no_place_for_the_dead() {
    let long = Name::from(vec![b'x'; 256]);
    assert!(with(|args| args.dead_letter_exchange = Some(long.clone())).queue.graveyard().is_none());
    let bench = with(|args| {
        args.dead_letter_exchange = Some(Name::from(&b"x"[..]));
        args.dead_letter_routing_key = Some(long);
    });
    assert!(bench.queue.graveyard().is_none());
}

#[test]
fn a_queue_is_idle_when_it_has_no_consumer_and_nobody_asked_for_its_time() {
    let mut bench = with(|args| args.expires_ms = Some(100));
    let idle_at = |bench: &mut Bench, ms: u64| {
        bench.timers.now = ms * MS;
        let due = bench.timers.due(&mut { usize::MAX });
        due.is_some_and(|(timer, _)| bench.queue.is_idle(timer))
    };
    bench.queue.used(&mut bench.timers);
    assert!(!idle_at(&mut bench, 90));
    bench.queue.used(&mut bench.timers);
    assert!(!idle_at(&mut bench, 150), "it was used");
    let consumer = bench.consume(1, true, 0, 10);
    assert!(!idle_at(&mut bench, 1000), "it has a consumer");
    bench.leave(consumer);
    assert!(!idle_at(&mut bench, 1099));
    assert!(idle_at(&mut bench, 1102));
    bench.queue.die(&mut bench.timers);
    assert!(bench.timers.is_empty());
}

#[test]
fn a_slow_consumer_is_told_by_its_oldest_message() {
    let mut bench = with(|args| args.consumer_timeout_ms = Some(100));
    let slow = bench.consume(1, false, 2, 10_000);
    bench.consume(2, false, 1, 10_000);
    (0..3).for_each(|body| publish(&mut bench, body, None, None));
    let served = bench.serve();
    bench.timers.now = 50 * MS;
    bench.ack(served[1].3);
    bench.timers.now = 150 * MS;
    let mut late = Vec::new();
    while let Some((timer, Due::Settling { unacked, .. })) = bench.timers.due(&mut { usize::MAX }) {
        late.extend(bench.queue.overdue(timer, unacked, &mut bench.timers));
        bench.leave(slow);
    }
    assert_eq!(late.len(), 1, "of one that was let go no more is said, and who acked is not late");
    let (consumer, overdue) = &late[0];
    assert_eq!((*consumer, overdue.consumer.handle, overdue.timeout_ms), (slow, 1, 100));
    assert_eq!(overdue.unacked.len(), 2);
}

#[test]
fn the_consumer_of_the_highest_priority_is_served_as_long_as_it_has_room() {
    let mut bench = Bench::new();
    for (handle, priority, prefetch) in [(1, 0, 0), (2, 10, 2), (3, -5, 0), (4, 10, 1)] {
        bench.consume_on(handle, Terms { priority, prefetch, ..Terms::default() });
    }
    (0..6).for_each(|body| bench.publish(body));
    let order: Vec<u32> = bench.serve().iter().map(|served| served.0).collect();
    assert_eq!(order, [2, 4, 2, 1, 1, 1]);
}

#[test]
fn of_several_consumers_one_is_active_until_it_goes() {
    let mut bench = with(|args| args.single_active_consumer = true);
    let first = bench.consume(1, true, 0, 10_000);
    bench.consume(2, true, 0, 10_000);
    let third = bench.consume_on(3, Terms { no_ack: true, priority: 1, ..Terms::default() });
    let serve = |bench: &mut Bench| {
        (0..3).for_each(|body| bench.publish(body));
        bench.serve().iter().map(|served| served.0).collect::<Vec<_>>()
    };
    assert_eq!(serve(&mut bench), [1, 1, 1], "one that comes later does not take over");
    bench.leave(first);
    assert_eq!(serve(&mut bench), [3, 3, 3], "the highest priority is next");
    bench.leave(third);
    assert_eq!(serve(&mut bench), [2, 2, 2]);
    assert!(!bench.queue.admits(true));
}
