//! What policies make of queues and exchanges that are there: at once, without a restart, and after one.
//!
//! RabbitMQ 3.10 does the same, but for one thing: there a policy with both a length and `reject-publish` first drops what is
//! too much already, as it reads its keys one after the other. Here a queue that refuses keeps what it has.

use haremq::amqp::content::{Properties, PropertiesWriter};
use haremq::amqp::method::Method;
use haremq::amqp::{Table, TableWriter};
use serde_json::{Value, json};

use super::policies::{delete, get, put};
use crate::common::Broker;
use crate::common::wire::{
    Wire, bind, declare, declare_durable, declare_exchange, look_at, publication_with, short,
};

fn connected(broker: &Broker) -> Wire {
    let mut wire = Wire::open(broker.amqp);
    wire.channel(1);
    wire
}

/// A policy for one queue or exchange.
fn govern(broker: &Broker, name: &str, definition: Value) {
    let body = json!({"pattern": format!("^{name}$"), "definition": definition});
    assert!(matches!(put(broker, &format!("/api/policies/%2F/{name}"), body), 201 | 204));
}

fn limit(broker: &Broker, name: &str, definition: Value) {
    let body = json!({"pattern": format!("^{name}$"), "definition": definition});
    assert!(matches!(put(broker, &format!("/api/operator-policies/%2F/{name}"), body), 201 | 204));
}

fn publish(wire: &mut Wire, queue: &str, bodies: &[&str]) {
    for body in bodies {
        wire.publish(1, "", queue, false, body.as_bytes());
    }
}

fn counted(wire: &mut Wire, queue: &str) -> u32 {
    let Method::QueueDeclareOk { message_count, .. } =
        wire.call(1, look_at(queue), "queue.declare-ok").method()
    else {
        panic!("a count");
    };
    message_count
}

/// Until so many messages are ready, which may be dropped, expired or dead-lettered a moment later than was answered.
fn wait_for(wire: &mut Wire, queue: &str, count: u32) {
    while counted(wire, queue) != count {}
}

/// What is in a queue, which is then empty.
fn drained(wire: &mut Wire, queue: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        wire.send(1, Method::BasicGet { queue: short(queue), no_ack: true });
        if wire.frame().expect("an answer").name() == "basic.get-empty" {
            return bodies;
        }
        bodies.push(String::from_utf8(wire.content().1).expect("text"));
    }
}

#[test]
fn a_length_counts_at_once_for_a_queue_that_is_there_and_no_more_when_the_policy_goes() {
    let broker = Broker::start();
    let mut wire = connected(&broker);
    for queue in ["q", "dead"] {
        wire.call(1, declare(queue), "queue.declare-ok");
    }
    publish(&mut wire, "q", &["1", "2", "3", "4", "5"]);
    assert_eq!(counted(&mut wire, "q"), 5);
    govern(
        &broker,
        "q",
        json!({"max-length": 2, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}),
    );
    wait_for(&mut wire, "dead", 3);
    assert_eq!(drained(&mut wire, "dead"), ["1", "2", "3"]);
    publish(&mut wire, "q", &["6"]);
    wait_for(&mut wire, "dead", 1);
    assert_eq!(delete(&broker, "/api/policies/%2F/q"), 204);
    publish(&mut wire, "q", &["7", "8"]);
    assert_eq!(drained(&mut wire, "q"), ["5", "6", "7", "8"]);
    assert_eq!(drained(&mut wire, "dead"), ["4"]);
}

#[test]
fn bytes_that_were_never_counted_are_counted_when_they_are_limited() {
    let broker = Broker::start();
    let mut wire = connected(&broker);
    wire.call(1, declare("q"), "queue.declare-ok");
    let body = "x".repeat(10);
    publish(&mut wire, "q", &vec![&*body; 6_000]);
    assert_eq!(counted(&mut wire, "q"), 6_000);
    govern(&broker, "q", json!({"max-length-bytes": 1_000}));
    wait_for(&mut wire, "q", 100);
    publish(&mut wire, "q", &["long enough for two"]);
    wait_for(&mut wire, "q", 99);
}

#[test]
fn of_a_policy_and_an_operators_the_lesser_number_counts() {
    let broker = Broker::start();
    let mut wire = connected(&broker);
    let arguments = TableWriter::new().i32("x-max-length", 4).finish();
    let declare = Method::QueueDeclare {
        queue: short("q"),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::decode(&arguments).unwrap(),
    };
    wire.call(1, declare, "queue.declare-ok");
    let bodies: Vec<String> = (0..9).map(|body| body.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(|body| &**body).collect();
    let holds = |wire: &mut Wire, count: u32| {
        publish(wire, "q", &bodies);
        wait_for(wire, "q", count);
        drained(wire, "q");
    };
    holds(&mut wire, 4);
    govern(&broker, "q", json!({"max-length": 6}));
    holds(&mut wire, 4);
    limit(&broker, "q", json!({"max-length": 2}));
    holds(&mut wire, 2);
    govern(&broker, "q", json!({"max-length": 1}));
    holds(&mut wire, 1);
    assert_eq!(delete(&broker, "/api/operator-policies/%2F/q"), 204);
    assert_eq!(delete(&broker, "/api/policies/%2F/q"), 204);
    holds(&mut wire, 4);
}

#[test]
fn a_full_queue_refuses_if_its_policy_says_so() {
    let broker = Broker::start();
    let mut wire = connected(&broker);
    wire.call(1, declare("q"), "queue.declare-ok");
    publish(&mut wire, "q", &["1", "2", "3"]);
    assert_eq!(counted(&mut wire, "q"), 3);
    govern(&broker, "q", json!({"max-length": 2, "overflow": "reject-publish"}));
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    publish(&mut wire, "q", &["4"]);
    wire.expect(1, "basic.nack");
    assert_eq!(drained(&mut wire, "q"), ["1", "2", "3"]);
    publish(&mut wire, "q", &["5"]);
    wire.expect(1, "basic.ack");
}

#[test]
fn a_time_to_live_counts_for_what_comes_and_an_unused_queue_expires() {
    let broker = Broker::start();
    let mut wire = connected(&broker);
    for queue in ["q", "dead", "unused"] {
        wire.call(1, declare(queue), "queue.declare-ok");
    }
    publish(&mut wire, "q", &["old"]);
    let letters = json!({"message-ttl": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"});
    govern(&broker, "q", letters);
    publish(&mut wire, "q", &["new"]);
    wait_for(&mut wire, "dead", 1);
    assert_eq!(drained(&mut wire, "dead"), ["new"]);
    assert_eq!(drained(&mut wire, "q"), ["old"]);
    govern(&broker, "unused", json!({"expires": 1}));
    // To look at a queue is to use it: that it is gone is told by what comes back.
    loop {
        wire.publish(1, "", "unused", true, b"?");
        wire.send(1, Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false });
        if wire.frame().expect("an answer").name() == "basic.return" {
            break;
        }
    }
}

#[test]
fn an_alternate_by_policy_takes_what_has_no_way() {
    let broker = Broker::start();
    let mut wires = [connected(&broker), connected(&broker)];
    let wire = &mut wires[0];
    wire.call(1, declare("lost"), "queue.declare-ok");
    for exchange in ["x", "lost-and-found"] {
        wire.call(1, declare_exchange(exchange, "fanout", false), "exchange.declare-ok");
    }
    wire.call(1, bind("lost", "lost-and-found", ""), "queue.bind-ok");
    let publish = |wires: &mut [Wire; 2], exchange: &str, comes_back: bool| {
        // By connections on both shards.
        for wire in wires {
            wire.publish(1, exchange, "k", true, b"?");
            if comes_back {
                wire.expect(1, "basic.return");
                wire.content();
            } else {
                wire.call(
                    1,
                    Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false },
                    "basic.qos-ok",
                );
            }
        }
    };
    publish(&mut wires, "x", true);
    govern(&broker, "x", json!({"alternate-exchange": "lost-and-found"}));
    publish(&mut wires, "x", false);
    let policy = |broker: &Broker| get(broker, "/api/exchanges/%2F/x").1["policy"].clone();
    assert_eq!(policy(&broker), "x");
    govern(&broker, "amq.direct", json!({"alternate-exchange": "lost-and-found"}));
    publish(&mut wires, "amq.direct", false);
    assert_eq!(delete(&broker, "/api/policies/%2F/x"), 204);
    assert_eq!(policy(&broker), Value::Null);
    publish(&mut wires, "x", true);
    wires[0].call(1, declare_exchange("later", "topic", false), "exchange.declare-ok");
    publish(&mut wires, "later", true);
    govern(&broker, "later", json!({"alternate-exchange": "lost-and-found"}));
    publish(&mut wires, "later", false);
    govern(&broker, "much-later", json!({"alternate-exchange": "lost-and-found"}));
    wires[0].call(1, declare_exchange("much-later", "topic", false), "exchange.declare-ok");
    publish(&mut wires, "much-later", false);
    assert_eq!(drained(&mut wires[1], "lost").len(), 8);
}

#[test]
fn what_policies_say_counts_after_a_restart_too() {
    let mut broker = Broker::start();
    let mut wire = connected(&broker);
    for queue in ["q", "lost"] {
        wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
    }
    wire.call(1, declare_exchange("x", "topic", true), "exchange.declare-ok");
    govern(&broker, "q", json!({"max-length": 2, "overflow": "reject-publish"}));
    govern(&broker, "x", json!({"alternate-exchange": "amq.fanout"}));
    govern(&broker, "amq.direct", json!({"alternate-exchange": "amq.fanout"}));
    wire.call(1, bind("lost", "amq.fanout", ""), "queue.bind-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let persistent = |wire: &mut Wire, answer: &str| {
        let properties = PropertiesWriter { delivery_mode: Some(2), ..PropertiesWriter::default() }.finish();
        let properties = Properties::decode(&properties).expect("we wrote it");
        wire.bytes(&publication_with(1, "", "q", false, properties, b"kept"));
        wire.expect(1, answer);
    };
    persistent(&mut wire, "basic.ack");
    persistent(&mut wire, "basic.ack");
    persistent(&mut wire, "basic.nack");
    broker.kill();
    broker.restart();
    let mut wire = connected(&broker);
    assert_eq!(counted(&mut wire, "q"), 2);
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    persistent(&mut wire, "basic.nack");
    for exchange in ["x", "amq.direct"] {
        wire.publish(1, exchange, "k", true, b"?");
        wire.expect(1, "basic.ack");
    }
    assert_eq!(counted(&mut wire, "lost"), 2);
}
