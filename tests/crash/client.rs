//! A client of a server that may end at any time: that is no error, but the end of what it does.

use std::net::SocketAddr;

use haremq::amqp::frame::FrameKind;
use haremq::amqp::{ContentHeader, Method, PropertiesWriter};

use crate::body::{self, Id};
use crate::common::wire::{Next, Reply, Wire, encoded, publication_with};
use crate::plan::Route;

/// A connection with one channel.
pub struct Client {
    wire: Wire,
}

/// What a server says.
pub enum Heard {
    Answer(Reply),
    /// A basic.deliver or a basic.get-ok with its body.
    Message(Reply, Vec<u8>),
}

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub bytes: usize,
    pub persistent: bool,
    pub priority: Option<u8>,
}

pub const CHANNEL: u16 = 1;

impl Client {
    pub fn open(server: SocketAddr) -> Client {
        let mut wire = Wire::open(server);
        wire.channel(CHANNEL);
        Client { wire }
    }

    /// For what is done before anything may end.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    pub fn send(&mut self, method: Method<'_>) {
        self.bytes(&encoded(CHANNEL, method));
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.wire.bytes_if_open(bytes);
    }

    pub fn close(mut self) {
        let reply_text = crate::common::wire::short("");
        let close = Method::ConnectionClose { reply_code: 200, reply_text, class_id: 0, method_id: 0 };
        self.wire.call(0, close, "connection.close-ok");
    }

    /// The next that comes; None: the server is gone, or about to go.
    pub fn hear(&mut self) -> Option<Heard> {
        let head = self.frame()?;
        if head.kind != FrameKind::Method {
            panic!("content without its method");
        }
        match head.method() {
            Method::ConnectionClose { reply_code: 320, .. } => {
                self.bytes(&encoded(0, Method::ConnectionCloseOk));
                None
            }
            Method::ChannelClose { .. } | Method::ConnectionClose { .. } => {
                panic!("the server refuses what it should take: {:?}", head.method())
            }
            method if !method.is_content() => Some(Heard::Answer(head)),
            _ => {
                let body = self.body()?;
                Some(Heard::Message(head, body))
            }
        }
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        let header = self.frame()?;
        let size = ContentHeader::decode(&header.payload).expect("a content header that decodes").body_size;
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            body.extend(self.frame()?.payload);
        }
        Some(body)
    }

    fn frame(&mut self) -> Option<Reply> {
        match self.wire.next() {
            Next::Frame(reply) => Some(reply),
            Next::Closed => None,
            // It is killed long before that.
            Next::Nothing => panic!("the server is silent"),
            Next::Header(_) => panic!("a protocol header among frames"),
        }
    }
}

/// The frames of a publish of that message by a route.
pub fn publication(id: Id, number: u8, route: &Route, style: Style) -> Vec<u8> {
    publication_on(CHANNEL, id, number, route, style)
}

pub fn publication_on(channel: u16, id: Id, number: u8, route: &Route, style: Style) -> Vec<u8> {
    let properties = PropertiesWriter {
        delivery_mode: Some(if style.persistent { 2 } else { 1 }),
        priority: style.priority,
        ..PropertiesWriter::default()
    };
    let properties = properties.finish();
    let properties = haremq::amqp::Properties::decode(&properties).expect("properties that we wrote");
    let body = body::make(id, number, style.bytes);
    publication_with(channel, route.exchange, route.key, false, properties, &body)
}
