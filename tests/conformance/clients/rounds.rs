//! Whoever has seen an `-ok` finds its effect on every connection, whichever shard that is on.

use super::Target;
use crate::common::wire::{Wire, declare, encoded, publication, short};
use haremq::amqp::{Method, Table};

/// More than there are shards, so that each role is played on every shard in every mixture.
const CONNECTIONS: usize = 5;
const ROUNDS: usize = 10_000;
/// RabbitMQ takes ten times as long; it is asked only whether the question makes sense.
const ROUNDS_OF_THE_ORACLE: usize = 500;

#[test]
fn ten_thousand_times_what_is_declared_here_and_bound_there_receives_from_a_third() {
    let target = Target::start();
    let rounds = if target.is_oracle() { ROUNDS_OF_THE_ORACLE } else { ROUNDS };
    let mut wires: Vec<Wire> = (0..CONNECTIONS).map(|_| confirming(&target)).collect();
    for round in 0..rounds {
        let role = |shift: usize| (round + shift * (1 + round / CONNECTIONS % 4)) % CONNECTIONS;
        let (declarer, binder, publisher, getter) = (role(0), role(1), role(2), role(3));
        let (queue, key) = (format!("round-{round}"), format!("key-{round}"));
        wires[declarer].call(1, declare(&queue), "queue.declare-ok");
        wires[binder].call(1, bind(&queue, &key), "queue.bind-ok");
        publish(&mut wires[publisher], &key, round);
        get(&mut wires[getter], &queue, round);
        if round % 2 == 0 {
            wires[binder].call(1, unbind(&queue, &key), "queue.unbind-ok");
        } else {
            wires[getter].call(1, delete(&queue), "queue.delete-ok");
        }
        expect_return(&mut wires[publisher], &key, round);
        if round % 2 == 0 {
            wires[publisher].call(1, delete(&queue), "queue.delete-ok");
        }
    }
}

fn confirming(target: &Target) -> Wire {
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    wire
}

/// Mandatory, and confirmed without a return.
fn publish(wire: &mut Wire, key: &str, round: usize) {
    wire.publish(1, "amq.direct", key, true, &round.to_be_bytes());
    let reply = wire.frame().expect("an open connection");
    assert_eq!(reply.name(), "basic.ack", "round {round}: the binding was not there yet");
}

fn get(wire: &mut Wire, queue: &str, round: usize) {
    wire.bytes(&encoded(1, Method::BasicGet { queue: short(queue), no_ack: true }));
    let reply = wire.frame().expect("an open connection");
    assert_eq!(reply.name(), "basic.get-ok", "round {round}: a confirmed message is not in its queue");
    assert_eq!(wire.content().1, round.to_be_bytes());
}

/// The binding is gone on every shard.
fn expect_return(wire: &mut Wire, key: &str, round: usize) {
    wire.bytes(&publication(1, "amq.direct", key, true, b"back"));
    let reply = wire.frame().expect("an open connection");
    assert_eq!(reply.name(), "basic.return", "round {round}: the binding was still there");
    wire.content();
    wire.expect(1, "basic.ack");
}

fn bind<'a>(queue: &'a str, key: &'a str) -> Method<'a> {
    let (exchange, arguments) = (short("amq.direct"), Table::EMPTY);
    Method::QueueBind { queue: short(queue), exchange, routing_key: short(key), nowait: false, arguments }
}

fn unbind<'a>(queue: &'a str, key: &'a str) -> Method<'a> {
    let (exchange, arguments) = (short("amq.direct"), Table::EMPTY);
    Method::QueueUnbind { queue: short(queue), exchange, routing_key: short(key), arguments }
}

fn delete(queue: &str) -> Method<'_> {
    Method::QueueDelete { queue: short(queue), if_unused: false, if_empty: true, nowait: false }
}
