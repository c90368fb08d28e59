//! Frames of unknown kinds, of wrong sizes, without their end, and on channels where they do not belong.

use super::{erlang, frame};
use crate::clients::errors::case::{Case, Outcome, Stage, hard};
use crate::common::wire::{content_header, encoded, short};
use haremq::amqp::Method;

const KINDS: [(u8, &str); 4] = [(1, "method"), (2, "header"), (3, "body"), (8, "heartbeat")];
/// What a client may send in a frame, less what a frame adds to it.
const PAYLOAD_MAX: u32 = 131_064;

pub fn cases() -> Vec<Case> {
    [unknown_kinds(), too_large(), bad_ends(), too_short(), channel_zero(), just_right()]
        .into_iter()
        .flatten()
        .collect()
}

fn frame_error(name: String, kind: u8, octets: &[u8], what: &str, bytes: Vec<u8>) -> Case {
    let text = format!("FRAME_ERROR - type {kind}, {}: {what}", snippet(octets));
    Case::bytes(name, Stage::Channel, hard(501, &text, (0, 0)), bytes)
}

fn unexpected(name: &str, kind: u8, octets: &[u8], bytes: Vec<u8>) -> Case {
    let text = format!("UNEXPECTED_FRAME - type {kind}, {}", snippet(octets));
    Case::bytes(name, Stage::Channel, hard(505, &text, (0, 0)), bytes)
}

fn snippet(octets: &[u8]) -> String {
    match octets.get(..16) {
        Some(first) if octets.len() > 16 => format!("first 16 octets = {}", erlang(first)),
        _ => format!("all octets = {}", erlang(octets)),
    }
}

fn unknown_kinds() -> Vec<Case> {
    let kinds = [0, 4, 5, 6, 7, 9, 128, 255].into_iter().flat_map(|kind| {
        [0, 1].map(|channel| {
            let name = format!("a frame of kind {kind} on channel {channel}");
            frame_error(name, kind, b"", "unknown_frame", frame(kind, channel, b""))
        })
    });
    let octets = [&b"text"[..], b"\x01\x02\x03", b"sixteen octets, ", b"seventeen octets."].map(|octets| {
        let name = format!("a frame of kind 4 with {} octets", octets.len());
        frame_error(name, 4, octets, "unknown_frame", frame(4, 1, octets))
    });
    let http = frame_error(
        "an HTTP request where a frame is due".to_owned(),
        b'G',
        b"",
        "{frame_too_large,539959368,131064}",
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    );
    kinds.chain(octets).chain([http]).collect()
}

fn too_large() -> Vec<Case> {
    let sizes = [PAYLOAD_MAX + 9, 0x0020_0000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
    let cases = KINDS.into_iter().flat_map(|(kind, what)| {
        sizes.map(|size| {
            let head = [&[kind, 0, 1][..], &size.to_be_bytes()].concat();
            let text = format!("{{frame_too_large,{size},{PAYLOAD_MAX}}}");
            frame_error(format!("a {what} frame that announces {size} octets"), kind, b"", &text, head)
        })
    });
    cases.collect()
}

fn bad_ends() -> Vec<Case> {
    let cases = KINDS.into_iter().flat_map(|(kind, what)| {
        [0, 0xCD, 0xCF, 0xFF].map(|end: u8| {
            let mut bytes = frame(kind, 1, b"abc");
            *bytes.last_mut().expect("a frame has an end") = end;
            let text = format!("{{invalid_frame_end_marker,{end}}}");
            frame_error(format!("a {what} frame that ends with {end}"), kind, b"abc", &text, bytes)
        })
    });
    cases.collect()
}

/// Shorter than what each kind has at least, or longer than a heartbeat has at most.
fn too_short() -> Vec<Case> {
    let sizes = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 2), (2, 4), (2, 11), (8, 1), (8, 20)];
    let cases = sizes.map(|(kind, size)| {
        let payload = vec![0; size];
        let name = format!("a frame of kind {kind} and {size} octets");
        frame_error(name, kind, &payload, "unknown_frame", frame(kind, u16::from(kind != 8), &payload))
    });
    cases.into_iter().collect()
}

fn channel_zero() -> Vec<Case> {
    let header = content_header(0, 5);
    vec![
        unexpected("a header on channel 0", 2, &header[7..header.len() - 1], header.clone()),
        unexpected("a body on channel 0", 3, b"body", frame(3, 0, b"body")),
        unexpected("an empty body on channel 0", 3, b"", frame(3, 0, b"")),
        unexpected("a heartbeat on channel 1", 8, b"", frame(8, 1, b"")),
        unexpected("a heartbeat on a channel that is not open", 8, b"", frame(8, 9, b"")),
        unexpected("a heartbeat on the last channel", 8, b"", frame(8, u16::MAX, b"")),
        Case::bytes("a heartbeat", Stage::Channel, Outcome::Goes, frame(8, 0, b"")),
        Case::bytes("a thousand heartbeats", Stage::Channel, Outcome::Goes, frame(8, 0, b"").repeat(1000)),
    ]
}

fn just_right() -> Vec<Case> {
    let publish = |size: u32| {
        let (exchange, routing_key) = (short(""), short("nowhere"));
        let publish = Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false };
        [encoded(1, publish), content_header(1, size.into()), frame(3, 1, &vec![7; size as usize])].concat()
    };
    let name = |what| format!("a body frame {what}");
    vec![
        Case::bytes(name("of frame_max"), Stage::Channel, Outcome::Goes, publish(PAYLOAD_MAX)),
        Case::bytes(
            name("whose payload alone has frame_max octets"),
            Stage::Channel,
            Outcome::Goes,
            publish(PAYLOAD_MAX + 8),
        ),
        Case::bytes(
            "a frame's head and no more",
            Stage::Channel,
            Outcome::Waits,
            frame(1, 1, b"\0\x3c\0\x0a")[..7].to_vec(),
        ),
        Case::bytes("a frame without its last octet", Stage::Channel, Outcome::Waits, {
            let mut bytes = frame(3, 1, &[7; 1000]);
            bytes.pop();
            bytes
        }),
    ]
}
