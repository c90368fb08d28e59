//! The null peer: what TCP alone costs, without a broker. It answers what a run declares, then reads what is published
//! on one connection and writes as many deliveries, made from the first message, to those that consume.
//!
//! It counts messages by bytes, so all of a publisher must have the same length: one routing key, one body size.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use haremq::amqp::frame::{self, PROTOCOL_HEADER};
use haremq::amqp::{FrameKind, LongStr, Method, ShortStr, Table};
use haremq::ids::ChannelNumber;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::SockRef;

use crate::launch::READY;

/// Serves until a signal ends the process.
pub fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            std::process::exit(0);
        }
    });
    println!("{READY}");
    let consumers = Arc::new(Consumers::default());
    for stream in listener.incoming() {
        let connection = Connection::new(stream?, consumers.clone())?;
        thread::spawn(move || connection.serve());
    }
    Ok(())
}

/// Who consumes. Filled before anything is published.
struct Consumers {
    count: AtomicUsize,
    places: [OnceLock<Consumer>; CONSUMERS_MAX],
}

struct Consumer {
    queue: Vec<u8>,
    channel: ChannelNumber,
    stream: TcpStream,
}

impl Default for Consumers {
    fn default() -> Consumers {
        Consumers { count: AtomicUsize::new(0), places: [const { OnceLock::new() }; CONSUMERS_MAX] }
    }
}

impl Consumers {
    fn add(&self, consumer: Consumer) -> io::Result<()> {
        let place = self.count.fetch_add(1, Ordering::AcqRel);
        let place = self.places.get(place).ok_or_else(|| invalid("too many consumers"))?;
        place.set(consumer).map_err(|_| invalid("a place is given twice"))
    }

    /// Those that a message reaches: its queue's on the default exchange, all of them on another.
    fn reached(&self, exchange: &[u8], routing_key: &[u8]) -> Vec<&Consumer> {
        let all = self.places.iter().filter_map(OnceLock::get);
        all.filter(|consumer| !exchange.is_empty() || consumer.queue == routing_key).collect()
    }
}

/// One socket and its thread, which blocks wherever the kernel makes it.
struct Connection {
    stream: TcpStream,
    consumers: Arc<Consumers>,
    /// Bytes that were read and not yet taken.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, consumers: Arc<Consumers>) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        // As the brokers and loadgen do (client/session.rs).
        _ = SockRef::from(&stream).set_tcp_congestion(b"cubic");
        Ok(Connection { stream, consumers, input: Vec::new(), output: Vec::new() })
    }

    /// Until the peer closes, or says what a null peer has no answer for: loadgen reports that as a violation.
    fn serve(mut self) {
        if let Err(error) = self.converse()
            && error.kind() == io::ErrorKind::InvalidData
        {
            eprintln!("null peer: {error}");
        }
    }

    fn converse(&mut self) -> io::Result<()> {
        let mut header = [0; PROTOCOL_HEADER.len()];
        self.stream.read_exact(&mut header)?;
        self.reply(0, &start());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.stream.write_all(&self.output)?;
            self.output.clear();
            let len = self.stream.read(&mut buffer)?;
            if len == 0 {
                return Ok(());
            }
            self.input.extend_from_slice(&buffer[..len]);
            self.frames(&mut buffer)?;
        }
    }

    /// Answers the methods that are complete; from the first publish on, pumps.
    fn frames(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some((frame, len)) = decode(&input[at..])? {
            if is_publish(frame.payload) {
                let Some(pump) = Pump::new(&input[at..], &self.consumers)? else { break };
                return self.pump(pump, &input[at..], buffer);
            }
            self.answer(frame.channel.0, &method(frame.payload)?)?;
            at += len;
        }
        self.input = input[at..].to_vec();
        Ok(())
    }

    /// Delivers what was read, and reads on until something else than a message comes.
    fn pump(&mut self, mut pump: Pump, first: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        let mut other = pump.received(first)?.map(<[u8]>::to_vec);
        while other.is_none() {
            let len = self.stream.read(buffer)?;
            if len == 0 {
                return Ok(());
            }
            other = pump.received(&buffer[..len])?.map(<[u8]>::to_vec);
        }
        self.input = other.unwrap_or_default();
        self.frames(buffer)
    }

    fn answer(&mut self, channel: u16, method: &Method<'_>) -> io::Result<()> {
        match *method {
            Method::ConnectionStartOk { .. } => {
                let tune = Method::ConnectionTune { channel_max: 2047, frame_max: FRAME_MAX, heartbeat: 0 };
                self.reply(0, &tune);
            }
            Method::ConnectionOpen { .. } => self.reply(0, &Method::ConnectionOpenOk {}),
            Method::ConnectionClose { .. } => self.reply(0, &Method::ConnectionCloseOk {}),
            Method::ChannelOpen {} => self.reply(channel, &Method::ChannelOpenOk {}),
            Method::ExchangeDeclare { .. } => self.reply(channel, &Method::ExchangeDeclareOk {}),
            Method::ExchangeDelete { .. } => self.reply(channel, &Method::ExchangeDeleteOk {}),
            Method::QueueDeclare { queue, .. } => {
                self.reply(channel, &Method::QueueDeclareOk { queue, message_count: 0, consumer_count: 0 });
            }
            Method::QueueBind { .. } => self.reply(channel, &Method::QueueBindOk {}),
            Method::QueuePurge { .. } => self.reply(channel, &Method::QueuePurgeOk { message_count: 0 }),
            Method::QueueDelete { .. } => self.reply(channel, &Method::QueueDeleteOk { message_count: 0 }),
            Method::BasicConsume { queue, consumer_tag, .. } => {
                self.reply(channel, &Method::BasicConsumeOk { consumer_tag });
                let (queue, stream) = (queue.as_bytes().to_vec(), self.stream.try_clone()?);
                self.consumers.add(Consumer { queue, channel: ChannelNumber(channel), stream })?;
            }
            Method::ConnectionTuneOk { .. } => {}
            _ => return Err(invalid(&format!("no answer for {}", method.name()))),
        }
        Ok(())
    }

    fn reply(&mut self, channel: u16, method: &Method<'_>) {
        method.encode(ChannelNumber(channel), &mut self.output);
    }
}

/// From a publisher to those that its messages reach.
struct Pump {
    message_bytes: usize,
    /// Bytes of the message that is under way.
    partial_bytes: usize,
    targets: Vec<Target>,
}

struct Target {
    stream: TcpStream,
    delivery_bytes: usize,
    /// As many deliveries as are written at once.
    ready: Vec<u8>,
}

impl Pump {
    /// Learns length and destination from the first message; none if `input` does not hold all of it.
    fn new(input: &[u8], consumers: &Consumers) -> io::Result<Option<Pump>> {
        let Some(message) = Message::read(input)? else { return Ok(None) };
        let Method::BasicPublish { exchange, routing_key, .. } = method(message.publish)? else {
            return Err(invalid("not a publish"));
        };
        let targets = consumers.reached(exchange.as_bytes(), routing_key.as_bytes()).into_iter();
        let target = |consumer: &Consumer| {
            let delivery = message.delivery(consumer.channel, exchange, routing_key);
            let (stream, delivery_bytes) = (consumer.stream.try_clone()?, delivery.len());
            let ready = delivery.repeat((WRITE_BYTES / delivery_bytes).max(1));
            Ok(Target { stream, delivery_bytes, ready })
        };
        let targets = targets.map(target).collect::<io::Result<_>>()?;
        Ok(Some(Pump { message_bytes: message.bytes, partial_bytes: 0, targets }))
    }

    /// Delivers as many messages as are complete with these bytes. Returns what is no message at their end: the load
    /// says goodbye after its last one.
    fn received<'a>(&mut self, bytes: &'a [u8]) -> io::Result<Option<&'a [u8]>> {
        let total = self.partial_bytes + bytes.len();
        let (count, partial) = (total / self.message_bytes, total % self.message_bytes);
        for target in &mut self.targets {
            target.deliver(count)?;
        }
        self.partial_bytes = partial;
        let last = bytes.len().checked_sub(partial).map(|at| &bytes[at..]);
        Ok(last.filter(|last| is_of_connection(last)))
    }
}

impl Target {
    fn deliver(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let batch = count.min(self.ready.len() / self.delivery_bytes);
            self.stream.write_all(&self.ready[..batch * self.delivery_bytes])?;
            count -= batch;
        }
        Ok(())
    }
}

/// The frames of a message.
struct Message<'a> {
    publish: &'a [u8],
    content: Vec<(FrameKind, &'a [u8])>,
    bytes: usize,
}

impl<'a> Message<'a> {
    fn read(input: &'a [u8]) -> io::Result<Option<Message<'a>>> {
        let Some((publish, mut bytes)) = decode(input)? else { return Ok(None) };
        let (mut content, mut body_bytes, mut body_size) = (Vec::new(), 0, None);
        while body_size != Some(body_bytes) {
            let Some((frame, len)) = decode(&input[bytes..])? else { return Ok(None) };
            match (frame.kind, frame.payload.get(4..12)) {
                (FrameKind::Header, Some(size)) => {
                    let size = size.try_into().map_err(|_| invalid("a content header that is too short"))?;
                    body_size = Some(u64::from_be_bytes(size));
                }
                (FrameKind::Body, _) => body_bytes += frame.payload.len() as u64,
                (FrameKind::Method | FrameKind::Header | FrameKind::Heartbeat, _) => {
                    return Err(invalid("a frame that is no content"));
                }
            }
            content.push((frame.kind, frame.payload));
            bytes += len;
        }
        Ok(Some(Message { publish: publish.payload, content, bytes }))
    }

    fn delivery(&self, channel: ChannelNumber, exchange: ShortStr<'_>, routing_key: ShortStr<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let (consumer_tag, delivery_tag) = (ShortStr::from("c"), 1);
        let deliver =
            Method::BasicDeliver { consumer_tag, delivery_tag, redelivered: false, exchange, routing_key };
        deliver.encode(channel, &mut out);
        for &(kind, payload) in &self.content {
            frame::encode_frame(&mut out, kind, channel, |out| out.extend_from_slice(payload));
        }
        out
    }
}

fn decode(bytes: &[u8]) -> io::Result<Option<(frame::Frame<'_>, usize)>> {
    frame::decode(bytes, FRAME_MAX).map_err(|error| invalid(&format!("{error:?}")))
}

fn method(payload: &[u8]) -> io::Result<Method<'_>> {
    Method::decode(payload).map_err(|error| invalid(&format!("{error:?}")))
}

fn is_publish(payload: &[u8]) -> bool {
    payload.starts_with(&[0, 60, 0, 40])
}

/// A method frame of channel 0.
fn is_of_connection(bytes: &[u8]) -> bool {
    bytes.starts_with(&[1, 0, 0])
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
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
const CONSUMERS_MAX: usize = 64;
/// What HareMQ reads at once.
const READ_BYTES: usize = 64 * 1024;
/// What was read at once is delivered at once.
const WRITE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A publish of a body of 16 octets on channel 1.
    fn publish() -> Vec<u8> {
        let mut out = Vec::new();
        let publish = Method::BasicPublish {
            exchange: ShortStr::EMPTY,
            routing_key: ShortStr::from("q"),
            mandatory: false,
            immediate: false,
        };
        publish.encode(ChannelNumber(1), &mut out);
        frame::encode_frame(&mut out, FrameKind::Header, ChannelNumber(1), |out| {
            out.extend_from_slice(&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
        });
        frame::encode_frame(&mut out, FrameKind::Body, ChannelNumber(1), |out| {
            out.extend_from_slice(&[7; 16])
        });
        out
    }

    #[test]
    fn as_many_deliveries_go_out_as_messages_came_in_however_they_are_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut consumer = listener.accept().unwrap().0;
        let consumers = Consumers::default();
        consumers.add(Consumer { queue: b"q".to_vec(), channel: ChannelNumber(5), stream }).unwrap();
        let message = publish();
        let mut sent = message.repeat(10);
        Method::ConnectionCloseOk {}.encode(ChannelNumber(0), &mut sent);
        let mut pump = Pump::new(&sent, &consumers).unwrap().unwrap();
        let (mut at, mut rest) = (0, None);
        for cut in [message.len() - 3, 2, message.len() * 4, sent.len()] {
            let end = (at + cut).min(sent.len());
            rest = pump.received(&sent[at..end]).unwrap();
            at = end;
        }
        assert_eq!(rest, Some(&sent[message.len() * 10..]), "the goodbye is not for the pump");
        drop((pump, consumers));
        let mut received = Vec::new();
        consumer.read_to_end(&mut received).unwrap();
        let delivery = Message::read(&received).unwrap().unwrap();
        assert_eq!((delivery.bytes * 10, delivery.content[1].1), (received.len(), &[7; 16][..]));
    }

    #[test]
    fn a_message_on_the_default_exchange_reaches_its_queue_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let consumers = Consumers::default();
        for queue in ["q", "r"] {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            consumers.add(Consumer { queue: queue.into(), channel: ChannelNumber(1), stream }).unwrap();
        }
        assert_eq!((consumers.reached(b"", b"q").len(), consumers.reached(b"fanout", b"").len()), (1, 2));
    }
}
