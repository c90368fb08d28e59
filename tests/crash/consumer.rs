//! A channel that consumes from some queues and settles what comes, one way or another, until the server is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use haremq::amqp::Method;

use crate::body::{self, Id};
use crate::client::{CHANNEL, Client, Heard};
use crate::common::wire::consume;
use crate::dice::Dice;
use crate::plan::{QUEUES, QueueIndex, Rule};

/// What a consumer saw and did.
#[derive(Clone, Default)]
pub struct Log {
    pub seen: Vec<(QueueIndex, Id)>,
    pub settled: Vec<Settled>,
    pub faults: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Settled {
    pub queue: QueueIndex,
    pub id: Id,
    pub how: How,
    /// When it was said; the server may have heard it later, or never.
    pub at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It is done with.
    Done,
    /// It becomes a dead letter.
    Rejected,
}

pub struct Consumer {
    client: Client,
    dice: Dice,
    /// Tags that are not settled.
    held: BTreeMap<u64, (QueueIndex, Id)>,
    done: BTreeSet<(QueueIndex, Id)>,
    /// The newest of each client that came for the first time.
    newest: HashMap<(QueueIndex, u16), u32>,
    log: Log,
}

const PREFETCH: u16 = 30;
/// Fewer than the prefetch, so that it goes on.
const LEFT_MAX: usize = 20;

impl Consumer {
    pub fn new(server: SocketAddr, queues: &[QueueIndex], dice: Dice) -> Consumer {
        let mut client = Client::open(server);
        let qos = Method::BasicQos { prefetch_size: 0, prefetch_count: PREFETCH, global: false };
        client.wire().call(CHANNEL, qos, "basic.qos-ok");
        for &queue in queues {
            client.send(consume(QUEUES[queue].name, &queue.to_string(), false));
        }
        Consumer {
            client,
            dice,
            held: BTreeMap::new(),
            done: BTreeSet::new(),
            newest: HashMap::new(),
            log: Log::default(),
        }
    }

    pub fn run(mut self) -> Log {
        while let Some(heard) = self.client.hear() {
            if let Heard::Message(head, body) = heard
                && let Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, .. } = head.method()
            {
                let queue = consumer_tag.to_string().parse().expect("our tags are numbers");
                self.delivered(queue, delivery_tag, redelivered, &body);
            }
        }
        self.log
    }

    fn delivered(&mut self, queue: QueueIndex, tag: u64, redelivered: bool, body: &[u8]) {
        let name = QUEUES[queue].name;
        let Some((id, _)) = body::read(body) else {
            self.log
                .faults
                .push(format!("a message of {} octets from {name} is not as it was sent", body.len()));
            return;
        };
        if self.done.contains(&(queue, id)) {
            self.log
                .faults
                .push(format!("{id:?} came from {name} although it was acknowledged to the same server"));
        }
        let newest = self.newest.entry((queue, id.client)).or_default();
        // Numbers begin at 0, and this map counts from 1.
        if !redelivered && *newest > id.number {
            self.log
                .faults
                .push(format!("{id:?} came from {name} behind {}, and for the first time", *newest - 1));
        }
        if !redelivered {
            *newest = id.number + 1;
        }
        self.log.seen.push((queue, id));
        self.held.insert(tag, (queue, id));
        self.settle(tag);
    }

    fn settle(&mut self, tag: u64) {
        match self.dice.roll(100) {
            0..2 if self.held.len() < LEFT_MAX => {}
            2..10 => self.requeue(tag),
            10..20 => self.reject(tag),
            20..25 => self.ack(tag, true),
            _ => self.ack(tag, false),
        }
    }

    fn requeue(&mut self, tag: u64) {
        self.held.remove(&tag);
        self.client.send(Method::BasicNack { delivery_tag: tag, multiple: false, requeue: true });
    }

    /// Noted before it is said: the server may be killed in between, not the other way round.
    fn reject(&mut self, tag: u64) {
        let Some((queue, id)) = self.held.remove(&tag) else { return };
        let is_letter = QUEUES[queue].rule == Rule::Reject;
        self.note(queue, id, if is_letter { How::Rejected } else { How::Done });
        self.client.send(Method::BasicReject { delivery_tag: tag, requeue: false });
    }

    fn ack(&mut self, tag: u64, multiple: bool) {
        let tags: Vec<u64> =
            self.held.range(if multiple { 0 } else { tag }..=tag).map(|(tag, _)| *tag).collect();
        for tag in tags {
            if let Some((queue, id)) = self.held.remove(&tag) {
                self.note(queue, id, How::Done);
            }
        }
        self.client.send(Method::BasicAck { delivery_tag: tag, multiple });
    }

    fn note(&mut self, queue: QueueIndex, id: Id, how: How) {
        self.done.insert((queue, id));
        self.log.settled.push(Settled { queue, id, how, at: Instant::now() });
    }
}
