//! The frames of a publish, made once; each message is a copy with its own stamp and fill.
//!
//! ```text
//! | basic.publish of the key | content header | body frame head | stamp | fill .. | end | [head | fill .. | end] .. |
//!   `------------------ head, one per key ----------------------'
//! ```

use std::sync::Arc;

use haremq::amqp::frame::{FRAME_END, FRAME_HEAD_LEN, FRAME_OVERHEAD};
use haremq::amqp::{ContentHeader, FrameKind, Method, Properties, PropertiesWriter, ShortStr};
use haremq::ids::ChannelNumber;

use crate::plan::Load;
use crate::routing::Key;
use crate::stamp::{BODY_BYTES_MIN, Fill, Stamp};

pub struct Template {
    /// All heads, each with room for the stamp at its end, back to back.
    heads: Vec<u8>,
    /// Where each key's head ends; it begins where the one before ends.
    ends: Vec<u32>,
    fill: Arc<Fill>,
    channel: u16,
    /// The most that a body frame may carry.
    payload_bytes_max: usize,
    message_bytes_max: usize,
}

impl Template {
    pub fn new(load: &Load, keys: &[Key], channel: u16, frame_max: u32, fill: Arc<Fill>) -> Template {
        let payload_bytes_max = frame_max as usize - FRAME_OVERHEAD;
        let (mut heads, mut ends) = (Vec::new(), Vec::new());
        for key in keys {
            write_head(&mut heads, load, key, channel, payload_bytes_max);
            ends.push(heads.len() as u32);
        }
        let longest =
            std::iter::once(&0).chain(&ends).zip(&ends).map(|(start, end)| (end - start) as usize).max();
        let frames = load.body_bytes.div_ceil(payload_bytes_max);
        let message_bytes_max = longest.unwrap_or(0) + load.body_bytes + frames * FRAME_OVERHEAD;
        Template { heads, ends, fill, channel, payload_bytes_max, message_bytes_max }
    }

    /// The longest message that `write` makes.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Appends the message with this key and stamp.
    #[inline]
    pub fn write(&self, key: usize, stamp: Stamp, out: &mut Vec<u8>) {
        let start = if key == 0 { 0 } else { self.ends[key - 1] as usize };
        out.extend_from_slice(&self.heads[start..self.ends[key] as usize]);
        if let Some(place) = out.last_chunk_mut::<BODY_BYTES_MIN>() {
            *place = stamp.encode();
        }
        let body_bytes = self.fill.body_bytes();
        if body_bytes > BODY_BYTES_MIN {
            let fill = self.fill.of(stamp.sequence);
            let (first, rest) = fill.split_at(body_bytes.min(self.payload_bytes_max) - BODY_BYTES_MIN);
            out.extend_from_slice(first);
            self.further_frames(rest, out);
        }
        out.push(FRAME_END);
    }

    /// Ends the body frame under way and puts `fill` in further ones, the last of which is left without its end octet.
    fn further_frames(&self, fill: &[u8], out: &mut Vec<u8>) {
        for piece in fill.chunks(self.payload_bytes_max) {
            out.push(FRAME_END);
            body_frame_head(out, self.channel, piece.len());
            out.extend_from_slice(piece);
        }
    }
}

fn write_head(heads: &mut Vec<u8>, load: &Load, key: &Key, channel: u16, payload_bytes_max: usize) {
    let publish = Method::BasicPublish {
        exchange: short(load.topology.exchange_name()),
        routing_key: short(&key.text),
        mandatory: load.mandatory,
        immediate: false,
    };
    publish.encode(ChannelNumber(channel), heads);
    let delivery_mode = load.persistent.then_some(DELIVERY_MODE_PERSISTENT);
    let properties = PropertiesWriter { delivery_mode, ..Default::default() }.finish();
    let properties = Properties::decode(&properties).unwrap_or(Properties::EMPTY);
    let header =
        ContentHeader { class_id: CLASS_BASIC, weight: 0, body_size: load.body_bytes as u64, properties };
    header.encode(ChannelNumber(channel), heads);
    body_frame_head(heads, channel, load.body_bytes.min(payload_bytes_max));
    heads.extend_from_slice(&[0; BODY_BYTES_MIN]);
}

fn body_frame_head(out: &mut Vec<u8>, channel: u16, payload_bytes: usize) {
    let mut head = [0; FRAME_HEAD_LEN];
    head[0] = FrameKind::Body.octet();
    head[1..3].copy_from_slice(&channel.to_be_bytes());
    head[3..].copy_from_slice(&(payload_bytes as u32).to_be_bytes());
    out.extend_from_slice(&head);
}

/// The declaring session refused longer names.
fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text.as_bytes()).unwrap_or(ShortStr::EMPTY)
}

const CLASS_BASIC: u16 = 60;
const DELIVERY_MODE_PERSISTENT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Flag, RunOptions};
    use crate::routing;
    use haremq::amqp::frame;

    struct Message<'a> {
        routing_key: &'a [u8],
        delivery_mode: Option<u8>,
        body: Vec<u8>,
        bytes: usize,
    }

    fn load(body_bytes: usize) -> (Load, Arc<[Key]>) {
        let options = RunOptions {
            exchange_type: Some("direct".into()),
            routing_key: Some("key-%d".into()),
            bindings: Some(12),
            size: Some(body_bytes),
            flag: vec![Flag::Persistent],
            ..RunOptions::default()
        };
        let load = Load::resolve(&options).unwrap();
        let keys = routing::keys(&options, &load.topology).unwrap().of_producer(0);
        (load, keys)
    }

    /// Reads a publish by the codec, frame by frame.
    fn read(bytes: &[u8]) -> Message<'_> {
        let next = |at: usize| frame::decode(&bytes[at..], FRAME_MAX).unwrap().unwrap();
        let (method, mut at) = next(0);
        let Ok(Method::BasicPublish { routing_key, .. }) = Method::decode(method.payload) else { panic!() };
        let (header, len) = next(at);
        at += len;
        let header = ContentHeader::decode(header.payload).unwrap();
        let mut body = Vec::new();
        while body.len() < header.body_size as usize {
            let (piece, len) = next(at);
            assert_eq!((piece.kind, piece.channel), (FrameKind::Body, ChannelNumber(7)));
            at += len;
            body.extend_from_slice(piece.payload);
        }
        Message {
            routing_key: routing_key.as_bytes(),
            delivery_mode: header.properties.delivery_mode(),
            body,
            bytes: at,
        }
    }

    #[test]
    fn messages_of_every_size_are_what_the_codec_reads() {
        let payload = FRAME_MAX as usize - FRAME_OVERHEAD;
        for body_bytes in [16, 17, 100, payload - 1, payload, payload + 1, 2 * payload, 3 * payload + 5] {
            let (load, keys) = load(body_bytes);
            let fill = Arc::new(Fill::new(body_bytes));
            let template = Template::new(&load, &keys, 7, FRAME_MAX, fill.clone());
            for (index, key) in keys.iter().enumerate() {
                let stamp = Stamp { producer: 3, sequence: 1000 + index as u64, planned: 77 };
                let mut out = Vec::new();
                template.write(index, stamp, &mut out);
                assert!(out.len() <= template.message_bytes_max());
                let message = read(&out);
                assert_eq!((message.routing_key, message.delivery_mode), (key.text.as_bytes(), Some(2)));
                assert_eq!((Stamp::decode(&message.body), message.bytes), (Some(stamp), out.len()));
                assert!(fill.matches(&message.body, stamp.sequence), "{body_bytes} bytes");
            }
        }
    }

    const FRAME_MAX: u32 = 4096;
}
