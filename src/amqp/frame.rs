//! A frame is the unit of the byte stream: a head that says kind, channel and size, the payload, and an end octet.
//!
//! ```text
//! octet    0      1      3          7                7+size
//!          +------+---------+------------+-- - - --+------+
//!          | kind | channel |    size    | payload | 0xCE |
//!          +------+---------+------------+-- - - --+------+
//! ```

use crate::ids::ChannelNumber;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    Method,
    Header,
    Body,
    Heartbeat,
}

impl FrameKind {
    #[inline]
    pub fn octet(self) -> u8 {
        match self {
            FrameKind::Method => 1,
            FrameKind::Header => 2,
            FrameKind::Body => 3,
            FrameKind::Heartbeat => 8,
        }
    }

    #[inline]
    pub fn from_octet(octet: u8) -> Option<FrameKind> {
        match octet {
            1 => Some(FrameKind::Method),
            2 => Some(FrameKind::Header),
            3 => Some(FrameKind::Body),
            8 => Some(FrameKind::Heartbeat),
            _ => None,
        }
    }

    /// A method has its ids, a header its class, weight and body size, a heartbeat nothing.
    #[inline]
    fn may_hold(self, payload_len: usize) -> bool {
        match self {
            FrameKind::Method => payload_len >= 4,
            FrameKind::Header => payload_len >= 12,
            FrameKind::Body => true,
            FrameKind::Heartbeat => payload_len == 0,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: ChannelNumber,
    pub payload: &'a [u8],
}

/// Each of these ends the connection with 501 FRAME_ERROR: after it the bounds of the next frame are unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// A kind that there is not, or a payload that is too short for its kind, or a heartbeat that has one.
    Unknown(u8),
    /// `max` is the largest payload that the negotiated frame_max leaves room for.
    TooLarge {
        size: u32,
        max: u32,
    },
    BadEnd(u8),
}

/// The first frame of `bytes` and the octets it took, or `None` if `bytes` ends before the frame does.
///
/// The size is judged as soon as the head is there, so that nobody waits for (or stores) more than was agreed; the kind
/// when all is there, because RabbitMQ shows the payload of a kind that it does not know. As RabbitMQ does, a payload of
/// up to `frame_max` octets passes although the whole frame is then up to [`FRAME_OVERHEAD`] longer than negotiated: some
/// clients count only the payload.
#[inline]
pub fn decode(bytes: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD_LEN>() else { return Ok(None) };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if size > frame_max {
        return Err(FrameError::TooLarge { size, max: frame_max.saturating_sub(FRAME_OVERHEAD as u32) });
    }
    let Some((payload, rest)) = bytes[FRAME_HEAD_LEN..].split_at_checked(size as usize) else {
        return Ok(None);
    };
    match rest.first() {
        None => Ok(None),
        Some(&FRAME_END) => {
            let kind = FrameKind::from_octet(head[0]).filter(|kind| kind.may_hold(payload.len()));
            let kind = kind.ok_or(FrameError::Unknown(head[0]))?;
            let channel = ChannelNumber(u16::from_be_bytes([head[1], head[2]]));
            Ok(Some((Frame { kind, channel, payload }, FRAME_OVERHEAD + payload.len())))
        }
        Some(&octet) => Err(FrameError::BadEnd(octet)),
    }
}

/// Appends a frame whose payload is what `write_payload` appends; the size is patched in afterwards.
#[inline]
pub fn encode_frame(
    out: &mut Vec<u8>,
    kind: FrameKind,
    channel: ChannelNumber,
    write_payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let [high, low] = channel.0.to_be_bytes();
    out.extend_from_slice(&[kind.octet(), high, low, 0, 0, 0, 0]);
    write_payload(out);
    let size = u32::try_from(out.len() - start - FRAME_HEAD_LEN).expect("a payload is shorter than 4 GiB");
    out[start + 3..start + FRAME_HEAD_LEN].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

pub const FRAME_HEAD_LEN: usize = 7;
/// What a frame adds to its payload: the head and the end octet.
pub const FRAME_OVERHEAD: usize = FRAME_HEAD_LEN + 1;
pub const FRAME_END: u8 = 0xCE;

/// What a client sends first, and what a server answers to anything else (0-9-1, 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
pub const HEARTBEAT_FRAME: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 11] = [3, 0, 5, 0, 0, 0, 3, b'a', b'b', b'c', 0xCE];

    #[test]
    fn a_frame_is_found_in_front_of_other_bytes() {
        let bytes = [&FRAME[..], &HEARTBEAT_FRAME].concat();
        let (frame, len) = decode(&bytes, 4096).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: FrameKind::Body, channel: ChannelNumber(5), payload: b"abc" });
        let (frame, rest) = decode(&bytes[len..], 4096).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: FrameKind::Heartbeat, channel: ChannelNumber(0), payload: b"" });
        assert_eq!(len + rest, bytes.len());
    }

    #[test]
    fn a_frame_cut_anywhere_is_incomplete() {
        for cut in 0..FRAME.len() {
            assert_eq!(decode(&FRAME[..cut], 4096), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_when_all_of_it_is_here() {
        assert_eq!(decode(&[4, 0, 0, 0, 0, 0, 1], 4096), Ok(None));
        assert_eq!(decode(&[4, 0, 0, 0, 0, 0, 1, 7, FRAME_END], 4096), Err(FrameError::Unknown(4)));
    }

    #[test]
    fn a_payload_that_does_not_fit_its_kind_is_refused() {
        for (kind, size) in [(1, 3), (2, 11), (8, 1)] {
            let bytes = [&[kind, 0, 1, 0, 0, 0, size][..], &vec![0; size.into()], &[FRAME_END]].concat();
            assert_eq!(decode(&bytes, 4096), Err(FrameError::Unknown(kind)));
        }
    }

    #[test]
    fn a_payload_may_be_as_long_as_frame_max_and_no_longer() {
        assert_eq!(decode(&[3, 0, 1, 0, 0, 0x10, 0], 4096), Ok(None));
        let refused = decode(&[3, 0, 1, 0, 0, 0x10, 1], 4096);
        assert_eq!(refused, Err(FrameError::TooLarge { size: 4097, max: 4088 }));
        let refused = decode(&[3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], 131_072);
        assert_eq!(refused, Err(FrameError::TooLarge { size: u32::MAX, max: 131_064 }));
    }

    #[test]
    fn a_wrong_end_octet_is_refused() {
        let mut bytes = FRAME;
        bytes[10] = 0;
        assert_eq!(decode(&bytes, 4096), Err(FrameError::BadEnd(0)));
    }

    #[test]
    fn an_encoded_frame_has_its_size_patched_in() {
        let mut out = b"before".to_vec();
        encode_frame(&mut out, FrameKind::Body, ChannelNumber(5), |out| out.extend_from_slice(b"abc"));
        assert_eq!(&out[6..], FRAME);
    }
}
