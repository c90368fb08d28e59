//! One or two shards, three clients that do what the input says, and one that must not notice.

use std::collections::BTreeSet;
use std::sync::Arc;

use haremq::amqp::frame::PROTOCOL_HEADER;
use haremq::amqp::{LongStr, Method, ShortStr, Table, TableWriter};
use haremq::budget::Budget;
use haremq::ids::{ChannelNumber, ShardId};
use haremq::mesh;
use haremq::shard::{Shard, ShardConfig};

use crate::host::{Event, Host};
use crate::script::{self, Source, Unsettled};
use crate::wire::{Unit, encode_content};

pub struct World {
    hosts: Vec<Host>,
    /// All connections that ever were; a connection's index is its name at its host.
    clients: Vec<Client>,
    /// Which connection each of the three has now.
    seats: [usize; 3],
    observer: usize,
    /// What the observer was told and did not look at.
    heard: Vec<Unit>,
    now: u64,
}

struct Client {
    host: usize,
    slot: u32,
    frame_max: u32,
    /// Answers a close, and opens the channel again.
    polite: bool,
    open: bool,
    /// Channels that it has asked to open and that are not open yet.
    opening: BTreeSet<u16>,
    unsettled: Unsettled,
}

impl World {
    /// With the observer logged in.
    pub fn new(shards: u16) -> World {
        let budget = Arc::new(Budget::new(1 << 40));
        let config = ShardConfig {
            connections_max: 100,
            unauthenticated_max: 100,
            secret: [1, 2],
            ..ShardConfig::default()
        };
        let ends = mesh::connect(shards, RING_COMMANDS).into_iter().zip((0..).map(ShardId));
        let hosts = ends
            .map(|(end, id)| Host::new(Shard::new(id, config.clone(), end, budget.clone(), SEED), 0))
            .collect();
        let mut world =
            World { hosts, clients: Vec::new(), seats: [0; 3], observer: 0, heard: Vec::new(), now: 1 };
        let last = world.hosts.len() - 1;
        world.observer = world.connect(last, 131_072, true);
        world.log_in(world.observer, 0);
        world.say(world.observer, 1, &Method::ConfirmSelect { nowait: true });
        world.set_the_scene();
        world.rest();
        world.heard.clear();
        world
    }

    /// Queues and exchanges that scripts begin with, and the observer's own queue.
    fn set_the_scene(&mut self) {
        let (arguments, nowait) = (Table::EMPTY, true);
        let (passive, durable, auto_delete, internal) = (false, false, false, false);
        for (exchange, type_) in [("e1".into(), "fanout".into()), ("e2".into(), "direct".into())] {
            let declare = Method::ExchangeDeclare {
                exchange,
                type_,
                passive,
                durable,
                auto_delete,
                internal,
                nowait,
                arguments,
            };
            self.say(self.observer, 1, &declare);
        }
        for queue in ["q1", "q2", "q3", OBSERVED] {
            // Exclusive: nobody else can take the observer's message away.
            let (queue, exclusive) = (queue.into(), queue == OBSERVED);
            let declare =
                Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments };
            self.say(self.observer, 1, &declare);
        }
        for (queue, exchange) in
            [("q1", "e1"), ("q2", "e1"), ("q1", "e2"), ("q2", "amq.direct"), ("q3", "amq.fanout")]
        {
            let (queue, exchange, routing_key) = (queue.into(), exchange.into(), "k".into());
            self.say(
                self.observer,
                1,
                &Method::QueueBind { queue, exchange, routing_key, nowait, arguments },
            );
        }
    }

    pub fn log_in_everybody(&mut self, source: &mut Source<'_>) {
        for seat in 0..self.seats.len() {
            self.take_seat(seat, source);
        }
    }

    /// One act of one client, or a piece of a shard's work, or time passes.
    pub fn act(&mut self, source: &mut Source<'_>) {
        let (act, seat, pace) = (source.octet(), source.below(self.seats.len()), source.octet());
        if !self.clients[self.seats[seat]].open {
            self.take_seat(seat, source);
        }
        let client = self.seats[seat];
        match act {
            0..0xC0 => {
                let mut bytes = Vec::new();
                let Client { frame_max, unsettled, .. } = &mut self.clients[client];
                script::write(source, *frame_max, unsettled, &mut bytes);
                self.write(client, &bytes);
            }
            0xC0..0xE0 => {}
            0xE0..0xE8 => self.socket(client, |socket| socket.hung_up = true),
            0xE8..0xF0 => self.pass(u64::from(source.octet()) * 20_000_000),
            0xF0..0xF8 => self.socket(client, |socket| socket.room = 10),
            0xF8.. => self.socket(client, |socket| socket.room = ROOM),
        }
        match pace {
            0..0x80 => self.rest(),
            0x80..0xA0 => {}
            0xA0..0xD0 => self.read(client, 1 + usize::from(pace - 0xA0)),
            0xD0..0xE0 => self.drain(usize::from(pace) % self.hosts.len()),
            0xE0..0xF0 => self.send(client, usize::from(pace - 0xE0) * 10),
            0xF0.. => self.flush(usize::from(pace) % self.hosts.len()),
        }
    }

    /// The whole of what one client sends, in pieces of many sizes. The protocol header is put right: the answer to
    /// another one is no frame.
    pub fn stream(&mut self, bytes: &[u8]) {
        let client = self.connect(0, 131_072, true);
        self.write(client, &PROTOCOL_HEADER);
        self.write(client, bytes.get(PROTOCOL_HEADER.len()..).unwrap_or_default());
        let mut size = 1;
        while self.clients[client].open && self.unread(client) > 0 {
            let before = self.unread(client);
            self.read(client, size);
            size = size * 5 % 211;
            if self.unread(client) == before || size % 3 == 0 {
                self.rest();
            }
        }
    }

    /// Another connection of the same shards publishes a message, has it confirmed, and gets it back.
    pub fn the_others_are_served(&mut self) {
        for client in 0..self.clients.len() {
            self.socket(client, |socket| socket.room = ROOM);
        }
        self.rest();
        assert!(self.heard.is_empty(), "nobody spoke of the observer: {:?}", self.heard);
        let (observer, mut bytes) = (self.observer, Vec::new());
        let (exchange, routing_key) = (ShortStr::EMPTY, OBSERVED.into());
        let publish = Method::BasicPublish { exchange, routing_key, mandatory: true, immediate: false };
        publish.encode(ChannelNumber(1), &mut bytes);
        encode_content(ChannelNumber(1), &[0, 0], b"alive", || usize::MAX, &mut bytes);
        Method::BasicGet { queue: OBSERVED.into(), no_ack: true }.encode(ChannelNumber(1), &mut bytes);
        self.write(observer, &bytes);
        self.rest();
        let mut heard: Vec<_> = self.heard.drain(..).map(|unit| (unit.method().name(), unit)).collect();
        heard.sort_by_key(|(name, _)| *name);
        let [("basic.ack", _), ("basic.get-ok", got)] = &heard[..] else {
            panic!("the observer heard {heard:?}")
        };
        assert_eq!(got.content.as_ref().map(|content| &content.body[..]), Some(&b"alive"[..]));
    }

    /// When all have hung up, no connection stays and no work.
    pub fn nobody_is_left(&mut self) {
        for client in 0..self.clients.len() {
            self.socket(client, |socket| socket.hung_up = true);
        }
        self.rest();
        self.pass(LONGER_THAN_ANY_DEADLINE_NS);
        self.rest();
        for host in &self.hosts {
            assert_eq!(host.shard.connections(), 0);
            assert!(!host.shard.has_work());
        }
    }

    fn take_seat(&mut self, seat: usize, source: &mut Source<'_>) {
        let frame_max = source.pick(&[131_072, 4_096, 8_192]);
        let options = source.octet();
        let client = self.connect(seat % self.hosts.len(), frame_max, options & 3 > 0);
        self.seats[seat] = client;
        self.log_in(client, u16::from(options >= 0xC0));
    }

    fn connect(&mut self, host: usize, frame_max: u32, polite: bool) -> usize {
        let client = self.clients.len();
        let slot = self.hosts[host].accept(client, ROOM, self.now).expect("there is room for so many");
        self.clients.push(Client {
            host,
            slot,
            frame_max,
            polite,
            open: true,
            opening: BTreeSet::new(),
            unsettled: Unsettled::new(),
        });
        self.socket(client, |socket| socket.frame_max = frame_max);
        client
    }

    /// All its channels are open afterwards.
    fn log_in(&mut self, client: usize, heartbeat: u16) {
        self.write(client, &PROTOCOL_HEADER);
        self.rest();
        let properties = TableWriter::new()
            .table("capabilities", |them| {
                them.bool("consumer_cancel_notify", true)
                    .bool("connection.blocked", true)
                    .bool("authentication_failure_close", true)
            })
            .finish();
        let client_properties = Table::decode(&properties).expect("a table that we wrote");
        let (mechanism, response) = ("PLAIN".into(), LongStr(b"\0guest\0guest"));
        let start_ok =
            Method::ConnectionStartOk { client_properties, mechanism, response, locale: "en_US".into() };
        self.say(client, 0, &start_ok);
        self.rest();
        let frame_max = self.clients[client].frame_max;
        self.say(client, 0, &Method::ConnectionTuneOk { channel_max: CHANNELS, frame_max, heartbeat });
        self.say(client, 0, &Method::ConnectionOpen { virtual_host: "/".into() });
        for channel in 1..=CHANNELS {
            self.say(client, channel, &Method::ChannelOpen {});
        }
        self.rest();
        assert!(self.clients[client].open, "guest may log in");
    }

    fn say(&mut self, client: usize, channel: u16, method: &Method<'_>) {
        let mut bytes = Vec::new();
        method.encode(ChannelNumber(channel), &mut bytes);
        self.write(client, &bytes);
    }

    fn write(&mut self, client: usize, bytes: &[u8]) {
        self.socket(client, |socket| socket.uplink.extend(bytes));
    }

    fn unread(&mut self, client: usize) -> usize {
        let mut unread = 0;
        self.socket(client, |socket| unread = socket.uplink.len());
        unread
    }

    fn socket(&mut self, client: usize, change: impl FnOnce(&mut crate::host::Socket)) {
        let &Client { host, slot, .. } = &self.clients[client];
        if let Some(socket) = self.hosts[host].socket(slot).filter(|socket| socket.connection == client) {
            change(socket);
        }
    }

    fn pass(&mut self, time: u64) {
        self.now += time;
        for host in 0..self.hosts.len() {
            self.turn(host, |host, now, events| host.tick(now, events));
        }
    }

    fn read(&mut self, client: usize, count: usize) {
        let &Client { host, slot, open, .. } = &self.clients[client];
        if open && self.hosts[host].readable().contains(&slot) {
            self.turn(host, |host, now, events| host.read(slot, count, now, events));
        }
    }

    fn drain(&mut self, host: usize) {
        self.turn(host, |host, now, events| host.drain(now, events).map(drop));
    }

    fn send(&mut self, client: usize, count: usize) {
        let &Client { host, slot, open, .. } = &self.clients[client];
        if open {
            self.turn(host, |host, now, events| host.send(slot, count, now, events));
        }
    }

    fn flush(&mut self, host: usize) {
        self.turn(host, |host, now, events| host.flush(now, events));
    }

    fn turn(
        &mut self,
        host: usize,
        turn: impl FnOnce(&mut Host, u64, &mut Vec<Event>) -> crate::oracle::Verdict,
    ) {
        let mut events = Vec::new();
        turn(&mut self.hosts[host], self.now, &mut events).expect("the broker keeps its promises");
        self.hosts[host].resume();
        for event in events {
            match event {
                Event::Written(written) => {
                    for (client, unit) in written
                        .into_iter()
                        .flat_map(|(client, units)| units.into_iter().map(move |unit| (client, unit)))
                    {
                        self.hear(client, unit);
                    }
                }
                Event::Closed(client) => self.clients[client].open = false,
            }
        }
    }

    fn hear(&mut self, client: usize, unit: Unit) {
        let method = unit.method();
        assert!(server_may_send(&method), "{method:?}");
        if let Method::ConnectionClose { reply_code, .. } | Method::ChannelClose { reply_code, .. } = method {
            assert!(CODES_FOR_CLIENTS.contains(&reply_code), "{method:?}");
        }
        if client == self.observer {
            return self.heard.push(unit);
        }
        match method {
            Method::ConnectionClose { .. } if self.clients[client].polite => {
                self.say(client, 0, &Method::ConnectionCloseOk {});
            }
            Method::ChannelClose { .. } if self.clients[client].polite => {
                self.say(client, unit.channel, &Method::ChannelCloseOk {});
                self.open_again(client, unit.channel);
            }
            Method::ChannelCloseOk {} if self.clients[client].polite => self.open_again(client, unit.channel),
            Method::ChannelOpenOk {} => {
                self.clients[client].opening.remove(&unit.channel);
                self.clients[client].unsettled.remove(&unit.channel);
            }
            Method::BasicDeliver { delivery_tag, .. } | Method::BasicGetOk { delivery_tag, .. } => {
                self.clients[client].unsettled.entry(unit.channel).or_default().push(delivery_tag);
            }
            _ => {}
        }
    }

    fn open_again(&mut self, client: usize, channel: u16) {
        if self.clients[client].opening.insert(channel) {
            self.say(client, channel, &Method::ChannelOpen {});
        }
    }

    /// Everybody does all there is to do, until nothing moves. That it ends is a promise too.
    fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut idle = true;
            for host in 0..self.hosts.len() {
                for slot in self.hosts[host].readable() {
                    idle = false;
                    self.turn(host, |host, now, events| host.read(slot, usize::MAX, now, events));
                }
                let mut moved = false;
                self.turn(host, |host, now, events| host.drain(now, events).map(|any| moved = any));
                for slot in self.hosts[host].writable() {
                    moved = true;
                    self.turn(host, |host, now, events| host.send(slot, usize::MAX, now, events));
                }
                moved |= self.hosts[host].shard.dirty_count() > 0;
                self.flush(host);
                idle &= !moved;
            }
            if idle {
                return;
            }
        }
        panic!("no rest after {ROUNDS_MAX} rounds");
    }
}

fn server_may_send(method: &Method<'_>) -> bool {
    let by_both = matches!(
        method,
        Method::ConnectionClose { .. }
            | Method::ConnectionCloseOk { .. }
            | Method::ChannelClose { .. }
            | Method::ChannelCloseOk { .. }
            | Method::ChannelFlowOk { .. }
            | Method::BasicCancel { .. }
            | Method::BasicCancelOk { .. }
            | Method::BasicAck { .. }
            | Method::BasicNack { .. }
    );
    by_both || !method.sent_by_client()
}

/// What a client can bring about; 541 is a defect of ours.
const CODES_FOR_CLIENTS: [u16; 12] = [403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540];

const OBSERVED: &str = "observed";
const SEED: u64 = 7;
const CHANNELS: u16 = 3;
/// Few, so that they are full at times.
const RING_COMMANDS: usize = 2;
const ROOM: usize = 1 << 40;
const ROUNDS_MAX: usize = 100_000;
const LONGER_THAN_ANY_DEADLINE_NS: u64 = 60_000_000_000;
