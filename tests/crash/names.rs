//! Durable queues, exchanges and bindings that come and go: what there is after each operation, and which of these
//! states a restarted server shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use haremq::amqp::{Method, Table, TableWriter};

use crate::body::Id;
use crate::common::wire::{bind, declare_durable, declare_exchange, short};
use crate::dice::Dice;
use crate::publisher::Fate;

pub const QUEUES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];
/// One is of class os.
pub const OS: usize = 2;
pub const EXCHANGES: [(&str, &str); 3] = [("x0", "direct"), ("x1", "fanout"), ("x2", "topic")];
pub const KEYS: [&str; 2] = ["k0", "k1"];

/// What there is.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Names {
    /// By place in `QUEUES`: which of all queues it is, if there is one.
    pub queues: [Option<u32>; QUEUES.len()],
    pub exchanges: [bool; EXCHANGES.len()],
    pub bindings: BTreeSet<Binding>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Binding {
    source: usize,
    destination: Destination,
    key: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Destination {
    Queue(usize),
    Exchange(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    DeclareQueue(usize),
    DeleteQueue(usize),
    DeclareExchange(usize),
    DeleteExchange(usize),
    Bind(Binding),
    Unbind(Binding),
}

/// A persistent message in one of the queues.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub id: Id,
    pub queue: usize,
    /// Which of all queues that had the name.
    pub which: u32,
    pub fate: Fate,
    /// When that was heard.
    pub heard: Option<Instant>,
}

/// What a channel did, from some state on.
#[derive(Clone, Default)]
pub struct NamesLog {
    /// The number of the first operation; no two have the same.
    pub first: u32,
    pub ops: Vec<Op>,
    /// When the first of them were answered.
    pub oks: Vec<Instant>,
    pub placed: Vec<Placed>,
}

/// What a server shows.
#[derive(Default, Debug)]
pub struct Shown {
    pub queues: [bool; QUEUES.len()],
    pub exchanges: [bool; EXCHANGES.len()],
    /// By exchange and key: the queues that a message reaches.
    pub ways: BTreeMap<(usize, usize), BTreeSet<usize>>,
    /// What was in them, in order.
    pub messages: [Vec<Id>; QUEUES.len()],
}

impl Names {
    /// `number` is that of the operation; a queue that it makes has it.
    pub fn apply(&mut self, op: &Op, number: u32) {
        match *op {
            Op::DeclareQueue(queue) => {
                self.queues[queue].get_or_insert(number);
            }
            Op::DeleteQueue(queue) => {
                self.queues[queue] = None;
                self.bindings.retain(|binding| binding.destination != Destination::Queue(queue));
            }
            Op::DeclareExchange(exchange) => self.exchanges[exchange] = true,
            Op::DeleteExchange(exchange) => {
                self.exchanges[exchange] = false;
                let ends = Destination::Exchange(exchange);
                self.bindings.retain(|binding| binding.source != exchange && binding.destination != ends);
            }
            Op::Bind(binding) => {
                self.bindings.insert(binding);
            }
            Op::Unbind(binding) => {
                self.bindings.remove(&binding);
            }
        }
    }

    /// Something that can be done now.
    pub fn draw(&self, dice: &mut Dice) -> Op {
        let queue = dice.roll(QUEUES.len());
        let exchange = dice.roll(EXCHANGES.len());
        let destination = if dice.chance(75) {
            Destination::Queue(queue)
        } else {
            Destination::Exchange(dice.roll(EXCHANGES.len()))
        };
        let binding = Binding { source: exchange, destination, key: dice.roll(KEYS.len()) };
        let has_destination = match destination {
            Destination::Queue(queue) => self.queues[queue].is_some(),
            Destination::Exchange(exchange) => self.exchanges[exchange],
        };
        match dice.roll(10) {
            0 => Op::DeleteQueue(queue),
            1 if dice.chance(50) => Op::DeleteExchange(exchange),
            2 | 3 => Op::DeclareQueue(queue),
            4 => Op::DeclareExchange(exchange),
            5..9 if has_destination && self.exchanges[exchange] => Op::Bind(binding),
            _ => match self.bindings.iter().nth(dice.roll(12)) {
                Some(binding) => Op::Unbind(*binding),
                None => Op::DeclareQueue(queue),
            },
        }
    }

    /// The queues that a message reaches by that exchange.
    fn way(&self, exchange: usize, key: usize) -> BTreeSet<usize> {
        let (mut reached, mut open, mut queues) =
            (BTreeSet::from([exchange]), vec![exchange], BTreeSet::new());
        while let Some(exchange) = open.pop() {
            let is_fanout = EXCHANGES[exchange].1 == "fanout";
            let matching =
                self.bindings.iter().filter(|it| it.source == exchange && (is_fanout || it.key == key));
            for binding in matching {
                match binding.destination {
                    Destination::Queue(queue) => {
                        queues.insert(queue);
                    }
                    Destination::Exchange(next) if reached.insert(next) => open.push(next),
                    Destination::Exchange(_) => {}
                }
            }
        }
        queues
    }

    /// What is wrong, if this is the state and these messages were placed before.
    fn differences(&self, placed: &[Placed], shown: &Shown) -> Vec<String> {
        let mut wrong = Vec::new();
        for (queue, name) in QUEUES.iter().enumerate() {
            let is = self.queues[queue].is_some();
            if is != shown.queues[queue] {
                wrong.push(format!("queue {name} {}", if is { "is not there" } else { "is there" }));
                continue;
            }
            let mut here =
                placed.iter().filter(|it| it.queue == queue && Some(it.which) == self.queues[queue]);
            let found = &shown.messages[queue];
            for id in found.iter().filter(|id| !here.clone().any(|it| it.id == **id)) {
                wrong.push(format!(
                    "{id:?} is in {name}, where it was not placed, or not in this queue of that name"
                ));
            }
            if let Some(lost) = here.find(|it| it.fate == Fate::Confirmed && !found.contains(&it.id)) {
                wrong.push(format!("{:?} was confirmed and is not in {name}", lost.id));
            }
            if !found.is_sorted_by(|one, next| one < next) {
                wrong.push(format!("what is in {name} is not in order: {found:?}"));
            }
        }
        for (exchange, (name, _)) in EXCHANGES.iter().enumerate() {
            let is = self.exchanges[exchange];
            if is != shown.exchanges[exchange] {
                wrong.push(format!("exchange {name} {}", if is { "is not there" } else { "is there" }));
                continue;
            }
            for (key, text) in KEYS.iter().enumerate().filter(|_| is) {
                let (way, shows) = (self.way(exchange, key), shown.ways.get(&(exchange, key)));
                if shows != Some(&way) {
                    wrong.push(format!("exchange {name} leads {text} to {shows:?} instead of {way:?}"));
                }
            }
        }
        wrong
    }
}

/// The states that a server may be in by what it shows: those between the last answer and the last request, from any of
/// `starts`. Several may look the same: a binding can make no difference. None: what is wrong, if it is the first of these, and
/// if it is the last.
pub fn explain(
    starts: &[Names],
    log: &NamesLog,
    placed: &[Placed],
    shown: &Shown,
) -> Result<Vec<Names>, Vec<String>> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for start in starts {
        let mut names = start.clone();
        let mut ops = (log.first..).zip(&log.ops);
        ops.by_ref().take(log.oks.len()).for_each(|(number, op)| names.apply(op, number));
        loop {
            let differences = names.differences(placed, shown);
            match differences.is_empty() {
                true if !found.contains(&names) => found.push(names.clone()),
                true => {}
                false => wrong.push(differences),
            }
            let Some((number, op)) = ops.next() else { break };
            names.apply(op, number);
        }
    }
    if !found.is_empty() {
        agree(&mut found);
        return Ok(found);
    }
    let open = format!(
        "after {} of {} operations; the open ones: {:?}",
        log.oks.len(),
        log.ops.len(),
        &log.ops[log.oks.len()..]
    );
    let last = wrong.pop().unwrap_or_default();
    Err([vec![open], wrong.into_iter().next().unwrap_or_default(), last].concat())
}

/// Which of all queues of a name it is matters only for what was placed in it: then the states say the same. Else it is the same
/// from now on.
fn agree(states: &mut [Names]) {
    if let Some((first, others)) = states.split_first_mut() {
        others.iter_mut().for_each(|it| it.queues = first.queues);
    }
}

impl Op {
    /// The bytes to send and the answer to them.
    pub fn encode(&self, channel: u16) -> (Vec<u8>, &'static str) {
        let encoded = |method: Method<'_>| crate::common::wire::encoded(channel, method);
        match *self {
            Op::DeclareQueue(queue) => {
                let arguments = arguments(queue);
                let arguments = Table::decode(&arguments).expect("a table that we wrote");
                (encoded(declare_durable(QUEUES[queue], arguments)), "queue.declare-ok")
            }
            Op::DeleteQueue(queue) => {
                let queue = short(QUEUES[queue]);
                let delete = Method::QueueDelete { queue, if_unused: false, if_empty: false, nowait: false };
                (encoded(delete), "queue.delete-ok")
            }
            Op::DeclareExchange(exchange) => {
                let (name, kind) = EXCHANGES[exchange];
                (encoded(declare_exchange(name, kind, true)), "exchange.declare-ok")
            }
            Op::DeleteExchange(exchange) => {
                let exchange = short(EXCHANGES[exchange].0);
                let delete = Method::ExchangeDelete { exchange, if_unused: false, nowait: false };
                (encoded(delete), "exchange.delete-ok")
            }
            Op::Bind(Binding { source, destination, key }) => encode_bind(channel, source, destination, key),
            Op::Unbind(Binding { source, destination, key }) => {
                encode_unbind(channel, source, destination, key)
            }
        }
    }
}

fn encode_bind(channel: u16, source: usize, destination: Destination, key: usize) -> (Vec<u8>, &'static str) {
    let (source, key) = (EXCHANGES[source].0, KEYS[key]);
    match destination {
        Destination::Queue(queue) => {
            (crate::common::wire::encoded(channel, bind(QUEUES[queue], source, key)), "queue.bind-ok")
        }
        Destination::Exchange(exchange) => {
            let bind = Method::ExchangeBind {
                destination: short(EXCHANGES[exchange].0),
                source: short(source),
                routing_key: short(key),
                nowait: false,
                arguments: Table::EMPTY,
            };
            (crate::common::wire::encoded(channel, bind), "exchange.bind-ok")
        }
    }
}

fn encode_unbind(
    channel: u16,
    source: usize,
    destination: Destination,
    key: usize,
) -> (Vec<u8>, &'static str) {
    let (source, routing_key, arguments) = (short(EXCHANGES[source].0), short(KEYS[key]), Table::EMPTY);
    match destination {
        Destination::Queue(queue) => {
            let queue = short(QUEUES[queue]);
            let unbind = Method::QueueUnbind { queue, exchange: source, routing_key, arguments };
            (crate::common::wire::encoded(channel, unbind), "queue.unbind-ok")
        }
        Destination::Exchange(exchange) => {
            let destination = short(EXCHANGES[exchange].0);
            let unbind =
                Method::ExchangeUnbind { destination, source, routing_key, nowait: false, arguments };
            (crate::common::wire::encoded(channel, unbind), "exchange.unbind-ok")
        }
    }
}

/// Each name has its own, so that who declares it again must find them as they were.
fn arguments(queue: usize) -> Vec<u8> {
    let table = TableWriter::new();
    let table = match queue {
        1 => table.i32("x-max-priority", 3).string("x-queue-mode", "lazy"),
        OS => table.string("x-durability", "os"),
        3 => table.string("x-durability", "fsync").i32("x-message-ttl", 86_400_000),
        4 => table.string("x-queue-type", "quorum").i32("x-delivery-limit", 10_000),
        5 => table.string("x-dead-letter-exchange", "nowhere").bool("x-single-active-consumer", true),
        _ => table,
    };
    table.finish()
}
