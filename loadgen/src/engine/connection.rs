//! One non-blocking socket with its producers and consumers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use haremq::amqp::{Method, ShortStr, Table};
use haremq::ids::ChannelNumber;

use super::parser::Parser;
use super::producer::{BATCH_BYTES, Producer, Turn};
use super::receiver::{Consumer, Role};
use crate::clock;
use crate::plan::Acks;

pub struct Connection {
    pub socket: TcpStream,
    /// Edge-triggered: true until the socket says that it would block.
    pub readable: bool,
    pub writable: bool,
    /// Since when the broker wants nothing published, and for how long that was before.
    blocked_since: Option<u64>,
    blocked_ns: u64,
    pub stage: Stage,
    /// Stands in the worker's list of those to visit.
    pub queued: bool,
    /// The earliest of its timers.
    pub timer: u64,
    /// Not read before this time, to keep a consumer's rate.
    pub hold_until: u64,
    pub outbox: Outbox,
    /// The incomplete frame at the end of what was read.
    pub tail: Vec<u8>,
    pub parser: Parser,
    pub roles: Vec<Role>,
    pub producers: Vec<Producer>,
    pub consumers: Vec<Consumer>,
    /// Which producer goes first in the next batch.
    turn_of: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Open,
    /// connection.close was written.
    Closing,
    Closed,
}

/// What is to be sent. Invariant: `sent <= bytes.len()`, both 0 when all was sent.
#[derive(Default)]
pub struct Outbox {
    pub bytes: Vec<u8>,
    sent: usize,
}

/// What reading a socket gave.
pub enum Input {
    /// This many bytes; `more` if the buffer was filled.
    Bytes {
        len: usize,
        more: bool,
    },
    Nothing,
    Ended(String),
}

impl Connection {
    pub fn new(
        socket: TcpStream,
        tail: Vec<u8>,
        roles: Vec<Role>,
        producers: Vec<Producer>,
        consumers: Vec<Consumer>,
    ) -> io::Result<Connection> {
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            readable: true,
            writable: true,
            blocked_since: None,
            blocked_ns: 0,
            stage: Stage::Open,
            queued: false,
            timer: u64::MAX,
            hold_until: 0,
            outbox: Outbox::default(),
            tail,
            parser: Parser::default(),
            roles,
            producers,
            consumers,
            turn_of: 0,
        })
    }

    /// Writes a basic.consume for each consumer, to be sent with the next batch.
    pub fn consume(&mut self, queue_names: impl Fn(usize) -> String) {
        for (channel, role) in (0..).zip(&self.roles) {
            let Role::Consumer(index) = *role else { continue };
            let consumer = &self.consumers[index];
            let queue = queue_names(consumer.queue);
            let consume = Method::BasicConsume {
                queue: ShortStr::new(queue.as_bytes()).unwrap_or(ShortStr::EMPTY),
                consumer_tag: ShortStr::from("c"),
                no_local: false,
                no_ack: consumer.acks == Acks::Automatic,
                exclusive: false,
                nowait: false,
                arguments: Table::EMPTY,
            };
            consume.encode(ChannelNumber(channel), &mut self.outbox.bytes);
        }
    }

    /// Reads once, behind the tail of the last read, which it puts in front.
    pub fn read(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> Input {
        let tail = self.tail.len();
        if buffer.len() < tail + bytes_max {
            buffer.resize(tail + bytes_max, 0);
        }
        buffer[..tail].copy_from_slice(&self.tail);
        match self.socket.read(&mut buffer[tail..tail + bytes_max]) {
            Ok(0) => Input::Ended("the broker closed the socket".to_owned()),
            Ok(len) => {
                // A short read empties a stream socket (epoll(7)): the next byte is a new edge.
                let more = len == bytes_max;
                self.readable = more;
                Input::Bytes { len: tail + len, more }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Input::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Input::Nothing,
            Err(error) => Input::Ended(error.to_string()),
        }
    }

    /// Fills one batch with what the producers may publish, and returns how many messages that was.
    pub fn fill(&mut self, turn: &mut Turn<'_>) -> u64 {
        if self.blocked_since.is_some() || self.stage != Stage::Open || !self.outbox.may_grow() {
            return 0;
        }
        let count = self.producers.len();
        let mut published = 0;
        for step in 0..count {
            let producer = &mut self.producers[(self.turn_of + step) % count];
            published += producer.fill(&mut self.outbox.bytes, turn);
        }
        if count > 1 {
            self.turn_of = (self.turn_of + 1) % count;
        }
        published
    }

    /// Sends what the socket takes. Returns the bytes sent; `writable` says whether all were.
    pub fn send(&mut self) -> io::Result<usize> {
        let mut total = 0;
        while self.writable && !self.outbox.is_empty() {
            match self.socket.write(self.outbox.pending()) {
                Ok(len) => {
                    total += len;
                    self.outbox.consumed(len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Whether a producer would go on at once if a batch had no end.
    pub fn wants_more(&self, now: u64) -> bool {
        self.producers.iter().any(|producer| producer.wants_more(now))
    }

    /// The next time at which one of its producers wants to publish.
    pub fn due_after(&self, now: u64) -> Option<u64> {
        if self.blocked_since.is_some() || self.stage != Stage::Open {
            return None;
        }
        self.producers.iter().filter_map(Producer::due_at).filter(|&at| at > now).min()
    }

    /// The broker wants nothing published, or wants it again.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.blocked_ns = self.blocked_ns();
        self.blocked_since = blocked.then(clock::now);
    }

    /// How long it was blocked in all.
    pub fn blocked_ns(&self) -> u64 {
        self.blocked_ns + self.blocked_since.map_or(0, |since| clock::now() - since)
    }

    /// Acknowledges what was not, and writes connection.close.
    pub fn begin_close(&mut self) {
        if self.stage != Stage::Open {
            return;
        }
        self.acknowledge_all();
        let reply_text = ShortStr::from("done");
        let close = Method::ConnectionClose { reply_code: 200, reply_text, class_id: 0, method_id: 0 };
        close.encode(ChannelNumber(0), &mut self.outbox.bytes);
        self.stage = Stage::Closing;
    }

    pub fn acknowledge_all(&mut self) {
        for (channel, role) in (0..).zip(&self.roles) {
            if let Role::Consumer(index) = *role {
                self.consumers[index].acknowledge_all(channel, &mut self.outbox.bytes);
            }
        }
    }
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing is added behind a rest that the socket did not take, except acks.
    fn may_grow(&self) -> bool {
        self.sent == 0 && self.bytes.len() < BATCH_BYTES
    }

    fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn consumed(&mut self, len: usize) {
        self.sent += len;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}
