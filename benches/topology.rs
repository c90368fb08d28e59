//! The control shard's work: requests into effects. With one shard that applies at once, so that replies come with the
//! request and nothing piles up. And what a restart costs.

use divan::Bencher;
use std::sync::Arc;

use haremq::access::Access;
use haremq::exchange::Router;
use haremq::ids::{ChannelNumber, ConnectionId, Name, QueueId, QueueUid, Requester, ShardId, root};
use haremq::limits::{SNAPSHOT_THINGS, UNLINKS};
use haremq::queue_args::Durability;
use haremq::topology::{
    Catalogue, DurableBinding, DurableEnd, DurableExchange, DurableQueue, Effect, ExchangeKind, Numbers,
    Record, Request, Restored, Snapshot, Topology, Vhosts,
};

fn main() {
    divan::main();
}

/// One more binding beside so many, and off it again.
#[divan::bench(args = [10, 100_000])]
fn bind_and_unbind(bencher: Bencher, bindings: u32) {
    let mut control = Control::new();
    control.declare();
    (0..bindings).for_each(|index| control.ask(bind(index)));
    bencher.bench_local(|| {
        control.ask(bind(bindings));
        control.ask(unbind(bindings));
    });
}

/// A queue with so many bindings dies.
#[divan::bench(args = [10, 10_000])]
fn queue_dying(bencher: Bencher, bindings: u32) {
    let prepare = || {
        let mut control = Control::new();
        let id = control.declare();
        (0..bindings).for_each(|index| control.ask(bind(index)));
        (control, id)
    };
    bencher.with_inputs(prepare).bench_local_values(|(mut control, id)| {
        control.topology.queue_dying(id, QUEUE, &mut control.out);
        while control.topology.has_work() {
            control.topology.work(UNLINKS, &mut control.out);
        }
        control
    });
}

/// At start: the records of 100,000 queues with 500,000 bindings.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn read_the_log(bencher: Bencher) {
    let log = log();
    bencher.bench_local(|| read(&log));
}

/// The topology that they lead to, and what the shards need.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn restore(bencher: Bencher) {
    let log = log();
    bencher.with_inputs(|| read(&log)).bench_local_values(restored);
}

/// The routes of one shard.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn restore_routes(bencher: Bencher) {
    let (_, restored) = restored(read(&log()));
    bencher.with_inputs(|| Router::new(root(), 1)).bench_local_values(|mut router| {
        restored.changes.iter().for_each(|(_, change)| router.apply(change));
        router
    });
}

/// A turn of the control shard for a snapshot of that.
#[divan::bench(sample_count = 500, sample_size = 1)]
fn piece_of_a_snapshot(bencher: Bencher) {
    let (vhosts, _) = restored(read(&log()));
    let (mut snapshot, mut bodies) = (Snapshot::default(), Vec::new());
    bencher.bench_local(|| {
        bodies.clear();
        if snapshot.walk(&vhosts, SNAPSHOT_THINGS, &mut |vhost, record| record.encode(vhost, &mut bodies)) {
            snapshot = Snapshot::default();
        }
    });
}

type Log = Vec<(u8, Vec<u8>)>;

fn read(log: &Log) -> Catalogue {
    let mut catalogue = Catalogue::default();
    log.iter().for_each(|(kind, body)| catalogue.apply(*kind, body));
    catalogue
}

fn restored(catalogue: Catalogue) -> (Vhosts, Restored) {
    Vhosts::restore(catalogue, |_| None, 1, Durability::Fsync, Access::guest())
}

fn log() -> Log {
    let mut records = Vec::new();
    for (source, kind) in
        [("orders", ExchangeKind::Direct), ("events", ExchangeKind::Topic), ("all", ExchangeKind::Fanout)]
    {
        let (auto_delete, internal) = (false, false);
        let (name, arguments) = (name(source), name(""));
        records.push(Record::ExchangeDeclared(DurableExchange {
            name,
            kind,
            auto_delete,
            internal,
            arguments,
        }));
    }
    for uid in 1..=100_000 {
        let (name, arguments) = (name(&format!("orders.of.customer.{uid}")), name(""));
        let (auto_delete, durability) = (false, Durability::Fsync);
        let uid = QueueUid(uid);
        records.push(Record::QueueDeclared(DurableQueue { uid, name, auto_delete, durability, arguments }));
        records.extend(bindings(uid).map(Record::Bound));
    }
    let encoded = |record: &Record| {
        let mut body = Vec::new();
        record.encode(b"/", &mut body);
        (record.kind(), body)
    };
    records.iter().map(encoded).collect()
}

fn bindings(uid: QueueUid) -> impl Iterator<Item = DurableBinding> {
    let QueueUid(number) = uid;
    let bindings = [
        ("orders", format!("orders.created.{}.0", number / 2)),
        ("orders", format!("orders.created.{}.1", number / 2)),
        ("events", format!("events.*.{number}.#")),
        ("events", format!("events.customer.{}.changed", number / 10)),
        ("all", String::new()),
    ];
    bindings.into_iter().map(move |(source, key)| DurableBinding {
        source: name(source),
        destination: DurableEnd::Queue(uid),
        key: name(&key),
        arguments: name(""),
    })
}

fn name(text: &str) -> Name {
    text.as_bytes().into()
}

const QUEUE: &[u8] = b"orders";

struct Control {
    topology: Topology,
    out: Vec<Effect>,
}

impl Control {
    fn new() -> Control {
        Control {
            topology: Topology::new(root(), Arc::new(Numbers::new(1)), Durability::Fsync),
            out: Vec::new(),
        }
    }

    fn declare(&mut self) -> QueueId {
        let id = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        self.ask(Request::DeclareQueue {
            requester: requester(),
            name: QUEUE.into(),
            server_named: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Box::default(),
        });
        self.topology.queue_created(QUEUE, id, &mut self.out);
        self.apply();
        id
    }

    fn ask(&mut self, request: Request) {
        self.topology.request(request, &mut self.out);
        self.apply();
    }

    fn apply(&mut self) {
        let mut versions = self.out.iter().filter_map(|effect| match effect {
            Effect::Broadcast { version, .. } => Some(*version),
            _ => None,
        });
        if let Some(version) = versions.next_back() {
            self.out.clear();
            self.topology.applied(ShardId(0), version, &mut self.out);
        }
    }
}

fn bind(index: u32) -> Request {
    Request::Bind {
        requester: requester(),
        queue: QUEUE.into(),
        exchange: (*b"amq.direct").into(),
        routing_key: key(index),
        arguments: Box::default(),
    }
}

fn unbind(index: u32) -> Request {
    Request::Unbind {
        requester: requester(),
        queue: QUEUE.into(),
        exchange: (*b"amq.direct").into(),
        routing_key: key(index),
        arguments: Box::default(),
    }
}

fn key(index: u32) -> Box<[u8]> {
    format!("orders.created.{index}").into_bytes().into()
}

fn requester() -> Requester {
    let connection = ConnectionId { shard: ShardId(0), slot: 0, generation: 1 };
    Requester { connection, channel: ChannelNumber(1), channel_generation: 1 }
}
