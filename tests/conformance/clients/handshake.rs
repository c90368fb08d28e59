//! From the protocol header to open-ok, and out again. What a client that errs is told stands in `errors`.

use super::Target;
use crate::common::wire::{Tune, Wire, consume, declare_exclusive, encoded, publication};
use haremq::amqp::Method;
use haremq::amqp::frame::PROTOCOL_HEADER;
use std::time::{Duration, Instant};

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
