//! Streams cut anywhere, and streams that no broker may send.

use super::*;

#[derive(Default, PartialEq, Eq, Debug)]
struct Log(Vec<Event>);

#[derive(PartialEq, Eq, Debug)]
enum Event {
    Delivered(u16, u64, bool, Vec<u8>),
    Returned(u16, Vec<u8>),
    Method(u16, Vec<u8>),
}

impl Sink for Log {
    fn delivered(&mut self, delivery: Delivery, body: &[u8]) {
        let Delivery { channel, tag, redelivered } = delivery;
        self.0.push(Event::Delivered(channel, tag, redelivered, body.to_vec()));
    }
    fn returned(&mut self, channel: u16, body: &[u8]) {
        self.0.push(Event::Returned(channel, body.to_vec()));
    }
    fn method(&mut self, channel: u16, payload: &[u8]) -> Result<(), String> {
        self.0.push(Event::Method(channel, payload.to_vec()));
        Ok(())
    }
}

fn frame_of(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(FRAME_END);
    bytes
}

fn deliver(channel: u16, tag: u64, redelivered: bool) -> Vec<u8> {
    let mut payload = BASIC_DELIVER.to_vec();
    payload.extend_from_slice(b"\x03tag");
    payload.extend_from_slice(&tag.to_be_bytes());
    payload.push(u8::from(redelivered));
    payload.extend_from_slice(b"\x02ex\x03key");
    frame_of(METHOD, channel, &payload)
}

fn header(channel: u16, size: u64) -> Vec<u8> {
    let mut payload = vec![0, CLASS_BASIC, 0, 0];
    payload.extend_from_slice(&size.to_be_bytes());
    payload.extend_from_slice(&[0x10, 0, 2]);
    frame_of(HEADER, channel, &payload)
}

/// Three deliveries, of one, three and no body frames, interleaved over channels, an ack, a return, a heartbeat.
fn stream() -> Vec<u8> {
    [
        deliver(1, 1, false),
        header(1, 4),
        frame_of(BODY, 1, b"abcd"),
        deliver(2, 7, true),
        header(2, 6),
        frame_of(BODY, 2, b"12"),
        frame_of(METHOD, 1, b"\0\x3c\0\x50ack"),
        frame_of(BODY, 2, b""),
        frame_of(BODY, 2, b"3456"),
        frame_of(HEARTBEAT, 0, b""),
        deliver(1, 2, false),
        header(1, 0),
        frame_of(METHOD, 1, &BASIC_RETURN),
        header(1, 2),
        frame_of(BODY, 1, b"xy"),
    ]
    .concat()
}

fn expected() -> Vec<Event> {
    vec![
        Event::Delivered(1, 1, false, b"abcd".to_vec()),
        Event::Method(1, b"\0\x3c\0\x50ack".to_vec()),
        Event::Delivered(2, 7, true, b"123456".to_vec()),
        Event::Delivered(1, 2, false, vec![]),
        Event::Returned(1, b"xy".to_vec()),
    ]
}

#[test]
fn a_stream_in_one_piece_gives_its_messages_and_methods() {
    let (mut parser, mut log) = (Parser::default(), Log::default());
    assert_eq!(parser.parse(&stream(), &mut log), Ok(stream().len()));
    assert_eq!(log.0, expected());
}

#[test]
fn any_cut_of_the_stream_gives_the_same() {
    let stream = stream();
    for piece in 1..stream.len() {
        let (mut parser, mut log, mut rest) = (Parser::default(), Log::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            rest.extend_from_slice(bytes);
            let taken = parser.parse(&rest, &mut log).unwrap();
            rest.drain(..taken);
        }
        assert!(rest.is_empty());
        assert_eq!(log.0, expected(), "pieces of {piece}");
    }
}

#[test]
fn a_wrong_end_octet_anywhere_is_refused() {
    let parts = [deliver(1, 1, false), header(1, 4), frame_of(BODY, 1, b"abcd")];
    let mut end = 0;
    for part in &parts {
        end += part.len();
        let mut bytes = parts.concat();
        bytes[end - 1] = 0;
        assert!(Parser::default().parse(&bytes, &mut Log::default()).is_err(), "at {end}");
    }
}

#[test]
fn frames_out_of_order_are_refused() {
    let bad: [Vec<Vec<u8>>; 7] = [
        vec![header(1, 4)],
        vec![frame_of(BODY, 1, b"a")],
        vec![deliver(1, 1, false), deliver(1, 2, false)],
        vec![deliver(1, 1, false), header(1, 4), deliver(1, 2, false), header(1, 1), frame_of(BODY, 1, b"a")],
        vec![deliver(1, 1, false), header(1, 4), frame_of(BODY, 1, b"abcde")],
        vec![deliver(1, 1, false), header(1, 4), frame_of(BODY, 2, b"abcd")],
        vec![frame_of(4, 1, b"")],
    ];
    for frames in bad {
        assert!(Parser::default().parse(&frames.concat(), &mut Log::default()).is_err(), "{frames:?}");
    }
}

#[test]
fn a_deliver_with_a_byte_too_many_is_refused() {
    let mut payload = deliver(1, 1, false)[FRAME_HEAD_LEN..].to_vec();
    payload.pop();
    payload.push(0);
    let bytes = [frame_of(METHOD, 1, &payload), header(1, 1), frame_of(BODY, 1, b"a")].concat();
    assert!(Parser::default().parse(&bytes, &mut Log::default()).is_err());
}
