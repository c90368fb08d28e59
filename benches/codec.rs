//! Stages 2 and 8 of the walk: from bytes to frames and methods, and back. A publish and a delivery have shorter ways
//! of their own; what is measured here is what those must beat, and what methods of management cost.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use haremq::amqp::frame::{self, FrameKind};
use haremq::amqp::{ContentHeader, Method, Properties, PropertiesWriter, ShortStr, Table, TableWriter};
use haremq::ids::ChannelNumber;

fn main() {
    divan::main();
}

const CHANNEL: ChannelNumber = ChannelNumber(1);
const FRAME_MAX: u32 = 131_072;

#[divan::bench(args = [16, 1024])]
fn decode_publish(bencher: Bencher, body_len: usize) {
    let bytes = publish(body_len);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut rest = black_box(&bytes[..]);
        while let Ok(Some((frame, len))) = frame::decode(rest, FRAME_MAX) {
            match frame.kind {
                FrameKind::Method => assert!(black_box(Method::decode(frame.payload)).is_ok()),
                FrameKind::Header => assert!(black_box(ContentHeader::decode(frame.payload)).is_ok()),
                FrameKind::Body | FrameKind::Heartbeat => assert!(!black_box(frame.payload).is_empty()),
            }
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    });
}

#[divan::bench(args = [16, 1024])]
fn frames_of_publish(bencher: Bencher, body_len: usize) {
    let bytes = publish(body_len);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut rest = black_box(&bytes[..]);
        while let Ok(Some((frame, len))) = frame::decode(rest, FRAME_MAX) {
            black_box(frame.payload);
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    });
}

#[divan::bench(args = [16, 1024])]
fn encode_deliver(bencher: Bencher, body_len: usize) {
    let (properties, body) = (properties(), vec![b'x'; body_len]);
    let properties = Properties::decode(&properties).expect("our own properties");
    let mut out = Vec::with_capacity(64 << 10);
    bencher.bench_local(|| {
        out.clear();
        black_box(deliver()).encode(CHANNEL, &mut out);
        encode_content(black_box(properties), black_box(&body), &mut out);
        out.len()
    });
}

#[divan::bench]
fn decode_declare(bencher: Bencher) {
    let arguments = arguments();
    let mut bytes = Vec::new();
    declare(&arguments).encode(CHANNEL, &mut bytes);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| decode_method(black_box(&bytes)));
}

#[divan::bench]
fn encode_declare(bencher: Bencher) {
    let arguments = arguments();
    let declare = declare(&arguments);
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        black_box(declare).encode(CHANNEL, &mut out);
        out.len()
    });
}

#[divan::bench]
fn decode_ack(bencher: Bencher) {
    let mut bytes = Vec::new();
    Method::BasicAck { delivery_tag: 7, multiple: false }.encode(CHANNEL, &mut bytes);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| decode_method(black_box(&bytes)));
}

fn decode_method(bytes: &[u8]) {
    let (frame, _) = frame::decode(bytes, FRAME_MAX).expect("a frame").expect("a whole one");
    black_box(Method::decode(frame.payload).expect("a method"));
}

fn publish(body_len: usize) -> Vec<u8> {
    let publish = Method::BasicPublish {
        exchange: "amq.direct".into(),
        routing_key: "a routing key".into(),
        mandatory: false,
        immediate: false,
    };
    let mut out = Vec::new();
    publish.encode(CHANNEL, &mut out);
    let properties = properties();
    encode_content(
        Properties::decode(&properties).expect("our own properties"),
        &vec![b'x'; body_len],
        &mut out,
    );
    out
}

fn encode_content(properties: Properties<'_>, body: &[u8], out: &mut Vec<u8>) {
    let header = ContentHeader { class_id: 60, weight: 0, body_size: body.len() as u64, properties };
    header.encode(CHANNEL, out);
    frame::encode_frame(out, FrameKind::Body, CHANNEL, |out| out.extend_from_slice(body));
}

fn properties() -> Vec<u8> {
    let content_type = ShortStr::new(b"application/octet-stream");
    PropertiesWriter { content_type, delivery_mode: Some(1), ..PropertiesWriter::default() }.finish()
}

fn deliver() -> Method<'static> {
    Method::BasicDeliver {
        consumer_tag: "amq.ctag-0123456789abcdef".into(),
        delivery_tag: 1_000_000,
        redelivered: false,
        exchange: "amq.direct".into(),
        routing_key: "a routing key".into(),
    }
}

fn arguments() -> Vec<u8> {
    TableWriter::new().i32("x-message-ttl", 60_000).string("x-dead-letter-exchange", "dead").finish()
}

fn declare(arguments: &[u8]) -> Method<'_> {
    Method::QueueDeclare {
        queue: "a queue with a name".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::decode(arguments).expect("our own arguments"),
    }
}
