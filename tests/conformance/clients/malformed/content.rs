//! Content that comes without its method, in pieces that do not fit, or with properties that are none.

use super::frame;
use crate::clients::errors::ask;
use crate::clients::errors::case::{Case, Outcome, Stage, hard, soft};
use crate::common::wire::{body_frame, content_header, encoded, short};
use haremq::amqp::Method;

pub fn cases() -> Vec<Case> {
    [sequences(), headers(), sizes(), properties(), from_servers()].into_iter().flatten().collect()
}

fn publish() -> Vec<u8> {
    let (exchange, routing_key) = (short(""), short("nowhere"));
    encoded(1, Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false })
}

const PUBLISH: (u16, u16) = (60, 40);
const NO_METHOD: &str = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
const NO_HEADER: &str =
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
const NO_BODY: &str = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";

fn case(name: &str, outcome: Outcome, frames: &[Vec<u8>]) -> Case {
    Case::bytes(name, Stage::Channel, outcome, frames.concat())
}

fn sequences() -> Vec<Case> {
    let (header, body) = (|size| content_header(1, size), |octets: &[u8]| body_frame(1, octets));
    vec![
        case(
            "a body after a whole content",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), header(1), body(b"x"), body(b"y")],
        ),
        case(
            "an empty body after an empty content",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), header(0), body(b"")],
        ),
        case(
            "a header after a whole content",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), header(0), header(0)],
        ),
        case("two headers", hard(505, NO_BODY, PUBLISH), &[publish(), header(1), header(1)]),
        case("an empty body before the header", hard(505, NO_HEADER, PUBLISH), &[publish(), body(b"")]),
        case(
            "a get instead of a header",
            hard(505, NO_HEADER, PUBLISH),
            &[publish(), encoded(1, ask::get("q"))],
        ),
        case(
            "a close instead of a header",
            hard(505, NO_HEADER, PUBLISH),
            &[publish(), encoded(1, ask::close_channel())],
        ),
        case(
            "a close in the middle of a body",
            hard(505, NO_BODY, PUBLISH),
            &[publish(), header(9), body(b"x"), encoded(1, ask::close_channel())],
        ),
        case(
            "the header of another channel",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), content_header(2, 1)],
        ),
        case(
            "the body of another channel",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), header(1), body_frame(2, b"x")],
        ),
        case(
            "a body frame too many within the size",
            hard(505, NO_METHOD, (0, 0)),
            &[publish(), header(2), body(b"xy"), body(b"")],
        ),
        case("a header on a channel that is not open", hard(505, NO_METHOD, (0, 0)), &[content_header(9, 1)]),
        case("a body on a channel that is not open", hard(505, NO_METHOD, (0, 0)), &[body_frame(9, b"x")]),
        case(
            "empty bodies between others",
            Outcome::Goes,
            &[publish(), header(2), body(b""), body(b"x"), body(b""), body(b"y")],
        ),
        case(
            "a heartbeat within a content",
            Outcome::Goes,
            &[publish(), frame(8, 0, b""), header(1), frame(8, 0, b""), body(b"x")],
        ),
        Case::new("another channel's method within a content", Stage::Channel, Outcome::Goes, |s| {
            s.wire.bytes(&publish());
            s.wire.call(2, ask::confirm_select(), "confirm.select-ok");
            s.wire.bytes(&[content_header(1, 1), body_frame(1, b"x")].concat());
        }),
        case("a method and no header", Outcome::Waits, &[publish()]),
        case("a header and no body", Outcome::Waits, &[publish(), header(1)]),
        case("half of a body", Outcome::Waits, &[publish(), header(10), body(b"12345")]),
    ]
}

/// The head of a content header and the property flags.
fn header_of(class: u16, weight: u16, size: u64, properties: &[u8]) -> Vec<u8> {
    let head = [&class.to_be_bytes()[..], &weight.to_be_bytes(), &size.to_be_bytes()].concat();
    frame(2, 1, &[&head, properties].concat())
}

fn headers() -> Vec<Case> {
    let classes = [0, 10, 20, 40, 50, 61, 85, 90, u16::MAX].map(|class: u16| {
        let text = format!(
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class {class} instead"
        );
        let frames = [publish(), header_of(class, 0, 0, b"\0\0")];
        case(&format!("a header of class {class}"), hard(505, &text, PUBLISH), &frames)
    });
    let weights = [1, u16::MAX].map(|weight| {
        let frames = [publish(), header_of(60, weight, 0, b"\0\0")];
        case(&format!("a header of weight {weight}"), hard(505, NO_HEADER, PUBLISH), &frames)
    });
    let both = case(
        "a header of another class and weight",
        hard(505, NO_HEADER, PUBLISH),
        &[publish(), header_of(50, 1, 0, b"\0\0")],
    );
    classes.into_iter().chain(weights).chain([both]).collect()
}

fn sizes() -> Vec<Case> {
    let max = 134_217_728_u64;
    let sizes =
        [max + 1, 1 << 29, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX].map(|size| {
            let text =
                format!("PRECONDITION_FAILED - message size {size} is larger than configured max size {max}");
            case(
                &format!("a body of {size} octets announced"),
                soft(406, &text, PUBLISH),
                &[publish(), content_header(1, size)],
            )
            .rabbitmq(
                Outcome::Waits,
                "it looks at the size once all of the body is there, which costs memory",
            )
        });
    let largest = case("the largest body announced", Outcome::Waits, &[publish(), content_header(1, max)]);
    sizes.into_iter().chain([largest]).collect()
}

/// Flags without the values that they announce.
fn properties() -> Vec<Case> {
    let syntax = |what: &str| hard(502, &format!("SYNTAX_ERROR - {what}"), PUBLISH);
    let names = [
        "content-type",
        "content-encoding",
        "headers",
        "delivery-mode",
        "priority",
        "correlation-id",
        "reply-to",
        "expiration",
        "message-id",
        "timestamp",
        "type",
        "user-id",
        "app-id",
        "cluster-id",
    ];
    let crashes = |case: Case| case.rabbitmq(hard(541, "INTERNAL_ERROR", (0, 0)), ITS_CHANNEL_CRASHES);
    let missing = names.into_iter().enumerate().map(|(at, name)| {
        let flags = (0x8000_u16 >> at).to_be_bytes();
        crashes(case(
            &format!("the flag of {name} without it"),
            syntax("malformed content header"),
            &[publish(), header_of(60, 0, 0, &flags)],
        ))
    });
    let odd: [(&str, &[u8]); 11] = [
        ("no flags", b""),
        ("half of the flags", b"\0"),
        ("more flags announced", b"\0\x01\0\0"),
        ("an octet after the flags", b"\0\0\0"),
        ("octets after the last property", b"\x10\0\x02\0\0"),
        ("a content-type beyond the frame", b"\x80\0\xFFtext"),
        ("a headers table beyond the frame", b"\x20\0\0\0\0\xFF\x01aV"),
        ("a headers table of unknown types", b"\x20\0\0\0\0\x03\x01a?"),
        ("a headers table that is cut off", b"\x20\0\0\0\0\x02\x01a"),
        ("half of a timestamp", b"\0\x40\0\0\0\0"),
        ("all flags and nothing else", b"\xFF\xFC"),
    ];
    let odd = odd.into_iter().map(|(what, properties)| {
        crashes(case(
            &format!("properties with {what}"),
            syntax("malformed content header"),
            &[publish(), header_of(60, 0, 0, properties)],
        ))
    });
    let fine: [(&str, &[u8]); 4] = [
        ("a content-type that is no UTF-8", b"\x80\0\x02\xFF\xFE"),
        ("a priority of 255", b"\x08\0\xFF"),
        ("the last of all timestamps", b"\0\x40\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        ("an empty headers table", b"\x20\0\0\0\0\0"),
    ];
    let fine = fine.into_iter().map(|(what, properties)| {
        case(&format!("properties with {what}"), Outcome::Goes, &[publish(), header_of(60, 0, 0, properties)])
    });
    let unreadable = frame(1, 1, b"\0\x3c\0\x28\0\0\0\x02\xFF\xFE\0");
    let frames = |properties| [publish(), header_of(60, 0, 0, properties)];
    let differing = [
        case("a delivery mode of 7", Outcome::Goes, &frames(b"\x10\0\x07")).rabbitmq(
            soft(406, "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,7}", PUBLISH),
            "the delivery mode is not looked at as long as nothing is durable",
        ),
        // To look at each key would cost each message.
        case("a routing key that is no UTF-8", Outcome::Goes, &[unreadable, header_of(60, 0, 0, b"\0\0")]),
        case("a flag that nobody knows", syntax("malformed content header"), &frames(b"\0\x02")).rabbitmq(
            Outcome::Goes,
            "it passes the flag on, and a consumer would look for what it announces",
        ),
    ];
    missing.chain(odd).chain(fine).chain(differing).collect()
}

const ITS_CHANNEL_CRASHES: &str = "its channel crashes on properties that it cannot parse, and says 541";

/// Methods with content that only servers send.
fn from_servers() -> Vec<Case> {
    let (exchange, routing_key, consumer_tag) = (short(""), short("k"), short("t"));
    let (delivery_tag, redelivered, message_count) = (1, false, 0);
    [
        Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key },
        Method::BasicReturn { reply_code: 312, reply_text: "NO_ROUTE".into(), exchange, routing_key },
        Method::BasicGetOk { delivery_tag, redelivered, exchange, routing_key, message_count },
    ]
    .map(|method| {
        let outcome = hard(503, "COMMAND_INVALID - unimplemented method", method.ids());
        case(
            &format!("{} from a client", method.name()),
            outcome,
            &[encoded(1, method), content_header(1, 0)],
        )
    })
    .into()
}
