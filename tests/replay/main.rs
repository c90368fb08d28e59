//! Sessions of foreign clients with RabbitMQ, recorded octet by octet, against the codec and against a shard.
//!
//! `tests/fixtures/record.py` records them and says what is in a file.
#![allow(clippy::unwrap_used)]

mod broker;
#[path = "../sim/dice.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod dice;
#[path = "../sim/host.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod host;
#[path = "../sim/letter.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod letter;
mod session;
#[path = "../sim/wire.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod wire;

/// What the simulator's hosts say when a promise is broken.
mod oracle {
    pub type ConnectionIx = usize;
    pub type Verdict<T = ()> = Result<T, String>;

    pub fn violation<T>(text: impl Into<String>) -> Verdict<T> {
        Err(text.into())
    }
}

use std::collections::BTreeSet;

use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER};
use haremq::amqp::{ContentHeader, Frame, Method};

use session::Side;

#[test]
fn every_frame_encodes_to_the_octets_it_was_read_from() {
    for session in session::all() {
        for side in [Side::Client, Side::Server] {
            for frame in frames(&session.octets(side)) {
                let mut encoded = Vec::new();
                encode(&frame.as_frame(), &mut encoded);
                assert_eq!(
                    encoded.escape_ascii().to_string(),
                    frame.raw.escape_ascii().to_string(),
                    "{session:?}"
                );
            }
        }
    }
}

#[test]
fn each_side_sends_what_it_may() {
    for session in session::all().iter().filter(|session| session.is_general()) {
        let names = |side| -> BTreeSet<&str> {
            let frames = frames(&session.octets(side));
            let methods = frames.iter().filter(|frame| frame.kind == FrameKind::Method);
            methods
                .map(|frame| Method::decode(&frame.payload).unwrap())
                .inspect(|method| assert!(side == Side::Server || method.sent_by_client(), "{method:?}"))
                .map(|method| method.name())
                .collect()
        };
        let (client, server) = (names(Side::Client), names(Side::Server));
        for name in CLIENT_SENDS {
            assert!(client.contains(name), "{session:?} has no {name}");
        }
        for name in SERVER_SENDS {
            assert!(server.contains(name), "{session:?} has no {name}");
        }
    }
}

/// What a recording must have to be worth its place.
const CLIENT_SENDS: [&str; 12] = [
    "connection.start-ok",
    "exchange.declare",
    "queue.bind",
    "queue.unbind",
    "basic.publish",
    "basic.consume",
    "basic.ack",
    "basic.nack",
    "basic.reject",
    "basic.get",
    "confirm.select",
    "connection.close",
];
const SERVER_SENDS: [&str; 7] = [
    "basic.deliver",
    "basic.get-ok",
    "basic.get-empty",
    "basic.return",
    "basic.ack",
    "channel.close",
    "connection.close-ok",
];

#[test]
fn a_shard_answers_as_rabbitmq_did_however_the_octets_are_cut() {
    for session in session::all() {
        for seed in 0..SEEDS {
            broker::replay(&session, seed);
        }
    }
}

const SEEDS: u64 = 30;

struct OwnFrame {
    kind: FrameKind,
    channel: haremq::ids::ChannelNumber,
    payload: Vec<u8>,
    raw: Vec<u8>,
}

impl OwnFrame {
    fn as_frame(&self) -> Frame<'_> {
        Frame { kind: self.kind, channel: self.channel, payload: &self.payload }
    }
}

/// All frames of one side, without the protocol header.
fn frames(octets: &[u8]) -> Vec<OwnFrame> {
    let mut rest = octets.strip_prefix(&PROTOCOL_HEADER).unwrap_or(octets);
    let mut frames = Vec::new();
    while let Some((frame, size)) = frame::decode(rest, session::FRAME_MAX).unwrap() {
        let (raw, behind) = rest.split_at(size);
        let Frame { kind, channel, payload } = frame;
        frames.push(OwnFrame { kind, channel, payload: payload.to_vec(), raw: raw.to_vec() });
        rest = behind;
    }
    assert!(rest.is_empty(), "a session ends with a frame");
    frames
}

fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    match frame.kind {
        FrameKind::Method => {
            Method::decode(frame.payload).unwrap().encode(frame.channel, out);
            // Its last octet is `insist`, which some clients set and which means nothing since 0-9-1.
            if let Ok(Method::ConnectionOpen { .. }) = Method::decode(frame.payload) {
                let insist = out.len() - 2;
                out[insist] = frame.payload[frame.payload.len() - 1];
            }
        }
        FrameKind::Header => ContentHeader::decode(frame.payload).unwrap().encode(frame.channel, out),
        FrameKind::Body | FrameKind::Heartbeat => {
            frame::encode_frame(out, frame.kind, frame.channel, |out| out.extend_from_slice(frame.payload));
        }
    }
}
