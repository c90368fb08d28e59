//! A fresh connection that looks at everything a server came back with.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use haremq::amqp::Method;

use crate::body::{self, Id};
use crate::client::{Style, publication_on};
use crate::common::wire::{Next, Reply, Wire, consume, look_at, short};
use crate::names::{self, KEYS, Shown};
use crate::plan::{DEAD, QUEUES, Queue, QueueIndex, Route, Rule, TRANSIENT_EXCHANGE, TRANSIENT_QUEUES};

/// A message that waits for its ack.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub id: Id,
    pub redelivered: bool,
    pub tag: u64,
}

/// What is there, held until it is settled or given back.
pub struct Inspector {
    wire: Wire,
    pub shown: Shown,
    /// Messages of the queues that come and go that were not marked.
    pub unmarked: usize,
    pub faults: Vec<String>,
}

/// Channels: one asks, one publishes, one may be closed by what it asks for; the queues have one each.
const ASKS: u16 = 1;
const PROBES: u16 = 2;
const RISKS: u16 = 3;
const STANDING: u16 = 10;
const PASSING: u16 = 40;

const PATIENCE: Duration = Duration::from_millis(100);
/// For what has to come.
const LIMIT: Duration = Duration::from_secs(10);

/// The client of probes.
const PROBE: u16 = u16::MAX;

impl Inspector {
    pub fn open(server: SocketAddr) -> Inspector {
        let mut wire = Wire::open(server);
        [ASKS, PROBES, RISKS].into_iter().for_each(|channel| wire.channel(channel));
        wire.call(PROBES, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
        Inspector { wire, shown: Shown::default(), unmarked: 0, faults: Vec::new() }
    }

    /// What is in the queues that stand, the dead letters left out.
    pub fn look_at_queues(&mut self) -> Vec<Vec<Found>> {
        let look = |(index, queue): (QueueIndex, &Queue)| match queue.rule {
            Rule::Letters => Vec::new(),
            _ => self.look(queue.name, STANDING + index as u16, |_| true),
        };
        QUEUES.iter().enumerate().map(look).collect()
    }

    /// The dead letters; waits for those that are on their way.
    pub fn look_at_letters(&mut self, enough: impl Fn(&[Found]) -> bool) -> Vec<Found> {
        self.look(QUEUES[DEAD].name, STANDING + DEAD as u16, enough)
    }

    pub fn look_for_the_transient(&mut self) {
        let exchange = Method::ExchangeDeclare {
            exchange: short(TRANSIENT_EXCHANGE),
            type_: short(""),
            passive: true,
            durable: false,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: haremq::amqp::Table::EMPTY,
        };
        let asked = TRANSIENT_QUEUES.iter().map(|queue| (*queue, look_at(queue)));
        for (name, ask) in asked.chain([(TRANSIENT_EXCHANGE, exchange)]) {
            if self.is_there(ask) {
                self.faults.push(format!("{name} is transient and came back"));
            }
        }
    }

    /// Which of the names that come and go are there, and where messages go by them.
    pub fn look_at_names(&mut self) {
        for (index, name) in names::QUEUES.iter().enumerate() {
            self.shown.queues[index] = self.is_there(look_at(name));
        }
        for (index, (name, kind)) in names::EXCHANGES.iter().enumerate() {
            let passive = Method::ExchangeDeclare {
                exchange: short(name),
                type_: short(kind),
                passive: true,
                durable: true,
                auto_delete: false,
                internal: false,
                nowait: false,
                arguments: haremq::amqp::Table::EMPTY,
            };
            self.shown.exchanges[index] = self.is_there(passive);
        }
        self.probe();
        for index in 0..names::QUEUES.len() {
            if self.shown.queues[index] {
                self.look_at_passing(index);
            }
        }
    }

    /// Acknowledges these, and gives back all else.
    pub fn settle(mut self, acks: impl Iterator<Item = (QueueIndex, Found)>) {
        for (queue, found) in acks {
            let channel = STANDING + queue as u16;
            self.wire.send(channel, Method::BasicAck { delivery_tag: found.tag, multiple: false });
        }
        let passing = (0..names::QUEUES.len()).filter(|index| self.shown.queues[*index]);
        let channels: Vec<u16> = passing.map(|index| PASSING + index as u16).collect();
        let standing = (0..QUEUES.len()).map(|index| STANDING + index as u16);
        for channel in channels.into_iter().chain(standing) {
            let close =
                Method::ChannelClose { reply_code: 200, reply_text: short(""), class_id: 0, method_id: 0 };
            self.wire.call(channel, close, "channel.close-ok");
        }
        let close =
            Method::ConnectionClose { reply_code: 200, reply_text: short(""), class_id: 0, method_id: 0 };
        self.wire.call(0, close, "connection.close-ok");
    }

    /// By a passive declare.
    fn is_there(&mut self, ask: Method<'_>) -> bool {
        self.wire.send(RISKS, ask);
        let answer = self.wire.frame().expect("an answer");
        match answer.method() {
            Method::QueueDeclareOk { .. } | Method::ExchangeDeclareOk => true,
            Method::ChannelClose { reply_code: 404, .. } => {
                self.wire.send(RISKS, Method::ChannelCloseOk);
                self.wire.channel(RISKS);
                false
            }
            other => panic!("neither there nor not: {other:?}"),
        }
    }

    /// Sends a transient message each way.
    fn probe(&mut self) {
        let mut sent = 0;
        for (exchange, (name, _)) in names::EXCHANGES.iter().enumerate() {
            for (key, text) in KEYS.iter().enumerate().filter(|_| self.shown.exchanges[exchange]) {
                self.shown.ways.insert((exchange, key), Default::default());
                let id = Id { client: PROBE, number: (exchange * KEYS.len() + key) as u32 };
                let style = Style { bytes: 20, persistent: false, priority: None };
                let route = Route { exchange: name, key: text, queues: &[], weight: 0, in_tx: false };
                self.wire.bytes(&publication_on(PROBES, id, 0, &route, style));
                sent += 1;
            }
        }
        let mut answered = 0;
        while answered < sent {
            let answer = self.wire.expect(PROBES, "basic.ack");
            let Method::BasicAck { delivery_tag, .. } = answer.method() else { unreachable!() };
            answered = answered.max(delivery_tag);
        }
    }

    fn look_at_passing(&mut self, index: usize) {
        let channel = PASSING + index as u16;
        for found in self.look(names::QUEUES[index], channel, |_| true) {
            if found.id.client != PROBE {
                self.shown.messages[index].push(found.id);
                self.unmarked += usize::from(!found.redelivered);
                continue;
            }
            self.wire.send(channel, Method::BasicAck { delivery_tag: found.tag, multiple: false });
            let number = found.id.number as usize;
            let way = self.shown.ways.entry((number / KEYS.len(), number % KEYS.len())).or_default();
            if !way.insert(index) {
                self.faults.push(format!("a message reached {} twice", names::QUEUES[index]));
            }
        }
    }

    /// Takes all that is in a queue, and waits a while until that is `enough`.
    fn look(&mut self, queue: &str, channel: u16, enough: impl Fn(&[Found]) -> bool) -> Vec<Found> {
        self.wire.channel(channel);
        self.wire.send(channel, consume(queue, "inspector", false));
        let mut found = Vec::new();
        let mut end = Instant::now() + LIMIT;
        loop {
            let ready = self.ready(queue, channel, &mut found);
            if ready == 0 && (enough(&found) || Instant::now() > end) {
                break;
            }
            assert!(ready == 0 || Instant::now() < end, "{ready} messages of {queue} do not come");
            let goal = found.len() + ready.max(1);
            self.wire.set_patience(PATIENCE);
            while found.len() < goal && self.receive(channel, &mut found).is_some() {
                end = Instant::now() + LIMIT;
            }
            self.wire.set_patience(LIMIT);
        }
        self.wire.send(channel, Method::BasicCancel { consumer_tag: short("inspector"), nowait: false });
        while self.receive(channel, &mut found).is_none_or(|method| method != "basic.cancel-ok") {}
        found
    }

    /// How many wait in a queue, by its own count. Deliveries come meanwhile.
    fn ready(&mut self, queue: &str, channel: u16, found: &mut Vec<Found>) -> usize {
        self.wire.send(ASKS, look_at(queue));
        loop {
            let reply = self.wire.frame().expect("an answer");
            if reply.channel == ASKS {
                let Method::QueueDeclareOk { message_count, .. } = reply.method() else {
                    panic!("{queue} is not as it was: {:?}", reply.method())
                };
                return message_count as usize;
            }
            self.take(&reply, channel, found);
        }
    }

    /// The name of the next method; None: nothing comes.
    fn receive(&mut self, channel: u16, found: &mut Vec<Found>) -> Option<&'static str> {
        match self.wire.next() {
            Next::Frame(reply) => {
                self.take(&reply, channel, found);
                Some(reply.name())
            }
            Next::Nothing => None,
            Next::Closed | Next::Header(_) => panic!("the server is gone"),
        }
    }

    fn take(&mut self, reply: &Reply, channel: u16, found: &mut Vec<Found>) {
        assert_eq!(reply.channel, channel);
        if let Method::BasicDeliver { delivery_tag: tag, redelivered, .. } = reply.method() {
            let (_, body) = self.wire.content();
            match body::read(&body) {
                Some((id, _)) => found.push(Found { id, redelivered, tag }),
                None => self.faults.push(format!("a message of {} octets is not as it was sent", body.len())),
            }
        }
    }
}
