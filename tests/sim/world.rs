//! Hosts, clients and the oracle, joined by chance: one step is one turn of somebody.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use haremq::amqp::Method;
use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::budget::Budget;
use haremq::ids::{ChannelNumber, ShardId};
use haremq::limits::READ_BYTES;
use haremq::mesh;
use haremq::shard::{Shard, ShardConfig};
use haremq::wheel::TICK_NS;

use crate::client::{Client, Phase};
use crate::crash::Endings;
use crate::dice::{Dice, Trace};
use crate::faults::{Fault, Faults};
use crate::host::{Event, Host, wall_ns};
use crate::oracle::{ConnectionIx, Life, Oracle, Verdict, Violation, violation};
use crate::plan::Plan;
use crate::store::Store;
use crate::wire::Unit;

pub struct World {
    pub dice: Dice,
    pub plan: Plan,
    pub hosts: Vec<Host>,
    pub clients: Vec<Client>,
    pub oracle: Oracle,
    pub faults: Faults,
    pub trace: Trace,
    pub now: u64,
    /// When the server started: its clock began then.
    born: u64,
    /// Numbers the names that clients choose.
    pub names: u32,
    /// The client that is there to look.
    pub looker: usize,
    /// What outlives the server; without one, nothing does and nobody asks.
    pub store: Option<Store>,
    /// The disk failed: the server is about to end.
    pub is_down: bool,
    /// The server closes connections; who is not in, or on its way out, without a word.
    pub is_stopping: bool,
    pub endings: Endings,
    pub(crate) budget: Arc<Budget>,
    pub(crate) config: ShardConfig,
    seed: u64,
    /// Every method is printed: `HAREMQ_SIM_LOG=1`.
    pub(crate) log: bool,
}

impl World {
    pub fn new(seed: u64, fault: Option<Fault>, store: Option<Store>) -> Verdict<World> {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::draw(&mut dice);
        if let Some(store) = &store {
            plan.with_disk(&store.weather);
        }
        let budget = Arc::new(Budget::new(1 << 40));
        let config = ShardConfig {
            connections_max: 1_000,
            unauthenticated_max: 1_000,
            secret: [seed, 1],
            ..ShardConfig::default()
        };
        let mut world = World {
            dice,
            plan,
            hosts: Vec::new(),
            clients: Vec::new(),
            oracle: Oracle::default(),
            faults: Faults::new(fault, seed),
            trace: Trace::default(),
            now: 1,
            born: 0,
            names: 0,
            looker: 0,
            store,
            is_down: false,
            is_stopping: false,
            endings: Endings::default(),
            budget,
            config,
            seed,
            log: std::env::var_os("HAREMQ_SIM_LOG").is_some(),
        };
        match world.boot() {
            Ok(done) => done.map(|()| world),
            Err(error) => violation(format!("the first server does not start: {error}")),
        }
    }

    /// A server starts, from what the last one left if there is a disk. `Err`: the disk failed.
    pub fn boot(&mut self) -> io::Result<Verdict> {
        // The ticks of the wheels are those of the oracle.
        self.born = (self.now - 1) / TICK_NS * TICK_NS;
        let ends = mesh::connect(self.plan.shards, RING_COMMANDS).into_iter().zip((0..).map(ShardId));
        let shard = |(end, id)| Shard::new(id, self.config.clone(), end, self.budget.clone(), self.seed);
        let mut shards: Vec<Shard> = ends.map(shard).collect();
        if let Some(store) = &mut self.store {
            match store.start(self.plan.shards, &self.budget)? {
                Ok(starts) => {
                    for (shard, start) in shards.iter_mut().zip(starts) {
                        shard.start_with(start, wall_ns(self.born));
                    }
                }
                Err(text) => return Ok(violation(text)),
            }
        }
        self.oracle.is_single = self.plan.shards == 1;
        self.oracle.disk_may_be_full = self.store.as_ref().is_some_and(|store| store.weather.full > 0);
        self.hosts = shards.into_iter().map(|shard| Host::new(shard, self.born)).collect();
        let now = self.clock();
        self.hosts.iter_mut().for_each(|host| host.tell_time(now));
        Ok(Ok(()))
    }

    /// A new client at some shard; it has written the protocol header.
    pub fn connect(&mut self) -> Verdict<usize> {
        let host = self.dice.roll(self.hosts.len());
        let notify = self.dice.chance(50);
        let frame_max = [4_096, 8_192, 131_072][self.dice.roll(3)];
        let room = [300, 5_000, 100_000, 1 << 20][self.dice.roll(4)];
        let (now, connection) = (self.clock(), self.oracle.open_connection(notify));
        let Some(slot) = self.hosts[host].accept(connection, room, now) else {
            return violation("a connection is not accepted");
        };
        self.trace.note(connection as u64);
        self.clients.push(Client::new(connection, (host, slot), frame_max, notify));
        let client = self.clients.len() - 1;
        assert_eq!(client, connection, "a client has one connection");
        self.write(client, &PROTOCOL_HEADER);
        if let Some(socket) = self.hosts[host].socket(slot) {
            socket.frame_max = frame_max;
        }
        Ok(client)
    }

    /// Octets from a client to its socket.
    pub fn write(&mut self, client: usize, bytes: &[u8]) {
        let Client { host, slot, connection, .. } = self.clients[client];
        if let Some(socket) = self.hosts[host].socket(slot).filter(|socket| socket.connection == connection) {
            socket.uplink.extend(bytes);
        }
    }

    pub fn say(&mut self, client: usize, number: u16, method: &Method<'_>) {
        let Some(method) = self.faults.towards_broker(client, number, *method) else { return };
        if self.log {
            let last = self.oracle.publications.len().wrapping_sub(1);
            let publish = matches!(method, Method::BasicPublish { .. });
            let message = if publish { format!(" #{last}") } else { String::new() };
            println!("{} {client}.{number} > {}{message}", self.oracle.time, brief(&method));
        }
        let mut bytes = Vec::new();
        method.encode(ChannelNumber(number), &mut bytes);
        self.write(client, &bytes);
    }

    /// Somebody has a turn.
    pub fn step(&mut self) -> Verdict {
        let ns = self.dice.roll(self.plan.pace) as u64;
        self.pass(ns);
        if let Some(store) = &self.store
            && self.dice.chance(store.weather.writes)
        {
            let writer = self.dice.roll(store.writers());
            return self.write_some(writer).map(drop);
        }
        match self.dice.weighted(&self.plan.turns) {
            0 => self.shard_turn(),
            1 => self.client_reads(),
            _ => self.client_acts(),
        }
    }

    /// So many nanoseconds.
    pub fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.oracle.advance(self.now);
    }

    /// What the clocks of the server show.
    pub fn clock(&self) -> u64 {
        self.now - self.born
    }

    fn shard_turn(&mut self) -> Verdict {
        let host = self.dice.roll(self.hosts.len());
        let kind = self.dice.weighted(&[6, 6, 2, 1, 4]);
        self.trace.note((host * 8 + kind) as u64);
        let mut events = Vec::new();
        let now = self.clock();
        match kind {
            0 => self.read_some(host, &mut events)?,
            1 if self.hosts[host].is_awake() => drop(self.hosts[host].drain(now, &mut events)?),
            2 => {
                let writable = self.hosts[host].writable();
                if let Some(&slot) = self.dice.pick(&writable) {
                    let count = 1 + self.dice.roll(2_000);
                    self.hosts[host].send(slot, count, now, &mut events)?;
                }
            }
            3 => self.hosts[host].tick(now, &mut events)?,
            4 if self.hosts[host].is_due(now) => self.hosts[host].take_due(now, &mut events)?,
            _ => {}
        }
        if self.dice.chance(self.plan.flushes) {
            self.hosts[host].flush(now, &mut events)?;
        }
        self.hosts[host].resume();
        self.see(events)
    }

    fn read_some(&mut self, host: usize, events: &mut Vec<Event>) -> Verdict {
        let readable = self.hosts[host].readable();
        let Some(&slot) = self.dice.pick(&readable) else { return Ok(()) };
        let count = match self.dice.weighted(&self.plan.reads) {
            0 => 1 + self.dice.roll(8),
            1 => 1 + self.dice.roll(300),
            2 => 1 + self.dice.roll(READ_BYTES),
            _ => READ_BYTES,
        };
        let now = self.clock();
        self.hosts[host].read(slot, count, now, events)
    }

    fn client_reads(&mut self) -> Verdict {
        if self.clients.is_empty() {
            return Ok(());
        }
        let mut client = self.dice.roll(self.clients.len());
        if self.store.is_some() {
            let is_there = |&at: &usize| self.clients[at].phase != Phase::Gone;
            let there: Vec<usize> = (0..self.clients.len()).filter(is_there).collect();
            let Some(&one) = self.dice.pick(&there) else { return Ok(()) };
            client = one;
        }
        if self.clients[client].pauses > 0 {
            self.clients[client].pauses -= 1;
            return Ok(());
        }
        let count = if self.dice.chance(50) { usize::MAX } else { self.dice.roll(5_000) };
        self.read_and_answer(client, count);
        Ok(())
    }

    /// A client reads up to `count` octets and understands what they complete. False if there was nothing.
    pub fn read_and_answer(&mut self, client: usize, count: usize) -> bool {
        let reader = &mut self.clients[client];
        let sent = match self.hosts[reader.host].socket(reader.slot) {
            Some(socket) if socket.connection == reader.connection => socket.sent,
            _ => reader.arrived,
        };
        reader.arrived = sent;
        let count = count.min((sent - reader.read) as usize);
        reader.read += count as u64;
        if let Some(socket) = self.hosts[reader.host].socket(reader.slot)
            && socket.connection == reader.connection
        {
            socket.room += count;
        }
        let mut answer = Vec::new();
        while let Some(unit) = reader.next() {
            reader.take(&unit, &self.oracle, &mut answer);
        }
        self.write(client, &answer);
        count > 0
    }

    /// What the broker wrote goes through the faults to the oracle and to the clients' wires.
    pub fn see(&mut self, events: Vec<Event>) -> Verdict {
        for event in events {
            match event {
                Event::Written(written) => self.see_written(written)?,
                Event::Closed(connection) => {
                    if self.log {
                        println!("{} {connection} is closed", self.oracle.time);
                    }
                    self.see_closed(connection)?;
                }
            }
        }
        Ok(())
    }

    fn see_closed(&mut self, connection: ConnectionIx) -> Verdict {
        let client = &mut self.clients[connection];
        let state = self.oracle.connections[connection].state;
        let is_left = self.is_stopping && client.phase != Phase::Open;
        if client.phase != Phase::Gone && matches!(state, Life::Open | Life::Closing) && !is_left {
            return violation(format!("connection {connection} was closed without a word"));
        }
        client.phase = Phase::Gone;
        client.channels.clear();
        self.oracle.lose_connection(connection);
        Ok(())
    }

    fn see_written(&mut self, written: Vec<(ConnectionIx, Vec<Unit>)>) -> Verdict {
        let mut streams: Vec<Stream> = Vec::new();
        for (connection, units) in written {
            let units = self.faults.towards_client(connection, units);
            self.oracle.foresee_ends(connection, &units);
            streams.push((connection, units.into()));
        }
        while streams.iter().any(|(_, units)| !units.is_empty()) {
            let heard = self.hear_what_makes_sense(&mut streams, true)?;
            if !heard && !self.hear_what_makes_sense(&mut streams, false)? {
                return self.refuse(&streams);
            }
        }
        Ok(())
    }

    /// Hears what makes sense now of each connection; false if there is nothing. A message to a consumer or for a get that
    /// makes none must make it behind the others. With `wait`, what a channel was given and gave back within the step comes before the same
    /// message is given to another. Without, only one is heard: of two that wait for each other.
    fn hear_what_makes_sense(&mut self, streams: &mut [Stream], wait: bool) -> Verdict<bool> {
        let mut heard = false;
        for at in 0..streams.len() {
            while let Some(unit) = streams[at].1.pop_front() {
                let connection = streams[at].0;
                let early = wait && self.is_given_back_elsewhere(streams, at, &unit);
                match if early { violation("too early") } else { self.oracle.hear(connection, &unit) } {
                    Ok(()) => {
                        heard = true;
                        self.pass_on(connection, unit);
                        if !wait {
                            return Ok(true);
                        }
                    }
                    Err(_) if early || self.oracle.is_yet_to_come(connection, &unit) => {
                        streams[at].1.push_front(unit);
                        break;
                    }
                    Err(Violation(text)) => {
                        let method = brief(&unit.method());
                        return violation(format!("connection {connection}: {text}, at {method}"));
                    }
                }
            }
        }
        Ok(heard)
    }

    fn is_given_back_elsewhere(&self, streams: &[Stream], at: usize, unit: &Unit) -> bool {
        let is_again = |unit: &Unit| {
            matches!(
                unit.method(),
                Method::BasicDeliver { redelivered: true, .. } | Method::BasicGetOk { redelivered: true, .. }
            )
        };
        if !is_again(unit) {
            return false;
        }
        let number = unit.number();
        let others = streams.iter().enumerate().filter(|(other, _)| *other != at);
        others.into_iter().any(|(_, (connection, units))| {
            let Some(same) = units.iter().find(|other| other.number() == number) else { return false };
            !is_again(same) || self.oracle.gives_back_within(*connection, same, units)
        })
    }

    /// Nothing makes sense any more: what is wrong with the first.
    fn refuse(&mut self, streams: &[Stream]) -> Verdict {
        for (connection, units) in streams {
            if let Some(unit) = units.front() {
                let Violation(text) =
                    self.oracle.hear(*connection, unit).err().unwrap_or(Violation("".into()));
                return violation(format!("connection {connection}: {text}"));
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, connection: ConnectionIx, unit: Unit) {
        if self.log {
            let number = unit.number().map(|number| format!(" #{number}")).unwrap_or_default();
            println!(
                "{} {connection}.{} < {}{number}",
                self.oracle.time,
                unit.channel,
                brief(&unit.method())
            );
        }
        self.trace.note(connection as u64);
        self.trace.note_bytes(&unit.method);
        if let Some(content) = &unit.content {
            self.trace.note_bytes(&content.body);
        }
        if self.clients[connection].phase != Phase::Gone {
            self.clients[connection].inbox.push_back(unit);
        }
    }

    /// Lets everybody come to rest: clients read all and say nothing of their own, and time stands still, so that
    /// nobody is woken by the clock. A shard runs only if somebody woke it.
    pub fn rest(&mut self) -> Verdict {
        if self.log {
            println!("{} rest", self.oracle.time);
        }
        for at in 0..self.clients.len() {
            let Client { host, slot, .. } = self.clients[at];
            self.clients[at].pauses = 0;
            if let Some(socket) = self.hosts[host].socket(slot) {
                socket.room = socket.room.max(READ_BYTES);
            }
        }
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for host in 0..self.hosts.len() {
                moved |= self.run(host)?;
            }
            for writer in 0..self.store.as_ref().map_or(0, Store::writers) {
                while self.write_some(writer)? {
                    moved = true;
                }
            }
            for client in 0..self.clients.len() {
                moved |=
                    self.clients[client].phase != Phase::Gone && self.read_and_answer(client, usize::MAX);
            }
            if !moved {
                return self.check_rest();
            }
        }
        violation("the broker does not come to rest")
    }

    fn check_rest(&mut self) -> Verdict {
        if let Some(client) = self.clients.iter().find(|client| client.phase == Phase::Closing) {
            let socket = self.hosts[client.host].describe(client.slot);
            return violation(format!("connection {} closes and is not closed: {socket}", client.connection));
        }
        if !self.hosts.iter().all(Host::is_whole) {
            return violation("a frame or a content is not complete");
        }
        self.oracle.at_rest()
    }

    /// Everything that a shard has reason to do. False if there was nothing.
    fn run(&mut self, host: usize) -> Verdict<bool> {
        let now = self.clock();
        let mut moved = false;
        let mut events = Vec::new();
        for slot in self.hosts[host].readable() {
            moved = true;
            self.hosts[host].read(slot, READ_BYTES, now, &mut events)?;
            self.hosts[host].flush(now, &mut events)?;
        }
        for slot in self.hosts[host].writable() {
            moved = true;
            self.hosts[host].send(slot, usize::MAX, now, &mut events)?;
        }
        if self.hosts[host].is_due(now) {
            moved = true;
            self.hosts[host].take_due(now, &mut events)?;
        }
        if self.hosts[host].is_awake() || self.hosts[host].shard.has_work() {
            moved = true;
            self.hosts[host].drain(now, &mut events)?;
        }
        self.hosts[host].flush(now, &mut events)?;
        self.hosts[host].resume();
        self.see(events)?;
        Ok(moved)
    }
}

/// What the broker wrote to a connection in one step and nobody has heard.
type Stream = (ConnectionIx, VecDeque<Unit>);

/// A method in one line, without what is mostly the same.
fn brief(method: &Method<'_>) -> String {
    format!("{method:?}")
        .replace(", arguments: Table({})", "")
        .replace(": false", ":0")
        .replace(": true", ":1")
}

/// The smallest ring there is.
const RING_COMMANDS: usize = 2;
/// Far more than any workload here needs.
const ROUNDS_MAX: usize = 20_000;
