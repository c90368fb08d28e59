//! A connection that sends exactly what a test says and shows every frame that comes back. It blocks, and a test that
//! waits longer than ten seconds for a frame fails.

use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER};
use haremq::amqp::{ContentHeader, LongStr, Method, Properties, ShortStr, Table, TableWriter};
use haremq::ids::ChannelNumber;
use std::io::{ErrorKind, Read as _, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    /// Heartbeats are not shown, but counted.
    pub heartbeats: usize,
}

/// What a broker may do next.
pub enum Next {
    Frame(Reply),
    /// Eight octets that are no frame: the protocol header, to a client that began with another.
    Header([u8; 8]),
    /// Nothing came for as long as the patience lasts.
    Nothing,
    Closed,
}

/// A frame with its own bytes.
pub struct Reply {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: Vec<u8>,
}

impl Reply {
    pub fn method(&self) -> Method<'_> {
        assert_eq!(self.kind, FrameKind::Method, "a frame of another kind");
        Method::decode(&self.payload).expect("a broker sends methods that decode")
    }

    pub fn name(&self) -> &'static str {
        self.method().name()
    }

    /// Reply code and text of a close.
    pub fn close(&self) -> (u16, String) {
        match self.method() {
            Method::ChannelClose { reply_code, reply_text, .. }
            | Method::ConnectionClose { reply_code, reply_text, .. } => (reply_code, reply_text.to_string()),
            other => panic!("not a close: {other:?}"),
        }
    }
}

/// What a client asks for in connection.tune-ok.
#[derive(Clone, Copy)]
pub struct Tune {
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
}

impl Default for Tune {
    fn default() -> Tune {
        Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 0 }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Wire {
    /// A socket and nothing else.
    pub fn connect(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        Wire { stream, received: Vec::new(), heartbeats: 0 }
    }

    /// Past connection.open-ok, as guest.
    pub fn open(address: SocketAddr) -> Wire {
        Wire::open_with(address, Tune::default())
    }

    pub fn open_with(address: SocketAddr, tune: Tune) -> Wire {
        let mut wire = Wire::tuned(address, tune);
        wire.send(0, Method::ConnectionOpen { virtual_host: "/".into() });
        wire.expect(0, "connection.open-ok");
        wire
    }

    /// Past connection.tune-ok.
    pub fn tuned(address: SocketAddr, tune: Tune) -> Wire {
        let mut wire = Wire::connect(address);
        wire.bytes(&PROTOCOL_HEADER);
        wire.expect(0, "connection.start");
        wire.login("PLAIN", b"\0guest\0guest", true);
        wire.expect(0, "connection.tune");
        let Tune { channel_max, frame_max, heartbeat } = tune;
        wire.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
        wire
    }

    /// Sends connection.start-ok. `wants_refusals`: the capability to be told why a login failed.
    pub fn login(&mut self, mechanism: &'static str, response: &[u8], wants_refusals: bool) {
        let capabilities = |table: TableWriter| {
            table
                .bool("authentication_failure_close", wants_refusals)
                .bool("consumer_cancel_notify", true)
                .bool("connection.blocked", true)
        };
        let properties = TableWriter::new().table("capabilities", capabilities).finish();
        let client_properties = Table::decode(&properties).expect("a table that we wrote");
        let (mechanism, response) = (mechanism.into(), LongStr(response));
        self.send(
            0,
            Method::ConnectionStartOk { client_properties, mechanism, response, locale: "en_US".into() },
        );
    }

    pub fn channel(&mut self, channel: u16) {
        self.send(channel, Method::ChannelOpen);
        self.expect(channel, "channel.open-ok");
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// For what a broker may refuse to read because it has already closed.
    pub fn bytes_if_open(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send(&mut self, channel: u16, method: Method<'_>) {
        self.bytes(&encoded(channel, method));
    }

    /// Sends and waits for the answer of that name.
    pub fn call(&mut self, channel: u16, method: Method<'_>, answer: &str) -> Reply {
        self.send(channel, method);
        self.expect(channel, answer)
    }

    pub fn publish(&mut self, channel: u16, exchange: &str, routing_key: &str, mandatory: bool, body: &[u8]) {
        self.bytes(&publication(channel, exchange, routing_key, mandatory, body));
    }

    /// The next frame that is no heartbeat; None when the broker closed the socket.
    pub fn frame(&mut self) -> Option<Reply> {
        match self.next() {
            Next::Frame(reply) => Some(reply),
            Next::Closed => None,
            Next::Header(_) => panic!("a protocol header among frames"),
            Next::Nothing => panic!("the broker sent nothing"),
        }
    }

    /// Heartbeats left out.
    pub fn next(&mut self) -> Next {
        loop {
            if self.received.starts_with(b"AMQP")
                && let Some(header) = self.received.first_chunk::<8>().copied()
            {
                self.received.drain(..8);
                return Next::Header(header);
            }
            match if self.received.starts_with(b"A") { None } else { self.decode() } {
                Some(reply) if reply.kind == FrameKind::Heartbeat => self.heartbeats += 1,
                Some(reply) => return Next::Frame(reply),
                None => match self.read() {
                    Read::Some => {}
                    Read::Nothing => return Next::Nothing,
                    Read::Closed => return Next::Closed,
                },
            }
        }
    }

    /// The next frame, which is that method on that channel.
    pub fn expect(&mut self, channel: u16, name: &str) -> Reply {
        let reply = self.frame().unwrap_or_else(|| panic!("the socket closed instead of {name}"));
        let got = reply.method();
        assert_eq!((reply.channel, got.name()), (channel, name), "{got:?}");
        reply
    }

    /// The content that follows a method: properties and body.
    pub fn content(&mut self) -> (Vec<u8>, Vec<u8>) {
        let header = self.frame().expect("a content header");
        assert_eq!(header.kind, FrameKind::Header);
        let head = ContentHeader::decode(&header.payload).expect("a content header that decodes");
        let mut body = Vec::new();
        while (body.len() as u64) < head.body_size {
            let frame = self.frame().expect("a content body");
            assert_eq!((frame.kind, frame.channel), (FrameKind::Body, header.channel));
            body.extend_from_slice(&frame.payload);
        }
        (head.properties.as_bytes().to_vec(), body)
    }

    /// All that comes until the socket closes, as it is.
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.read() {
                Read::Some => {}
                Read::Nothing => panic!("the broker neither sent nor closed"),
                Read::Closed => return std::mem::take(&mut self.received),
            }
        }
    }

    /// The bodies of all that is ready in a queue, by `basic.get` without acks.
    pub fn take_all(&mut self, channel: u16, queue: &str) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        loop {
            self.send(channel, Method::BasicGet { queue: short(queue), no_ack: true });
            let answer = self.frame().expect("an answer");
            match answer.name() {
                "basic.get-ok" => bodies.push(self.content().1),
                "basic.get-empty" => return bodies,
                _ => panic!("{:?} to basic.get", answer.method()),
            }
        }
    }

    /// Says that nothing more will come.
    pub fn end(&mut self) {
        // A broker may have closed first.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whom it is connected to.
    pub fn address(&self) -> SocketAddr {
        self.stream.peer_addr().expect("a connected socket")
    }

    /// Who it is to whom it is connected.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// Reads and forgets what comes, until nothing came for `silence` or the socket closed.
    pub fn drain_for(&mut self, silence: Duration) {
        self.set_patience(silence);
        let mut chunk = [0; 64 << 10];
        while self.stream.read(&mut chunk).is_ok_and(|count| count > 0) {}
        self.set_patience(PATIENCE);
    }

    /// The connection.close that the broker sends now, after which it is answered and the socket closes.
    pub fn closed(&mut self) -> (u16, String) {
        let close = self.expect(0, "connection.close").close();
        self.bytes_if_open(&encoded(0, Method::ConnectionCloseOk));
        assert!(self.frame().is_none(), "a frame after the end");
        close
    }

    /// The channel.close that the broker sends now, which is answered.
    pub fn channel_closed(&mut self, channel: u16) -> (u16, String) {
        let close = self.expect(channel, "channel.close").close();
        self.send(channel, Method::ChannelCloseOk);
        close
    }

    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a TCP socket");
    }

    fn decode(&mut self) -> Option<Reply> {
        let (reply, taken) = {
            let (frame, taken) = frame::decode(&self.received, u32::MAX).expect("a broker sends frames")?;
            let payload = frame.payload.to_vec();
            (Reply { kind: frame.kind, channel: frame.channel.0, payload }, taken)
        };
        self.received.drain(..taken);
        Some(reply)
    }

    fn read(&mut self) -> Read {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk).map_err(|error| error.kind()) {
            Ok(0) | Err(ErrorKind::ConnectionReset) => Read::Closed,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Read::Some
            }
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Read::Nothing,
            Err(error) => panic!("a socket that fails: {error}"),
        }
    }
}

enum Read {
    Some,
    Nothing,
    Closed,
}

pub fn encoded(channel: u16, method: Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(ChannelNumber(channel), &mut out);
    out
}

/// A basic.publish with its content, in frames of at most 8 KiB.
pub fn publication(channel: u16, exchange: &str, routing_key: &str, mandatory: bool, body: &[u8]) -> Vec<u8> {
    publication_with(channel, exchange, routing_key, mandatory, Properties::EMPTY, body)
}

pub fn publication_with(
    channel: u16,
    exchange: &str,
    routing_key: &str,
    mandatory: bool,
    properties: Properties<'_>,
    body: &[u8],
) -> Vec<u8> {
    let (exchange, routing_key) = (short(exchange), short(routing_key));
    let mut out =
        encoded(channel, Method::BasicPublish { exchange, routing_key, mandatory, immediate: false });
    out.extend(content_header_with(channel, body.len() as u64, properties));
    for part in body.chunks(8184) {
        out.extend(body_frame(channel, part));
    }
    out
}

pub fn content_header(channel: u16, body_size: u64) -> Vec<u8> {
    content_header_with(channel, body_size, Properties::EMPTY)
}

fn content_header_with(channel: u16, body_size: u64, properties: Properties<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let header = ContentHeader { class_id: 60, weight: 0, body_size, properties };
    header.encode(ChannelNumber(channel), &mut out);
    out
}

pub fn body_frame(channel: u16, part: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_frame(&mut out, FrameKind::Body, ChannelNumber(channel), |out| out.extend_from_slice(part));
    out
}

pub fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).expect("names in tests are short")
}

/// Durable, with arguments.
pub fn declare_durable<'a>(queue: &'a str, arguments: Table<'a>) -> Method<'a> {
    Method::QueueDeclare {
        queue: short(queue),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments,
    }
}

/// Asks whether it is there, and how much is ready in it.
pub fn look_at(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue: short(queue),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

pub fn declare_exchange<'a>(exchange: &'a str, type_: &'a str, durable: bool) -> Method<'a> {
    Method::ExchangeDeclare {
        exchange: short(exchange),
        type_: short(type_),
        passive: false,
        durable,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

pub fn bind<'a>(queue: &'a str, exchange: &'a str, routing_key: &'a str) -> Method<'a> {
    Method::QueueBind {
        queue: short(queue),
        exchange: short(exchange),
        routing_key: short(routing_key),
        nowait: false,
        arguments: Table::EMPTY,
    }
}

/// A declare with nothing asked for.
pub fn declare(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue: short(queue),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

pub fn declare_exclusive(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue: short(queue),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

pub fn consume<'a>(queue: &'a str, consumer_tag: &'a str, no_ack: bool) -> Method<'a> {
    Method::BasicConsume {
        queue: short(queue),
        consumer_tag: short(consumer_tag),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}
