//! What a channel holds: limits, recover and cancel, frame by frame, with requests that do not wait for each other.

use super::Target;
use crate::common::wire::{Wire, consume, declare_exclusive, encoded, publication, short};
use haremq::amqp::{FrameKind, LongStr, Method};
use std::collections::BTreeSet;

#[test]
fn a_new_secret_is_taken_and_changes_nothing() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    let update = Method::ConnectionUpdateSecret { new_secret: LongStr(b"other"), reason: "expired".into() };
    wire.call(0, update, "connection.update-secret-ok");
    wire.channel(1);
    wire.call(1, declare_exclusive("after-update"), "queue.declare-ok");
    Wire::open(target.address);
}

#[test]
fn recover_ok_stands_between_the_old_deliveries_and_the_new() {
    const COUNT: u64 = 500;
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    for queue in ["recovered-1", "recovered-2", "recovered-3"] {
        wire.call(1, declare_exclusive(queue), "queue.declare-ok");
        let messages: Vec<u8> =
            (0..COUNT).flat_map(|n| publication(1, "", queue, false, &n.to_be_bytes())).collect();
        wire.bytes(&messages);
        wire.call(1, consume(queue, queue, false), "basic.consume-ok");
        for _ in 0..COUNT {
            assert!(!delivery(&mut wire).redelivered);
        }
    }
    wire.call(1, Method::BasicRecover { requeue: true }, "basic.recover-ok");
    let mut tags = (3 * COUNT + 1)..;
    let mut next = [0; 3];
    for _ in 0..3 * COUNT {
        let again = delivery(&mut wire);
        assert_eq!((Some(again.tag), again.redelivered), (tags.next(), true));
        let at = usize::from(again.consumer[10] - b'1');
        assert_eq!(again.body, u64::to_be_bytes(next[at]), "each queue in its old order");
        next[at] += 1;
    }
    assert_eq!(next, [COUNT; 3]);
}

#[test]
fn a_limit_holds_for_what_is_asked_in_the_same_breath() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    for queue in ["breath-1", "breath-2"] {
        wire.call(1, declare_exclusive(queue), "queue.declare-ok");
    }
    let limit = |prefetch_count| Method::BasicQos { prefetch_size: 0, prefetch_count, global: true };
    let mut bytes = encoded(1, limit(1));
    bytes.extend(encoded(1, consume("breath-1", "first", false)));
    bytes.extend(encoded(1, consume("breath-2", "second", false)));
    (0..3).for_each(|_| bytes.extend(publication(1, "", "breath-1", false, b"x")));
    (0..3).for_each(|_| bytes.extend(publication(1, "", "breath-2", false, b"x")));
    wire.bytes(&bytes);
    wire.expect(1, "basic.qos-ok");
    wire.expect(1, "basic.consume-ok");
    wire.expect(1, "basic.consume-ok");
    for tag in 1..=6 {
        assert_eq!(delivery(&mut wire).tag, tag);
        // Had there been room for another one, it would stand before the answer.
        wire.call(1, limit(1), "basic.qos-ok");
        wire.send(1, Method::BasicAck { delivery_tag: tag, multiple: false });
    }
}

#[test]
fn a_queue_that_is_consumed_exclusively_can_still_be_fetched_from() {
    let target = Target::start();
    let (mut owner, mut other) = (Wire::open(target.address), Wire::open(target.address));
    owner.channel(1);
    other.channel(1);
    owner.call(1, crate::common::wire::declare("fetched"), "queue.declare-ok");
    owner.call(1, Method::BasicQos { prefetch_size: 0, prefetch_count: 1, global: false }, "basic.qos-ok");
    let Method::BasicConsume { queue, consumer_tag, no_local, no_ack, nowait, arguments, .. } =
        consume("fetched", "alone", false)
    else {
        unreachable!("it is a consume")
    };
    let exclusive = true;
    let alone = Method::BasicConsume { queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments };
    owner.call(1, alone, "basic.consume-ok");
    (0..3).for_each(|_| owner.publish(1, "", "fetched", false, b"x"));
    assert_eq!(delivery(&mut owner).tag, 1);
    let ok = other.call(1, Method::BasicGet { queue, no_ack: true }, "basic.get-ok");
    assert!(matches!(ok.method(), Method::BasicGetOk { delivery_tag: 1, message_count: 1, .. }));
    other.content();
    other.send(1, consume("fetched", "second", true));
    let text = "ACCESS_REFUSED - queue 'fetched' in vhost '/' in exclusive use";
    assert_eq!(other.channel_closed(1), (403, text.to_owned()));
    owner.call(1, Method::BasicCancel { consumer_tag: "alone".into(), nowait: false }, "basic.cancel-ok");
    owner.call(1, delete("fetched", false, false), "queue.delete-ok");
}

#[test]
fn a_cancel_concerns_its_own_channel() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.channel(2);
    wire.call(1, declare_exclusive("cancelled-elsewhere"), "queue.declare-ok");
    wire.call(1, consume("cancelled-elsewhere", "tag", true), "basic.consume-ok");
    wire.call(2, Method::BasicCancel { consumer_tag: "tag".into(), nowait: false }, "basic.cancel-ok");
    wire.publish(2, "", "cancelled-elsewhere", false, b"x");
    assert_eq!(delivery(&mut wire).tag, 1);
}

#[test]
fn who_deletes_a_queue_is_answered_before_its_own_consumers_are_told() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    for round in 0..20 {
        let name = format!("deleted-{round}");
        wire.call(1, declare_exclusive(&name), "queue.declare-ok");
        for tag in ["one", "two"] {
            wire.call(1, consume(&name, tag, false), "basic.consume-ok");
        }
        wire.call(1, delete(&name, false, false), "queue.delete-ok");
        let told: BTreeSet<Vec<u8>> = (0..2)
            .map(|_| match wire.expect(1, "basic.cancel").method() {
                Method::BasicCancel { consumer_tag, .. } => consumer_tag.as_bytes().to_vec(),
                other => unreachable!("{other:?}"),
            })
            .collect();
        assert_eq!(told, BTreeSet::from([b"one".to_vec(), b"two".to_vec()]));
        // The tags are free again.
        wire.call(1, Method::BasicCancel { consumer_tag: "one".into(), nowait: false }, "basic.cancel-ok");
    }
}

#[test]
fn a_conditional_delete_looks_at_messages_first_and_not_at_what_is_unacked() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    let queue = short("conditional");
    wire.channel(1);
    wire.channel(2);
    wire.call(1, declare_exclusive("conditional"), "queue.declare-ok");
    wire.call(1, Method::BasicQos { prefetch_size: 0, prefetch_count: 1, global: false }, "basic.qos-ok");
    wire.call(1, consume("conditional", "one", false), "basic.consume-ok");
    (0..2).for_each(|_| wire.publish(1, "", "conditional", false, b"x"));
    assert_eq!(delivery(&mut wire).tag, 1);
    wire.send(2, delete("conditional", true, true));
    let text = "PRECONDITION_FAILED - queue 'conditional' in vhost '/' not empty";
    assert_eq!(wire.channel_closed(2), (406, text.to_owned()));
    wire.call(1, Method::QueuePurge { queue, nowait: false }, "queue.purge-ok");
    wire.channel(2);
    wire.send(2, delete("conditional", true, true));
    let text = "PRECONDITION_FAILED - queue 'conditional' in vhost '/' in use";
    assert_eq!(wire.channel_closed(2), (406, text.to_owned()));
    wire.call(1, Method::BasicCancel { consumer_tag: "one".into(), nowait: false }, "basic.cancel-ok");
    let ok = wire.call(1, delete("conditional", true, true), "queue.delete-ok");
    assert_eq!(ok.method(), Method::QueueDeleteOk { message_count: 0 });
    // What it held of the queue can still be acked.
    wire.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    wire.call(1, declare_exclusive("conditional"), "queue.declare-ok");
}

struct Delivery {
    tag: u64,
    redelivered: bool,
    consumer: Vec<u8>,
    body: Vec<u8>,
}

fn delivery(wire: &mut Wire) -> Delivery {
    let reply = wire.expect(1, "basic.deliver");
    assert_eq!(reply.kind, FrameKind::Method);
    let Method::BasicDeliver { consumer_tag, delivery_tag: tag, redelivered, .. } = reply.method() else {
        unreachable!("its name was checked")
    };
    let consumer = consumer_tag.as_bytes().to_vec();
    Delivery { tag, redelivered, consumer, body: wire.content().1 }
}

fn delete(queue: &str, if_unused: bool, if_empty: bool) -> Method<'_> {
    Method::QueueDelete { queue: short(queue), if_unused, if_empty, nowait: false }
}
