//! The router against a list of bindings that is searched from end to end, under random changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::amqp::frame::{FrameKind, encode_frame};
use crate::amqp::{PropertiesWriter, Table, TableWriter, Value};
use crate::ids::{ChannelNumber, QueueId, ShardId, root};
use crate::message::Message;
use crate::queue_args::{Durability, QueueArgs};

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

/// The queues that a message without headers reaches, sorted: the order of targets means nothing. A queue that is
/// reached twice shows twice.
pub(crate) fn routed(router: &mut Router, exchange: &[u8], key: &[u8]) -> Result<Vec<QueueId>, RouteError> {
    routed_with(router, exchange, key, None)
}

fn routed_with(
    router: &mut Router,
    exchange: &[u8],
    key: &[u8],
    headers: Option<&[u8]>,
) -> Result<Vec<QueueId>, RouteError> {
    let (route, content) = (route(exchange, key), content(headers));
    let Resolved { list, .. } = router.resolve(&Message { route: &route, content: &content })?;
    let mut queues = router.targets(list).to_vec();
    queues.sort();
    Ok(queues)
}

fn route(exchange: &[u8], key: &[u8]) -> Vec<u8> {
    [&[exchange.len() as u8], exchange, &[key.len() as u8], key].concat()
}

fn content(headers: Option<&[u8]>) -> Vec<u8> {
    let headers = headers.map(|headers| Table::decode(headers).unwrap());
    let properties = PropertiesWriter { headers, ..PropertiesWriter::default() }.finish();
    let mut content = Vec::new();
    encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
        out.extend_from_slice(b"\0\x3C\0\0\0\0\0\0\0\0\0\0");
        out.extend_from_slice(&properties);
    });
    content
}

const EXCHANGES: [&str; 8] =
    ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "logs", "jobs", "news", "last"];
/// Those that come and go.
const OWN: [&str; 4] = ["logs", "jobs", "news", "last"];
const KEYS: [&str; 8] = ["", "red", "green", "a.b", "a..b", "red.a.b", "a.b.red", "red.red.a.green.b"];
const BINDING_KEYS: [&str; 15] = [
    "",
    "red",
    "green",
    "a.b",
    "#",
    "*",
    "red.#",
    "#.red",
    "*.b",
    "a.*.b",
    "#.a.#.b",
    "#.*",
    "#.#.red.#",
    "a.*.#.red",
    "red.#.red",
];
const QUEUES: usize = 6;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Queue(QueueId),
    Exchange(&'static str),
}

/// Source, destination, key, which arguments.
type Binding = (&'static str, To, &'static str, usize);

struct Model {
    router: Router,
    dice: Dice,
    exchanges: BTreeMap<&'static str, (ExchangeKind, Option<&'static str>)>,
    queues: BTreeMap<usize, QueueId>,
    bindings: BTreeSet<Binding>,
    generation: u32,
}

impl Model {
    fn new(seed: u64) -> Model {
        let exchanges = [
            ("amq.direct", (ExchangeKind::Direct, None)),
            ("amq.fanout", (ExchangeKind::Fanout, None)),
            ("amq.topic", (ExchangeKind::Topic, None)),
            ("amq.headers", (ExchangeKind::Headers, None)),
        ];
        Model {
            router: Router::new(root(), seed),
            dice: Dice(seed),
            exchanges: exchanges.into(),
            queues: BTreeMap::new(),
            bindings: BTreeSet::new(),
            generation: 0,
        }
    }

    fn change(&mut self) {
        match self.dice.roll(20) {
            0 => self.change_alternate(),
            1..3 => self.turn_exchange(),
            3..6 => self.turn_queue(),
            _ => self.turn_binding(),
        }
    }

    fn apply(&mut self, change: &Change) {
        self.router.apply(change);
        while self.router.has_work() {
            self.router.work(1);
        }
    }

    /// Adds what is not there, removes what is: so it is with queues and bindings below.
    fn turn_exchange(&mut self) {
        let name = self.dice.pick(&OWN);
        if self.exchanges.remove(name).is_some() {
            self.bindings.retain(|binding| binding.0 != name && binding.1 != To::Exchange(name));
            self.apply(&Change::ExchangeRemoved { name: bytes(name) });
            return;
        }
        let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
        let kind = self.dice.pick(&kinds);
        let alternate = (self.dice.roll(3) == 0).then(|| self.dice.pick(&EXCHANGES));
        self.exchanges.insert(name, (kind, alternate));
        self.apply(&Change::ExchangeAdded { spec: exchange(name, kind, false, alternate) });
    }

    fn change_alternate(&mut self) {
        let name = self.dice.pick(&EXCHANGES);
        let Some((kind, alternate)) = self.exchanges.get_mut(name) else { return };
        let kind = *kind;
        *alternate = (self.dice.roll(2) == 0).then(|| self.dice.pick(&EXCHANGES));
        let spec = exchange(name, kind, false, *alternate);
        self.apply(&Change::AlternateChanged { spec });
    }

    fn turn_queue(&mut self) {
        let slot = self.dice.roll(QUEUES);
        if let Some(id) = self.queues.remove(&slot) {
            self.bindings.retain(|binding| binding.1 != To::Queue(id));
            self.apply(&Change::QueueRemoved { id, name: bytes(&queue_name(slot)) });
            return;
        }
        self.generation += 1;
        let id = QueueId { shard: ShardId(slot as u16 % 2), slot: slot as u32, generation: self.generation };
        self.queues.insert(slot, id);
        self.apply(&Change::QueueAdded { id, spec: queue(&queue_name(slot)) });
    }

    fn turn_binding(&mut self) {
        let source = self.dice.pick(&EXCHANGES);
        let to = if self.dice.roll(4) == 0 {
            To::Exchange(self.dice.pick(&EXCHANGES))
        } else {
            let Some(&queue) = self.queues.get(&self.dice.roll(QUEUES)) else { return };
            To::Queue(queue)
        };
        let missing = matches!(to, To::Exchange(name) if !self.exchanges.contains_key(name));
        if missing || !self.exchanges.contains_key(source) {
            return;
        }
        let (name, which) = (self.dice.pick(&BINDING_KEYS), self.dice.roll(ARGUMENTS));
        let destination = match to {
            To::Queue(id) => Destination::Queue(id),
            To::Exchange(name) => Destination::Exchange(bytes(name)),
        };
        let (key, arguments) = (bytes(name), Name::from(arguments(which)));
        let (binding, source) = ((source, to, name, which), bytes(source));
        if self.bindings.remove(&binding) {
            self.apply(&Change::Unbound { source, destination, key, arguments });
        } else {
            self.bindings.insert(binding);
            self.apply(&Change::Bound { source, destination, key, arguments });
        }
    }

    fn compare(&mut self) {
        for exchange in EXCHANGES {
            for key in KEYS {
                let expected = self.expected(exchange, &[key], 0);
                // The second time it may come from the cache.
                for _ in 0..2 {
                    let found = routed(&mut self.router, exchange.as_bytes(), key.as_bytes());
                    assert_eq!(found, expected, "{exchange} {key}");
                }
            }
            let (key, more, which) = (self.dice.pick(&KEYS), self.dice.pick(&KEYS), self.dice.roll(HEADERS));
            let cc = TableWriter::new().array("CC", |array| array.string(more)).finish();
            let found = routed_with(
                &mut self.router,
                exchange.as_bytes(),
                key.as_bytes(),
                Some(&[&*cc, &*headers(which)].concat()),
            );
            assert_eq!(
                found,
                self.expected(exchange, &[key, more], which),
                "{exchange} {key} and {more}, headers {which}"
            );
            let explained = self.explained(exchange, key, &[cc, headers(which)].concat());
            assert_eq!(explained, found.unwrap_or_default(), "{exchange} {key} and {more} explained");
        }
        for slot in 0..QUEUES {
            let expected = self.queues.get(&slot).copied();
            let name = queue_name(slot);
            assert_eq!(self.router.queue(name.as_bytes()).map(|queue| queue.id), expected);
            assert_eq!(routed(&mut self.router, b"", name.as_bytes()), Ok(expected.into_iter().collect()));
        }
        self.router.invariants();
    }

    /// By offering all bindings one by one.
    fn explained(&self, exchange: &str, key: &str, headers: &[u8]) -> Vec<QueueId> {
        let inquiry = Inquiry::new(key.as_bytes(), Table::decode(headers).unwrap()).unwrap();
        let (mut trail, mut queues) = (Trail::new(inquiry, bytes(exchange)), BTreeSet::new());
        while let Some(name) = trail.advance() {
            let Some(spec) = self.router.exchange(&name) else { continue };
            for (_, to, key, which) in self.bindings.iter().filter(|binding| *binding.0.as_bytes() == *name) {
                let exchange = match to {
                    To::Exchange(name) => Some(bytes(name)),
                    To::Queue(_) => None,
                };
                if trail.visit(spec.kind, &bytes(key), &arguments(*which), exchange.as_ref())
                    && let To::Queue(id) = to
                {
                    queues.insert(*id);
                }
            }
            trail.leave(spec);
        }
        queues.into_iter().collect()
    }

    fn expected(&self, exchange: &str, keys: &[&str], headers: usize) -> Result<Vec<QueueId>, RouteError> {
        let mut queues = BTreeSet::new();
        let mut visited = BTreeSet::new();
        let mut ahead = vec![*self.exchanges.get_key_value(exchange).ok_or(RouteError::NoExchange)?.0];
        while let Some(name) = ahead.pop() {
            let Some(&(kind, alternate)) = self.exchanges.get(name) else { continue };
            if !visited.insert(name) {
                continue;
            }
            let matching = |binding: &&Binding| {
                binding.0 == name
                    && match kind {
                        ExchangeKind::Direct => keys.contains(&binding.2),
                        ExchangeKind::Fanout => true,
                        ExchangeKind::Topic => keys.iter().any(|key| topic_matches(binding.2, key)),
                        ExchangeKind::Headers => headers_match(binding.3, headers),
                    }
            };
            let found: Vec<&Binding> = self.bindings.iter().filter(matching).collect();
            for (_, to, _, _) in &found {
                match to {
                    To::Queue(id) => _ = queues.insert(*id),
                    To::Exchange(name) => ahead.push(name),
                }
            }
            if found.is_empty() {
                ahead.extend(alternate);
            }
        }
        Ok(queues.into_iter().collect())
    }
}

/// By trying every length for every `#`.
fn topic_matches(binding_key: &str, routing_key: &str) -> bool {
    fn words(key: &str) -> Vec<&str> {
        if key.is_empty() { Vec::new() } else { key.split('.').collect() }
    }
    fn matches(pattern: &[&str], words: &[&str]) -> bool {
        match pattern {
            [] => words.is_empty(),
            ["#", rest @ ..] => (0..=words.len()).any(|taken| matches(rest, &words[taken..])),
            [first, rest @ ..] => {
                !words.is_empty() && (*first == "*" || *first == words[0]) && matches(rest, &words[1..])
            }
        }
    }
    matches(&words(binding_key), &words(routing_key))
}

/// Binding arguments: x-match, then names and values, of which 0 stands for any.
const PATTERNS: [(&str, &[(&str, i32)]); 8] = [
    ("", &[]),
    ("any", &[]),
    ("", &[("a", 1)]),
    ("all", &[("a", 1), ("b", 2)]),
    ("any", &[("a", 1), ("b", 2)]),
    ("all", &[("a", 0)]),
    ("all-with-x", &[("x-a", 1)]),
    ("all", &[("x-a", 1), ("b", 2)]),
];
const ARGUMENTS: usize = PATTERNS.len();
const MESSAGE_HEADERS: [&[(&str, i32)]; 6] =
    [&[], &[("a", 1)], &[("b", 2), ("a", 1)], &[("b", 2)], &[("a", 7), ("x-a", 1)], &[("c", 1)]];
const HEADERS: usize = MESSAGE_HEADERS.len();

fn arguments(which: usize) -> Vec<u8> {
    let (x_match, wanted) = PATTERNS[which];
    let table =
        if x_match.is_empty() { TableWriter::new() } else { TableWriter::new().string("x-match", x_match) };
    let write = |table: TableWriter, &(name, value): &(&str, i32)| match value {
        0 => table.value(name, Value::Void),
        value => table.i32(name, value),
    };
    wanted.iter().fold(table, write).finish()
}

fn headers(which: usize) -> Vec<u8> {
    MESSAGE_HEADERS[which]
        .iter()
        .fold(TableWriter::new(), |table, (name, value)| table.i32(name, *value))
        .finish()
}

fn headers_match(arguments: usize, headers: usize) -> bool {
    let (x_match, wanted) = PATTERNS[arguments];
    let has = |(name, value): &(&str, i32)| {
        MESSAGE_HEADERS[headers].iter().any(|(other, is)| name == other && (*value == 0 || value == is))
    };
    let mut counted =
        wanted.iter().filter(|(name, _)| x_match.ends_with("-with-x") || !name.starts_with("x-"));
    if x_match.starts_with("any") { counted.any(has) } else { counted.all(has) }
}

fn bytes(name: &str) -> Name {
    Name::from(name.as_bytes())
}

fn queue_name(slot: usize) -> String {
    format!("queue-{slot}")
}

fn exchange(name: &str, kind: ExchangeKind, internal: bool, alternate: Option<&str>) -> Arc<ExchangeSpec> {
    let (name, arguments, alternate) = (bytes(name), bytes(""), alternate.map(bytes));
    Arc::new(ExchangeSpec {
        vhost: root(),
        name,
        kind,
        durable: false,
        auto_delete: false,
        internal,
        alternate,
        arguments,
    })
}

fn queue(name: &str) -> Arc<QueueSpec> {
    let (name, arguments) = (bytes(name), bytes(""));
    Arc::new(QueueSpec {
        vhost: root(),
        name,
        durable: false,
        auto_delete: false,
        exclusive: None,
        arguments,
        rules: QueueArgs::default(),
        uid: None,
        durability: Durability::default(),
    })
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
        let mut model = Model::new(11);
        (0..2_000).for_each(|_| model.change());
        let (route, content) = (route(b"amq.fanout", b""), content(None));
        let resolved = model.router.resolve(&Message { route: &route, content: &content }).unwrap();
        model.router.targets(resolved.list).to_vec()
    };
    assert!(run().len() > 1);
    assert_eq!(run(), run());
}

#[test]
fn a_route_holds_until_its_exchange_or_one_that_it_leads_to_changes() {
    let mut router = Router::new(root(), 1);
    let added =
        |name| Change::ExchangeAdded { spec: exchange(name, ExchangeKind::Fanout, false, Some("late")) };
    ["near", "far"].into_iter().for_each(|name| router.apply(&added(name)));
    let bound = |source, destination| Change::Bound {
        source: bytes(source),
        destination,
        key: bytes(""),
        arguments: bytes(""),
    };
    router.apply(&bound("near", Destination::Exchange(bytes("far"))));
    let stamp = |router: &mut Router| {
        let (route, content) = (route(b"near", b""), content(None));
        router
            .resolve(&Message { route: &route, content: &content })
            .unwrap()
            .stamp
            .expect("keys alone decide")
    };
    let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
    let before = stamp(&mut router);
    router.apply(&Change::QueueAdded { id, spec: queue("q") });
    router.apply(&bound("amq.direct", Destination::Queue(id)));
    assert!(router.stands(before), "what happens elsewhere does not matter");
    router.apply(&bound("far", Destination::Queue(id)));
    assert!(!router.stands(before));
    let before = stamp(&mut router);
    router.apply(&Change::ExchangeAdded { spec: exchange("late", ExchangeKind::Fanout, false, None) });
    assert!(!router.stands(before), "the alternate of an exchange on the way has come");
}

/// The cache forgets by overwriting, and gives its lists to others; a connection that remembers a route does not hear of it.
#[test]
fn what_a_connection_remembers_outlives_the_cache() {
    let mut router = Router::new(root(), 1);
    let ids = [0, 1, 2].map(|slot| QueueId { shard: ShardId(0), slot, generation: 1 });
    for (id, keys) in ids.into_iter().zip([["a.#", "#.z"], ["#.z", "#.y"], ["b.#", "c.#"]]) {
        router.apply(&Change::QueueAdded { id, spec: queue(&queue_name(id.slot as usize)) });
        for key in keys {
            let (source, key) = (bytes("amq.topic"), bytes(key));
            let destination = Destination::Queue(id);
            router.apply(&Change::Bound { source, destination, key, arguments: bytes("") });
        }
    }
    let (mut memo, mine, content) = (Memo::default(), route(b"amq.topic", b"a.z"), content(None));
    // The second time the union of both queues is kept in the cache.
    for _ in 0..3 {
        let resolved = router.resolve(&Message { route: &mine, content: &content }).unwrap();
        if let Some(stamp) = resolved.stamp {
            memo.keep(&mine, stamp, resolved.list);
        }
    }
    for number in 0..100_000 {
        let others = format!("b.{number}.y");
        (0..2).for_each(|_| _ = routed(&mut router, b"amq.topic", others.as_bytes()));
    }
    if let Some(list) = memo.find(&mine, &router) {
        let mut reached = router.targets(list).to_vec();
        reached.sort();
        assert_eq!(reached, ids[..2], "another route has the list now");
    }
    assert_eq!(routed(&mut router, b"amq.topic", b"a.z"), Ok(ids[..2].to_vec()));
}

#[test]
fn what_does_not_exist_or_is_internal_is_refused_in_rabbitmqs_words() {
    let mut router = Router::new(root(), 1);
    router.apply(&Change::ExchangeAdded { spec: exchange("inside", ExchangeKind::Fanout, true, None) });
    let missing = routed(&mut router, b"outside", b"").unwrap_err();
    assert_eq!(missing.text(b"/", b"outside"), "no exchange 'outside' in vhost '/'");
    let internal = routed(&mut router, b"inside", b"").unwrap_err();
    assert_eq!(internal.text(b"/", b"inside"), "cannot publish to internal exchange 'inside' in vhost '/'");
    assert_eq!(routed(&mut router, b"amq.rabbitmq.trace", b""), Err(RouteError::Internal));
    let headers = TableWriter::new().string("CC", "key").finish();
    let header = routed_with(&mut router, b"amq.direct", b"", Some(&headers)).unwrap_err();
    assert_eq!(header.text(b"/", b""), "invalid message: {unacceptable_type_in_header,\"CC\",longstr}");
}

#[test]
fn a_queue_that_is_removed_in_pieces_leaves_its_lists_one_by_one() {
    let mut router = Router::new(root(), 1);
    let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
    router.apply(&Change::QueueAdded { id, spec: queue("q") });
    for key in KEYS {
        let (source, key) = (bytes("amq.topic"), bytes(key));
        router.apply(&Change::Bound {
            source,
            destination: Destination::Queue(id),
            key,
            arguments: bytes(""),
        });
    }
    router.apply(&Change::QueueRemoved { id, name: bytes("q") });
    let mut pieces = 0;
    while router.is_applying() {
        router.work(1);
        router.invariants();
        pieces += 1;
    }
    assert_eq!(pieces, KEYS.len() + 1);
    assert_eq!(routed(&mut router, b"amq.topic", b"a.b"), Ok(vec![]));
}
