//! A whole publish found in place: method, header and body frames that lie one behind the other.
//!
//! ```text
//! 01 ch size | 00 3C 00 28 | 2 reserved | exchange | routing key | bits | CE
//! 02 ch size | 00 3C | weight | body size | property flags | properties  | CE
//! 03 ch size | body                                                      | CE   none, one or several
//! ```
//! Nothing is copied and nothing is kept. Whatever looks unusual is left to the frame-by-frame path, which
//! knows every error.

use crate::amqp::content::ContentHeader;
use crate::ids::ChannelNumber;
use crate::limits::CONTIGUOUS_BYTES_MAX;
use crate::message::Message;

/// A basic.publish with all of its content.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    pub channel: ChannelNumber,
    pub message: Message<'a>,
    pub mandatory: bool,
}

pub enum Scan<'a> {
    /// And the bytes it took.
    Publish(Publish<'a>, usize),
    /// A publish whose content is not all here yet, and short enough to wait for.
    Incomplete,
    Other,
}

/// What is looked at in place. `body_max` is of use up to `CONTIGUOUS_BYTES_MAX` only.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub frame_max: u32,
    /// Bytes of a body; what is larger the other path refuses.
    pub body_max: u64,
}

#[inline]
pub fn scan(bytes: &[u8], limits: Limits) -> Scan<'_> {
    let Some(found) = publish_method(bytes, limits.frame_max) else { return Scan::Other };
    match content_end(bytes, found.end, found.channel, limits) {
        Content::End(end) => {
            let message = Message { route: &bytes[ROUTE_AT..found.end - 2], content: &bytes[found.end..end] };
            let channel = ChannelNumber(u16::from_be_bytes(found.channel));
            Scan::Publish(Publish { channel, message, mandatory: found.bits & 1 != 0 }, end)
        }
        Content::Incomplete if bytes.len() < CONTIGUOUS_BYTES_MAX => Scan::Incomplete,
        Content::Incomplete | Content::Other => Scan::Other,
    }
}

/// The publish at the front of `bytes`, if its method frame is the same as `method`, octet for octet: most publishes of a
/// burst repeat the one before but for their content. Answers the message, whose `route` is the one given, and its bytes.
#[inline]
pub fn repeated<'a>(
    bytes: &'a [u8],
    method: &[u8],
    route: &'a [u8],
    limits: Limits,
) -> Option<(Message<'a>, usize)> {
    if !bytes.starts_with(method) {
        return None;
    }
    match content_end(bytes, method.len(), [method[1], method[2]], limits) {
        Content::End(end) => Some((Message { route, content: &bytes[method.len()..end] }, end)),
        Content::Incomplete | Content::Other => None,
    }
}

struct PublishMethod {
    channel: [u8; 2],
    bits: u8,
    /// Where the method frame ends.
    end: usize,
}

/// `immediate` (bit 1) is left to the other path, which refuses it.
#[inline]
fn publish_method(bytes: &[u8], frame_max: u32) -> Option<PublishMethod> {
    let head = bytes.get(..ROUTE_AT)?;
    if head[0] != 1 || head[7..11] != [0, 60, 0, 40] || (head[1] | head[2]) == 0 {
        return None;
    }
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let end = size as usize + 8;
    if size > frame_max || bytes.len() < end || bytes[end - 1] != FRAME_END {
        return None;
    }
    let exchange_end = ROUTE_AT + 1 + usize::from(*bytes.get(ROUTE_AT)?);
    let route_end = exchange_end + 1 + usize::from(*bytes.get(exchange_end)?);
    let bits = *bytes.get(route_end)?;
    (route_end + 2 == end && bits & 2 == 0).then_some(PublishMethod {
        channel: [head[1], head[2]],
        bits,
        end,
    })
}

enum Content {
    End(usize),
    Incomplete,
    Other,
}

#[inline]
fn content_end(bytes: &[u8], at: usize, channel: [u8; 2], limits: Limits) -> Content {
    let Limits { frame_max, body_max } = limits;
    let (mut at, header) = match frame(bytes, at, 2, channel, frame_max) {
        Framed::Frame(end) => (end, &bytes[at + 7..end - 1]),
        Framed::Incomplete => return Content::Incomplete,
        Framed::Other => return Content::Other,
    };
    if header.len() < 14 || header[..4] != [0, 60, 0, 0] {
        return Content::Other;
    }
    // Without properties there is nothing to check in them.
    if header[12..] != [0, 0] && ContentHeader::decode(header).is_err() {
        return Content::Other;
    }
    let mut left = u64::from_be_bytes(header[4..12].try_into().expect("eight bytes"));
    if left > body_max.min(CONTIGUOUS_BYTES_MAX as u64) {
        return Content::Other;
    }
    while left > 0 {
        match frame(bytes, at, 3, channel, frame_max) {
            Framed::Frame(end) => {
                let body = (end - at - 8) as u64;
                if body > left {
                    return Content::Other;
                }
                left -= body;
                at = end;
            }
            Framed::Incomplete => return Content::Incomplete,
            Framed::Other => return Content::Other,
        }
    }
    Content::End(at)
}

enum Framed {
    Frame(usize),
    Incomplete,
    Other,
}

/// The end of the frame of that kind and channel that begins at `at`.
#[inline]
fn frame(bytes: &[u8], at: usize, kind: u8, channel: [u8; 2], frame_max: u32) -> Framed {
    let Some(head) = bytes.get(at..at + 7) else {
        return if bytes.get(at).is_none_or(|&first| first == kind) {
            Framed::Incomplete
        } else {
            Framed::Other
        };
    };
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if head[0] != kind || head[1..3] != channel || size > frame_max {
        return Framed::Other;
    }
    let end = at + size as usize + 8;
    match bytes.get(end - 1) {
        Some(&FRAME_END) => Framed::Frame(end),
        Some(_) => Framed::Other,
        None => Framed::Incomplete,
    }
}

/// Frame head, class, method and the reserved short.
const ROUTE_AT: usize = 7 + 4 + 2;
const FRAME_END: u8 = 0xCE;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { frame_max: 4096, body_max: 5_000 };

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0, 1];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(FRAME_END);
        frame
    }

    fn publish(bits: u8, body: &[&[u8]]) -> Vec<u8> {
        let size: usize = body.iter().map(|part| part.len()).sum();
        let mut bytes = frame(1, &[&b"\0\x3c\0\x28\0\0\x02ex\x03key"[..], &[bits]].concat());
        bytes.extend(frame(2, &[&b"\0\x3c\0\0"[..], &(size as u64).to_be_bytes(), b"\0\0"].concat()));
        body.iter().for_each(|part| bytes.extend(frame(3, part)));
        bytes
    }

    #[test]
    fn a_publish_is_found_in_place_whatever_follows() {
        for body in [&[][..], &[&b"hello"[..]], &[b"he", b"", b"llo"]] {
            let mut bytes = publish(1, body);
            let whole = bytes.len();
            bytes.extend(b"\x01\x00");
            let Scan::Publish(publish, end) = scan(&bytes, LIMITS) else { panic!("not found") };
            assert_eq!((end, publish.mandatory, publish.channel), (whole, true, ChannelNumber(1)));
            assert_eq!(
                (publish.message.exchange(), publish.message.routing_key()),
                (&b"ex"[..], &b"key"[..])
            );
            assert_eq!(publish.message.content, &bytes[22..whole]);
        }
    }

    #[test]
    fn a_publish_that_repeats_the_one_before_is_found_by_its_method() {
        let bytes = publish(0, &[b"hello"]);
        let Scan::Publish(first, taken) = scan(&bytes, LIMITS) else { panic!("not found") };
        let method = &bytes[..taken - first.message.content.len()];
        let next = publish(0, &[b"other"]);
        let (message, end) = repeated(&next, method, first.message.route, LIMITS).unwrap();
        assert_eq!((message.content, end), (&next[22..], next.len()));
        for cut in 0..next.len() {
            assert!(repeated(&next[..cut], method, first.message.route, LIMITS).is_none(), "cut at {cut}");
        }
        assert!(
            repeated(&publish(1, &[b"other"]), method, first.message.route, LIMITS).is_none(),
            "mandatory"
        );
    }

    #[test]
    fn a_piece_of_a_publish_is_waited_for_once_its_method_is_here() {
        let bytes = publish(0, &[b"hello"]);
        for end in 22..bytes.len() {
            assert!(matches!(scan(&bytes[..end], LIMITS), Scan::Incomplete), "cut at {end}");
        }
        for end in 0..22 {
            assert!(matches!(scan(&bytes[..end], LIMITS), Scan::Other), "cut at {end}");
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_left_to_the_other_path() {
        let bytes = publish(0, &[b"hello"]);
        let limits = |body_max| Limits { body_max, ..LIMITS };
        assert!(matches!(scan(&bytes, limits(5)), Scan::Publish(..)));
        assert!(matches!(scan(&bytes, limits(4)), Scan::Other));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_other_path() {
        let good = publish(0, &[b"hello"]);
        let other = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            assert!(matches!(scan(&bytes, LIMITS), Scan::Other));
        };
        other(&|bytes| bytes[20] = 2); // immediate
        other(&|bytes| bytes[21] = 0); // frame end
        other(&|bytes| bytes[24] = 2); // another channel's header
        other(&|bytes| bytes[22] = 8); // a heartbeat in between
        other(&|bytes| bytes[38] = 1); // body size beyond what is waited for
        other(&|bytes| *bytes.last_mut().unwrap() = 0);
    }
}
