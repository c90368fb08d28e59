//! Whatever comes before a login ends in a session of guest or in a refusal with a code; what we write is well formed.
#![no_main]

use haremq::access::Access;
use haremq::amqp::frame::{self, FrameKind, PROTOCOL_HEADER};
use haremq::amqp::{Method, ReplyCode};
use haremq::connection::handshake::{Handshake, HandshakeConfig, HeaderOutcome, Progress, Refusal, Session};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let mut out = Vec::new();
    let access = Access::guest();
    let mut handshake = Handshake::new(HandshakeConfig::default(), true);
    let accepted = handshake.on_header(&PROTOCOL_HEADER, &mut out);
    assert_eq!(accepted, HeaderOutcome::Accepted);
    let mut rest = stream;
    while let Ok(Some((frame, len))) = frame::decode(rest, handshake.frame_max()) {
        rest = &rest[len..];
        let (FrameKind::Method, Ok(method)) = (frame.kind, Method::decode(frame.payload)) else { continue };
        match handshake.on_method(&method, &access, &mut out) {
            Ok(Progress::Continue) => assert!((4096..=131_072).contains(&handshake.frame_max())),
            Ok(Progress::Judge(claim)) => panic!("guest's hash is a fast one: {claim:?}"),
            Ok(Progress::Open(session)) => {
                assert_is_guest(&session);
                break;
            }
            Err(refusal) => {
                assert_has_a_code(&refusal);
                break;
            }
        }
    }
    assert_well_formed(&out);
});

fn assert_is_guest(session: &Session) {
    assert_eq!(session.user[..], b"guest"[..]);
    assert!((1..=2047).contains(&session.channel_max));
}

fn assert_has_a_code(refusal: &Refusal) {
    let (Refusal::Close(error) | Refusal::CloseAfter3s(error)) = refusal else { return };
    let codes = [
        ReplyCode::AccessRefused,
        ReplyCode::SyntaxError,
        ReplyCode::CommandInvalid,
        ReplyCode::ChannelError,
        ReplyCode::NotAllowed,
    ];
    assert!(codes.contains(&error.code) && error.reply_text().len() <= 255);
    let mut out = Vec::new();
    error.encode(&mut out);
    assert_well_formed(&out);
}

fn assert_well_formed(mut bytes: &[u8]) {
    while let Some((frame, len)) = frame::decode(bytes, 4096).expect("frames") {
        assert!(!Method::decode(frame.payload).expect("methods").is_content());
        bytes = &bytes[len..];
    }
    assert!(bytes.is_empty());
}
