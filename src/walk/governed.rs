//! Policies change over queues and exchanges that are used: by an order at the control shard's desk, on all shards.

use serde_json::{Value, json};

use super::hall::{self, Hall, consume, declare};
use crate::limits::{FIT_MESSAGES, POLICY_MATCHES};
use crate::parameters::{Change, POLICY, Parameter};
use crate::shard::Shard;
use crate::shard::desk::{Done, Order};

fn policy(pattern: &str, definition: Value) -> Order {
    let value = json!({"pattern": pattern, "definition": definition, "priority": 0});
    Order::ChangeParameters(vec![Change::Put(
        Parameter::new(b"/", POLICY, b"p", value).expect("a good policy"),
    )])
}

/// Messages that come while the queue is made to fit.
const LATER: usize = 6;

impl Hall {
    /// Lets shards work that have something to do, a piece each, and looks at all of them.
    fn piece(&mut self) {
        self.shards.iter_mut().for_each(|shard| _ = shard.drain(0));
        self.shards.iter().for_each(Shard::invariants);
    }

    fn is_done(&mut self, ticket: u32) -> bool {
        self.shards[0].take_done().iter().any(|(done, what)| *done == ticket && matches!(what, Done::Changed))
    }

    /// How many deliveries a new consumer of a queue gets.
    fn empty(&mut self, shard: usize, queue: &'static str) -> usize {
        let consumer = self.connect(shard);
        self.send(consumer, &consume(queue, true));
        self.expect(consumer, "basic.consume-ok");
        let mut count = 0;
        while !self.received[consumer].is_empty() {
            self.delivery(consumer);
            count += 1;
        }
        count
    }
}

/// Nobody waits for it: the shard does a piece at a time, and is right after each.
#[test]
fn a_long_queue_is_made_to_fit_in_pieces_while_it_is_used() {
    let mut hall = Hall::new(2);
    let (one, other) = (hall.connect(0), hall.connect(1));
    for (connection, queue) in [(other, "long"), (one, "dead")] {
        hall.send(connection, &declare(queue));
        hall.expect(connection, "queue.declare-ok");
    }
    let count = 3 * FIT_MESSAGES;
    (0..count).for_each(|_| hall.publish(one, "long", b"12345"));
    let limits =
        json!({"max-length-bytes": 500, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"});
    hall.shards[0].order(1, policy("^long$", limits), 0);
    let (mut pieces, mut is_done) = (0, false);
    while !is_done || hall.shards.iter().any(Shard::has_work) {
        hall.piece();
        is_done |= hall.is_done(1);
        if pieces < LATER {
            // Comes in the midst of it.
            let (shard, slot) = hall.connections[other];
            hall.shards[shard].receive(slot, &hall::publish("", "long", b"12345"), 0);
        }
        pieces += 1;
    }
    hall.turn();
    hall.shards.iter().for_each(Shard::invariants);
    assert!(pieces > LATER, "{pieces}");
    assert_eq!(hall.empty(1, "long"), 100);
    assert_eq!(hall.empty(0, "dead"), count + LATER - 100);
}

/// More queues than one piece of work looks at: all go by the policy when its change is answered.
#[test]
fn every_queue_of_every_shard_goes_by_a_policy_once_its_change_is_answered() {
    let mut hall = Hall::new(3);
    let connection = hall.connect(0);
    let names: Vec<&'static str> = (0..2 * POLICY_MATCHES).map(|at| &*format!("q{at}").leak()).collect();
    for name in &names {
        hall.send(connection, &declare(name));
        hall.expect(connection, "queue.declare-ok");
    }
    hall.shards[0].order(7, policy("^q", json!({"max-length": 0, "overflow": "reject-publish"})), 0);
    while !hall.is_done(7) {
        hall.piece();
    }
    let refused = |hall: &mut Hall| hall.shards.iter_mut().map(|shard| shard.counters().refused).sum::<u64>();
    for name in names.iter().step_by(31) {
        let before = refused(&mut hall);
        hall.publish(connection, name, b"?");
        assert_eq!(refused(&mut hall), before + 1, "{name}");
    }
    hall.send(connection, &declare("q-late"));
    hall.expect(connection, "queue.declare-ok");
    let before = refused(&mut hall);
    hall.publish(connection, "q-late", b"?");
    assert_eq!(refused(&mut hall), before + 1);
    hall.shards.iter().for_each(Shard::invariants);
}
