//! The codec against bytes that it did not write: a recorded session of a foreign client, and frames written out by hand
//! from the specification.
#![allow(clippy::unwrap_used)]

use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER};
use haremq::amqp::{ContentHeader, Frame, LongStr, Method, Table, Value};
use haremq::ids::ChannelNumber;

/// What pika 1.4.4 sends to connect, declare a queue with arguments, bind it, publish twice and close.
const PIKA: &[u8] = include_bytes!("fixtures/pika-1.4.4-session.bin");

fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((frame, len)) = frame::decode(bytes, 4096).unwrap() {
        frames.push(frame);
        bytes = &bytes[len..];
    }
    assert!(bytes.is_empty());
    frames
}

fn pika_frames() -> Vec<Frame<'static>> {
    frames(PIKA.strip_prefix(&PROTOCOL_HEADER).unwrap())
}

fn pika_methods() -> Vec<Method<'static>> {
    let of_method = |frame: &Frame<'static>| frame.kind == FrameKind::Method;
    pika_frames()
        .iter()
        .filter(|frame| of_method(frame))
        .map(|frame| Method::decode(frame.payload).unwrap())
        .collect()
}

#[test]
fn a_session_of_pika_is_read_method_by_method() {
    let names: Vec<_> = pika_methods().iter().map(Method::name).collect();
    let expected = [
        "connection.start-ok",
        "connection.tune-ok",
        "connection.open",
        "channel.open",
        "queue.declare",
        "queue.bind",
        "basic.qos",
        "basic.publish",
        "basic.publish",
        "channel.close",
        "connection.close",
    ];
    assert_eq!(names, expected);
    assert!(pika_methods().iter().all(Method::sent_by_client));
}

#[test]
fn what_pika_sent_encodes_to_the_same_bytes() {
    let mut out = PROTOCOL_HEADER.to_vec();
    for frame in pika_frames() {
        match frame.kind {
            FrameKind::Method => Method::decode(frame.payload).unwrap().encode(frame.channel, &mut out),
            FrameKind::Header => {
                ContentHeader::decode(frame.payload).unwrap().encode(frame.channel, &mut out)
            }
            FrameKind::Body | FrameKind::Heartbeat => {
                frame::encode_frame(&mut out, frame.kind, frame.channel, |out| {
                    out.extend_from_slice(frame.payload)
                });
            }
        }
    }
    // The second octet of connection.open's last two arguments is `insist`, which pika sets and we do not keep.
    let insist = out.iter().zip(PIKA).position(|(ours, theirs)| ours != theirs).unwrap();
    assert_eq!(&PIKA[insist - 3..insist + 2], b"\x01/\0\x01\xCE");
    out[insist] = 1;
    assert_eq!(out, PIKA);
}

#[test]
fn pika_introduces_itself() {
    let Method::ConnectionStartOk { client_properties, mechanism, response, locale } = pika_methods()[0]
    else {
        panic!("no start-ok")
    };
    assert_eq!((&mechanism[..], &locale[..]), (&b"PLAIN"[..], &b"en_US"[..]));
    assert_eq!(response, LongStr(b"\0guest\0guest"));
    assert_eq!(client_properties.find(b"product"), Some(Value::LongString(b"Pika Python Client Library")));
    let capabilities = client_properties.find(b"capabilities").unwrap().as_table().unwrap();
    assert_eq!(capabilities.iter().count(), 6);
    assert!(capabilities.iter().all(|(_, value)| value == Value::Bool(true)));
}

#[test]
fn arguments_of_pika_are_read_nested() {
    let Method::QueueDeclare { queue, durable, exclusive, arguments, .. } = pika_methods()[4] else {
        panic!("no declare")
    };
    assert_eq!((&queue[..], durable, exclusive), (&b"tasks"[..], true, false));
    assert_eq!(arguments.find(b"x-message-ttl"), Some(Value::I32(60_000)));
    assert_eq!(arguments.find(b"x-dead-letter-exchange"), Some(Value::LongString(b"dlx")));
    let nested = arguments.find(b"nested").unwrap().as_table().unwrap();
    let list: Vec<_> = nested.find(b"list").unwrap().as_array().unwrap().iter().collect();
    assert_eq!(list, [Value::I32(1), Value::LongString(b"two"), Value::Void, Value::I64(1 << 40)]);
}

#[test]
fn all_fourteen_properties_of_pika_are_read() {
    let headers: Vec<_> = pika_frames().into_iter().filter(|frame| frame.kind == FrameKind::Header).collect();
    let header = ContentHeader::decode(headers[0].payload).unwrap();
    assert_eq!((header.class_id, header.weight, header.body_size), (60, 0, 7));
    let properties = header.properties;
    assert_eq!(properties.content_type(), Some("application/json".into()));
    assert_eq!(properties.content_encoding(), Some("utf-8".into()));
    assert_eq!(properties.headers().unwrap().find(b"retries"), Some(Value::I32(3)));
    assert_eq!(properties.delivery_mode(), Some(2));
    assert_eq!(properties.priority(), Some(5));
    assert_eq!(properties.correlation_id(), Some("c-1".into()));
    assert_eq!(properties.reply_to(), Some("amq.rabbitmq.reply-to".into()));
    assert_eq!(properties.expiration(), Some("60000".into()));
    assert_eq!(properties.message_id(), Some("m-1".into()));
    assert_eq!(properties.timestamp(), Some(1_700_000_000));
    assert_eq!(properties.type_(), Some("task".into()));
    assert_eq!(properties.user_id(), Some("guest".into()));
    assert_eq!(properties.app_id(), Some("app".into()));
    assert_eq!(properties.cluster_id(), Some("cl".into()));

    let bare = ContentHeader::decode(headers[1].payload).unwrap();
    assert_eq!((bare.body_size, bare.properties.as_bytes()), (0, &[0, 0][..]));
}

#[test]
fn a_publish_is_three_frames() {
    let bytes = b"\x01\0\x01\0\0\0\x0D\0\x3C\0\x28\0\0\x02ex\x02rk\x01\xCE\
        \x02\0\x01\0\0\0\x0F\0\x3C\0\0\0\0\0\0\0\0\0\x02\x10\0\x02\xCE\
        \x03\0\x01\0\0\0\x02hi\xCE";
    let [method, header, body] = frames(bytes)[..] else { panic!("not three frames") };
    assert!([method, header, body].iter().all(|frame| frame.channel == ChannelNumber(1)));
    let publish = Method::BasicPublish {
        exchange: "ex".into(),
        routing_key: "rk".into(),
        mandatory: true,
        immediate: false,
    };
    assert_eq!(Method::decode(method.payload), Ok(publish));
    let header = ContentHeader::decode(header.payload).unwrap();
    assert_eq!((header.body_size, header.properties.delivery_mode()), (2, Some(2)));
    assert_eq!((body.kind, body.payload), (FrameKind::Body, &b"hi"[..]));
}

#[test]
fn flags_in_one_octet_are_told_apart() {
    for (octet, expected) in [(1, (true, false)), (2, (false, true)), (3, (true, true))] {
        let payload = [&b"\0\x3C\0\x28\0\0\0\0"[..], &[octet]].concat();
        let Ok(Method::BasicPublish { mandatory, immediate, .. }) = Method::decode(&payload) else {
            panic!("no publish")
        };
        assert_eq!((mandatory, immediate), expected);
    }
}

#[test]
fn what_a_server_says_is_written_as_the_specification_has_it() {
    let cases: [(Method<'_>, &[u8]); 6] = [
        (
            Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 },
            b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C\xCE",
        ),
        (Method::ConnectionOpenOk, b"\x01\0\0\0\0\0\x05\0\x0A\0\x29\0\xCE"),
        (Method::ChannelOpenOk, b"\x01\0\0\0\0\0\x08\0\x14\0\x0B\0\0\0\0\xCE"),
        (
            Method::QueueDeclareOk { queue: "q".into(), message_count: 1, consumer_count: 2 },
            b"\x01\0\0\0\0\0\x0E\0\x32\0\x0B\x01q\0\0\0\x01\0\0\0\x02\xCE",
        ),
        (
            Method::BasicDeliver {
                consumer_tag: "t".into(),
                delivery_tag: 1,
                redelivered: true,
                exchange: "".into(),
                routing_key: "q".into(),
            },
            b"\x01\0\0\0\0\0\x12\0\x3C\0\x3C\x01t\0\0\0\0\0\0\0\x01\x01\0\x01q\xCE",
        ),
        (
            Method::BasicNack { delivery_tag: 3, multiple: true, requeue: false },
            b"\x01\0\0\0\0\0\x0D\0\x3C\0\x78\0\0\0\0\0\0\0\x03\x01\xCE",
        ),
    ];
    for (method, expected) in cases {
        let mut out = Vec::new();
        method.encode(ChannelNumber(0), &mut out);
        assert_eq!(out, expected, "{}", method.name());
    }
}

#[test]
fn an_exchange_unbind_is_answered_with_method_51() {
    assert_eq!(Method::decode(b"\0\x28\0\x33"), Ok(Method::ExchangeUnbindOk));
    let unbind = Method::ExchangeUnbind {
        destination: "d".into(),
        source: "s".into(),
        routing_key: "".into(),
        nowait: false,
        arguments: Table::EMPTY,
    };
    assert_eq!(Method::decode(b"\0\x28\0\x28\0\0\x01d\x01s\0\0\0\0\0\0"), Ok(unbind));
}
