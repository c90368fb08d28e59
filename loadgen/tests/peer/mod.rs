//! A broker of one queue in a few lines: what is published on one connection is delivered on another, with a fault in it.
#![allow(clippy::unwrap_used)] // test code, outside of #[test] functions
#![allow(dead_code)] // each file of tests needs some of the faults

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use haremq::amqp::frame::{self, PROTOCOL_HEADER};
use haremq::amqp::{FrameKind, LongStr, Method, ShortStr, Table};
use haremq::ids::ChannelNumber;

/// What goes wrong, and with which publish, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// It is not delivered.
    Lose(u64),
    /// It is delivered twice.
    Repeat(u64),
    /// It is delivered twice, the second time marked as redelivered.
    Redeliver(u64),
    /// It is delivered after the next.
    Swap(u64),
    /// This byte of its body is changed.
    Damage(u64, usize),
    /// Its body is one byte short, and so is the announced size.
    Shorten(u64),
    /// Its body frame has a wrong end octet.
    BreakFrame(u64),
    /// It comes back as unroutable.
    Return(u64),
    /// It closes the channel.
    Refuse(u64),
    /// The socket of the consumer is closed.
    Vanish(u64),
    /// It is never confirmed.
    Forget(u64),
    /// It is confirmed twice.
    ConfirmTwice(u64),
    /// Publishers are blocked for 300 ms when it comes.
    Block(u64),
    /// It is nacked and not delivered, which a broker may do.
    Nack(u64),
}

/// Serves until the test process ends; returns the port.
pub fn serve(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let consumer = Arc::new(OnceLock::new());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, consumer) = (stream.unwrap(), consumer.clone());
            thread::spawn(move || Peer::new(stream, consumer, fault).serve());
        }
    });
    port
}

/// One connection of it.
struct Peer {
    stream: TcpStream,
    consumer: Arc<OnceLock<TcpStream>>,
    fault: Fault,
    input: Vec<u8>,
    replies: Vec<u8>,
    deliveries: Vec<u8>,
    confirms: bool,
    published: u64,
    delivered: u64,
    held_back: Option<Vec<u8>>,
    closing: bool,
}

impl Peer {
    fn new(stream: TcpStream, consumer: Arc<OnceLock<TcpStream>>, fault: Fault) -> Peer {
        Peer {
            stream,
            consumer,
            fault,
            input: Vec::new(),
            replies: Vec::new(),
            deliveries: Vec::new(),
            confirms: false,
            published: 0,
            delivered: 0,
            held_back: None,
            closing: false,
        }
    }

    fn serve(mut self) {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(header, PROTOCOL_HEADER);
        self.reply(0, &start());
        let mut buffer = vec![0; 64 * 1024];
        while self.flush().is_some() && !self.closing {
            match self.stream.read(&mut buffer) {
                Ok(len) if len > 0 => self.input.extend_from_slice(&buffer[..len]),
                Ok(_) | Err(_) => return,
            }
            let input = std::mem::take(&mut self.input);
            let taken = self.frames(&input);
            self.input = input[taken..].to_vec();
        }
    }

    fn flush(&mut self) -> Option<()> {
        self.stream.write_all(&self.replies).ok()?;
        self.replies.clear();
        if !self.deliveries.is_empty() {
            self.consumer.get()?.write_all(&self.deliveries).ok()?;
            self.deliveries.clear();
        }
        Some(())
    }

    /// Handles what is complete: single methods, and publishes with all their frames.
    fn frames(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some((method, len)) = frame::decode(&input[at..], FRAME_MAX).unwrap() {
            let channel = method.channel.0;
            let decoded = Method::decode(method.payload).unwrap();
            if let Method::BasicPublish { .. } = decoded {
                let Some((body, content_len)) = content(&input[at + len..]) else { return at };
                self.publish(channel, body);
                at += content_len;
            } else {
                self.method(channel, &decoded);
            }
            at += len;
        }
        at
    }

    fn method(&mut self, channel: u16, method: &Method<'_>) {
        match *method {
            Method::ConnectionStartOk { .. } => {
                self.reply(
                    0,
                    &Method::ConnectionTune { channel_max: 100, frame_max: FRAME_MAX, heartbeat: 60 },
                );
            }
            Method::ConnectionOpen { .. } => self.reply(0, &Method::ConnectionOpenOk {}),
            Method::ConnectionClose { .. } => {
                self.reply(0, &Method::ConnectionCloseOk {});
                self.closing = true;
            }
            Method::ChannelOpen {} => self.reply(channel, &Method::ChannelOpenOk {}),
            Method::ConfirmSelect { .. } => {
                self.confirms = true;
                self.reply(channel, &Method::ConfirmSelectOk {});
            }
            Method::QueueDeclare { queue, .. } => {
                self.reply(channel, &Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 0 });
            }
            Method::QueuePurge { .. } => self.reply(channel, &Method::QueuePurgeOk { message_count: 0 }),
            Method::QueueDelete { .. } => self.reply(channel, &Method::QueueDeleteOk { message_count: 0 }),
            Method::BasicQos { .. } => self.reply(channel, &Method::BasicQosOk {}),
            Method::BasicConsume { consumer_tag, .. } => {
                self.consumer.set(self.stream.try_clone().unwrap()).unwrap();
                self.reply(channel, &Method::BasicConsumeOk { consumer_tag });
            }
            Method::ConnectionTuneOk { .. } | Method::BasicAck { .. } | Method::ChannelCloseOk {} => {}
            _ => panic!("the peer does not know {}", method.name()),
        }
    }

    fn publish(&mut self, channel: u16, body: &[u8]) {
        let index = self.published;
        self.published += 1;
        match self.fault {
            Fault::Lose(at) if at == index => {}
            Fault::Repeat(at) if at == index => (0..2).for_each(|_| self.deliver(body, false)),
            Fault::Redeliver(at) if at == index => {
                self.deliver(body, false);
                self.deliver(body, true);
            }
            Fault::Swap(at) if at == index => self.held_back = Some(body.to_vec()),
            Fault::Damage(at, byte) if at == index => {
                let mut body = body.to_vec();
                body[byte] ^= 1;
                self.deliver(&body, false);
            }
            Fault::Shorten(at) if at == index => self.deliver(&body[1..], false),
            Fault::BreakFrame(at) if at == index => {
                self.deliver(body, false);
                *self.deliveries.last_mut().unwrap() = 0;
            }
            Fault::Return(at) if at == index => self.give_back(channel, body),
            Fault::Refuse(at) if at == index => {
                let reply_text = ShortStr::from("NOT_FOUND - no exchange 'x' in vhost '/'");
                self.reply(
                    channel,
                    &Method::ChannelClose { reply_code: 404, reply_text, class_id: 60, method_id: 40 },
                );
            }
            Fault::Vanish(at) if at == index => {
                self.consumer.get().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
            }
            Fault::Nack(at) if at == index => {}
            Fault::Block(at) if at == index => {
                self.deliver(body, false);
                self.block();
            }
            _ => self.deliver(body, false),
        }
        if let Some(body) = self.held_back.take_if(|_| self.fault != Fault::Swap(index)) {
            self.deliver(&body, false);
        }
        if self.confirms {
            self.confirm(channel, index);
        }
    }

    fn confirm(&mut self, channel: u16, index: u64) {
        let delivery_tag = index + 1;
        let ack = Method::BasicAck { delivery_tag, multiple: false };
        match self.fault {
            Fault::Forget(at) if at == index => {}
            Fault::Nack(at) if at == index => {
                self.reply(channel, &Method::BasicNack { delivery_tag, multiple: false, requeue: false });
            }
            Fault::ConfirmTwice(at) if at == index => (0..2).for_each(|_| self.reply(channel, &ack)),
            _ => self.reply(channel, &ack),
        }
    }

    fn deliver(&mut self, body: &[u8], redelivered: bool) {
        self.delivered += 1;
        let deliver = Method::BasicDeliver {
            consumer_tag: ShortStr::from("c"),
            delivery_tag: self.delivered,
            redelivered,
            exchange: ShortStr::EMPTY,
            routing_key: ShortStr::from("loadgen"),
        };
        deliver.encode(CONSUMER_CHANNEL, &mut self.deliveries);
        write_content(&mut self.deliveries, CONSUMER_CHANNEL, body);
    }

    fn block(&mut self) {
        self.reply(0, &Method::ConnectionBlocked { reason: ShortStr::from("low on memory") });
        self.flush().unwrap();
        thread::sleep(Duration::from_millis(300));
        self.reply(0, &Method::ConnectionUnblocked {});
    }

    fn give_back(&mut self, channel: u16, body: &[u8]) {
        let reply_text = ShortStr::from("NO_ROUTE");
        let (exchange, routing_key) = (ShortStr::EMPTY, ShortStr::from("loadgen"));
        self.reply(channel, &Method::BasicReturn { reply_code: 312, reply_text, exchange, routing_key });
        write_content(&mut self.replies, ChannelNumber(channel), body);
    }

    fn reply(&mut self, channel: u16, method: &Method<'_>) {
        method.encode(ChannelNumber(channel), &mut self.replies);
    }
}

/// Header and body of one frame each: the body, and how many bytes both took.
fn content(input: &[u8]) -> Option<(&[u8], usize)> {
    let (header, header_len) = frame::decode(input, FRAME_MAX).unwrap()?;
    assert_eq!(header.kind, FrameKind::Header);
    let (body, body_len) = frame::decode(&input[header_len..], FRAME_MAX).unwrap()?;
    assert_eq!(body.kind, FrameKind::Body);
    Some((body.payload, header_len + body_len))
}

fn write_content(out: &mut Vec<u8>, channel: ChannelNumber, body: &[u8]) {
    frame::encode_frame(out, FrameKind::Header, channel, |out| {
        out.extend_from_slice(&[0, 60, 0, 0]);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    });
    frame::encode_frame(out, FrameKind::Body, channel, |out| out.extend_from_slice(body));
}

fn start() -> Method<'static> {
    Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::EMPTY,
        mechanisms: LongStr(b"PLAIN"),
        locales: LongStr(b"en_US"),
    }
}

const FRAME_MAX: u32 = 131_072;
const CONSUMER_CHANNEL: ChannelNumber = ChannelNumber(1);
