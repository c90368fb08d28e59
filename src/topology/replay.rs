//! The log against what was told: after every record, the catalogue that the log so far leads to is the durable part of the
//! changes so far; with snapshots in it, begun, broken off and complete, and after restarts.

use std::collections::{BTreeMap, BTreeSet};

use super::world::*;
use super::{
    Catalogue, Change, DurableBinding, DurableEnd, DurableExchange, DurableQueue, Name, Record, Request,
    Restored, Snapshot, Vhosts,
};
use crate::access::Access;
use crate::amqp::TableWriter;
use crate::exchange::model::Dice;
use crate::exchange::{Destination, predeclared_exchanges};
use crate::ids::{QueueId, QueueUid, ShardId, root};
use crate::queue_args::Durability;

const NAMES: [&str; 5] = ["q0", "q1", "q2", "q3", "q4"];
const EXCHANGES: [&str; 6] = ["amq.direct", "amq.topic", "x0", "x1", "x2", "x3"];
const KEYS: [&str; 3] = ["", "red", "blue"];

#[test]
fn every_prefix_of_the_log_leads_to_the_durable_part_of_what_was_told() {
    let mut seen = Seen::default();
    for seed in 0..60 {
        println!("seed {seed}");
        let mut run = Run::new(seed, World::new(seed), Image::new(), Vec::new());
        for life in 0..3 {
            run.live(&mut seen);
            run = run.restart(seed * 3 + life);
        }
    }
    assert!(seen.records > 10_000 && seen.snapshots > 300 && seen.queues_left > 100, "{seen:?}");
}

#[derive(Default, Debug)]
struct Seen {
    records: usize,
    snapshots: usize,
    queues_left: usize,
}

struct Run {
    dice: Dice,
    world: World,
    /// Of all changes.
    image: Image,
    /// How many of the world's changes and records were looked at.
    looked_at: (usize, usize),
    log: Vec<Record>,
    catalogue: Catalogue,
    snapshot: Option<(usize, Snapshot)>,
    /// Where complete snapshots begin: what is before them is not needed.
    complete: Vec<usize>,
}

impl Run {
    fn new(seed: u64, world: World, image: Image, log: Vec<Record>) -> Run {
        let catalogue = replay(&log);
        let (dice, looked_at, snapshot, complete) = (Dice(seed), (0, 0), None, Vec::new());
        Run { dice, world, image, looked_at, log, catalogue, snapshot, complete }
    }

    fn live(&mut self, seen: &mut Seen) {
        for _ in 0..1_500 {
            match self.dice.roll(60) {
                0..12 => self.ask_something(),
                12 => self.kill_some_queue(),
                13..20 => self.take_snapshot(),
                _ => self.world.step(&mut self.dice),
            }
            self.compare();
            self.world.vhosts.invariants();
        }
        self.world.settle();
        self.compare();
        for &begin in &self.complete {
            let from = begin.saturating_sub(self.dice.roll(20));
            assert_eq!(Image::of(&replay(&self.log[from..])), self.image, "from {from} on");
            assert_eq!(replay(&self.log[from..]).next_uid, self.catalogue.next_uid);
        }
        seen.records += self.log.len();
        seen.snapshots += self.complete.len();
        seen.queues_left += self.image.queues.len();
    }

    /// The next process reads the whole log, or what a snapshot left of it.
    fn restart(mut self, seed: u64) -> Run {
        if let Some(&begin) = self.complete.last() {
            self.log.drain(..begin - self.dice.roll(begin.min(5) + 1));
        }
        let (vhosts, restored) = restored(&self.log);
        vhosts.invariants();
        assert_eq!(restored.kept_out, []);
        let mut image = Image::new();
        restored.changes.iter().for_each(|(_, change)| image.take(change));
        assert_eq!(image, self.image, "what was durable, and nothing else");
        for index in 0..SHARDS {
            let queues = restored.queues[usize::from(index)].len();
            assert_eq!(vhosts.numbers().queues_on(ShardId(index)) as usize, queues);
        }
        Run::new(seed, World::restored(seed, vhosts, &restored), image, self.log)
    }

    fn ask_something(&mut self) {
        let dice = &mut self.dice;
        let requester = requester(dice.roll(SHARDS.into()) as u16, dice.roll(4) as u32);
        if self.world.outstanding.contains_key(&requester.connection) {
            return;
        }
        let (exchange, other) = (dice.pick(&EXCHANGES), dice.pick(&EXCHANGES));
        let (queue, key) = (dice.pick(&NAMES), dice.pick(&KEYS));
        let between = |bound: bool| {
            let (destination, source) = (other.as_bytes().into(), exchange.as_bytes().into());
            let (routing_key, arguments) = (key.as_bytes().into(), Box::default());
            if bound {
                Request::BindExchange { requester, destination, source, routing_key, arguments }
            } else {
                Request::UnbindExchange { requester, destination, source, routing_key, arguments }
            }
        };
        let mut request = match dice.roll(16) {
            0..4 => declare_queue(requester, queue),
            4..6 => declare_exchange(requester, exchange, dice.pick(&["direct", "fanout", "topic"])),
            6 => delete_exchange(requester, exchange),
            7 => unbind(requester, exchange, queue, key),
            8..10 => between(true),
            10 => between(false),
            _ => bind(requester, exchange, queue, key),
        };
        let (durable, rare, with) = (dice.roll(3) > 0, dice.roll(4) == 0, dice.roll(3) == 0);
        match &mut request {
            Request::DeclareQueue { durable: of, auto_delete, exclusive, arguments, .. } => {
                (*of, *auto_delete, *exclusive) = (durable, rare, dice.roll(6) == 0);
                if with {
                    let value = dice.pick(&["os", "none", "fsync"]);
                    *arguments = TableWriter::new().string("x-durability", value).finish().into();
                }
            }
            Request::DeclareExchange { durable: of, auto_delete, internal, arguments, .. } => {
                (*of, *auto_delete, *internal) = (durable, exchange == "x2" || exchange == "x3", rare);
                if with {
                    *arguments = TableWriter::new().string("alternate-exchange", other).finish().into();
                }
            }
            Request::Bind { arguments, .. } if with => {
                *arguments = TableWriter::new().i32("n", 1).finish().into();
            }
            _ => {}
        }
        self.world.send(request);
    }

    fn kill_some_queue(&mut self) {
        let living = self.world.living();
        if !living.is_empty() {
            self.world.kill(self.dice.pick(&living));
        }
    }

    /// Begins one, goes on with it, or breaks it off.
    fn take_snapshot(&mut self) {
        let Some((begin, snapshot)) = &mut self.snapshot else {
            if self.dice.roll(4) == 0 {
                self.snapshot = Some((self.log.len(), Snapshot::default()));
                self.record(Record::SnapshotBegin);
            }
            return;
        };
        if self.dice.roll(30) == 0 {
            self.snapshot = None;
            return;
        }
        let (begin, mut records) = (*begin, Vec::new());
        let is_done =
            snapshot.walk(&self.world.vhosts, 1 + self.dice.roll(8), &mut |_, record| records.push(record));
        records.into_iter().for_each(|record| self.record(record));
        if is_done {
            self.record(Record::SnapshotEnd);
            self.complete.push(begin);
            self.snapshot = None;
        }
    }

    fn compare(&mut self) {
        let (mut changes, records) = self.looked_at;
        for (before, record) in self.world.records.split_off(records) {
            // With the record comes the change that it is of.
            self.record(record);
            for change in &self.world.log[changes..=before] {
                self.image.take(change);
            }
            changes = before + 1;
            assert_eq!(Image::of(&self.catalogue), self.image);
        }
        for change in &self.world.log[changes..] {
            self.image.take(change);
        }
        self.looked_at = (self.world.log.len(), self.world.records.len());
        assert_eq!(Image::of(&self.catalogue), self.image, "a durable change without a record");
    }

    fn record(&mut self, record: Record) {
        let ignored = self.catalogue.ignored();
        apply(&mut self.catalogue, &record);
        assert_eq!(self.catalogue.ignored(), ignored, "{record:?} makes no sense");
        self.log.push(record);
    }
}

fn apply(catalogue: &mut Catalogue, record: &Record) {
    let mut body = Vec::new();
    record.encode(b"/", &mut body);
    catalogue.apply(record.kind(), &body);
}

fn replay(log: &[Record]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    log.iter().for_each(|record| apply(&mut catalogue, record));
    catalogue
}

fn restored(log: &[Record]) -> (Vhosts, Restored) {
    let home = |uid: QueueUid| uid.0.is_multiple_of(3).then_some(ShardId(1));
    Vhosts::restore(replay(log), home, SHARDS, Durability::Fsync, Access::guest())
}

/// What is durable, made of changes.
#[derive(Debug, Default)]
struct Image {
    exchanges: BTreeMap<Name, DurableExchange>,
    queues: BTreeMap<QueueUid, DurableQueue>,
    bindings: BTreeSet<(Name, DurableEnd, Name, Name)>,
    durable_exchanges: BTreeSet<Name>,
    uids: BTreeMap<QueueId, QueueUid>,
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        let parts = |of: &Image| (of.exchanges.clone(), of.queues.clone(), of.bindings.clone());
        parts(self) == parts(other)
    }
}

impl Image {
    fn new() -> Image {
        let durable_exchanges = predeclared_exchanges(&root()).map(|spec| spec.name.clone()).collect();
        Image { durable_exchanges, ..Image::default() }
    }

    fn of(catalogue: &Catalogue) -> Image {
        let mut image = Image::default();
        for (_, record) in catalogue.records() {
            match record {
                Record::QueueDeclared(queue) => _ = image.queues.insert(queue.uid, queue),
                Record::ExchangeDeclared(exchange) => {
                    image.exchanges.insert(exchange.name.clone(), exchange);
                }
                Record::Bound(DurableBinding { source, destination, key, arguments }) => {
                    image.bindings.insert((source, destination, key, arguments));
                }
                Record::NextUid { uid } => assert!(image.queues.keys().all(|given| *given < uid)),
                other => panic!("{other:?} is of no image"),
            }
        }
        image
    }

    fn take(&mut self, change: &Change) {
        match change {
            Change::VhostOpened | Change::VhostClosing | Change::VhostGone => {}
            Change::ExchangeAdded { spec } if spec.durable => {
                self.durable_exchanges.insert(spec.name.clone());
                self.exchanges.insert(spec.name.clone(), DurableExchange::of(spec));
            }
            Change::ExchangeAdded { .. } | Change::AlternateChanged { .. } => {}
            Change::ExchangeRemoved { name } => {
                self.durable_exchanges.remove(name);
                self.exchanges.remove(name);
                let end = DurableEnd::Exchange(name.clone());
                self.bindings.retain(|(source, destination, ..)| source != name && *destination != end);
            }
            Change::QueueAdded { id, spec } => {
                if let Some(uid) = spec.uid {
                    let before = self.queues.insert(uid, DurableQueue::of(uid, spec));
                    assert_eq!(before, None, "a number is given out once");
                    self.uids.insert(*id, uid);
                }
            }
            Change::QueueRemoved { id, .. } => {
                if let Some(uid) = self.uids.remove(id) {
                    self.queues.remove(&uid);
                    self.bindings.retain(|(_, destination, ..)| *destination != DurableEnd::Queue(uid));
                }
            }
            Change::Bound { source, destination, key, arguments } => {
                if let Some(binding) = self.binding(source, destination, key, arguments) {
                    assert!(self.bindings.insert(binding));
                }
            }
            Change::Unbound { source, destination, key, arguments } => {
                if let Some(binding) = self.binding(source, destination, key, arguments) {
                    assert!(self.bindings.remove(&binding));
                }
            }
        }
    }

    fn binding(
        &self,
        source: &Name,
        destination: &Destination,
        key: &Name,
        arguments: &Name,
    ) -> Option<(Name, DurableEnd, Name, Name)> {
        let source = self.durable_exchanges.get(source)?.clone();
        let destination = match destination {
            Destination::Queue(id) => DurableEnd::Queue(*self.uids.get(id)?),
            Destination::Exchange(name) => DurableEnd::Exchange(self.durable_exchanges.get(name)?.clone()),
        };
        Some((source, destination, key.clone(), arguments.clone()))
    }
}
