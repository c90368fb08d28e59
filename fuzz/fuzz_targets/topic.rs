//! A topic exchange routes as a matcher does that tries every binding by itself, whatever was bound and unbound before.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq::exchange::{Change, Name, QueueSpec, Router};
use haremq::ids::{QueueId, ShardId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    let mut rest = input;
    while let Some((&act, behind)) = rest.split_first() {
        let (words, behind) = words(behind);
        rest = behind;
        let queue = usize::from(act) % QUEUES;
        match act / 32 {
            0..=2 => world.bind(queue, words),
            3 => world.unbind(usize::from(act)),
            4 => world.replace(queue),
            _ => world.route(&words),
        }
    }
    for (_, key) in world.bindings.clone() {
        world.route(&key);
    }
    world.router.invariants();
});

const QUEUES: usize = 5;
const EXCHANGE: &[u8] = b"amq.topic";

/// An octet that says how many words, and as many octets that say which.
fn words(input: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some((&count, behind)) = input.split_first() else { return (Vec::new(), input) };
    let (choices, behind) = behind.split_at(usize::from(count % 12).min(behind.len()));
    let words: Vec<&[u8]> = choices.iter().map(|choice| WORDS[usize::from(*choice) % WORDS.len()]).collect();
    (words.join(&b'.'), behind)
}

const WORDS: [&[u8]; 10] = [b"a", b"*", b"#", b"b", b"", b"ab", b"c", b"##", b"*a", b"\xC3\xA4\0"];

struct World {
    router: Router,
    queues: Vec<QueueId>,
    bindings: BTreeSet<(usize, Vec<u8>)>,
    generation: u32,
}

impl World {
    fn new() -> World {
        let mut world =
            World { router: Router::new(7), queues: Vec::new(), bindings: BTreeSet::new(), generation: 0 };
        for queue in 0..QUEUES {
            let id = world.add(queue);
            world.queues.push(id);
        }
        world
    }

    fn add(&mut self, queue: usize) -> QueueId {
        self.generation += 1;
        let id = QueueId { shard: ShardId(0), slot: queue as u32, generation: self.generation };
        let spec = QueueSpec {
            name: queue_name(queue),
            durable: false,
            auto_delete: false,
            exclusive: None,
            arguments: Name::from([]),
        };
        self.router.apply(&Change::QueueAdded { id, spec: Arc::new(spec) });
        id
    }

    fn bind(&mut self, queue: usize, key: Vec<u8>) {
        if self.bindings.insert((queue, key.clone())) {
            self.router.apply(&Change::Bound {
                source: Name::from(EXCHANGE),
                queue: self.queues[queue],
                key: Name::from(key),
                arguments: Name::from([]),
            });
        }
    }

    fn unbind(&mut self, which: usize) {
        let Some((queue, key)) = self.bindings.iter().nth(which % self.bindings.len().max(1)).cloned() else {
            return;
        };
        self.bindings.remove(&(queue, key.clone()));
        self.router.apply(&Change::Unbound {
            source: Name::from(EXCHANGE),
            queue: self.queues[queue],
            key: Name::from(key),
            arguments: Name::from([]),
        });
    }

    /// The queue is deleted, and another takes its name.
    fn replace(&mut self, queue: usize) {
        self.router.apply(&Change::QueueRemoved { id: self.queues[queue], name: queue_name(queue) });
        self.bindings.retain(|(of, _)| *of != queue);
        self.queues[queue] = self.add(queue);
    }

    fn route(&self, key: &[u8]) {
        let list = self.router.resolve(EXCHANGE, key).expect("amq.topic is there and not internal");
        let mut found: Vec<QueueId> = self.router.targets(list).to_vec();
        found.sort();
        let mut expected = BTreeMap::new();
        for (queue, pattern) in &self.bindings {
            if matches(pattern, key) {
                expected.insert(self.queues[*queue], pattern);
            }
        }
        assert!(found.iter().eq(expected.keys()), "{}: {found:?} but {expected:?}", key.escape_ascii());
    }
}

fn queue_name(queue: usize) -> Name {
    Name::from(format!("q{queue}").into_bytes())
}

/// RabbitMQ's rule: `*` is one word, which may be empty; `#` is any number of words; an empty key has none.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (pattern, key) = (split(pattern), split(key));
    // reached[n]: the pattern so far matches the first n words of the key.
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for word in pattern {
        let mut next = vec![false; key.len() + 1];
        for n in 0..=key.len() {
            next[n] = match word {
                b"#" => reached[n] || (n > 0 && next[n - 1]),
                b"*" => n > 0 && reached[n - 1],
                word => n > 0 && reached[n - 1] && key[n - 1] == word,
            };
        }
        reached = next;
    }
    reached[key.len()]
}

fn split(key: &[u8]) -> Vec<&[u8]> {
    if key.is_empty() { Vec::new() } else { key.split(|octet| *octet == b'.').collect() }
}
