//! How long a match can take: binding keys with four `#` each and routing keys of twenty words, from vocabularies of several
//! sizes. With few words nearly every beginning of every binding key stays alive to the end. A row of percentiles, us, each.
//! The same matches are made in three runs and the least of each counts: what interrupts the process is not the match's.

use std::sync::Arc;
use std::time::Instant;

use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::exchange::{Change, Destination, Name, QueueSpec, Router};
use haremq::ids::{ChannelNumber, QueueId, ShardId, root};
use haremq::message::Message;
use haremq::queue_args::{Durability, QueueArgs};

fn main() {
    println!("{} binding keys, {MATCHES} matches; us", BINDINGS);
    println!(
        "{:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}",
        "words", "p50", "p99", "p99.9", "p99.99", "max", "queues"
    );
    for vocabulary in [22, 30, 60, 200, 1_000] {
        let (mut times, reached) = run(vocabulary);
        for _ in 1..RUNS {
            times.iter_mut().zip(run(vocabulary).0).for_each(|(least, time)| *least = time.min(*least));
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let mean = reached as f64 / times.len() as f64;
        println!(
            "{vocabulary:>6} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {mean:>10.1}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            at(1.0)
        );
    }
}

/// The time of each match, ns, and how many queues were reached in all.
fn run(vocabulary: u64) -> (Vec<u64>, usize) {
    let mut dice = Dice(vocabulary);
    let mut router = Router::new(root(), 1);
    for slot in 0..BINDINGS {
        let id = QueueId { shard: ShardId(0), slot, generation: 1 };
        let name = Name::from(slot.to_string().as_bytes());
        let spec = QueueSpec {
            vhost: root(),
            name,
            durable: false,
            auto_delete: false,
            exclusive: None,
            arguments: Name::from([]),
            rules: QueueArgs::default(),
            uid: None,
            durability: Durability::default(),
        };
        router.apply(&Change::QueueAdded { id, spec: Arc::new(spec) });
        let [one, two, three] = [(); 3].map(|()| dice.roll(vocabulary));
        router.apply(&Change::Bound {
            source: Name::from(EXCHANGE.as_bytes()),
            destination: Destination::Queue(id),
            key: Name::from(format!("#.w{one}.#.w{two}.#.w{three}.#").as_bytes()),
            arguments: Name::from([]),
        });
    }
    let content = content();
    let mut reached = 0;
    let times = (0..MATCHES).map(|_| {
        let key = (0..20).map(|_| format!("w{}", dice.roll(vocabulary))).collect::<Vec<_>>().join(".");
        let route =
            [&[EXCHANGE.len() as u8], EXCHANGE.as_bytes(), &[key.len() as u8], key.as_bytes()].concat();
        let message = Message { route: &route, content: &content };
        let began = Instant::now();
        let resolved = router.resolve(&message).expect("amq.topic is there");
        let time = began.elapsed().as_nanos() as u64;
        reached += router.targets(resolved.list).len();
        time
    });
    let times = times.collect();
    (times, reached)
}

fn content() -> Vec<u8> {
    let mut content = Vec::new();
    encode_frame(&mut content, FrameKind::Header, ChannelNumber(1), |out| {
        out.extend_from_slice(&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
    content
}

/// splitmix64
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

const BINDINGS: u32 = 10_000;
const MATCHES: usize = 100_000;
const RUNS: usize = 3;
const EXCHANGE: &str = "amq.topic";
