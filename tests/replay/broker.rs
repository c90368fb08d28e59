//! The client's turns go to a shard, cut in pieces by chance; what the shards answer must be what RabbitMQ did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq::amqp::Method;
use haremq::budget::Budget;
use haremq::ids::ShardId;
use haremq::mesh;
use haremq::shard::{Shard, ShardConfig};

use crate::dice::Dice;
use crate::host::{Event, Host};
use crate::session::{FRAME_MAX, Session, Side};
use crate::wire::{Cutter, Unit};

pub fn replay(session: &Session, seed: u64) {
    let mut stage = Stage::new(seed);
    let mut rabbitmq = Vec::new();
    for (side, octets) in &session.turns {
        match side {
            Side::Client => stage.client_says(&renamed(octets, &rabbitmq, &stage.written)),
            Side::Server => rabbitmq.extend_from_slice(octets),
        }
    }
    let rabbitmq = renamed(&rabbitmq, &rabbitmq, &stage.written);
    let (ours, theirs) = (heard(&stage.written), heard(&rabbitmq));
    assert_eq!(ours.confirmed, theirs.confirmed, "{session:?} with seed {seed}");
    for (channel, theirs) in &theirs.channels {
        let ours = ours.channels.get(channel).map_or(&[][..], |ours| ours);
        let differ = ours.iter().zip(theirs).position(|(our, their)| our != their);
        let at = differ.unwrap_or(ours.len().min(theirs.len()));
        assert_eq!(
            ours.get(at),
            theirs.get(at),
            "{session:?} with seed {seed}: answer {at} on channel {channel}"
        );
    }
    assert!(ours.channels.keys().eq(theirs.channels.keys()), "{session:?} with seed {seed}");
    stage.nothing_is_left();
}

/// Some shards, one of which has the client.
struct Stage {
    dice: Dice,
    hosts: Vec<Host>,
    at: usize,
    slot: u32,
    /// All output to the client.
    written: Vec<u8>,
    now: u64,
}

impl Stage {
    fn new(seed: u64) -> Stage {
        let mut dice = Dice::new(seed);
        let budget = Arc::new(Budget::new(1 << 40));
        let config = ShardConfig {
            connections_max: 9,
            unauthenticated_max: 9,
            secret: [seed, 1],
            ..ShardConfig::default()
        };
        let ends = mesh::connect(1 + dice.roll(3) as u16, RING_COMMANDS).into_iter().zip((0..).map(ShardId));
        let mut hosts: Vec<Host> = ends
            .map(|(end, id)| Host::new(Shard::new(id, config.clone(), end, budget.clone(), seed), 0))
            .collect();
        let at = dice.roll(hosts.len());
        let slot = hosts[at].accept(0, usize::MAX / 2, 1).unwrap();
        hosts[at].socket(slot).unwrap().frame_max = FRAME_MAX;
        Stage { dice, hosts, at, slot, written: Vec::new(), now: 1 }
    }

    /// The shards read it piece by piece, do what else they like meanwhile, and in the end all there is to do.
    fn client_says(&mut self, octets: &[u8]) {
        self.hosts[self.at].socket(self.slot).unwrap().uplink.extend(octets);
        let largest = [1, 10, 100, 10_000][self.dice.roll(4)];
        while self.hosts[self.at].readable().contains(&self.slot) {
            let count = 1 + self.dice.roll(largest);
            let (slot, now) = (self.slot, self.now);
            self.turn(self.at, |host, events| host.read(slot, count, now, events));
            let other = self.dice.roll(self.hosts.len());
            self.turn(other, |host, events| host.drain(now, events).map(drop));
            if self.dice.chance(30) {
                self.flush();
            }
        }
        self.rest();
    }

    fn turn(&mut self, at: usize, turn: impl FnOnce(&mut Host, &mut Vec<Event>) -> Result<(), String>) {
        let mut events = Vec::new();
        turn(&mut self.hosts[at], &mut events).unwrap();
        self.hosts[at].resume();
    }

    fn flush(&mut self) {
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            while let Some(slot) = host.shard.next_dirty() {
                self.written.extend_from_slice(host.shard.output(slot));
                host.send(slot, usize::MAX, self.now, &mut Vec::new()).unwrap();
            }
            host.flush(self.now, &mut Vec::new()).unwrap();
        }
    }

    fn rest(&mut self) {
        loop {
            self.flush();
            let mut moved = false;
            for host in &mut self.hosts {
                moved |= host.drain(self.now, &mut Vec::new()).unwrap() || host.shard.dirty_count() > 0;
            }
            if !moved {
                return;
            }
        }
    }

    /// The client has closed: neither it nor its queues are there.
    fn nothing_is_left(&mut self) {
        assert!(self.hosts[self.at].socket(self.slot).is_none(), "the socket is closed after close-ok");
        for host in &mut self.hosts {
            let counters = host.shard.counters();
            assert_eq!((counters.connections, counters.queues), (0, 0));
        }
    }
}

/// Few, so that they are full at times.
const RING_COMMANDS: usize = 2;

/// What RabbitMQ named is named by us when we play its part: `theirs` and `ours` are what either has answered so far.
fn renamed(octets: &[u8], theirs: &[u8], ours: &[u8]) -> Vec<u8> {
    let mut renamed = octets.to_vec();
    for (from, to) in given_names(theirs).iter().zip(given_names(ours)) {
        assert_eq!(from.len(), to.len(), "names given by a server have one length");
        while let Some(at) = find(&renamed, from) {
            renamed[at..at + to.len()].copy_from_slice(&to);
        }
    }
    renamed
}

/// In order of their first use.
fn given_names(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for (at, tail) in (0..octets.len()).map(|at| (at, &octets[at..])) {
        for prefix in ["amq.gen-", "amq.ctag-"] {
            let size = prefix.len() + RANDOM_CHARACTERS;
            if tail.starts_with(prefix.as_bytes()) && octets.len() >= at + size {
                let name = tail[..size].to_vec();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

/// Of 128 bits in URL-safe base64, in RabbitMQ's names and in ours.
const RANDOM_CHARACTERS: usize = 22;

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}

/// What a server said, as far as two servers must say the same.
#[derive(Default)]
struct Heard {
    /// By channel: methods in order, with their contents.
    channels: BTreeMap<u16, Vec<String>>,
    /// Channel and publish seqno. How many one basic.ack confirms is the server's choice.
    confirmed: BTreeSet<(u16, u64)>,
}

fn heard(octets: &[u8]) -> Heard {
    let mut units = Vec::new();
    Cutter::default().cut(octets, FRAME_MAX, &mut units).unwrap();
    let mut heard = Heard::default();
    for unit in units {
        match unit.method() {
            Method::BasicAck { delivery_tag, multiple } => {
                let first = if multiple { 1 } else { delivery_tag };
                heard.confirmed.extend((first..=delivery_tag).map(|seqno| (unit.channel, seqno)));
            }
            _ => heard.channels.entry(unit.channel).or_default().push(spoken(&unit)),
        }
    }
    heard
}

fn spoken(unit: &Unit) -> String {
    match unit.method() {
        // They introduce themselves differently, and we propose a heartbeat.
        it @ (Method::ConnectionStart { .. } | Method::ConnectionTune { .. }) => it.name().to_owned(),
        // RabbitMQ's queue counts before it takes in the messages that were sent before the question.
        Method::QueueDeclareOk { queue, consumer_count, .. } => {
            format!("queue.declare-ok {queue} {consumer_count}")
        }
        method => {
            let content = unit.content.as_ref().map(|content| {
                let (properties, body) = (&content.properties, &content.body);
                format!(" {} {}", properties.escape_ascii(), body.escape_ascii())
            });
            format!("{method:?}{}", content.unwrap_or_default())
        }
    }
}
