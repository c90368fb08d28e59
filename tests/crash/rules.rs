//! What a start itself does to messages, by the rules of their queues, is as final as what is done later.

use std::thread;
use std::time::{Duration, Instant};

use haremq::amqp::{Method, Table, TableWriter};

use crate::Folder;
use crate::common::wire::{Wire, consume, declare_durable, look_at};
use crate::damage::{publications, publish_some, start, take_all, until_written};

/// Held messages do not count for a limit, but after a crash nobody holds them.
#[test]
fn what_a_start_drops_does_not_come_back() {
    let folder = Folder::of("drops");
    let arguments = TableWriter::new().i32("x-max-length", 5).finish();
    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    declare_with(&mut wire, &arguments);
    publish_some(&mut wire, "q", 0..5);
    assert_eq!(take_all(&mut wire, "q"), [0, 1, 2, 3, 4]);
    let cancel = Method::BasicCancel { consumer_tag: "t".into(), nowait: false };
    wire.call(1, cancel, "basic.cancel-ok");
    let mut other = Wire::open(broker.amqp);
    publish_some(&mut other, "q", 5..10);
    broker.kill();

    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(take_all(&mut wire, "q"), [5, 6, 7, 8, 9]);
    wire.send(1, Method::BasicAck { delivery_tag: 3, multiple: true });
    until_written(&mut wire);
    broker.kill();

    let broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(take_all(&mut wire, "q"), [8, 9]);
}

/// A commit is recorded behind what becomes of its messages before it is through.
#[test]
fn what_a_commit_brought_and_somebody_took_at_once_does_not_come_back() {
    let folder = Folder::of("taken");
    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable("q", Table::EMPTY), "queue.declare-ok");
    wire.call(1, consume("q", "t", false), "basic.consume-ok");
    let mut other = Wire::open(broker.amqp);
    other.channel(1);
    other.call(1, Method::TxSelect, "tx.select-ok");
    // It takes several turns.
    other.bytes(&publications(1, "q", 0..MANY));
    other.send(1, Method::TxCommit);
    for delivery_tag in 1..=u64::from(MANY) {
        wire.expect(1, "basic.deliver");
        wire.content();
        wire.send(1, Method::BasicAck { delivery_tag, multiple: false });
    }
    other.expect(1, "tx.commit-ok");
    until_written(&mut wire);
    broker.kill();
    let broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(take_all(&mut wire, "q"), Vec::<u32>::new());
}

/// What counts is the time since it was published, also while no server runs.
#[test]
fn a_message_does_not_live_longer_for_a_restart() {
    let folder = Folder::of("ttl");
    let arguments = TableWriter::new().i32("x-message-ttl", 4_000).finish();
    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    declare_with(&mut wire, &arguments);
    let published = Instant::now();
    publish_some(&mut wire, "q", 0..1);
    broker.kill();
    thread::sleep(Duration::from_millis(2_500));

    let broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    let ready = ready(&mut wire);
    assert!(ready == 1 || published.elapsed() > Duration::from_secs(4), "it went too early");
    thread::sleep(Duration::from_millis(5_500).saturating_sub(published.elapsed()));
    assert_eq!(self::ready(&mut wire), 0);
}

#[test]
fn how_often_a_message_came_back_is_remembered() {
    let folder = Folder::of("returns");
    let arguments = TableWriter::new().i32("x-delivery-limit", 3).finish();
    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    declare_with(&mut wire, &arguments);
    publish_some(&mut wire, "q", 0..1);
    wire.call(1, consume("q", "t", false), "basic.consume-ok");
    for tag in 1..=2 {
        give_back(&mut wire, tag);
    }
    // Held by a consumer when the server ends, it did not come back.
    wire.expect(1, "basic.deliver");
    wire.content();
    until_written(&mut wire);
    broker.kill();

    let broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, consume("q", "t", false), "basic.consume-ok");
    for tag in 1..=2 {
        give_back(&mut wire, tag);
    }
    // The fourth return was one too many.
    assert_eq!(ready(&mut wire), 0);
}

fn give_back(wire: &mut Wire, delivery_tag: u64) {
    wire.expect(1, "basic.deliver");
    wire.content();
    wire.send(1, Method::BasicNack { delivery_tag, multiple: false, requeue: true });
}

fn declare_with(wire: &mut Wire, arguments: &[u8]) {
    let arguments = Table::decode(arguments).expect("a table that we wrote");
    wire.call(1, declare_durable("q", arguments), "queue.declare-ok");
}

fn ready(wire: &mut Wire) -> u32 {
    let answer = wire.call(1, look_at("q"), "queue.declare-ok");
    let Method::QueueDeclareOk { message_count, .. } = answer.method() else { unreachable!() };
    message_count
}

const MANY: u32 = 5_000;
