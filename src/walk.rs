//! One message taken through all stages, one call a line: the road that `src/` is laid out along.

mod claims;
mod durable;
mod governed;
mod hall;
mod handles;

use crate::access::{Change, GUEST};
use crate::amqp::method::Method;
use crate::ids::root;
use crate::shard::desk::Order;
use crate::shard::{Peer, Shard};
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

/// Publishes that repeat each other take a shorter way than the others, and none overtakes another.
#[test]
fn a_burst_arrives_in_its_order_whatever_way_each_message_takes() {
    let mut hall = Hall::new(1);
    let (publisher, consumer) = (hall.connect(0), hall.connect(0));
    hall.send(consumer, &declare("walk"));
    hall.expect(consumer, "queue.declare-ok");
    hall.send(consumer, &consume("walk", true));
    hall.expect(consumer, "basic.consume-ok");
    let bodies: Vec<Vec<u8>> =
        (0..500u16).map(|number| number.to_be_bytes().repeat(1 + number as usize % 7)).collect();
    let mut bytes = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        bytes.extend(hall::publish("", "walk", body));
        if number % 50 == 7 {
            // By another key, to nobody: the run ends and the next begins.
            bytes.extend(hall::publish("", "nobody", body));
        }
    }
    hall.bytes(publisher, &bytes);
    for body in &bodies {
        assert_eq!(hall.delivery(consumer), *body);
    }
    let counters = hall.shards[0].counters();
    assert_eq!(
        (counters.published, counters.queued, counters.delivered, counters.unroutable),
        (510, 500, 500, 10)
    );
    hall.shards.iter().for_each(Shard::invariants);
}

#[test]
fn the_api_comes_in_where_nobody_else_does_and_is_not_counted() {
    let mut hall = Hall::new(1);
    let shard = &mut hall.shards[0];
    let address = "127.0.0.1:1".parse().unwrap();
    let peer = |internal| Peer { address, local: address, internal, trusted: false };
    let clients = (0..20).map_while(|_| shard.open(peer(false), 0)).count();
    let internal = shard.open(peer(true), 0).expect("it is the API's");
    assert_eq!(shard.open(peer(false), 0), None);
    assert_eq!(shard.connections(), clients + 1);
    let counters = shard.counters();
    assert_eq!((counters.connections, counters.connections_opened), (clients as u64, clients as u64));
    shard.eof(internal, 0);
    assert_eq!(shard.connections(), clients);
    assert_eq!(shard.counters().connections, clients as u64);
}

#[test]
fn the_servers_own_session_goes_on_when_users_and_permissions_change() {
    let mut hall = Hall::new(1);
    let (guest, insider) = (hall.connect(0), hall.connect_as(0, true, b"\0rmq-cli\0rmq-cli"));
    let gone = Change::PermissionDeleted { vhost: root(), user: GUEST.into() };
    hall.shards[0].order(1, Order::ChangeAccess(vec![gone]), 0);
    hall.turn();
    hall.send(guest, &declare("refused"));
    hall.expect(guest, "channel.close");
    hall.send(insider, &declare("there"));
    hall.expect(insider, "queue.declare-ok");
}
