use serde_json::{Value, json};

use super::super::tests::Bench;
use super::super::{Due, Settled};
use super::*;
use crate::death::Reason;
use crate::ids::Name;
use crate::message::Message;
use crate::parameters::{Change, POLICY, Parameter, Parameters};
use crate::settlement::Settlement;

const MS: u64 = 1_000_000;

fn applied(definition: Value) -> Applied {
    let value = json!({"pattern": ".*", "definition": definition, "priority": 0});
    let policy = Change::Put(Parameter::new(b"/", POLICY, b"p", value).expect("a good policy"));
    let parameters = Parameters::default().apply(policy);
    parameters.policies(b"/").expect("there is one").of_queue(b"q", QueueKind::Classic)
}

impl Bench {
    /// Goes by a policy, and is made to fit in pieces of so many messages: the bodies of what was dropped.
    fn go_by(&mut self, applied: Applied, piece: usize) -> Vec<u8> {
        let must_fit = self.queue.go_by(applied, None, &mut self.timers);
        assert_eq!(must_fit, self.queue.is_fitting());
        self.queue.invariants(&self.pages);
        while !self.queue.count_some(piece, &self.pages) {
            self.queue.invariants(&self.pages);
        }
        self.dropped()
    }

    fn dropped(&mut self) -> Vec<u8> {
        let mut bodies = Vec::new();
        while let Some(dead) = self.queue.drop_head(&self.pages, &mut self.timers) {
            assert_eq!(dead.reason, Reason::MaxLength);
            bodies.push(self.pages.read(dead.entry.message).content[0]);
            self.pages.release(dead.entry.message);
        }
        self.queue.fits();
        self.queue.invariants(&self.pages);
        bodies
    }

    fn publish_now(&mut self, body: u8) {
        self.publish_sized(body, None, 1);
    }

    /// With a header that speaks of so many bytes.
    fn publish_sized(&mut self, body: u8, priority: Option<u8>, bytes: u8) {
        let marks = self.queue.marks(priority, None, false);
        let mut content = [0; 19];
        (content[0], content[18]) = (body, bytes);
        let at = self.pages.store(&Message { route: b"\0\0", content: &content });
        self.queue.push(at, &marks, &self.pages, &mut self.timers);
    }

    fn bodies_left(&mut self) -> Vec<u8> {
        self.consume(99, true, 0, u32::MAX);
        self.serve().into_iter().map(|served| served.1).collect()
    }
}

#[test]
fn a_plain_queue_that_is_limited_drops_its_heads_and_is_plain_again() {
    let mut bench = Bench::new();
    (0..5).for_each(|body| bench.publish_now(body));
    assert_eq!(bench.go_by(applied(json!({"max-length": 2})), 10), [0, 1, 2]);
    assert!(!bench.queue.is_plain() && bench.queue.applied().policy.is_some());
    bench.publish_now(5);
    assert_eq!(bench.dropped(), [3]);
    assert!(bench.go_by(Applied::default(), 10).is_empty());
    assert!(bench.queue.is_plain() && bench.queue.applied().policy.is_none());
    (6..9).for_each(|body| bench.publish_now(body));
    assert_eq!(bench.bodies_left(), [4, 5, 6, 7, 8]);
}

#[test]
fn bytes_are_counted_in_pieces_and_then_what_is_too_much_goes() {
    let mut bench = Bench::new();
    (0..9).for_each(|body| bench.publish_now(body));
    bench.consume(1, false, 2, 1000);
    let served = bench.serve();
    assert!(bench.queue.go_by(applied(json!({"max-length-bytes": 3})), None, &mut bench.timers));
    assert!(!bench.queue.count_some(3, &bench.pages));
    assert!(bench.queue.drop_head(&bench.pages, &mut bench.timers).is_none(), "not all is counted");
    // What comes back stands before what is counted, and what is new behind it.
    bench.settle(served[0].3, Settlement::Requeue);
    bench.publish_now(9);
    bench.queue.invariants(&bench.pages);
    while !bench.queue.count_some(1, &bench.pages) {
        bench.queue.invariants(&bench.pages);
    }
    assert_eq!(bench.queue.ready_count(), 9);
    assert_eq!(bench.dropped(), [0, 2, 3, 4, 5, 6]);
}

#[test]
fn a_queue_that_refuses_keeps_what_it_has() {
    let mut bench = Bench::new();
    (0..5).for_each(|body| bench.publish_now(body));
    assert!(bench.go_by(applied(json!({"max-length": 2, "overflow": "reject-publish"})), 10).is_empty());
    assert!(bench.queue.refuses(1).is_some());
    assert_eq!(bench.bodies_left(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_time_to_live_counts_for_what_comes_from_then_on() {
    let mut bench = Bench::new();
    bench.publish_now(0);
    bench.go_by(applied(json!({"message-ttl": 10})), 10);
    bench.publish_now(1);
    bench.go_by(Applied::default(), 10);
    bench.publish_now(2);
    bench.timers.now = 20 * MS;
    let (timer, due) = bench.timers.due(&mut { usize::MAX }).expect("one has a time");
    let Due::Expiry { priority, sequence, .. } = due else { panic!("{due:?}") };
    let Bench { queue, pages, timers } = &mut bench;
    let dead = queue.expire(timer, priority, sequence, pages, timers).expect("it is ready");
    assert_eq!(bench.pages.read(dead.entry.message).content[0], 1);
    assert!(bench.timers.due(&mut { usize::MAX }).is_none());
    assert_eq!(bench.bodies_left(), [0, 2]);
}

#[test]
fn an_unused_queue_has_its_time_from_when_the_policy_comes_and_none_when_it_goes() {
    let mut bench = Bench::new();
    bench.timers.now = 5 * MS;
    bench.go_by(applied(json!({"expires": 10})), 10);
    assert_eq!(bench.timers.len(), 1);
    bench.timers.now = 10 * MS;
    bench.go_by(applied(json!({"expires": 10, "max-length": 5})), 10);
    bench.timers.now = 14 * MS;
    assert!(bench.timers.due(&mut { usize::MAX }).is_none());
    bench.timers.now = 16 * MS;
    let (timer, due) = bench.timers.due(&mut { usize::MAX }).expect("another key leaves the time as it is");
    assert!(matches!(due, Due::Idle { .. }) && bench.queue.is_idle(timer));
    bench.go_by(applied(json!({"max-length": 5})), 10);
    assert_eq!(bench.timers.len(), 0);
    bench.go_by(applied(json!({"expires": 10})), 10);
    bench.go_by(Applied::default(), 10);
    assert_eq!(bench.timers.len(), 0);
}

#[test]
fn the_dead_go_where_the_policy_says_unless_an_argument_does() {
    let exchange = |bench: &Bench| bench.queue.graveyard().map(|graveyard| graveyard.exchange.clone());
    let policy = || applied(json!({"dead-letter-exchange": "policys", "dead-letter-routing-key": "k"}));
    let mut bench = Bench::new();
    bench.go_by(policy(), 10);
    assert_eq!(exchange(&bench), Some(Name::from(&b"policys"[..])));
    assert_eq!(
        bench.queue.graveyard().and_then(|graveyard| graveyard.routing_key.clone()),
        Some(Name::from(&b"k"[..]))
    );
    let own = Some(Name::from(&b"own"[..]));
    let mut bench = Bench::with(&QueueArgs { dead_letter_exchange: own.clone(), ..QueueArgs::default() });
    bench.go_by(policy(), 10);
    assert_eq!(exchange(&bench), own);
    bench.go_by(Applied::default(), 10);
    assert_eq!(exchange(&bench), own);
}

#[test]
fn the_servers_time_to_settle_counts_where_nothing_else_does() {
    let mut bench = Bench::new();
    let mut settling_ns = |applied: Applied| {
        bench.queue.go_by(applied, Some(7), &mut bench.timers);
        bench.queue.settling_ns()
    };
    assert_eq!(settling_ns(Applied::default()), Some(7 * MS));
    assert_eq!(settling_ns(applied(json!({"consumer-timeout": 9}))), Some(9 * MS));
    assert_eq!(settling_ns(applied(json!({"max-length": 9}))), Some(7 * MS));
}

/// Whatever comes, goes and returns while policies change, bytes are counted right and the queue fits in the end.
#[test]
fn policies_change_while_everything_goes_on() {
    let mut random = 11u64;
    let mut dice = |sides: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % sides
    };
    let mut bench = Bench::with(&QueueArgs { priority_max: Some(2), ..QueueArgs::default() });
    bench.consume(1, false, 20, u32::MAX);
    let (mut held, mut dropped) = (Vec::new(), 0);
    for round in 0..20_000 {
        match dice(8) {
            0..4 => {
                bench.publish_sized(round as u8, Some(dice(3) as u8), dice(5) as u8);
            }
            4 => {
                if !bench.queue.is_fitting() {
                    dropped += bench.dropped().len();
                }
                held.extend(bench.serve().into_iter().map(|served| served.3));
            }
            5 if !held.is_empty() => {
                let unacked = held.swap_remove(dice(held.len()));
                if dice(3) > 0 {
                    assert!(matches!(bench.settle(unacked, Settlement::Requeue), Some(Settled::Back(_))));
                } else {
                    bench.ack(unacked);
                }
            }
            6 if dice(20) == 0 => {
                let definition = match dice(4) {
                    0 => json!({"max-length": dice(300)}),
                    1 => json!({"max-length-bytes": dice(300)}),
                    2 => json!({"max-length-bytes": dice(300), "max-length": dice(300)}),
                    _ => json!({"queue-mode": "lazy"}),
                };
                bench.queue.go_by(applied(definition), None, &mut bench.timers);
            }
            _ if bench.queue.is_fitting() => {
                if bench.queue.count_some(1 + dice(7), &bench.pages) {
                    dropped += bench.dropped().len();
                }
            }
            _ => dropped += bench.dropped().len(),
        }
        if dice(8) == 0 {
            if !bench.queue.is_fitting() {
                dropped += bench.dropped().len();
            }
            bench.queue.invariants(&bench.pages);
        }
    }
    assert!(dropped > 500, "{dropped}");
}
