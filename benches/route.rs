//! Stage 4 of the walk: from exchange and routing key to the queues. The keys of a run are asked for in a shuffled
//! order, so that what does not fit the caches is paid for.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{PropertiesWriter, Table, TableWriter};
use haremq::exchange::{Change, Destination, ExchangeKind, ExchangeSpec, Name, QueueSpec, Router};
use haremq::ids::{ChannelNumber, QueueId, ShardId, root};
use haremq::limits::UNLINKS;
use haremq::message::Message;
use haremq::queue_args::{Durability, QueueArgs};

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
    route(bencher, &mut router, &shuffled(keys, |index| publish("amq.direct", &name(index))));
}

#[divan::bench(args = [1, 100, 10_000])]
fn default_exchange(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        add_queue(&mut router, index);
    }
    route(bencher, &mut router, &shuffled(queues, |index| publish("", &name(index))));
}

#[divan::bench(args = [10])]
fn fanout(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.fanout", queue, "");
    }
    route(bencher, &mut router, &shuffled(1, |index| publish("amq.fanout", &name(index))));
}

/// Each key matches one binding and comes again and again: from the second time on it is known.
#[divan::bench(args = [10, 1_000, 10_000, 100_000])]
fn topic_cached(bencher: Bencher, bindings: u32) {
    let mut router = topic(bindings, name);
    route(bencher, &mut router, &shuffled(bindings.min(10_000), |index| publish("amq.topic", &name(index))));
}

/// The same with keys that never repeat: the last word is a number that counts on.
#[divan::bench(args = [10, 1_000, 10_000, 100_000])]
fn topic_uncached(bencher: Bencher, bindings: u32) {
    let mut router = topic(bindings, |index| format!("{}.#", name(index)));
    let keys = shuffled(bindings, |index| publish("amq.topic", &format!("{}.0000000000", name(index))));
    route_counting(bencher, &mut router, keys);
}

/// Each key matches a binding of its own, one with a star and one with a hash: a union of three queues.
#[divan::bench(args = [10, 1_000, 10_000])]
fn topic_wildcards_uncached(bencher: Bencher, bindings: u32) {
    let mut router = topic(bindings, |index| format!("{}.*", name(index)));
    for (slot, key) in [(bindings, "orders.#"), (bindings + 1, "*.created.*.*")] {
        let queue = add_queue(&mut router, slot);
        bind(&mut router, "amq.topic", queue, key);
    }
    let keys = shuffled(bindings, |index| publish("amq.topic", &format!("{}.0000000000", name(index))));
    route_counting(bencher, &mut router, keys);
}

/// Patterns with four hashes, and keys of twenty words: what must not explode. Words are few, so that many match.
#[divan::bench(args = [10_000])]
fn topic_many_hashes(bencher: Bencher, bindings: u32) {
    let word = |index: u32, place: u32| index.wrapping_mul(2_654_435_761).rotate_left(place * 7) % 30;
    let mut router = topic(bindings, |index| {
        format!("#.w{}.#.w{}.#.w{}.#", word(index, 0), word(index, 1), word(index, 2))
    });
    let key = |index: u32| {
        (0..20).map(|place| format!("w{}", word(index + 7, place))).collect::<Vec<_>>().join(".")
    };
    let keys = shuffled(1_000, |index| publish("amq.topic", &format!("{}.0000000000", key(index))));
    route_counting(bencher, &mut router, keys);
}

/// Each message has the header of one binding, and another that never repeats.
#[divan::bench(args = [100, 10_000])]
fn headers(bencher: Bencher, bindings: u32) {
    let mut router = router();
    for index in 0..bindings {
        let queue = add_queue(&mut router, index);
        let arguments = TableWriter::new().string("kind", "event").i32("id", index as i32).finish();
        bind_with(&mut router, "amq.headers", queue, "", &arguments);
    }
    let message = |index: u32| {
        let headers =
            TableWriter::new().string("kind", "event").i32("id", index as i32).i64("n", index.into());
        publish_with("amq.headers", "", Some(&headers.finish()))
    };
    route(bencher, &mut router, &shuffled(bindings, message));
}

/// What a connection saves that remembers the stamp and the list of its last message.
#[divan::bench]
fn remembered(bencher: Bencher) {
    let mut router = router();
    add_queue(&mut router, 0);
    let resolved = router.resolve(&publish("", &name(0)).message()).expect("the default exchange");
    let stamp = resolved.stamp.expect("a queue's name is all that matters");
    bencher.counter(ItemsCount::new(RUN)).bench_local(|| {
        for _ in 0..RUN {
            let router = black_box(&router);
            if router.stands(stamp) {
                black_box(router.targets(resolved.list));
            }
        }
    });
}

/// One more binding beside so many, and away again.
#[divan::bench(args = [10, 1_000, 100_000])]
fn topic_churn(bencher: Bencher, bindings: u32) {
    let mut router = topic(bindings, name);
    churn(bencher, &mut router, "amq.topic", &format!("{}.#", name(bindings)), &[]);
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn headers_churn(bencher: Bencher, bindings: u32) {
    let mut router = router();
    let arguments = |index: u32| TableWriter::new().string("kind", "event").i32("id", index as i32).finish();
    for index in 0..bindings {
        let queue = add_queue(&mut router, index);
        bind_with(&mut router, "amq.headers", queue, "", &arguments(index));
    }
    churn(bencher, &mut router, "amq.headers", "", &arguments(bindings));
}

/// One more queue on a fanout of so many, and off it again.
#[divan::bench(args = [10, 10_000])]
fn fanout_churn(bencher: Bencher, queues: u32) {
    let mut router = router();
    for index in 0..queues {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.fanout", queue, "");
    }
    churn(bencher, &mut router, "amq.fanout", "", &[]);
}

/// A queue with so many bindings goes, and comes back with them.
#[divan::bench(args = [10, 10_000])]
fn remove_and_rebind_a_queue(bencher: Bencher, bindings: u32) {
    let mut router = router();
    let names: Vec<String> = (0..bindings).map(name).collect();
    bencher.bench_local(|| {
        let queue = add_queue(&mut router, 0);
        names.iter().for_each(|key| bind(&mut router, "amq.direct", queue, key));
        router.apply(&Change::QueueRemoved { id: queue, name: Name::from(name(0).as_bytes()) });
        while router.has_work() {
            router.work(UNLINKS);
        }
    });
}

/// Messages per sample.
const RUN: usize = 10_000;

/// Route and content of a publish.
struct Publish {
    route: Vec<u8>,
    content: Vec<u8>,
}

impl Publish {
    fn message(&self) -> Message<'_> {
        Message { route: &self.route, content: &self.content }
    }
}

fn publish(exchange: &str, key: &str) -> Publish {
    publish_with(exchange, key, None)
}

fn publish_with(exchange: &str, key: &str, headers: Option<&[u8]>) -> Publish {
    let mut route = vec![exchange.len() as u8];
    route.extend_from_slice(exchange.as_bytes());
    route.push(key.len() as u8);
    route.extend_from_slice(key.as_bytes());
    let headers = headers.map(|headers| Table::decode(headers).expect("a table"));
    let properties = PropertiesWriter { headers, ..PropertiesWriter::default() }.finish();
    let mut content = Vec::new();
    encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
        out.extend_from_slice(&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&properties);
    });
    Publish { route, content }
}

/// `RUN` publishes of the first `keys`, in an order that caches cannot foresee.
fn shuffled(keys: u32, make: impl Fn(u32) -> Publish) -> Vec<Publish> {
    (0..RUN as u32).map(|index| make(index.wrapping_mul(7_919) % keys)).collect()
}

fn route(bencher: Bencher, router: &mut Router, publishes: &[Publish]) {
    bencher.counter(ItemsCount::new(RUN)).bench_local(|| {
        for publish in publishes {
            let resolved = router.resolve(&black_box(publish).message()).expect("the exchange is there");
            black_box(router.targets(resolved.list));
        }
    });
}

/// The last ten octets of each routing key count up, so that no key repeats.
fn route_counting(bencher: Bencher, router: &mut Router, mut publishes: Vec<Publish>) {
    let mut count = 0u64;
    bencher.counter(ItemsCount::new(RUN)).bench_local(|| {
        for publish in &mut publishes {
            count += 1;
            let (mut rest, end) = (count, publish.route.len());
            for digit in publish.route[end - 10..].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let resolved = router.resolve(&black_box(&*publish).message()).expect("the exchange is there");
            assert!(!black_box(router.targets(resolved.list)).is_empty() || end > 100);
        }
    });
}

fn topic(bindings: u32, key: impl Fn(u32) -> String) -> Router {
    let mut router = router();
    for index in 0..bindings {
        let queue = add_queue(&mut router, index);
        bind(&mut router, "amq.topic", queue, &key(index));
    }
    router
}

/// Binds one more queue and unbinds it.
fn churn(bencher: Bencher, router: &mut Router, source: &str, key: &str, arguments: &[u8]) {
    let queue = add_queue(router, 1_000_000);
    let (source, key, arguments) =
        (Name::from(source.as_bytes()), Name::from(key.as_bytes()), Name::from(arguments));
    let destination = Destination::Queue(queue);
    let bound = Change::Bound {
        source: source.clone(),
        destination: destination.clone(),
        key: key.clone(),
        arguments: arguments.clone(),
    };
    let unbound = Change::Unbound { source, destination, key, arguments };
    bencher.bench_local(|| {
        router.apply(&bound);
        router.apply(&unbound);
    });
}

fn router() -> Router {
    let mut router = Router::new(root(), 1);
    // A few exchanges more, so that the table of exchanges is not the smallest there can be.
    for index in 0..20 {
        let (name, arguments) = (Name::from(name(index).as_bytes()), Name::from([]));
        let kind = ExchangeKind::Fanout;
        let spec = ExchangeSpec {
            vhost: root(),
            name,
            kind,
            durable: false,
            auto_delete: false,
            internal: false,
            alternate: None,
            arguments,
        };
        router.apply(&Change::ExchangeAdded { spec: Arc::new(spec) });
    }
    router
}

fn add_queue(router: &mut Router, slot: u32) -> QueueId {
    let id = QueueId { shard: ShardId(0), slot, generation: 1 };
    let (name, arguments) = (Name::from(name(slot).as_bytes()), Name::from([]));
    let spec = QueueSpec {
        vhost: root(),
        name,
        durable: false,
        auto_delete: false,
        exclusive: None,
        arguments,
        rules: QueueArgs::default(),
        uid: None,
        durability: Durability::default(),
    };
    router.apply(&Change::QueueAdded { id, spec: Arc::new(spec) });
    id
}

fn bind(router: &mut Router, source: &str, queue: QueueId, key: &str) {
    bind_with(router, source, queue, key, &[]);
}

fn bind_with(router: &mut Router, source: &str, queue: QueueId, key: &str, arguments: &[u8]) {
    let (source, key) = (Name::from(source.as_bytes()), Name::from(key.as_bytes()));
    let destination = Destination::Queue(queue);
    router.apply(&Change::Bound { source, destination, key, arguments: Name::from(arguments) });
}

fn name(index: u32) -> String {
    format!("orders.created.{index}")
}
