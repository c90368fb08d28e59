//! Octets of the fuzzer become what a client might send: methods with names that occur again, contents that fit or do
//! not, and plain garbage.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use haremq::amqp::frame::{FrameKind, encode_frame};
use haremq::amqp::{LongStr, Method, Properties, PropertiesWriter, ShortStr, Table, TableWriter, Value};
use haremq::ids::ChannelNumber;

use crate::wire::encode_content;

/// The input, octet by octet; after its end come zeros.
pub struct Source<'a> {
    rest: &'a [u8],
    /// Octets of bodies that may still be published.
    bodies: usize,
}

/// Delivery tags by channel.
pub type Unsettled = BTreeMap<u16, Vec<u64>>;

/// All bodies of one input together.
pub const BODIES_BYTES_MAX: usize = 1 << 20;

impl<'a> Source<'a> {
    pub fn new(rest: &'a [u8]) -> Source<'a> {
        Source { rest, bodies: BODIES_BYTES_MAX }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn octet(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.octet()) % count
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.octets(usize::MAX)
    }

    fn body(&mut self) -> usize {
        let size = self.octet();
        let size = match size {
            0..0xF0 => usize::from(size),
            0xF0..0xFE => 4_000 + usize::from(size) * 17,
            0xFE.. => 70_000,
        };
        let size = size.min(self.bodies);
        self.bodies -= size;
        size
    }
}

/// Appends what one act sends. Garbage is rare: it ends the connection. `unsettled` is what the client has got on each
/// of its channels and not settled, as far as it looked.
pub fn write(source: &mut Source<'_>, frame_max: u32, unsettled: &mut Unsettled, out: &mut Vec<u8>) {
    let what = source.octet();
    let channel = ChannelNumber(match source.octet() {
        0..0x60 => 1,
        0x60..0xC0 => 2,
        0xC0..0xFC => 3,
        0xFC | 0xFD => 4,
        0xFE.. => 0,
    });
    match what {
        0..0x40 if let Some(tags) = unsettled.get_mut(&channel.0).filter(|tags| !tags.is_empty()) => {
            settle_method(source, tags).encode(channel, out);
        }
        0x40..0xA0 => method(source, channel, out),
        0..0x40 | 0xA0..0xF0 => publish(source, frame_max, channel, out),
        0xF0..0xF6 => changed(source, channel, out),
        0xF6..0xF9 => announced(source, channel, out),
        0xF9 | 0xFA => body(source, channel, out),
        0xFB | 0xFC => {
            let kind =
                source.pick(&[FrameKind::Method, FrameKind::Header, FrameKind::Body, FrameKind::Heartbeat]);
            let count = source.below(64);
            let payload = source.octets(count);
            encode_frame(out, kind, channel, |out| out.extend_from_slice(payload));
        }
        0xFD.. => {
            let count = source.below(64);
            out.extend_from_slice(source.octets(count));
        }
    }
}

fn publish(source: &mut Source<'_>, frame_max: u32, channel: ChannelNumber, out: &mut Vec<u8>) {
    publish_method(source).encode(channel, out);
    let properties = properties(source);
    let body = vec![b'b'; source.body()];
    let piece = source.pick(&[usize::MAX, usize::MAX, 1_000, 5]).min(frame_max as usize - 8);
    encode_content(channel, &properties, &body, || piece.max(body.len() / 64), out);
}

/// A method with one octet changed.
fn changed(source: &mut Source<'_>, channel: ChannelNumber, out: &mut Vec<u8>) {
    let start = out.len();
    method(source, channel, out);
    let at = start + source.below(out.len() - start);
    out[at] = source.octet();
}

/// A content header without its body, which may announce anything.
fn announced(source: &mut Source<'_>, channel: ChannelNumber, out: &mut Vec<u8>) {
    let size = source.pick(&[0, 1, 5, 70_000, 128 << 20, (128 << 20) + 1, u64::MAX]);
    let class = source.pick(&[60, 60, 60, 10, 0]);
    let properties = properties(source);
    let head = [&[0, class, 0, 0][..], &size.to_be_bytes(), &properties].concat();
    encode_frame(out, FrameKind::Header, channel, |out| out.extend(head));
}

fn body(source: &mut Source<'_>, channel: ChannelNumber, out: &mut Vec<u8>) {
    let size = source.body();
    encode_frame(out, FrameKind::Body, channel, |out| out.resize(out.len() + size, b'b'));
}

fn method(source: &mut Source<'_>, channel: ChannelNumber, out: &mut Vec<u8>) {
    let method = match source.below(32) {
        0 => channel_method(source),
        1..=6 => queue_method(source),
        7..=11 => exchange_method(source),
        12..=24 => consumer_method(source),
        25..=29 => mode_method(source),
        30 => settle_method(source, &mut vec![1, 2, 3, 64, u64::MAX]),
        _ => match source.below(4) {
            0 => connection_method(source),
            _ => publish_method(source),
        },
    };
    method.encode(channel, out);
}

fn flags(source: &mut Source<'_>) -> [bool; 4] {
    let octet = source.octet();
    // Rare when drawn by chance: each needs two bits.
    [octet & 3 == 3, octet & 12 == 12, octet & 48 == 48, octet & 192 == 192]
}

fn channel_method(source: &mut Source<'_>) -> Method<'static> {
    match source.below(8) {
        0 => Method::ChannelOpen {},
        1..=3 => {
            Method::ChannelClose { reply_code: 200, reply_text: ShortStr::EMPTY, class_id: 0, method_id: 0 }
        }
        4 => Method::ChannelCloseOk {},
        5 => Method::ChannelFlowOk { active: source.below(2) == 1 },
        _ => Method::ChannelFlow { active: source.below(8) > 0 },
    }
}

fn queue_method(source: &mut Source<'_>) -> Method<'static> {
    let what = source.below(8);
    let (queue, [a, b, c, nowait]) = (name(source, &QUEUES), flags(source));
    let (exchange, routing_key) = (name(source, &EXCHANGES[NOT_DEFAULT..]), name(source, &KEYS));
    let arguments = table(source);
    match what {
        0..=2 => {
            let (passive, durable, exclusive, auto_delete) = (a && nowait, b, c, a);
            Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, nowait, arguments }
        }
        3 | 4 => Method::QueueBind { queue, exchange, routing_key, nowait, arguments },
        5 => Method::QueueUnbind { queue, exchange, routing_key, arguments },
        6 => Method::QueuePurge { queue, nowait },
        _ => Method::QueueDelete { queue, if_unused: a, if_empty: b, nowait },
    }
}

fn exchange_method(source: &mut Source<'_>) -> Method<'static> {
    let what = source.below(8);
    let exchanges = if source.octet() == 0 { &EXCHANGES } else { &EXCHANGES[NOT_DEFAULT..] };
    let (exchange, [durable, auto_delete, internal, nowait]) = (name(source, exchanges), flags(source));
    let (source_name, routing_key) = (name(source, exchanges), name(source, &KEYS));
    let type_ = name(source, &["direct", "fanout", "topic", "headers", "x-unknown"]);
    let arguments = table(source);
    let (destination, passive) = (exchange, durable && nowait);
    match what {
        0..=2 => Method::ExchangeDeclare {
            exchange,
            type_,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments,
        },
        3..=5 => Method::ExchangeBind { destination, source: source_name, routing_key, nowait, arguments },
        6 => Method::ExchangeUnbind { destination, source: source_name, routing_key, nowait, arguments },
        _ => Method::ExchangeDelete { exchange, if_unused: durable, nowait },
    }
}

fn consumer_method(source: &mut Source<'_>) -> Method<'static> {
    let what = source.below(8);
    let (queue, [no_local, no_ack, exclusive, nowait]) = (name(source, &QUEUES), flags(source));
    let consumer_tag = name(source, &["", "", "", "t1", "t2"]);
    match what {
        0..=3 => {
            let arguments = table(source);
            Method::BasicConsume { queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments }
        }
        4 => Method::BasicCancel { consumer_tag, nowait },
        5 => Method::BasicCancelOk { consumer_tag },
        _ => Method::BasicGet { queue, no_ack },
    }
}

fn settle_method(source: &mut Source<'_>, tags: &mut Vec<u64>) -> Method<'static> {
    let what = source.below(16);
    let [multiple, requeue, forgets, none] = flags(source);
    let at = source.below(tags.len());
    let delivery_tag = if none && multiple { 0 } else { tags[at] };
    match what {
        13 if forgets => return Method::BasicRecoverAsync { requeue: true },
        14 | 15 => return Method::BasicRecover { requeue: true },
        _ => {}
    }
    tags.drain(if multiple { 0..=at } else { at..=at });
    match what {
        0..=6 => Method::BasicAck { delivery_tag, multiple },
        7..=10 => Method::BasicNack { delivery_tag, multiple, requeue },
        _ => Method::BasicReject { delivery_tag, requeue },
    }
}

fn mode_method(source: &mut Source<'_>) -> Method<'static> {
    let what = source.below(8);
    let [nowait, global, large, _] = flags(source);
    match what {
        0 | 1 => Method::ConfirmSelect { nowait },
        2 => Method::TxSelect {},
        3 => Method::TxCommit {},
        4 => Method::TxRollback {},
        _ => {
            let prefetch_count = source.pick(&[0, 1, 2, 3, 10, 65_535]);
            let prefetch_size = u32::from(large && source.below(8) == 0);
            Method::BasicQos { prefetch_size, prefetch_count, global }
        }
    }
}

fn publish_method(source: &mut Source<'_>) -> Method<'static> {
    let exchange = name(source, &EXCHANGES);
    let keys = if exchange.is_empty() { &QUEUES[..] } else { &KEYS[..] };
    let (routing_key, [mandatory, a, b, c]) = (name(source, keys), flags(source));
    Method::BasicPublish { exchange, routing_key, mandatory, immediate: a && b && c }
}

fn connection_method(source: &mut Source<'_>) -> Method<'static> {
    match source.below(8) {
        0 => Method::ConnectionClose {
            reply_code: 200,
            reply_text: ShortStr::EMPTY,
            class_id: 0,
            method_id: 0,
        },
        1 => Method::ConnectionCloseOk {},
        2 => Method::ConnectionUpdateSecret { new_secret: LongStr(b"guest"), reason: ShortStr::EMPTY },
        3 => Method::ConnectionOpen { virtual_host: "/".into() },
        4 => Method::ConnectionTuneOk { channel_max: 0, frame_max: 0, heartbeat: 0 },
        5 => Method::ConnectionBlocked { reason: ShortStr::EMPTY },
        6 => Method::AccessRequest {
            realm: "/".into(),
            exclusive: false,
            passive: true,
            active: true,
            write: true,
            read: true,
        },
        _ => Method::BasicGetEmpty {},
    }
}

fn name(source: &mut Source<'_>, names: &[&'static str]) -> ShortStr<'static> {
    ShortStr::from(source.pick(names))
}

/// The first of `QUEUES` and of `EXCHANGES` exist from the start: q1 to q3, e1 and e2.
#[rustfmt::skip]
const QUEUES: [&str; 24] = [
    "q1", "q2", "q3", "q1", "q2", "q3", "q1", "q2", "q3", "q1", "q2", "q3", "q1", "q2", "q3", "q1", "q2", "q3", "q1", "q4",
    "q4", "", "amq.rabbitmq.reply-to", "nothing",
];
#[rustfmt::skip]
const EXCHANGES: [&str; 24] = [
    "", "", "", "", "amq.direct", "amq.direct", "amq.fanout", "amq.fanout", "amq.topic", "amq.topic", "amq.topic",
    "amq.headers", "amq.headers", "e1", "e1", "e1", "e2", "e2", "e2", "e3", "e3", "amq.match", "amq.rabbitmq.trace", "nothing",
];
/// Where the names begin that can be declared and bound.
const NOT_DEFAULT: usize = 4;
const KEYS: [&str; 10] = ["", "q1", "k", "k.l", "*.l", "#", "#.k.#", "k.#", "*", "nothing"];

fn table(source: &mut Source<'_>) -> Table<'static> {
    // One table in four is not empty.
    let octet = source.octet();
    let at = if octet < 0xC0 { 0 } else { usize::from(octet) % TABLES.len() };
    Table::decode(&TABLES[at]).expect("tables that we wrote")
}

static TABLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let new = TableWriter::new;
    vec![
        new().finish(),
        new().string("x-match", "all").string("h", "1").finish(),
        new().string("x-match", "any").string("h", "1").i32("i", 2).finish(),
        new().string("x-match", "any-with-x").value("x-h", Value::Void).finish(),
        new().string("x-match", "some").finish(),
        new().string("h", "1").i32("i", 2).finish(),
        new().string("alternate-exchange", "e1").finish(),
        new().string("alternate-exchange", "e2").finish(),
        new().i32("x-priority", 3).i32("x-message-ttl", -1).finish(),
        new().i32("x-max-priority", 3).bool("x-single-active-consumer", true).finish(),
        new().array("CC", |cc| cc.string("q2").string("k.l").string("q2")).finish(),
        new().array("BCC", |bcc| bcc.string("q3").value(Value::Void)).finish(),
        new().string("CC", "q2").finish(),
        new().table("t", |t| t.table("t", |t| t.i64("i", 1))).finish(),
    ]
});

fn properties(source: &mut Source<'_>) -> Vec<u8> {
    match source.below(12) {
        0..=4 => PropertiesWriter::default().finish(),
        5 => PropertiesWriter { user_id: Some("guest".into()), ..PropertiesWriter::default() }.finish(),
        6 => PropertiesWriter { user_id: Some("root".into()), ..PropertiesWriter::default() }.finish(),
        7 => PropertiesWriter { expiration: Some("soon".into()), ..PropertiesWriter::default() }.finish(),
        8 => {
            let reply_to = Some("amq.rabbitmq.reply-to".into());
            PropertiesWriter { reply_to, delivery_mode: Some(2), ..PropertiesWriter::default() }.finish()
        }
        9 | 10 => PropertiesWriter { headers: Some(table(source)), ..PropertiesWriter::default() }.finish(),
        _ => {
            let bytes = source.octets(20);
            let valid = Properties::decode(bytes).is_ok();
            if valid { bytes.to_vec() } else { PropertiesWriter::default().finish() }
        }
    }
}
