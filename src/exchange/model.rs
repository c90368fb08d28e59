//! The router against a list of bindings that is searched from end to end, under random changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::ids::{QueueId, ShardId};

/// Random numbers of a seed (splitmix64).
pub(crate) struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % sides
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

const EXCHANGES: [&str; 5] = ["amq.direct", "amq.fanout", "logs", "jobs", "amq.topic"];
const KEYS: [&str; 5] = ["", "red", "green", "blue", "a.b"];
const QUEUES: usize = 6;

/// Source, queue, key, arguments.
type Binding = (&'static str, QueueId, &'static str, bool);

struct Model {
    router: Router,
    dice: Dice,
    exchanges: BTreeMap<&'static str, ExchangeKind>,
    queues: BTreeMap<usize, QueueId>,
    bindings: BTreeSet<Binding>,
    generation: u32,
}

impl Model {
    fn new(seed: u64) -> Model {
        let exchanges = [
            ("amq.direct", ExchangeKind::Direct),
            ("amq.fanout", ExchangeKind::Fanout),
            ("amq.topic", ExchangeKind::Topic),
        ];
        Model {
            router: Router::new(seed),
            dice: Dice(seed),
            exchanges: exchanges.into(),
            queues: BTreeMap::new(),
            bindings: BTreeSet::new(),
            generation: 0,
        }
    }

    fn change(&mut self) {
        match self.dice.roll(20) {
            0 => self.turn_exchange("logs"),
            1 => self.turn_exchange("jobs"),
            2..5 => self.turn_queue(),
            _ => self.turn_binding(),
        }
    }

    /// Adds what is not there, removes what is: so it is with queues and bindings below.
    fn turn_exchange(&mut self, name: &'static str) {
        if self.exchanges.remove(name).is_some() {
            self.bindings.retain(|binding| binding.0 != name);
            self.router.apply(&Change::ExchangeRemoved { name: bytes(name) });
            return;
        }
        let kind = self.dice.pick(&[ExchangeKind::Direct, ExchangeKind::Fanout]);
        self.exchanges.insert(name, kind);
        self.router.apply(&Change::ExchangeAdded { spec: exchange(name, kind, false) });
    }

    fn turn_queue(&mut self) {
        let slot = self.dice.roll(QUEUES);
        if let Some(id) = self.queues.remove(&slot) {
            self.bindings.retain(|binding| binding.1 != id);
            self.router.apply(&Change::QueueRemoved { id, name: bytes(&queue_name(slot)) });
            return;
        }
        self.generation += 1;
        let id = QueueId { shard: ShardId(0), slot: slot as u32, generation: self.generation };
        self.queues.insert(slot, id);
        self.router.apply(&Change::QueueAdded { id, spec: queue(&queue_name(slot)) });
    }

    fn turn_binding(&mut self) {
        let source = self.dice.pick(&["amq.direct", "amq.fanout", "logs", "jobs"]);
        let Some(&queue) = self.queues.get(&self.dice.roll(QUEUES)) else { return };
        if !self.exchanges.contains_key(source) {
            return;
        }
        let (name, with_arguments) = (self.dice.pick(&KEYS), self.dice.roll(2) == 0);
        let (key, arguments) = (bytes(name), bytes(if with_arguments { "\u{1}aV" } else { "" }));
        let (binding, source) = ((source, queue, name, with_arguments), bytes(source));
        if self.bindings.remove(&binding) {
            self.router.apply(&Change::Unbound { source, queue, key, arguments });
        } else {
            self.bindings.insert(binding);
            self.router.apply(&Change::Bound { source, queue, key, arguments });
        }
    }

    fn compare(&self) {
        for exchange in EXCHANGES {
            for key in KEYS {
                assert_eq!(
                    routed(&self.router, exchange, key),
                    self.expected(exchange, key),
                    "{exchange} {key}"
                );
            }
        }
        for slot in 0..QUEUES {
            let expected = self.queues.get(&slot).copied();
            let name = queue_name(slot);
            assert_eq!(self.router.queue(name.as_bytes()).map(|queue| queue.id), expected);
            assert_eq!(routed(&self.router, "", &name), Ok(expected.into_iter().collect()));
        }
        self.router.invariants();
    }

    fn expected(&self, exchange: &str, key: &str) -> Result<Vec<QueueId>, RouteError> {
        let kind = *self.exchanges.get(exchange).ok_or(RouteError::NoExchange)?;
        let matches =
            |binding: &&Binding| binding.0 == exchange && (kind == ExchangeKind::Fanout || binding.2 == key);
        let queues: BTreeSet<QueueId> =
            self.bindings.iter().filter(matches).map(|binding| binding.1).collect();
        Ok(queues.into_iter().collect())
    }
}

fn bytes(name: &str) -> Name {
    Name::from(name.as_bytes())
}

fn queue_name(slot: usize) -> String {
    format!("queue-{slot}")
}

fn exchange(name: &str, kind: ExchangeKind, internal: bool) -> Arc<ExchangeSpec> {
    let (name, arguments) = (bytes(name), bytes(""));
    Arc::new(ExchangeSpec { name, kind, durable: false, auto_delete: false, internal, arguments })
}

fn queue(name: &str) -> Arc<QueueSpec> {
    let (name, arguments) = (bytes(name), bytes(""));
    Arc::new(QueueSpec { name, durable: false, auto_delete: false, exclusive: None, arguments })
}

/// Sorted: the order of targets means nothing. A queue that is reached twice shows twice.
fn routed(router: &Router, exchange: &str, key: &str) -> Result<Vec<QueueId>, RouteError> {
    let mut queues = router.targets(router.resolve(exchange.as_bytes(), key.as_bytes())?).to_vec();
    queues.sort();
    Ok(queues)
}

#[test]
fn the_router_routes_as_a_search_through_all_bindings_would() {
    for seed in 0..50 {
        println!("seed {seed}");
        let mut model = Model::new(seed);
        for _ in 0..400 {
            model.change();
            model.compare();
        }
    }
}

#[test]
fn the_same_seed_and_changes_give_the_same_order_of_targets() {
    let run = || {
        let mut model = Model::new(7);
        (0..2_000).for_each(|_| model.change());
        let list = model.router.resolve(b"amq.fanout", b"").unwrap();
        model.router.targets(list).to_vec()
    };
    assert!(run().len() > 1);
    assert_eq!(run(), run());
}

#[test]
fn every_change_moves_the_epoch() {
    let mut router = Router::new(1);
    let before = router.epoch();
    router.apply(&Change::QueueAdded {
        id: QueueId { shard: ShardId(0), slot: 0, generation: 0 },
        spec: queue("q"),
    });
    assert_ne!(router.epoch(), before);
}

#[test]
fn what_does_not_exist_or_is_internal_is_refused_in_rabbitmqs_words() {
    let mut router = Router::new(1);
    router.apply(&Change::ExchangeAdded { spec: exchange("inside", ExchangeKind::Fanout, true) });
    let missing = router.resolve(b"outside", b"").unwrap_err();
    assert_eq!(missing.text(b"outside"), "no exchange 'outside' in vhost '/'");
    let internal = router.resolve(b"inside", b"").unwrap_err();
    assert_eq!(internal.text(b"inside"), "cannot publish to internal exchange 'inside' in vhost '/'");
    assert_eq!(router.resolve(b"amq.rabbitmq.trace", b""), Err(RouteError::Internal));
}
