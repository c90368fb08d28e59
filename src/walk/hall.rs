//! Shards on one thread and clients that are bytes: for the walk, the benches and the test of allocations.

use std::sync::Arc;

use haremq::access::Access;
use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER, encode_frame};
use haremq::amqp::method::Method;
use haremq::amqp::table::Table;
use haremq::amqp::wire::{LongStr, ShortStr};
use haremq::budget::Budget;
use haremq::ids::{ChannelNumber, ShardId};
use haremq::limits::RING_COMMANDS;
use haremq::mesh;
use haremq::shard::{Command, Peer, Rest, Shard, ShardConfig};

/// Some shards on one thread, and the clients' ends of their sockets.
pub struct Hall {
    pub shards: Vec<Shard>,
    /// What each connection has received and nobody looked at.
    pub received: Vec<Vec<u8>>,
    /// Output is not kept: for those who measure.
    pub discard_output: bool,
    /// The shard and slot of each connection.
    pub connections: Vec<(usize, u32)>,
}

impl Hall {
    pub fn new(shards: u16) -> Hall {
        Hall::of(shards, Access::guest())
    }

    /// With these users.
    pub fn of(shards: u16, access: Access) -> Hall {
        let budget = Arc::new(Budget::new(usize::MAX));
        let config = ShardConfig {
            access,
            connections_max: 9,
            unauthenticated_max: 9,
            secret: [7, 7],
            ..ShardConfig::default()
        };
        let shards = mesh::connect::<Command>(shards, RING_COMMANDS)
            .into_iter()
            .enumerate()
            .map(|(id, end)| Shard::new(ShardId(id as u16), config.clone(), end, budget.clone(), 7))
            .collect();
        Hall { shards, received: Vec::new(), discard_output: false, connections: Vec::new() }
    }

    /// A logged-in connection on that shard, with channel 1 open.
    pub fn connect(&mut self, shard: usize) -> usize {
        self.connect_as(shard, false, b"\0guest\0guest")
    }

    /// The same for the server's own sessions, which are trusted.
    pub fn connect_as(&mut self, shard: usize, trusted: bool, response: &[u8]) -> usize {
        let local = "127.0.0.1:5672".parse().expect("an address");
        let peer = Peer { address: local, local, internal: trusted, trusted };
        let connection = self.introduce(shard, peer, response);
        self.expect(connection, "connection.tune");
        self.go_in(connection);
        connection
    }

    /// A connection that has said who it is.
    pub fn introduce(&mut self, shard: usize, peer: Peer, response: &[u8]) -> usize {
        let slot = self.shards[shard].open(peer, 0).expect("there is room");
        self.connections.push((shard, slot));
        self.received.push(Vec::new());
        let connection = self.connections.len() - 1;
        self.bytes(connection, &PROTOCOL_HEADER);
        self.expect(connection, "connection.start");
        let response = LongStr(response);
        let (mechanism, locale) = (ShortStr::from("PLAIN"), ShortStr::from("en_US"));
        let start_ok =
            Method::ConnectionStartOk { client_properties: Table::EMPTY, mechanism, response, locale };
        self.on_channel(connection, 0, &start_ok);
        connection
    }

    /// From tune to an open channel.
    pub fn go_in(&mut self, connection: usize) {
        let tune_ok = Method::ConnectionTuneOk { channel_max: 10, frame_max: 131_072, heartbeat: 0 };
        self.on_channel(connection, 0, &tune_ok);
        self.on_channel(connection, 0, &Method::ConnectionOpen { virtual_host: ShortStr::from("/") });
        self.expect(connection, "connection.open-ok");
        self.send(connection, &Method::ChannelOpen);
        self.expect(connection, "channel.open-ok");
    }

    pub fn send(&mut self, connection: usize, method: &Method<'_>) {
        self.on_channel(connection, 1, method);
    }

    fn on_channel(&mut self, connection: usize, channel: u16, method: &Method<'_>) {
        let mut bytes = Vec::new();
        method.encode(ChannelNumber(channel), &mut bytes);
        self.bytes(connection, &bytes);
    }

    pub fn publish(&mut self, connection: usize, queue: &'static str, body: &[u8]) {
        self.bytes(connection, &publish("", queue, body));
    }

    pub fn bytes(&mut self, connection: usize, bytes: &[u8]) {
        let (shard, slot) = self.connections[connection];
        let mut rest = bytes;
        while !rest.is_empty() {
            let received = self.shards[shard].receive(slot, rest, 0);
            assert!(received.rest != Rest::More || received.consumed == rest.len());
            rest = &rest[received.consumed..];
            self.turn();
        }
    }

    /// Lets every shard drain its rings and send, until nothing moves.
    pub fn turn(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..self.shards.len() {
                moved |= self.shards[at].drain(0);
                while let Some(slot) = self.shards[at].next_dirty() {
                    if !self.discard_output {
                        let connection = self
                            .connections
                            .iter()
                            .position(|&of| of == (at, slot))
                            .expect("a connection of ours");
                        self.received[connection].extend(self.shards[at].output(slot));
                    }
                    let sent = self.shards[at].output(slot).len();
                    self.shards[at].sent(slot, sent, 0);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Takes the next frame's payload.
    fn frame(&mut self, connection: usize) -> Vec<u8> {
        let received = &mut self.received[connection];
        let (frame, taken) =
            frame::decode(received, 131_072).expect("frames that are right").expect("a whole frame is here");
        let payload = frame.payload.to_vec();
        received.drain(..taken);
        payload
    }

    pub fn expect(&mut self, connection: usize, name: &str) {
        let payload = self.frame(connection);
        assert_eq!(Method::decode(&payload).expect("a method").name(), name);
    }

    pub fn delivery(&mut self, connection: usize) -> Vec<u8> {
        self.expect(connection, "basic.deliver");
        self.frame(connection);
        self.frame(connection)
    }
}

/// The frames of one publish on channel 1.
pub fn publish(exchange: &'static str, routing_key: &'static str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (exchange, routing_key) = (ShortStr::from(exchange), ShortStr::from(routing_key));
    let publish = Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false };
    publish.encode(ChannelNumber(1), &mut bytes);
    let header = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0, 0]].concat();
    encode_frame(&mut bytes, FrameKind::Header, ChannelNumber(1), |out| out.extend(header));
    encode_frame(&mut bytes, FrameKind::Body, ChannelNumber(1), |out| out.extend_from_slice(body));
    bytes
}

pub fn declare(queue: &'static str) -> Method<'static> {
    Method::QueueDeclare {
        queue: ShortStr::from(queue),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

pub fn consume(queue: &'static str, no_ack: bool) -> Method<'static> {
    Method::BasicConsume {
        queue: ShortStr::from(queue),
        consumer_tag: ShortStr::EMPTY,
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}
