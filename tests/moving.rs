//! What `docs/getting-started.md` says of RabbitMQ's own plugins: its shovel carries messages to HareMQ and back, and it
//! federates queues of HareMQ.

mod common;

use common::Broker;
use common::rabbit::Rabbit;
use common::wire::{Wire, consume, declare_durable, look_at, publication_with};
use haremq::amqp::{Method, Properties, PropertiesWriter, Table};
use serde_json::json;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// RabbitMQ's.
const PORT: u16 = 5698;
const MESSAGES: usize = 1_000;
const TIME_TO_MOVE: Duration = Duration::from_secs(60);

#[test]
fn messages_go_to_haremq_and_back_to_rabbitmq() {
    if !Rabbit::is_installed() {
        return;
    }
    let rabbit = Rabbit::start_plugged(PORT, "rabbitmq_shovel,rabbitmq_federation");
    let haremq = Broker::start();
    shovel_there_and_back(&rabbit, &haremq);
    federate_a_queue(&rabbit, &haremq);
}

fn shovel_there_and_back(rabbit: &Rabbit, haremq: &Broker) {
    let sent = fill(rabbit.amqp, "work");
    declared(haremq.amqp, "work");
    let (here, there) = ("amqp:///%2F", format!("{}/%2F", haremq.uri()));
    shovel(rabbit, "away", here, &there);
    await_ready(haremq.amqp, "work", MESSAGES);
    await_ready(rabbit.amqp, "work", 0);
    shovel(rabbit, "back", &there, here);
    await_ready(rabbit.amqp, "work", MESSAGES);
    await_ready(haremq.amqp, "work", 0);
    assert_eq!(open(rabbit.amqp).take_all(1, "work"), sent);
}

/// Until its source has no more of what it had at first.
fn shovel(rabbit: &Rabbit, name: &str, from: &str, to: &str) {
    let shovel = json!({"src-protocol": "amqp091", "src-uri": from, "src-queue": "work",
        "dest-protocol": "amqp091", "dest-uri": to, "dest-queue": "work",
        "ack-mode": "on-confirm", "src-delete-after": "queue-length"});
    rabbit.run(&["ctl", "set_parameter", "shovel", name, &shovel.to_string()]);
}

fn federate_a_queue(rabbit: &Rabbit, haremq: &Broker) {
    let sent = fill(haremq.amqp, "federated");
    let upstream = json!({"uri": haremq.uri()}).to_string();
    rabbit.run(&["ctl", "set_parameter", "federation-upstream", "haremq", &upstream]);
    let policy = json!({"federation-upstream-set": "all"}).to_string();
    rabbit.run(&["ctl", "set_policy", "--apply-to", "queues", "federate", "^federated$", &policy]);
    let mut wire = declared(rabbit.amqp, "federated");
    wire.set_patience(TIME_TO_MOVE);
    wire.call(1, consume("federated", "here", true), "basic.consume-ok");
    for body in sent {
        wire.expect(1, "basic.deliver");
        assert_eq!(wire.content().1, body);
    }
}

fn open(address: SocketAddr) -> Wire {
    let mut wire = Wire::open(address);
    wire.channel(1);
    wire
}

fn declared(address: SocketAddr, queue: &str) -> Wire {
    let mut wire = open(address);
    wire.call(1, declare_durable(queue, Table::EMPTY), "queue.declare-ok");
    wire
}

/// Persistent messages, all of them different.
fn fill(address: SocketAddr, queue: &str) -> Vec<Vec<u8>> {
    let mut wire = declared(address, queue);
    let bodies: Vec<Vec<u8>> = (0..MESSAGES).map(|number| format!("message {number}").into_bytes()).collect();
    let properties = PropertiesWriter { delivery_mode: Some(2), ..PropertiesWriter::default() }.finish();
    let properties = Properties::decode(&properties).expect("properties that we wrote");
    for body in &bodies {
        wire.bytes(&publication_with(1, "", queue, false, properties, body));
    }
    await_ready(address, queue, MESSAGES);
    bodies
}

fn await_ready(address: SocketAddr, queue: &str, wanted: usize) {
    let mut wire = open(address);
    let end = Instant::now() + TIME_TO_MOVE;
    loop {
        let ok = wire.call(1, look_at(queue), "queue.declare-ok");
        let Method::QueueDeclareOk { message_count, .. } = ok.method() else {
            unreachable!("its name was checked")
        };
        if message_count as usize == wanted {
            return;
        }
        assert!(Instant::now() < end, "{queue} has {message_count} messages, and not {wanted}");
        thread::sleep(Duration::from_millis(20));
    }
}
