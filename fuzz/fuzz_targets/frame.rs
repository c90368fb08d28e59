//! A stream gives the same frames however it is cut, holds back no more than one frame, and encodes to itself.
#![no_main]

use haremq::amqp::frame::{self, FRAME_OVERHEAD, FrameError, FrameKind};
use haremq::ids::ChannelNumber;
use libfuzzer_sys::fuzz_target;

const FRAME_MAX: u32 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = split_input(input) else { return };
    let whole = read(&[stream]);
    assert_eq!(read(&pieces(cuts, stream)), whole);

    let mut encoded = Vec::new();
    for (kind, channel, payload) in &whole.0 {
        frame::encode_frame(&mut encoded, *kind, *channel, |out| out.extend_from_slice(payload));
    }
    assert_eq!(encoded, stream[..encoded.len()]);
});

/// The first octet says how many of the next ones are lengths of pieces; the rest is the stream.
fn split_input(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(*count % 32))
}

fn pieces<'a>(lengths: &[u8], mut stream: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, rest) = stream.split_at(usize::from(*length).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

type Read = (Vec<(FrameKind, ChannelNumber, Vec<u8>)>, Option<FrameError>);

fn read(pieces: &[&[u8]]) -> Read {
    let (mut frames, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match frame::decode(&kept, FRAME_MAX) {
                Err(error) => return (frames, Some(error)),
                Ok(None) => break,
                Ok(Some((frame, len))) => {
                    frames.push((frame.kind, frame.channel, frame.payload.to_vec()));
                    kept.drain(..len);
                }
            }
        }
        assert!(kept.len() < FRAME_MAX as usize + FRAME_OVERHEAD);
    }
    (frames, None)
}
