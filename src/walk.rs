//! One message taken through all stages, one call a line: the road that `src/` is laid out along.

mod hall;

use crate::amqp::method::Method;
use crate::shard::Shard;
use hall::{Hall, consume, declare};

#[test]
fn a_message_goes_from_a_publisher_to_a_consumer_on_one_shard() {
    let mut hall = Hall::new(1);
    let publisher = hall.connect(0);
    let consumer = hall.connect(0);
    hall.send(consumer, &declare("walk"));
    hall.expect(consumer, "queue.declare-ok");
    hall.send(consumer, &consume("walk", true));
    hall.expect(consumer, "basic.consume-ok");
    hall.publish(publisher, "walk", b"hello");
    assert_eq!(hall.delivery(consumer), b"hello");
}

#[test]
fn a_message_goes_from_a_publisher_over_its_queue_to_a_consumer_on_three_shards() {
    let mut hall = Hall::new(3);
    let publisher = hall.connect(0);
    let owner = hall.connect(1);
    let consumer = hall.connect(2);
    hall.send(owner, &declare("walk"));
    hall.expect(owner, "queue.declare-ok");
    hall.send(consumer, &consume("walk", false));
    hall.expect(consumer, "basic.consume-ok");
    hall.send(publisher, &Method::ConfirmSelect { nowait: false });
    hall.expect(publisher, "confirm.select-ok");
    hall.publish(publisher, "walk", b"hello");
    assert_eq!(hall.delivery(consumer), b"hello");
    hall.expect(publisher, "basic.ack");
    hall.send(consumer, &Method::BasicAck { delivery_tag: 1, multiple: false });
    hall.turn();
    assert_eq!(hall.shards.iter_mut().map(|shard| shard.counters().queues).sum::<u64>(), 1);
    hall.shards.iter().for_each(Shard::invariants);
}
