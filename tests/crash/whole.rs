//! What comes back is as it was: messages with all their parts, names with all their arguments; and what ended by itself or at
//! once stays away.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use haremq::amqp::{Method, Properties, PropertiesWriter, Table, TableWriter};

use crate::Folder;
use crate::common::wire::{Wire, bind, consume, declare_durable, look_at, publication_with, short};
use crate::damage::{publish_some, start, take_all, until_written};

#[test]
fn a_message_comes_back_with_all_its_parts() {
    let folder = Folder::of("parts");
    let mut broker = start(&folder);
    let mut wire = opened(broker.amqp);
    wire.call(1, declare_durable("q", Table::EMPTY), "queue.declare-ok");
    wire.call(1, bind("q", "amq.topic", "a.*"), "queue.bind-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let headers = TableWriter::new().i32("n", -5).string("s", "text").bool("b", true).finish();
    let properties = PropertiesWriter {
        content_type: Some("text/plain".into()),
        content_encoding: Some("utf-8".into()),
        headers: Some(Table::decode(&headers).expect("a table that we wrote")),
        delivery_mode: Some(2),
        priority: Some(7),
        correlation_id: Some("c".into()),
        reply_to: Some("r".into()),
        expiration: Some("86400000".into()),
        message_id: Some("m".into()),
        timestamp: Some(1_700_000_000),
        type_: Some("t".into()),
        user_id: Some("guest".into()),
        app_id: Some("a".into()),
        cluster_id: None,
    };
    let sent = properties.finish();
    // Each kind that is kept in memory in its own way, and one that needs a segment of its own.
    let sizes = [0, 1, 100, 40_000, 70_000, 3_000_000];
    for size in sizes {
        let properties = Properties::decode(&sent).expect("properties that we wrote");
        let body: Vec<u8> = (0..size).map(|at| at as u8).collect();
        wire.bytes(&publication_with(1, "amq.topic", "a.b", false, properties, &body));
        wire.expect(1, "basic.ack");
    }
    broker.kill();
    let broker = start(&folder);
    let mut wire = opened(broker.amqp);
    wire.call(1, consume("q", "t", false), "basic.consume-ok");
    for size in sizes {
        let deliver = wire.expect(1, "basic.deliver");
        let Method::BasicDeliver { redelivered, exchange, routing_key, .. } = deliver.method() else {
            unreachable!()
        };
        assert_eq!(
            (redelivered, &*exchange.to_string(), &*routing_key.to_string()),
            (true, "amq.topic", "a.b")
        );
        let (properties, body) = wire.content();
        assert_eq!((properties, body.len()), (sent.clone(), size));
        assert!(body.iter().enumerate().all(|(at, octet)| *octet == at as u8));
    }
}

#[test]
fn exchanges_and_bindings_come_back_with_their_arguments() {
    let folder = Folder::of("arguments");
    let mut broker = start(&folder);
    let mut wire = opened(broker.amqp);
    let alternate = TableWriter::new().string("alternate-exchange", "amq.fanout").finish();
    let matching = TableWriter::new().string("x-match", "any").string("colour", "red").finish();
    let exchange = |passive| Method::ExchangeDeclare {
        exchange: "x".into(),
        type_: "headers".into(),
        passive,
        durable: true,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::decode(&alternate).expect("a table that we wrote"),
    };
    wire.call(1, exchange(false), "exchange.declare-ok");
    for queue in ["red", "other"] {
        wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
    }
    let arguments = Table::decode(&matching).expect("a table that we wrote");
    let (queue, exchange_name, routing_key) = ("red".into(), "x".into(), "".into());
    let bound = Method::QueueBind { queue, exchange: exchange_name, routing_key, nowait: false, arguments };
    wire.call(1, bound, "queue.bind-ok");
    wire.call(1, bind("other", "amq.fanout", ""), "queue.bind-ok");
    broker.kill();

    let broker = start(&folder);
    let mut wire = opened(broker.amqp);
    // It is equivalent only if its arguments are.
    wire.call(1, exchange(false), "exchange.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for colour in ["red", "blue"] {
        let headers = TableWriter::new().string("colour", colour).finish();
        let headers = Some(Table::decode(&headers).expect("a table that we wrote"));
        let properties = PropertiesWriter { headers, ..PropertiesWriter::default() }.finish();
        let properties = Properties::decode(&properties).expect("properties that we wrote");
        wire.bytes(&publication_with(1, "x", "", false, properties, colour.as_bytes()));
        wire.expect(1, "basic.ack");
    }
    for (queue, colour) in [("red", "red"), ("other", "blue")] {
        assert_eq!(ready(&mut wire, queue), Some(1), "{queue}");
        wire.call(1, Method::BasicGet { queue: short(queue), no_ack: true }, "basic.get-ok");
        assert_eq!(wire.content().1, colour.as_bytes());
    }
}

#[test]
fn what_ended_by_itself_does_not_come_back() {
    let folder = Folder::of("ended");
    let mut broker = start(&folder);
    let mut wire = opened(broker.amqp);
    let expires = TableWriter::new().i32("x-expires", 300).finish();
    let expires = Table::decode(&expires).expect("a table that we wrote");
    wire.call(1, declare_durable("expires", expires), "queue.declare-ok");
    let automatic = Method::QueueDeclare {
        queue: "automatic".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: true,
        nowait: false,
        arguments: Table::EMPTY,
    };
    wire.call(1, automatic, "queue.declare-ok");
    publish_some(&mut wire, "automatic", 0..3);
    assert_eq!(take_all(&mut wire, "automatic"), [0, 1, 2]);
    wire.call(1, Method::BasicCancel { consumer_tag: "t".into(), nowait: false }, "basic.cancel-ok");
    thread::sleep(Duration::from_secs(1));
    for queue in ["expires", "automatic"] {
        assert_eq!(ready(&mut opened(broker.amqp), queue), None, "{queue}");
    }
    broker.kill();
    let broker = start(&folder);
    for queue in ["expires", "automatic"] {
        assert_eq!(ready(&mut opened(broker.amqp), queue), None, "{queue}");
    }
}

/// Purged, or taken by consumers that need not acknowledge.
#[test]
fn what_was_taken_at_once_does_not_come_back() {
    let folder = Folder::of("at-once");
    let mut broker = start(&folder);
    let mut wire = opened(broker.amqp);
    for queue in ["purged", "consumed", "got"] {
        wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
        publish_some(&mut Wire::open(broker.amqp), queue, 0..20);
    }
    wire.call(1, Method::QueuePurge { queue: "purged".into(), nowait: false }, "queue.purge-ok");
    publish_some(&mut Wire::open(broker.amqp), "purged", 20..23);
    wire.call(1, consume("consumed", "t", true), "basic.consume-ok");
    for _ in 0..20 {
        wire.expect(1, "basic.deliver");
        wire.content();
    }
    for _ in 0..15 {
        wire.call(1, Method::BasicGet { queue: "got".into(), no_ack: true }, "basic.get-ok");
        wire.content();
    }
    until_written(&mut wire);
    broker.kill();
    let broker = start(&folder);
    let expected: [(&str, Vec<u32>); 3] =
        [("purged", (20..23).collect()), ("consumed", vec![]), ("got", (15..20).collect())];
    for (queue, numbers) in expected {
        assert_eq!(take_all(&mut opened(broker.amqp), queue), numbers, "{queue}");
    }
}

fn opened(server: SocketAddr) -> Wire {
    let mut wire = Wire::open(server);
    wire.channel(1);
    wire
}

/// How much is ready; None: it is not there.
fn ready(wire: &mut Wire, queue: &str) -> Option<u32> {
    wire.send(1, look_at(queue));
    let answer = wire.frame().expect("an answer");
    match answer.method() {
        Method::QueueDeclareOk { message_count, .. } => Some(message_count),
        Method::ChannelClose { reply_code: 404, .. } => None,
        other => panic!("neither there nor not: {other:?}"),
    }
}
