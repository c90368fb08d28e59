//! A consumer's handle has a next life; whatever was under way to the former consumer does not reach the new one.

use super::hall::{Hall, consume, declare};
use crate::amqp::method::Method;
use crate::amqp::table::Table;
use crate::amqp::wire::ShortStr;
use crate::ids::ChannelNumber;

/// Two channels of a shard wait for the end of the same queue. Then the first deletes the queue of a consumer of the second's,
/// which cancels it at the same time and consumes again.
#[test]
fn a_consumer_behind_a_cancelled_one_does_not_end_with_the_queue_of_that() {
    let mut hall = Hall::new(2);
    let (deleter, consumer) = (hall.connect(1), hall.connect(1));
    // A queue goes to the emptiest shard, on a tie to the declarer's: the first and the last are beside their clients.
    for queue in ["awaited", "kept", "gone"] {
        hall.send(deleter, &declare(queue));
        hall.expect(deleter, "queue.declare-ok");
    }
    hall.send(consumer, &consume_as("former", "gone"));
    hall.expect(consumer, "basic.consume-ok");
    let former = ShortStr::from("former");
    let cancel = Method::BasicCancel { consumer_tag: former, nowait: false };
    all_at_once(&mut hall, deleter, &[delete("awaited"), delete("gone")]);
    all_at_once(&mut hall, consumer, &[delete("awaited"), cancel, consume("kept", true)]);
    hall.turn();
    for (connection, name) in [
        (deleter, "queue.delete-ok"),
        (deleter, "queue.delete-ok"),
        (consumer, "queue.delete-ok"),
        (consumer, "basic.cancel-ok"),
        (consumer, "basic.consume-ok"),
    ] {
        hall.expect(connection, name);
    }
    hall.publish(deleter, "kept", b"hello");
    assert_eq!(hall.delivery(consumer), b"hello");
}

/// They are received before any other shard has its turn.
fn all_at_once(hall: &mut Hall, connection: usize, methods: &[Method<'_>]) {
    let mut bytes = Vec::new();
    methods.iter().for_each(|method| method.encode(ChannelNumber(1), &mut bytes));
    let (shard, slot) = hall.connections[connection];
    assert_eq!(hall.shards[shard].receive(slot, &bytes, 0).consumed, bytes.len());
}

fn delete(queue: &'static str) -> Method<'static> {
    Method::QueueDelete { queue: ShortStr::from(queue), if_unused: false, if_empty: false, nowait: false }
}

fn consume_as(tag: &'static str, queue: &'static str) -> Method<'static> {
    Method::BasicConsume {
        queue: ShortStr::from(queue),
        consumer_tag: ShortStr::from(tag),
        no_local: false,
        no_ack: true,
        exclusive: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}
