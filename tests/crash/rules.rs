//! What a start itself does to messages, by the rules of their queues, is as final as what is done later.

use std::thread;
use std::time::Duration;

use haremq::amqp::{Method, Table, TableWriter};

use crate::Folder;
use crate::common::wire::{Wire, consume, declare_durable};
use crate::damage::{publications, publish_some, start, take_all};

/// Held messages do not count for a limit, but after a crash nobody holds them.
#[test]
fn what_a_start_drops_does_not_come_back() {
    let folder = Folder::of("drops");
    let arguments = TableWriter::new().i32("x-max-length", 5).finish();
    let arguments = Table::decode(&arguments).expect("a table that we wrote");
    let mut broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_durable("q", arguments), "queue.declare-ok");
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
    thread::sleep(UNTIL_WRITTEN);
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
    thread::sleep(UNTIL_WRITTEN);
    broker.kill();
    let broker = start(&folder);
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    assert_eq!(take_all(&mut wire, "q"), Vec::<u32>::new());
}

const MANY: u32 = 5_000;

/// What consumers settle is written after 50 ms.
const UNTIL_WRITTEN: Duration = Duration::from_secs(1);
