//! A router with queues bound to one exchange, and the list of bindings that it should route by.

use std::collections::BTreeSet;
use std::sync::Arc;

use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{PropertiesWriter, Table};
use haremq::exchange::{Change, Destination, Name, QueueSpec, Router};
use haremq::ids::{ChannelNumber, QueueId, ShardId, root};
use haremq::message::Message;
use haremq::queue_args::{Durability, QueueArgs};

pub struct World {
    exchange: &'static str,
    router: Router,
    queues: Vec<QueueId>,
    pub bindings: BTreeSet<Binding>,
    generation: u32,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Binding {
    pub queue: usize,
    pub key: Vec<u8>,
    /// An encoded field table without its length.
    pub arguments: Vec<u8>,
}

pub const QUEUES: usize = 5;

impl World {
    pub fn new(exchange: &'static str) -> World {
        let (router, queues, bindings) = (Router::new(root(), 7), Vec::new(), BTreeSet::new());
        let mut world = World { exchange, router, queues, bindings, generation: 0 };
        for queue in 0..QUEUES {
            let id = world.add(queue);
            world.queues.push(id);
        }
        world
    }

    pub fn bind(&mut self, binding: Binding) {
        if self.bindings.insert(binding.clone()) {
            let (source, destination, key, arguments) = self.ends(binding);
            self.router.apply(&Change::Bound { source, destination, key, arguments });
        }
    }

    /// One of those that there are.
    pub fn unbind(&mut self, which: usize) {
        let count = self.bindings.len().max(1);
        let Some(binding) = self.bindings.iter().nth(which % count).cloned() else { return };
        self.bindings.remove(&binding);
        let (source, destination, key, arguments) = self.ends(binding);
        self.router.apply(&Change::Unbound { source, destination, key, arguments });
    }

    /// The queue is deleted, and another takes its name. In between `look` may see what is routed.
    pub fn replace(&mut self, queue: usize, mut look: impl FnMut(&mut World)) {
        self.router.apply(&Change::QueueRemoved { id: self.queues[queue], name: queue_name(queue) });
        self.bindings.retain(|binding| binding.queue != queue);
        while self.router.has_work() {
            look(self);
            self.router.work(1);
        }
        self.queues[queue] = self.add(queue);
    }

    /// Routes a message and compares; `matches` says which bindings it meets.
    pub fn route(&mut self, key: &[u8], headers: Option<&[u8]>, matches: impl Fn(&Binding) -> bool) {
        let exchange = self.exchange.as_bytes();
        let route = [&[exchange.len() as u8], exchange, &[key.len() as u8], key].concat();
        let content = content(headers);
        let resolved = self.router.resolve(&Message { route: &route, content: &content });
        let list = resolved.expect("a predeclared exchange that is not internal").list;
        let mut found = self.router.targets(list).to_vec();
        found.sort();
        // One that is being removed may still show; messages to it are dropped by its shard.
        found.retain(|id| !self.router.is_applying() || self.is_bound(*id));
        let meets = self.bindings.iter().filter(|binding| matches(binding));
        let mut expected: Vec<QueueId> = meets.map(|binding| self.queues[binding.queue]).collect();
        expected.sort();
        expected.dedup();
        assert_eq!(found, expected, "{} {headers:?} by {:?}", key.escape_ascii(), self.bindings);
    }

    pub fn invariants(&self) {
        self.router.invariants();
    }

    fn is_bound(&self, id: QueueId) -> bool {
        self.bindings.iter().any(|binding| self.queues[binding.queue] == id)
    }

    fn add(&mut self, queue: usize) -> QueueId {
        self.generation += 1;
        let id = QueueId { shard: ShardId(0), slot: queue as u32, generation: self.generation };
        let spec = QueueSpec {
            vhost: root(),
            name: queue_name(queue),
            durable: false,
            auto_delete: false,
            exclusive: None,
            arguments: Name::from([]),
            rules: QueueArgs::default(),
            uid: None,
            durability: Durability::default(),
        };
        self.router.apply(&Change::QueueAdded { id, spec: Arc::new(spec) });
        id
    }

    fn ends(&self, binding: Binding) -> (Name, Destination, Name, Name) {
        let destination = Destination::Queue(self.queues[binding.queue]);
        let source = Name::from(self.exchange.as_bytes());
        (source, destination, Name::from(binding.key), Name::from(binding.arguments))
    }
}

fn queue_name(queue: usize) -> Name {
    Name::from(format!("q{queue}").into_bytes())
}

/// A content header frame, which is all that routing looks at.
fn content(headers: Option<&[u8]>) -> Vec<u8> {
    let headers = headers.map(|headers| Table::decode(headers).expect("a table that we wrote"));
    let properties = PropertiesWriter { headers, ..PropertiesWriter::default() }.finish();
    let mut content = Vec::new();
    encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
        out.extend_from_slice(b"\0\x3C\0\0\0\0\0\0\0\0\0\0");
        out.extend_from_slice(&properties);
    });
    content
}
