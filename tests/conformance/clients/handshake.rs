//! From the protocol header to open-ok, and out again: what a client that errs is told.

use super::Target;
use crate::common::wire::{
    Tune, Wire, body_frame, consume, content_header, declare_exclusive, encoded, publication,
};
use haremq::amqp::Method;
use haremq::amqp::frame::{FRAME_END, PROTOCOL_HEADER};
use std::time::{Duration, Instant};

#[test]
fn a_wrong_protocol_header_is_answered_with_ours() {
    let target = Target::start();
    let greetings: [&[u8]; 5] = [
        b"AMQP\0\0\x09\x02",
        b"AMQP\x09\x09\x09\x09",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1],
        b"\0\0\0\0\0\0\0\0",
    ];
    for greeting in greetings {
        let mut wire = Wire::connect(target.address);
        wire.bytes(greeting);
        assert_eq!(wire.rest(), PROTOCOL_HEADER, "{greeting:?}");
    }
}

#[test]
fn the_handshake_may_come_byte_by_byte() {
    let target = Target::start();
    let mut wire = Wire::connect(target.address);
    for byte in PROTOCOL_HEADER {
        wire.bytes(&[byte]);
    }
    wire.expect(0, "connection.start");
    wire.login("PLAIN", b"\0guest\0guest", true);
    wire.expect(0, "connection.tune");
    let Tune { channel_max, frame_max, heartbeat } = Tune::default();
    let mut bytes = encoded(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat });
    bytes.extend(encoded(0, Method::ConnectionOpen { virtual_host: "/".into() }));
    bytes.extend(encoded(1, Method::ChannelOpen));
    bytes.extend(encoded(1, declare_exclusive("byte-by-byte")));
    bytes.extend(publication(1, "", "byte-by-byte", false, b"slowly"));
    bytes.extend(encoded(1, Method::BasicGet { queue: "byte-by-byte".into(), no_ack: true }));
    for byte in bytes {
        wire.bytes(&[byte]);
    }
    wire.expect(0, "connection.open-ok");
    wire.expect(1, "channel.open-ok");
    wire.expect(1, "queue.declare-ok");
    wire.expect(1, "basic.get-ok");
    assert_eq!(wire.content().1, b"slowly");
}

#[test]
fn the_handshake_may_come_at_once() {
    let target = Target::start();
    let mut wire = Wire::connect(target.address);
    let Tune { channel_max, frame_max, heartbeat } = Tune::default();
    let mut bytes = PROTOCOL_HEADER.to_vec();
    bytes.extend(encoded(
        0,
        Method::ConnectionStartOk {
            client_properties: haremq::amqp::Table::EMPTY,
            mechanism: "PLAIN".into(),
            response: haremq::amqp::LongStr(b"\0guest\0guest"),
            locale: "en_US".into(),
        },
    ));
    bytes.extend(encoded(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat }));
    bytes.extend(encoded(0, Method::ConnectionOpen { virtual_host: "/".into() }));
    bytes.extend(encoded(1, Method::ChannelOpen));
    bytes.extend(encoded(1, declare_exclusive("at-once")));
    wire.bytes(&bytes);
    for (channel, name) in [
        (0, "connection.start"),
        (0, "connection.tune"),
        (0, "connection.open-ok"),
        (1, "channel.open-ok"),
        (1, "queue.declare-ok"),
    ] {
        wire.expect(channel, name);
    }
}

#[test]
fn an_unknown_mechanism_is_refused() {
    let target = Target::start();
    let mut wire = Wire::connect(target.address);
    wire.bytes(&PROTOCOL_HEADER);
    wire.expect(0, "connection.start");
    wire.login("SCRAM", b"", true);
    // RabbitMQ closes without a word what goes wrong before tune-ok, but for a failed login; we say what it was.
    if target.is_oracle() {
        return assert!(wire.frame().is_none());
    }
    let text = "COMMAND_INVALID - unknown authentication mechanism 'SCRAM'";
    assert_eq!(wire.closed(), (503, text.to_owned()));
}

#[test]
fn a_wrong_password_is_refused_in_silence_to_clients_that_do_not_know_the_refusal() {
    let target = Target::start();
    let began = Instant::now();
    let mut wire = Wire::connect(target.address);
    wire.bytes(&PROTOCOL_HEADER);
    wire.expect(0, "connection.start");
    wire.login("PLAIN", b"\0guest\0wrong", false);
    assert!(wire.frame().is_none(), "not a word");
    assert!(began.elapsed() > Duration::from_secs(1), "guessing passwords takes its time");
}

#[test]
fn an_odd_plain_response_does_not_get_in() {
    let target = Target::start();
    for response in [&b""[..], b"guest", b"\0guest", b"\0\0", b"\0guest\0guest\0"] {
        let mut wire = Wire::connect(target.address);
        wire.bytes(&PROTOCOL_HEADER);
        wire.expect(0, "connection.start");
        wire.login("PLAIN", response, true);
        // Silence is RabbitMQ's answer to what it cannot read.
        let answer = wire.frame().map(|reply| reply.close().0);
        assert!([None, Some(403), Some(502)].contains(&answer), "{response:?}: {answer:?}");
    }
}

#[test]
fn limits_outside_the_offer_are_refused() {
    let target = Target::start();
    let frame = |asked: &str, than: &str| format!("negotiated frame_max = {asked} is {than} allowed value");
    let channels = |asked: &str| {
        format!("negotiated channel_max = {asked} is higher than the maximum allowed value (2047)")
    };
    for (channel_max, frame_max, text) in [
        (2047, 100, frame("100", "lower than the minimum") + " (4096)"),
        (2047, 131_073, frame("131073", "higher than the maximum") + " (131072)"),
        (2047, 0, frame("0 (no limit)", "higher than the maximum") + " (131072)"),
        (2048, 131_072, channels("2048")),
        (0, 131_072, channels("0 (no limit)")),
    ] {
        let mut wire = Wire::tuned(target.address, Tune { channel_max, frame_max, heartbeat: 0 });
        // The 3.10 of the oracle says it to its log alone.
        if target.is_oracle() {
            assert!(wire.frame().is_none());
        } else {
            assert_eq!(wire.closed(), (530, format!("NOT_ALLOWED - {text}")));
        }
    }
}

#[test]
fn no_more_channels_than_negotiated() {
    let target = Target::start();
    let mut wire = Wire::open_with(target.address, Tune { channel_max: 2, ..Tune::default() });
    wire.channel(1);
    wire.channel(2);
    wire.send(3, Method::ChannelOpen);
    let (code, text) = wire.closed();
    assert_eq!(code, 530);
    assert!(text.contains("(2)"), "{text}");
}

#[test]
fn a_method_out_of_its_state_closes_the_connection() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.send(5, declare_exclusive("too-early"));
    assert_eq!(wire.closed(), (504, "CHANNEL_ERROR - expected 'channel.open'".to_owned()));

    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.send(1, Method::ChannelOpen);
    assert_eq!(wire.closed(), (504, "CHANNEL_ERROR - second 'channel.open' seen".to_owned()));
}

#[test]
fn what_does_not_decode_closes_the_connection() {
    let target = Target::start();
    let too_large = [1, 0, 1, 0, 16, 0, 0];
    let bad_end = [1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 40, FRAME_END - 1];
    let unknown_method = [1, 0, 1, 0, 0, 0, 4, 0, 60, 0xFF, 0xFF, FRAME_END];
    let unknown_class = [1, 0, 1, 0, 0, 0, 4, 0, 77, 0, 10, FRAME_END];
    let cut_off = [1, 0, 1, 0, 0, 0, 5, 0, 60, 0, 40, 0, FRAME_END];
    for (what, bytes, code) in [
        ("a frame beyond frame_max", &too_large[..], 501),
        ("a frame without its end", &bad_end, 501),
        ("an unknown method", &unknown_method, 503),
        ("an unknown class", &unknown_class, 503),
        ("a method that ends early", &cut_off, 502),
    ] {
        let mut wire = Wire::open(target.address);
        wire.channel(1);
        wire.bytes(bytes);
        match wire.frame() {
            // RabbitMQ's reader crashes on what is no method, or calls it an error of the frame.
            None => assert!(target.is_oracle() && code != 501, "{what}: closed without a word"),
            Some(reply) if target.is_oracle() => assert_eq!(reply.close().0, 501, "{what}"),
            Some(reply) => assert_eq!(reply.close().0, code, "{what}: {}", reply.close().1),
        }
    }
}

#[test]
fn frames_out_of_sequence_close_the_connection() {
    let target = Target::start();
    let publish = || {
        let (exchange, routing_key) = ("".into(), "nowhere".into());
        encoded(1, Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false })
    };
    for (frames, code, text) in [
        (
            [publish(), publish()].concat(),
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
        ),
        (
            [publish(), content_header(1, 10), publish()].concat(),
            505,
            "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
        ),
        (body_frame(1, b"x"), 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"),
        (content_header(1, 1), 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"),
    ] {
        let mut wire = Wire::open(target.address);
        wire.channel(1);
        wire.bytes(&frames);
        assert_eq!(wire.closed(), (code, text.to_owned()));
    }
    // The 3.10 of the oracle waits on for the end of a body that is already too long.
    if !target.is_oracle() {
        let mut wire = Wire::open(target.address);
        wire.channel(1);
        wire.bytes(&[publish(), content_header(1, 3), body_frame(1, b"four")].concat());
        let text = "FRAME_ERROR - content body frame exceeds remaining content size";
        assert_eq!(wire.closed(), (501, text.to_owned()));
    }
}

#[test]
fn a_close_is_answered_after_all_that_came_before_it() {
    let target = Target::start();
    let mut wire = Wire::open(target.address);
    wire.channel(1);
    wire.call(1, declare_exclusive("closing"), "queue.declare-ok");
    wire.call(1, Method::ConfirmSelect { nowait: false }, "confirm.select-ok");
    let mut bytes = publication(1, "", "closing", false, b"x");
    bytes.extend(encoded(1, consume("closing", "c", true)));
    bytes.extend(encoded(
        0,
        Method::ConnectionClose { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 },
    ));
    wire.bytes(&bytes);
    while wire.frame().expect("the answer comes first").payload != [0, 10, 0, 51] {}
}
