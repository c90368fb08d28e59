//! A client that does one thing at a time, so that a test says what is on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use haremq::amqp::content::{ContentHeader, Properties};
use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER};
use haremq::amqp::method::Method;
use haremq::amqp::table::Table;
use haremq::amqp::wire::{LongStr, ShortStr};
use haremq::ids::ChannelNumber;

pub struct Client {
    pub socket: TcpStream,
    received: Vec<u8>,
}

const FRAME_MAX: u32 = 131_072;
const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// Logged in, with channel 1 open.
    pub fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { socket, received: Vec::new() };
        client.socket.write_all(&PROTOCOL_HEADER).unwrap();
        client.expect("connection.start");
        client.send(&Method::ConnectionStartOk {
            client_properties: Table::EMPTY,
            mechanism: short("PLAIN"),
            response: LongStr(b"\0guest\0guest"),
            locale: short("en_US"),
        });
        client.expect("connection.tune");
        client.send(&Method::ConnectionTuneOk { channel_max: 2_047, frame_max: FRAME_MAX, heartbeat: 0 });
        client.send(&Method::ConnectionOpen { virtual_host: short("/") });
        client.expect("connection.open-ok");
        client.send(&Method::ChannelOpen {});
        client.expect("channel.open-ok");
        client
    }

    pub fn declare(&mut self, queue: &'static str) {
        self.send(&Method::QueueDeclare {
            queue: short(queue),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::EMPTY,
        });
        self.expect("queue.declare-ok");
    }

    pub fn consume(&mut self, queue: &'static str) {
        self.send(&Method::BasicConsume {
            queue: short(queue),
            consumer_tag: short("t"),
            no_local: false,
            no_ack: true,
            exclusive: false,
            nowait: false,
            arguments: Table::EMPTY,
        });
        self.expect("basic.consume-ok");
    }

    pub fn send(&mut self, method: &Method<'_>) {
        let mut out = Vec::new();
        method.encode(channel_of(method), &mut out);
        self.socket.write_all(&out).unwrap();
    }

    /// The next frame that is no heartbeat: its kind, the name of its method, its payload.
    pub fn next(&mut self) -> (FrameKind, &'static str, Vec<u8>) {
        loop {
            if let Some((frame, taken)) = frame::decode(&self.received, FRAME_MAX).unwrap() {
                let name = match frame.kind {
                    FrameKind::Method => Method::decode(frame.payload).unwrap().name(),
                    FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => "",
                };
                let next = (frame.kind, name, frame.payload.to_vec());
                self.received.drain(..taken);
                return next;
            }
            let mut more = [0; 65_536];
            let count = match self.socket.read(&mut more) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert_ne!(count, 0, "the server closed the socket");
            self.received.extend_from_slice(&more[..count]);
        }
    }

    pub fn expect(&mut self, method: &str) {
        assert_eq!(self.next().1, method);
    }

    /// The body of the next delivery, which fits one frame.
    pub fn delivery(&mut self) -> Vec<u8> {
        self.expect("basic.deliver");
        assert_eq!(self.next().0, FrameKind::Header);
        let (kind, _, body) = self.next();
        assert_eq!(kind, FrameKind::Body);
        body
    }
}

/// The three frames of a publish to the default exchange.
pub fn publish(queue: &'static str, body: &[u8]) -> Vec<u8> {
    let channel = ChannelNumber(1);
    let mut out = Vec::new();
    let publish = Method::BasicPublish {
        exchange: short(""),
        routing_key: short(queue),
        mandatory: false,
        immediate: false,
    };
    publish.encode(channel, &mut out);
    let properties = Properties::decode(&[0, 0]).unwrap();
    let header = ContentHeader { class_id: 60, weight: 0, body_size: body.len() as u64, properties };
    header.encode(channel, &mut out);
    frame::encode_frame(&mut out, FrameKind::Body, channel, |out| out.extend_from_slice(body));
    out
}

fn short(text: &'static str) -> ShortStr<'static> {
    ShortStr::new(text.as_bytes()).unwrap()
}

fn channel_of(method: &Method<'_>) -> ChannelNumber {
    ChannelNumber(if method.ids().0 == 10 { 0 } else { 1 })
}
