//! Stage 4 of the walk: from exchange and routing key to the queues. The keys of a run are asked for in a shuffled
//! order, so that what does not fit the caches is paid for.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use haremq::exchange::{Change, ExchangeKind, ExchangeSpec, Name, QueueSpec, Router};
use haremq::ids::{QueueId, ShardId};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 100, 10_000])]
fn direct(bencher: Bencher, keys: u32) {
    let mut router = router();
    for index in 0..keys {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.direct", queue, &name(index));
    }
    route(bencher, &router, b"amq.direct", keys);
}

#[divan::bench(args = [1, 100, 10_000])]
fn default_exchange(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        add_queue(&mut router, index);
    }
    route(bencher, &router, b"", queues);
}

#[divan::bench(args = [10])]
fn fanout(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.fanout", queue, "");
    }
    route(bencher, &router, b"amq.fanout", 1);
}

/// What a connection saves that remembers the epoch and the list of its last message.
#[divan::bench]
fn remembered(bencher: Bencher) {
    let mut router = router();
    add_queue(&mut router, 0);
    let (epoch, list) =
        (router.epoch(), router.resolve(b"", name(0).as_bytes()).expect("the default exchange"));
    bencher.counter(ItemsCount::new(RUN)).bench_local(|| {
        for _ in 0..RUN {
            let router = black_box(&router);
            if router.epoch() == epoch {
                black_box(router.targets(list));
            }
        }
    });
}

/// One more queue on a fanout of so many, and off it again.
#[divan::bench(args = [10, 10_000])]
fn bind_and_unbind(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.fanout", queue, "");
    }
    let queue = add_queue(&mut router, queues);
    let (source, empty) = (Name::from(*b"amq.fanout"), Name::from([]));
    let bound = Change::Bound { source: source.clone(), queue, key: empty.clone(), arguments: empty.clone() };
    let unbound = Change::Unbound { source, queue, key: empty.clone(), arguments: empty };
    bencher.bench_local(|| {
        router.apply(&bound);
        router.apply(&unbound);
    });
}

/// A queue with so many bindings goes, and comes back with them.
#[divan::bench(args = [10, 10_000])]
fn remove_and_rebind_a_queue(bencher: Bencher, bindings: u32) {
    let mut router = router();
    let names: Vec<String> = (0..bindings).map(name).collect();
    bencher.bench_local(|| {
        let queue = add_queue(&mut router, 0);
        names.iter().for_each(|key| bind(&mut router, "amq.direct", queue, key));
        router.apply(&Change::QueueRemoved { id: queue, name: Name::from(names[0].as_bytes()) });
    });
}

/// Messages per sample.
const RUN: usize = 10_000;

fn route(bencher: Bencher, router: &Router, exchange: &[u8], keys: u32) {
    let keys: Vec<String> = (0..RUN as u32).map(|index| name(index.wrapping_mul(7_919) % keys)).collect();
    bencher.counter(ItemsCount::new(RUN)).bench_local(|| {
        for key in &keys {
            let list = router.resolve(black_box(exchange), black_box(key.as_bytes()));
            black_box(router.targets(list.expect("the exchange is there")));
        }
    });
}

fn router() -> Router {
    let mut router = Router::new(1);
    // A few exchanges more, so that the table of exchanges is not the smallest there can be.
    for index in 0..20 {
        let (name, arguments) = (Name::from(name(index).as_bytes()), Name::from([]));
        let kind = ExchangeKind::Fanout;
        let spec =
            ExchangeSpec { name, kind, durable: false, auto_delete: false, internal: false, arguments };
        router.apply(&Change::ExchangeAdded { spec: Arc::new(spec) });
    }
    router
}

fn add_queue(router: &mut Router, slot: u32) -> QueueId {
    let id = QueueId { shard: ShardId(0), slot, generation: 1 };
    let (name, arguments) = (Name::from(name(slot).as_bytes()), Name::from([]));
    let spec = QueueSpec { name, durable: false, auto_delete: false, exclusive: None, arguments };
    router.apply(&Change::QueueAdded { id, spec: Arc::new(spec) });
    id
}

fn bind(router: &mut Router, source: &str, queue: QueueId, key: &str) {
    let (source, key) = (Name::from(source.as_bytes()), Name::from(key.as_bytes()));
    router.apply(&Change::Bound { source, queue, key, arguments: Name::from([]) });
}

fn name(index: u32) -> String {
    format!("orders.created.{index}")
}
