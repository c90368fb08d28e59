//! A published message, immutable from here on, as the bytes that came from its publisher.
//!
//! ```text
//! route    exchange (short string) | routing key (short string)        as in basic.publish and in basic.deliver
//! content  header frame | body frame | ... | body frame                verbatim, with the publisher's channel number
//! ```
//! A stored record is `route` followed by `content`. One byte may differ from what was published: the weight in the header,
//! always 0 on the wire, is 1 if there is a BCC header, which leads dead letters too and which no reader may see.

use crate::amqp::content::{
    ContentHeader, DELIVERY_MODE_FLAG, EXPIRATION_FLAG, HEADERS_FLAG, PRIORITY_FLAG, PROPERTIES_AT,
};
use crate::amqp::frame::{self, FRAME_OVERHEAD, FrameKind, encode_frame};
use crate::amqp::{Properties, Table};
use crate::expiration::parse_expiration;
use crate::ids::ChannelNumber;

/// Borrowed from a receive buffer, a page, or a parcel between shards.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub route: &'a [u8],
    pub content: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits a stored record.
    pub fn from_record(record: &'a [u8]) -> Message<'a> {
        let exchange_end = 1 + usize::from(record[0]);
        let route_end = exchange_end + 1 + usize::from(record[exchange_end]);
        let (route, content) = record.split_at(route_end);
        Message { route, content }
    }

    /// Splits a record that may be anything. None: it is no message.
    pub fn checked(record: &'a [u8]) -> Option<Message<'a>> {
        let exchange_end = 1 + usize::from(*record.first()?);
        let route_end = exchange_end + 1 + usize::from(*record.get(exchange_end)?);
        let (route, content) = record.split_at_checked(route_end)?;
        let (header, mut end) = frame::decode(content, u32::MAX).ok()??;
        if header.kind != FrameKind::Header {
            return None;
        }
        let mut left = ContentHeader::decode(header.payload).ok()?.body_size;
        while left > 0 {
            let (body, taken) = frame::decode(&content[end..], u32::MAX).ok()??;
            left = left.checked_sub(body.payload.len() as u64).filter(|_| body.kind == FrameKind::Body)?;
            end += taken;
        }
        (end == content.len()).then_some(Message { route, content })
    }

    /// Bytes of its stored record.
    pub fn record_bytes(&self) -> usize {
        self.route.len() + self.content.len()
    }

    /// What of its stored record is no body.
    #[inline]
    pub fn overhead_bytes(&self) -> usize {
        let record = self.record_bytes();
        record - self.body_bytes().min(record as u64) as usize
    }

    /// What the message takes from a consumer's window: about its size on the wire.
    pub fn window_bytes(&self) -> u32 {
        (self.record_bytes() + DELIVER_OVERHEAD) as u32
    }

    /// The payload of the content header: class, weight, body size, property flags, properties.
    pub fn header(&self) -> &'a [u8] {
        let [_, _, _, size @ ..] = *self.content.first_chunk::<7>().expect("content begins with a frame");
        &self.content[7..7 + u32::from_be_bytes(size) as usize]
    }

    /// Whether its publisher wants it to outlive the server.
    pub fn is_persistent(&self) -> bool {
        self.property_flags() & DELIVERY_MODE_FLAG != 0
            && Properties::of_checked(self.header()).delivery_mode() == Some(PERSISTENT)
    }

    pub fn priority(&self) -> Option<u8> {
        if self.property_flags() & PRIORITY_FLAG == 0 {
            return None;
        }
        Properties::of_checked(self.header()).priority()
    }

    /// How long it may wait, ms; that it is a number was checked when it came in.
    pub fn expiration_ms(&self) -> Option<u64> {
        if self.property_flags() & EXPIRATION_FLAG == 0 {
            return None;
        }
        parse_expiration(&Properties::of_checked(self.header()).expiration()?).ok()
    }

    /// As the content header says.
    pub fn body_bytes(&self) -> u64 {
        self.content.get(11..19).and_then(|size| size.try_into().ok()).map_or(0, u64::from_be_bytes)
    }

    /// The channel that the publisher sent it on.
    fn channel(&self) -> ChannelNumber {
        ChannelNumber(u16::from_be_bytes([self.content[1], self.content[2]]))
    }

    /// Which properties the message has; content-type is the highest bit.
    #[inline]
    pub fn property_flags(&self) -> u16 {
        self.content.get(19..21).map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]))
    }

    /// The record of this message, to be kept with its BCC header.
    pub fn with_bcc_kept(&self) -> Vec<u8> {
        let mut record = [self.route, self.content].concat();
        record[self.route.len() + WEIGHT_AT] = KEEPS_BCC;
        record
    }

    /// The record of this message with other properties: flags and values, as on the wire.
    pub fn with_properties(&self, properties: &[u8]) -> Vec<u8> {
        self.rerouted(self.route, properties)
    }

    /// The record of this message under another route and with other properties.
    pub fn rerouted(&self, route: &[u8], properties: &[u8]) -> Vec<u8> {
        let header = self.header();
        let mut record = Vec::with_capacity(route.len() + self.content.len() + properties.len());
        record.extend_from_slice(route);
        encode_frame(&mut record, FrameKind::Header, self.channel(), |out| {
            out.extend_from_slice(&header[..PROPERTIES_AT]);
            out.extend_from_slice(properties);
        });
        record.extend_from_slice(&self.content[header.len() + FRAME_OVERHEAD..]);
        record
    }

    /// The headers property, if the message has one; the content was checked when it came in.
    #[inline]
    pub fn headers(&self) -> Option<Table<'a>> {
        if self.property_flags() & HEADERS_FLAG == 0 {
            return None;
        }
        Properties::of_checked(self.header()).headers()
    }

    pub fn exchange(&self) -> &'a [u8] {
        &self.route[1..1 + usize::from(self.route[0])]
    }

    pub fn routing_key(&self) -> &'a [u8] {
        &self.route[2 + usize::from(self.route[0])..]
    }
}

/// Whether a content is more than a reader may see.
#[inline]
pub fn keeps_bcc(content: &[u8]) -> bool {
    content.get(WEIGHT_AT) == Some(&KEEPS_BCC)
}

/// A content as a reader may see it.
#[cold]
pub fn without_bcc(content: &[u8]) -> Vec<u8> {
    let message = Message { route: &[], content };
    let properties = Properties::of_checked(message.header());
    let headers = properties.headers().unwrap_or_default().without(b"BCC");
    let mut seen = message.with_properties(&properties.with_headers(&headers));
    seen[WEIGHT_AT] = 0;
    seen
}

/// The delivery mode of messages that outlive the server.
const PERSISTENT: u8 = 2;
/// The low byte of the weight, in a content.
const WEIGHT_AT: usize = 10;
const KEEPS_BCC: u8 = 1;

/// The method frame of basic.deliver without its route, with a short consumer tag, bytes.
const DELIVER_OVERHEAD: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_splits_where_the_routing_key_ends() {
        let message = Message::from_record(b"\x02ex\x03key\x02content");
        assert_eq!(message.exchange(), b"ex");
        assert_eq!(message.routing_key(), b"key");
        assert_eq!(message.content, b"\x02content");
        assert_eq!(message.record_bytes(), 15);
    }

    #[test]
    fn a_record_that_is_no_message_is_told() {
        let mut record = b"\x02ex\x03key".to_vec();
        encode_frame(&mut record, FrameKind::Header, ChannelNumber(3), |out| {
            out.extend_from_slice(&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
        });
        for body in [b"ab".as_slice(), b"cde"] {
            encode_frame(&mut record, FrameKind::Body, ChannelNumber(3), |out| out.extend_from_slice(body));
        }
        assert_eq!(Message::checked(&record).map(|message| message.exchange()), Some(&b"ex"[..]));
        assert!((0..record.len()).all(|len| Message::checked(&record[..len]).is_none()));
        record.push(0);
        assert!(Message::checked(&record).is_none());
    }

    #[test]
    fn empty_names_are_one_byte_each() {
        let message = Message::from_record(b"\0\0c");
        assert_eq!(
            (message.exchange(), message.routing_key(), message.content),
            (&b""[..], &b""[..], &b"c"[..])
        );
    }
}
