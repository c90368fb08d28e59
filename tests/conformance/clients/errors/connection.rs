//! What costs a client its connection.

use super::ask;
use super::case::{Case, Outcome, Scene, Stage, hard};
use crate::common::wire::{body_frame, consume, content_header, encoded, short};
use haremq::amqp::Method;
use haremq::amqp::frame::FRAME_END;

pub fn rows() -> Vec<Case> {
    [not_allowed(), not_implemented(), states(), sequences(), frames()].into_iter().flatten().collect()
}

fn row(name: &str, outcome: Outcome, act: impl Fn(&mut Scene<'_>) + Send + Sync + 'static) -> Case {
    Case::new(name, Stage::Channel, outcome, act)
}

fn not_allowed() -> Vec<Case> {
    vec![row(
        "a consumer tag used twice",
        hard(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", (60, 20)),
        |s| {
            s.wire.call(1, ask::declare_exclusive(s.q), "queue.declare-ok");
            s.wire.call(1, consume(s.q, "t", true), "basic.consume-ok");
            s.wire.send(1, consume(s.q, "t", true));
        },
    )]
}

fn not_implemented() -> Vec<Case> {
    let sends = |name, text: &str, method: Method<'static>| {
        row(name, hard(540, &format!("NOT_IMPLEMENTED - {text}"), method.ids()), move |s| {
            s.wire.send(1, method);
            if method.is_content() {
                s.wire.bytes_if_open(&content_header(1, 0));
            }
        })
    };
    let (exchange, routing_key) = (short(""), short("x"));
    vec![
        sends(
            "a prefetch of octets",
            "prefetch_size!=0 (1)",
            Method::BasicQos { prefetch_size: 1, prefetch_count: 0, global: false },
        ),
        sends(
            "an immediate publish",
            "immediate=true",
            Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: true },
        ),
        sends("recover without requeue", "requeue=false", Method::BasicRecover { requeue: false }),
        sends("recover-async without requeue", "requeue=false", Method::BasicRecoverAsync { requeue: false }),
        sends("flow that stops", "active=false", Method::ChannelFlow { active: false }),
    ]
}

fn states() -> Vec<Case> {
    let unimplemented = |name, method: Method<'static>| {
        row(name, hard(503, "COMMAND_INVALID - unimplemented method", method.ids()), move |s| {
            s.wire.send(1, method)
        })
    };
    let running = |name, method: Method<'static>| {
        let text = "CHANNEL_ERROR - unexpected method in connection state running";
        row(name, hard(504, text, method.ids()), move |s| s.wire.send(0, method))
    };
    vec![
        unimplemented(
            "declare-ok from a client",
            Method::QueueDeclareOk { queue: "q".into(), message_count: 0, consumer_count: 0 },
        ),
        unimplemented("get-empty from a client", Method::BasicGetEmpty),
        unimplemented("open-ok from a client", Method::ChannelOpenOk),
        unimplemented("connection.open on a channel", ask::open()),
        running(
            "a second tune-ok",
            Method::ConnectionTuneOk { channel_max: 1, frame_max: 8192, heartbeat: 0 },
        ),
        running("a second open", ask::open()),
        running("a method of channels on channel 0", ask::qos(1, false)),
        row(
            "a second channel.open",
            hard(504, "CHANNEL_ERROR - second 'channel.open' seen", (20, 10)),
            |s| {
                s.wire.send(1, Method::ChannelOpen);
            },
        ),
        row(
            "a method before channel.open",
            hard(504, "CHANNEL_ERROR - expected 'channel.open'", (60, 10)),
            |s| {
                s.wire.send(5, ask::qos(1, false));
            },
        ),
    ]
}

fn publish() -> Vec<u8> {
    let (exchange, routing_key) = (short(""), short("nowhere"));
    encoded(1, Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false })
}

const PUBLISH: (u16, u16) = (60, 40);

fn sequences() -> Vec<Case> {
    let unexpected = |name, text: &str, method, frames: Vec<u8>| {
        Case::bytes(name, Stage::Channel, hard(505, &format!("UNEXPECTED_FRAME - {text}"), method), frames)
    };
    let no_method = "expected method frame, got non method frame instead";
    let no_header = "expected content header for class 60, got non content header frame instead";
    let no_body = "expected content body, got non content body frame instead";
    vec![
        unexpected("a header without a method", no_method, (0, 0), content_header(1, 1)),
        unexpected("a body without a method", no_method, (0, 0), body_frame(1, b"x")),
        unexpected("a method instead of a header", no_header, PUBLISH, [publish(), publish()].concat()),
        unexpected(
            "a body instead of a header",
            no_header,
            PUBLISH,
            [publish(), body_frame(1, b"x")].concat(),
        ),
        unexpected(
            "a method instead of a body",
            no_body,
            PUBLISH,
            [publish(), content_header(1, 9), publish()].concat(),
        ),
        unexpected(
            "a header instead of a body",
            no_body,
            PUBLISH,
            [publish(), content_header(1, 9), content_header(1, 9)].concat(),
        ),
        unexpected(
            "the header of another class",
            "expected content header for class 60, got one for class 50 instead",
            PUBLISH,
            [&publish()[..], b"\x02\0\x01\0\0\0\x0E\0\x32\0\0\0\0\0\0\0\0\0\0\0\0\xCE"].concat(),
        ),
        Case::bytes(
            "a body beyond what was announced",
            Stage::Channel,
            hard(501, "FRAME_ERROR - content body frame exceeds remaining content size", PUBLISH),
            [publish(), content_header(1, 3), body_frame(1, b"four")].concat(),
        )
        .rabbitmq(
            Outcome::Waits,
            "3.10 waits for the end of a body that is already too long; later releases do as we do",
        ),
    ]
}

fn frames() -> Vec<Case> {
    let frame = |name, text: &str, bytes: Vec<u8>| {
        Case::bytes(name, Stage::Channel, hard(501, &format!("FRAME_ERROR - {text}"), (0, 0)), bytes)
    };
    vec![
        frame(
            "a frame beyond frame_max",
            "type 1, all octets = <<>>: {frame_too_large,131073,131064}",
            b"\x01\0\x01\0\x02\0\x01".to_vec(),
        ),
        frame(
            "a frame without its end",
            "type 1, all octets = <<0,60,0,40>>: {invalid_frame_end_marker,205}",
            vec![1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 40, FRAME_END - 1],
        ),
        Case::bytes(
            "a heartbeat on a channel",
            Stage::Channel,
            hard(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", (0, 0)),
            [8, 0, 1, 0, 0, 0, 0, FRAME_END],
        ),
    ]
}
