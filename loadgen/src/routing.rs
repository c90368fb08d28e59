//! Which queues and bindings a run uses, and which routing keys lead where.

use std::sync::Arc;

use crate::options::{Flag, RunOptions};
use crate::pairs::{pairs, table};

/// What is declared before the run and deleted after it.
#[derive(Clone, Debug)]
pub struct Topology {
    pub queues: Vec<String>,
    pub exchange: Option<Exchange>,
    pub bindings: Vec<Binding>,
    /// Of each queue: the bytes of a table.
    pub arguments: Vec<u8>,
    /// A queue that gets what expires in, or is refused from, the only one of `queues`, and is consumed from in its place.
    pub dead_letters: Option<String>,
    pub durable: bool,
    /// Else all is there already.
    pub declares: bool,
    /// Else all stays.
    pub deletes: bool,
    /// Every message reaches every queue.
    copies_to_all: bool,
    pub matching: Matching,
}

/// What of a message the exchange compares with its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Matching {
    /// The routing key.
    Key,
    /// Words of the routing key, the last of which no two messages have in common: bindings end in `.*`.
    UniqueKey,
    /// The value of the header [`ID_HEADER`].
    Headers,
    /// The same, beside a header [`UNIQUE_HEADER`] that no binding names and no two messages have in common.
    UniqueHeaders,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    pub name: String,
    pub kind: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    pub queue: usize,
    /// The binding key, or the value that the header [`ID_HEADER`] must have.
    pub key: String,
}

/// A routing key (or the value of [`ID_HEADER`], where headers are matched) and the lane of the messages published with it. A lane is what one sequence counts: the messages of a
/// producer that reach the same queues, either one queue (the lane has its index) or all of them (lane 0).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    pub text: String,
    pub lane: usize,
}

impl Topology {
    pub fn resolve(options: &RunOptions) -> Result<Topology, String> {
        let queues = queues(options)?;
        let exchange = exchange(options);
        // A single key on a named exchange is bound to every queue.
        let one_key = options.routing_key.as_deref().is_some_and(|key| !key.contains("%d"));
        let fanout = exchange.as_ref().is_some_and(|exchange| exchange.kind == "fanout");
        let copies_to_all = exchange.is_some() && (fanout || one_key);
        let matching = Matching::resolve(options, exchange.as_ref())?;
        let mut bindings = bindings(options, &queues, exchange.as_ref(), copies_to_all)?;
        if matching == Matching::UniqueKey {
            bindings.iter_mut().for_each(|binding| binding.key.push_str(".*"));
        }
        let dead_letters = dead_letters(options, &queues)?;
        Ok(Topology {
            arguments: arguments(options, dead_letters.as_deref())?,
            dead_letters,
            queues,
            exchange,
            bindings,
            durable: options.has_flag(Flag::Persistent),
            declares: !options.predeclared,
            deletes: !options.predeclared,
            copies_to_all,
            matching,
        })
    }

    /// Which of a producer's sequences a queue sees.
    pub fn lane_of(&self, queue: usize) -> usize {
        if self.copies_to_all { 0 } else { queue }
    }

    pub fn queues_per_message(&self) -> usize {
        if self.copies_to_all { self.queues.len() } else { 1 }
    }

    /// The queue that the consumers of `queue` take from.
    pub fn consumed(&self, queue: usize) -> &str {
        self.dead_letters.as_ref().unwrap_or(&self.queues[queue])
    }

    pub fn exchange_name(&self) -> &str {
        self.exchange.as_ref().map_or("", |exchange| &exchange.name)
    }

    /// What reaches `queue`. The unique word is only room for now.
    fn key(&self, text: &str, queue: usize) -> Key {
        let text = match self.matching {
            Matching::UniqueKey => format!("{text}.{}", UNIQUE_ROOM),
            Matching::Key | Matching::Headers | Matching::UniqueHeaders => text.to_owned(),
        };
        Key { text, lane: self.lane_of(queue) }
    }
}

impl Matching {
    fn resolve(options: &RunOptions, exchange: Option<&Exchange>) -> Result<Matching, String> {
        match (exchange.map(|exchange| exchange.kind.as_str()), options.unique) {
            (Some("headers"), false) => Ok(Matching::Headers),
            (Some("headers"), true) => Ok(Matching::UniqueHeaders),
            (Some("topic"), true) => Ok(Matching::UniqueKey),
            (_, false) => Ok(Matching::Key),
            (_, true) => Err("--unique needs a topic or a headers exchange".to_owned()),
        }
    }

    /// Whether the application headers decide, and the routing key is left empty.
    pub fn by_headers(self) -> bool {
        matches!(self, Matching::Headers | Matching::UniqueHeaders)
    }
}

/// The keys that producers publish with.
pub enum Keys {
    /// All producers rotate through the same ones.
    Shared(Arc<[Key]>),
    /// Producer i has the one of queue i modulo the queues.
    PerQueue(Vec<Arc<[Key]>>),
}

impl Keys {
    pub fn of_producer(&self, number: usize) -> Arc<[Key]> {
        match self {
            Keys::Shared(keys) => keys.clone(),
            Keys::PerQueue(keys) => keys[number % keys.len()].clone(),
        }
    }
}

pub fn keys(options: &RunOptions, topology: &Topology) -> Result<Keys, String> {
    let longest = topology.bindings.iter().map(|binding| binding.key.len()).max().unwrap_or(0);
    if longest > BINDING_KEY_BYTES_MAX {
        return Err(format!("a key of {longest} bytes is too long"));
    }
    let queues = topology.queues.len();
    match (&options.routing_key, &topology.exchange) {
        (Some(_), None) => Err("-k needs an exchange: the default exchange routes by queue name".to_owned()),
        (Some(pattern), Some(_)) if pattern.contains("%d") => {
            let count = options.routing_keys.or(options.bindings).unwrap_or(queues as u32);
            let key = |number| topology.key(&numbered(pattern, number), number as usize % queues);
            Ok(Keys::Shared((0..count.max(1)).map(key).collect()))
        }
        (Some(key), Some(_)) => Ok(Keys::Shared([topology.key(key, 0)].into())),
        (None, Some(_)) if topology.copies_to_all => Ok(Keys::Shared([topology.key("", 0)].into())),
        // Queue names serve as keys, on the default exchange as on a named one.
        (None, _) => {
            let key = |(queue, name): (usize, &String)| [topology.key(name, queue)].into();
            Ok(Keys::PerQueue(topology.queues.iter().enumerate().map(key).collect()))
        }
    }
}

fn queues(options: &RunOptions) -> Result<Vec<String>, String> {
    let Some(pattern) = &options.queue_pattern else {
        return Ok(vec![options.queue.clone().unwrap_or_else(|| QUEUE_DEFAULT.to_owned())]);
    };
    let from = options.queue_pattern_from.unwrap_or(1);
    let to = options.queue_pattern_to.ok_or("--queue-pattern needs --queue-pattern-to")?;
    if !pattern.contains("%d") || from > to {
        return Err("--queue-pattern needs %d and a range that is not empty".to_owned());
    }
    Ok((from..=to).map(|number| numbered(pattern, number)).collect())
}

fn dead_letters(options: &RunOptions, queues: &[String]) -> Result<Option<String>, String> {
    match (&options.dead_letter_queue, queues) {
        (Some(name), [queue]) if name != queue => Ok(Some(name.clone())),
        (Some(_), _) => Err("--dead-letter-queue needs a single other queue".to_owned()),
        (None, _) => Ok(None),
    }
}

fn arguments(options: &RunOptions, dead_letters: Option<&str>) -> Result<Vec<u8>, String> {
    let mut pairs = pairs(options.queue_args.as_deref().unwrap_or(""))?;
    if let Some(name) = dead_letters {
        pairs.extend([("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", name)]);
    }
    Ok(table(&pairs))
}

fn exchange(options: &RunOptions) -> Option<Exchange> {
    if options.exchange.is_none() && options.exchange_type.is_none() {
        return None;
    }
    let kind = options.exchange_type.clone().unwrap_or_else(|| "direct".to_owned());
    let name = options.exchange.clone().unwrap_or_else(|| format!("loadgen.{kind}"));
    Some(Exchange { name, kind })
}

fn bindings(
    options: &RunOptions,
    queues: &[String],
    exchange: Option<&Exchange>,
    copies_to_all: bool,
) -> Result<Vec<Binding>, String> {
    if exchange.is_none() {
        return match options.bindings {
            Some(_) => Err("--bindings needs an exchange (-e or -t)".to_owned()),
            None => Ok(Vec::new()),
        };
    }
    let pattern = options.routing_key.as_deref();
    let binding = |queue, key: String| Binding { queue, key };
    Ok(match pattern {
        Some(pattern) if pattern.contains("%d") && !copies_to_all => {
            let count = options.bindings.or(options.routing_keys).unwrap_or(queues.len() as u32);
            if options.routing_keys.is_some_and(|keys| keys > count) {
                return Err("--routing-keys above --bindings would publish what is not routed".to_owned());
            }
            (0..count)
                .map(|number| binding(number as usize % queues.len(), numbered(pattern, number)))
                .collect()
        }
        _ if copies_to_all => {
            (0..queues.len()).map(|queue| binding(queue, pattern.unwrap_or("").to_owned())).collect()
        }
        _ => queues.iter().enumerate().map(|(queue, name)| binding(queue, name.clone())).collect(),
    })
}

fn numbered(pattern: &str, number: u32) -> String {
    pattern.replace("%d", &number.to_string())
}

const QUEUE_DEFAULT: &str = "loadgen";
pub const ID_HEADER: &str = "id";
pub const UNIQUE_HEADER: &str = "unique";
/// As long as a unique word or header value is (stamp.rs).
pub const UNIQUE_ROOM: &str = "aaaaaaaaaaaaaaaa";
/// Leaves room in a short string for a unique word in place of the `*`.
const BINDING_KEY_BYTES_MAX: usize = 255 - UNIQUE_ROOM.len();

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> RunOptions {
        RunOptions {
            queue_pattern: Some("q-%d".to_owned()),
            queue_pattern_from: Some(1),
            queue_pattern_to: Some(3),
            ..Default::default()
        }
    }

    #[test]
    fn on_the_default_exchange_each_producer_has_its_queue() {
        let topology = Topology::resolve(&options()).unwrap();
        let keys = keys(&options(), &topology).unwrap();
        assert!(topology.bindings.is_empty());
        assert_eq!(keys.of_producer(4)[..], [Key { text: "q-2".into(), lane: 1 }]);
    }

    #[test]
    fn a_fanout_reaches_every_queue_with_one_sequence() {
        let options = RunOptions { exchange_type: Some("fanout".into()), ..options() };
        let topology = Topology::resolve(&options).unwrap();
        assert_eq!((topology.queues_per_message(), topology.lane_of(2), topology.bindings.len()), (3, 0, 3));
        assert_eq!(keys(&options, &topology).unwrap().of_producer(9)[..], [Key { text: "".into(), lane: 0 }]);
    }

    #[test]
    fn bound_keys_are_spread_over_the_queues_and_published_to_in_turn() {
        let options = RunOptions {
            exchange_type: Some("direct".into()),
            routing_key: Some("k%d".into()),
            bindings: Some(7),
            ..options()
        };
        let topology = Topology::resolve(&options).unwrap();
        let keys = keys(&options, &topology).unwrap().of_producer(0);
        assert_eq!(topology.bindings.len(), 7);
        for (key, binding) in keys.iter().zip(&topology.bindings) {
            assert_eq!((&key.text, key.lane), (&binding.key, binding.queue));
        }
        assert_eq!(keys[4], Key { text: "k4".into(), lane: 1 });
    }

    #[test]
    fn a_single_key_on_a_direct_exchange_reaches_every_queue() {
        let options = RunOptions { exchange: Some("x".into()), routing_key: Some("k".into()), ..options() };
        let topology = Topology::resolve(&options).unwrap();
        assert_eq!(topology.queues_per_message(), 3);
        assert!(topology.bindings.iter().all(|binding| binding.key == "k"));
    }

    #[test]
    fn a_unique_word_stands_where_the_binding_has_a_star() {
        let options = RunOptions {
            exchange_type: Some("topic".into()),
            routing_key: Some("k.%d".into()),
            bindings: Some(4),
            unique: true,
            ..options()
        };
        let topology = Topology::resolve(&options).unwrap();
        let keys = keys(&options, &topology).unwrap().of_producer(0);
        assert_eq!(topology.bindings[3], Binding { queue: 0, key: "k.3.*".into() });
        assert_eq!(keys[3], Key { text: format!("k.3.{UNIQUE_ROOM}"), lane: 0 });
        let direct = RunOptions { exchange_type: Some("direct".into()), ..options };
        assert!(Topology::resolve(&direct).is_err(), "no binding of a direct exchange matches many keys");
    }

    #[test]
    fn dead_letters_are_consumed_in_the_place_of_what_is_published_to() {
        let options = RunOptions {
            queue: Some("q".into()),
            dead_letter_queue: Some("d".into()),
            queue_args: Some("x-max-length=5".into()),
            ..Default::default()
        };
        let topology = Topology::resolve(&options).unwrap();
        assert_eq!((topology.consumed(0), &topology.queues[..]), ("d", &["q".to_owned()][..]));
        let table = haremq::amqp::Table::decode(&topology.arguments).unwrap();
        let names: Vec<_> = table.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["x-max-length", "x-dead-letter-exchange", "x-dead-letter-routing-key"]);
        let plain = Topology::resolve(&RunOptions::default()).unwrap();
        assert_eq!((plain.consumed(0), plain.arguments.len()), ("loadgen", 0));
    }

    #[test]
    fn keys_without_an_exchange_are_refused() {
        let options = RunOptions { routing_key: Some("k".into()), ..options() };
        assert!(keys(&options, &Topology::resolve(&options).unwrap()).is_err());
        assert!(Topology::resolve(&RunOptions { bindings: Some(3), ..RunOptions::default() }).is_err());
    }
}
