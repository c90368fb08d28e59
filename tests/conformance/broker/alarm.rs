//! The memory alarm: publishes wait, whatever frees memory goes on, and nothing that was taken is lost.

use crate::common::Broker;
use crate::common::wire::{Tune, Wire, consume, declare, declare_exclusive, encoded, publication};
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::{LongStr, Method, Table};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const BODY_BYTES: usize = 350_000;
const SETTLING: Duration = Duration::from_millis(500);

pub fn start() -> Broker {
    Broker::start_with(&["--shards", "2", "--memory-high", "67108864"])
}

fn body(number: u64) -> Vec<u8> {
    let mut body = vec![7; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

/// Little beside what is kept for a connection.
fn small(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Publishes on channel 1, each behind the confirm of the last, until the broker says that it is low on memory.
/// Answers how many were confirmed; one more waits.
pub fn fill(wire: &mut Wire, queue: &str) -> u64 {
    wire.channel(1);
    wire.call(1, declare(queue), "queue.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    for number in 0.. {
        wire.publish(1, "", queue, false, &body(number));
        let reply = wire.frame().expect("an answer");
        if let Method::ConnectionBlocked { reason } = reply.method() {
            assert_eq!((reply.channel, &reason[..]), (0, &b"low on memory"[..]));
            assert!((150..=210).contains(&number), "blocked after {number} messages of {BODY_BYTES} bytes");
            return number;
        }
        assert_eq!(reply.method(), Method::BasicAck { delivery_tag: number + 1, multiple: false });
    }
    unreachable!("the memory is not endless")
}

/// Takes messages from a queue on a connection of its own; answers their numbers.
pub fn drain(broker: &Broker, queue: &str, count: u64) -> Vec<u64> {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, consume(queue, "c", true), "basic.consume-ok");
    (0..count).map(|_| delivered(&mut wire)).collect()
}

fn delivered(wire: &mut Wire) -> u64 {
    wire.expect(1, "basic.deliver");
    number_of(&wire.content().1)
}

fn number_of(body: &[u8]) -> u64 {
    u64::from_be_bytes(*body.first_chunk().expect("a body of ours"))
}

fn depth(broker: &Broker, queue: &str) -> u32 {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    match wire.call(1, declare(queue), "queue.declare-ok").method() {
        Method::QueueDeclareOk { message_count, .. } => message_count,
        other => unreachable!("{other:?}"),
    }
}

/// Frames until `count` publishes are confirmed; the names of the others.
fn until_confirmed(wire: &mut Wire, count: u64) -> Vec<String> {
    let mut others = Vec::new();
    loop {
        let reply = wire.frame().expect("a confirm");
        match reply.method() {
            Method::BasicAck { delivery_tag, .. } if delivery_tag == count => return others,
            Method::BasicAck { .. } => {}
            method => others.push(format!("{} {}", reply.channel, method.name())),
        }
    }
}

#[test]
fn what_waited_is_done_in_order_when_consumers_have_made_room() {
    let broker = start();
    let mut publisher = Wire::open(broker.amqp);
    let confirmed = fill(&mut publisher, "q");
    for number in confirmed + 1..confirmed + 6 {
        publisher.publish(1, "", "q", false, &small(number));
    }
    publisher.send(1, declare("q"));
    // Another channel, and other connections, go on.
    publisher.channel(2);
    publisher.call(2, declare_exclusive(""), "queue.declare-ok");
    assert_eq!(u64::from(depth(&broker, "q")), confirmed);
    assert_eq!(drain(&broker, "q", confirmed + 6), (0..confirmed + 6).collect::<Vec<_>>());
    let others = until_confirmed(&mut publisher, confirmed + 6);
    assert_eq!(others[0], "0 connection.unblocked");
    if others.len() < 2 {
        publisher.expect(1, "queue.declare-ok");
    }
    // And once more.
    let mut again = Wire::open(broker.amqp);
    let confirmed = fill(&mut again, "q");
    assert_eq!(drain(&broker, "q", confirmed + 1).len() as u64, confirmed + 1);
    assert_eq!(until_confirmed(&mut again, confirmed + 1), ["0 connection.unblocked"]);
}

#[test]
fn acks_behind_publishes_that_wait_free_memory() {
    let broker = start();
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire.call(1, declare_exclusive("own"), "queue.declare-ok");
    wire.call(1, consume("own", "c", false), "basic.consume-ok");
    let mut tag = 0;
    loop {
        wire.publish(1, "", "own", false, &body(tag));
        let reply = wire.frame().expect("an answer");
        if reply.name() == "connection.blocked" {
            break;
        }
        assert_eq!(reply.name(), "basic.deliver");
        assert_eq!(number_of(&wire.content().1), tag);
        tag += 1;
    }
    wire.publish(1, "", "own", false, &small(tag + 1));
    wire.send(1, Method::BasicAck { delivery_tag: tag, multiple: true });
    wire.expect(0, "connection.unblocked");
    assert_eq!([delivered(&mut wire), delivered(&mut wire)], [tag, tag + 1]);
}

#[test]
fn a_socket_that_closes_takes_its_waiting_publishes_along() {
    let broker = start();
    let mut publisher = Wire::open(broker.amqp);
    let confirmed = fill(&mut publisher, "q");
    publisher.publish(1, "", "q", false, &small(confirmed + 1));
    drop(publisher);
    thread::sleep(SETTLING);
    assert_eq!(drain(&broker, "q", confirmed), (0..confirmed).collect::<Vec<_>>());
    thread::sleep(SETTLING);
    assert_eq!(depth(&broker, "q"), 0);
}

/// RabbitMQ reads it only then.
#[test]
fn a_close_is_answered_behind_the_publishes_that_wait() {
    let broker = start();
    let mut publisher = Wire::open(broker.amqp);
    let confirmed = fill(&mut publisher, "q");
    let close =
        Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    publisher.send(0, close);
    assert_eq!(drain(&broker, "q", confirmed + 1), (0..=confirmed).collect::<Vec<_>>());
    let names = std::iter::from_fn(|| publisher.frame().map(|reply| reply.name())).collect::<Vec<_>>();
    // A confirm may be cut off by the close.
    let told: Vec<_> = names.into_iter().filter(|name| *name != "basic.ack").collect();
    assert_eq!(told, ["connection.unblocked", "connection.close-ok"]);
}

#[test]
fn a_client_that_is_not_read_is_not_taken_for_dead() {
    let broker = start();
    let mut publisher = Wire::open_with(broker.amqp, Tune { heartbeat: 1, ..Tune::default() });
    let confirmed = fill(&mut publisher, "q");
    // Beyond what is kept for a connection; the rest lies in the buffers of the kernel.
    let more: Vec<u8> = (confirmed + 1..confirmed + 7)
        .flat_map(|number| publication(1, "", "q", false, &body(number)))
        .collect();
    publisher.bytes(&more);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(drain(&broker, "q", confirmed + 7), (0..confirmed + 7).collect::<Vec<_>>());
    assert_eq!(until_confirmed(&mut publisher, confirmed + 7), ["0 connection.unblocked"]);
    assert!(publisher.heartbeats >= 3, "{} heartbeats of the broker", publisher.heartbeats);
}

#[test]
fn a_client_that_does_not_know_the_word_is_not_told() {
    let broker = start();
    let mut plain = Wire::connect(broker.amqp);
    plain.bytes(&PROTOCOL_HEADER);
    plain.expect(0, "connection.start");
    plain.send(
        0,
        Method::ConnectionStartOk {
            client_properties: Table::EMPTY,
            mechanism: "PLAIN".into(),
            response: LongStr(b"\0guest\0guest"),
            locale: "en_US".into(),
        },
    );
    plain.expect(0, "connection.tune");
    plain.send(0, Method::ConnectionTuneOk { channel_max: 10, frame_max: 131_072, heartbeat: 0 });
    plain.call(0, Method::ConnectionOpen { virtual_host: "/".into() }, "connection.open-ok");
    plain.channel(1);
    plain.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let mut publisher = Wire::open(broker.amqp);
    let confirmed = fill(&mut publisher, "q");
    plain.publish(1, "", "q", false, &body(confirmed));
    thread::sleep(SETTLING);
    drain(&broker, "q", confirmed + 2);
    plain.expect(1, "basic.ack");
}

#[test]
fn what_a_transaction_keeps_is_memory_too() {
    let broker = start();
    let mut hoarder = Wire::open(broker.amqp);
    hoarder.channel(1);
    hoarder.call(1, declare("q"), "queue.declare-ok");
    hoarder.call(1, Method::TxSelect, "tx.select-ok");
    // The answer on another channel comes behind what the publish before it did.
    hoarder.channel(2);
    let kept = (0..300).find(|&number| {
        hoarder.publish(1, "", "q", false, &body(number));
        hoarder.send(2, Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false });
        hoarder.frame().is_some_and(|reply| reply.name() == "connection.blocked")
    });
    assert!(kept.is_some_and(|kept| (150..=210).contains(&kept)), "blocked with {kept:?} messages");
    assert_eq!(depth(&broker, "q"), 0);
    drop(hoarder);
    thread::sleep(SETTLING);
    let mut other = Wire::open(broker.amqp);
    other.channel(1);
    other.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    other.bytes(&[publication(1, "", "q", false, &body(0)), encoded(1, declare("q"))].concat());
    assert!(until_confirmed(&mut other, 1).iter().all(|name| name == "1 queue.declare-ok"));
}

#[test]
fn over_http_a_publish_waits_no_longer_than_it_may_and_leaves_nothing_behind() {
    let broker = start();
    let mut publishing = Wire::open(broker.amqp);
    let count = fill(&mut publishing, "q");
    let publish = "/api/exchanges/%2F/amq.default/publish";
    let body = json!({"routing_key": "q", "properties": {}, "payload": "p", "payload_encoding": "string"});
    let before = descriptors(&broker);
    for _ in 0..3 {
        // These go before they are answered.
        let mut gone = TcpStream::connect(broker.http).expect("HTTP is listened for");
        let (login, body) = (super::vhosts::GUEST, body.to_string());
        let head = format!("POST {publish} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n");
        write!(gone, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("it reads");
        while descriptors(&broker) <= before {
            thread::sleep(SETTLING / 10);
        }
    }
    let (code, _) = super::direct::call(&broker, "POST", publish, &body);
    assert_eq!(code, 503);
    // Whatever takes no memory goes on.
    let (code, _) = super::direct::call(&broker, "PUT", "/api/queues/%2F/other", &json!({}));
    assert_eq!(code, 201);
    while descriptors(&broker) > before {
        thread::sleep(SETTLING / 10);
    }
    drain(&broker, "q", count);
    let (code, answer) = super::direct::call(&broker, "POST", publish, &body);
    assert_eq!((code, answer), (200, json!({"routed": true})));
}

/// How many the broker has open.
fn descriptors(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("it runs").count()
}
