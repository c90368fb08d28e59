//! The control shard's work: requests into effects. With one shard that applies at once, so that replies come with the
//! request and nothing piles up.

use divan::Bencher;
use haremq::ids::{ChannelNumber, ConnectionId, QueueId, Requester, ShardId};
use haremq::limits::UNLINKS;
use haremq::topology::{Effect, Request, Topology};

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

const QUEUE: &[u8] = b"orders";

struct Control {
    topology: Topology,
    out: Vec<Effect>,
}

impl Control {
    fn new() -> Control {
        Control { topology: Topology::new(1), out: Vec::new() }
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
