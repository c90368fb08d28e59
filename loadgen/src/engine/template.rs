//! The frames of a publish, made once; each message is a copy with its own stamp and fill.
//!
//! ```text
//! | basic.publish of the key | content header | body frame head | stamp | fill .. | end | [head | fill .. | end] .. |
//!   `---------- head, one per key and variant of properties ----'
//! ```
//! Where no two messages may be routed alike, a word in the routing key or in the headers is the message's own as well.

use std::sync::Arc;

use haremq::amqp::frame::{FRAME_END, FRAME_HEAD_LEN, FRAME_OVERHEAD};
use haremq::amqp::{
    ContentHeader, FrameKind, Method, Properties, PropertiesWriter, ShortStr, Table, TableWriter,
};
use haremq::ids::ChannelNumber;

use crate::plan::Load;
use crate::properties::{Variant, Variants};
use crate::routing::{ID_HEADER, Key, Matching, UNIQUE_HEADER, UNIQUE_ROOM};
use crate::stamp::{BODY_BYTES_MIN, Fill, Stamp, UNIQUE_WORD_BYTES};

pub struct Template {
    /// All heads, each with room for the stamp at its end, back to back.
    heads: Vec<u8>,
    /// Where each head ends, those of a key's variants in a row; it begins where the one before ends.
    ends: Vec<u32>,
    variants: Variants,
    /// How far before the end of each head its unique word begins.
    unique_word: Option<usize>,
    fill: Arc<Fill>,
    channel: u16,
    /// The most that a body frame may carry.
    payload_bytes_max: usize,
    message_bytes_max: usize,
}

impl Template {
    pub fn new(load: &Load, keys: &[Key], channel: u16, frame_max: u32, fill: Arc<Fill>) -> Template {
        let payload_bytes_max = frame_max as usize - FRAME_OVERHEAD;
        let (mut heads, mut ends, mut unique_word) = (Vec::new(), Vec::new(), None);
        let each =
            keys.iter().flat_map(|key| load.variants.as_slice().iter().map(move |variant| (key, *variant)));
        for (key, variant) in each {
            let unique_word_at = write_head(&mut heads, load, key, variant, channel, payload_bytes_max);
            unique_word = unique_word_at.map(|at| heads.len() - at);
            ends.push(heads.len() as u32);
        }
        let longest =
            std::iter::once(&0).chain(&ends).zip(&ends).map(|(start, end)| (end - start) as usize).max();
        let frames = load.body_bytes.div_ceil(payload_bytes_max);
        let message_bytes_max = longest.unwrap_or(0) + load.body_bytes + frames * FRAME_OVERHEAD;
        let variants = load.variants.clone();
        Template { heads, ends, variants, unique_word, fill, channel, payload_bytes_max, message_bytes_max }
    }

    /// Whether its messages wait for a time of their own.
    pub fn expires(&self) -> bool {
        self.variants.expire()
    }

    /// The longest message that `write` makes.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Appends the message with this key and stamp.
    #[inline]
    pub fn write(&self, key: usize, stamp: Stamp, out: &mut Vec<u8>) {
        let head = key * self.variants.count() + self.variants.index(stamp);
        let start = if head == 0 { 0 } else { self.ends[head - 1] as usize };
        out.extend_from_slice(&self.heads[start..self.ends[head] as usize]);
        if let Some(place) = out.last_chunk_mut::<BODY_BYTES_MIN>() {
            *place = stamp.encode();
        }
        if let Some(before_end) = self.unique_word {
            let at = out.len() - before_end;
            out[at..at + UNIQUE_WORD_BYTES].copy_from_slice(&stamp.unique_word());
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

/// Returns where its unique word begins, if it has one.
fn write_head(
    heads: &mut Vec<u8>,
    load: &Load,
    key: &Key,
    variant: Variant,
    channel: u16,
    payload_bytes_max: usize,
) -> Option<usize> {
    let matching = load.topology.matching;
    let publish = Method::BasicPublish {
        exchange: short(load.topology.exchange_name()),
        routing_key: if matching.by_headers() { ShortStr::EMPTY } else { short(&key.text) },
        mandatory: load.mandatory,
        immediate: false,
    };
    publish.encode(ChannelNumber(channel), heads);
    let after_publish = heads.len();
    let delivery_mode = load.persistent.then_some(DELIVERY_MODE_PERSISTENT);
    let table = headers(matching, key);
    let headers = Table::decode(&table).ok().filter(|table| !table.is_empty());
    let priority = variant.priority;
    let expiration = variant.expiration_ms.map(|ms| ms.to_string());
    let expiration = expiration.as_deref().map(short);
    let properties =
        PropertiesWriter { headers, delivery_mode, priority, expiration, ..Default::default() }.finish();
    let properties = Properties::decode(&properties).unwrap_or(Properties::EMPTY);
    let header =
        ContentHeader { class_id: CLASS_BASIC, weight: 0, body_size: load.body_bytes as u64, properties };
    header.encode(ChannelNumber(channel), heads);
    // Behind the word come the bits of basic.publish, or the delivery mode, and the end of the frame.
    let unique_word_at = match matching {
        Matching::UniqueKey => Some(after_publish - 2 - UNIQUE_WORD_BYTES),
        Matching::UniqueHeaders => Some(heads.len() - 1 - usize::from(load.persistent) - UNIQUE_WORD_BYTES),
        Matching::Key | Matching::Headers => None,
    };
    body_frame_head(heads, channel, load.body_bytes.min(payload_bytes_max));
    heads.extend_from_slice(&[0; BODY_BYTES_MIN]);
    unique_word_at
}

/// The application headers of the messages with this key. The unique one is the last.
fn headers(matching: Matching, key: &Key) -> Vec<u8> {
    let table = match matching {
        Matching::Key | Matching::UniqueKey => TableWriter::new(),
        Matching::Headers => TableWriter::new().string(ID_HEADER, &key.text),
        Matching::UniqueHeaders => {
            TableWriter::new().string(ID_HEADER, &key.text).string(UNIQUE_HEADER, UNIQUE_ROOM)
        }
    };
    table.finish()
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
    use haremq::amqp::{Value, frame};

    struct Message<'a> {
        routing_key: &'a [u8],
        headers: Vec<(String, String)>,
        delivery_mode: Option<u8>,
        priority: Option<u8>,
        expiration: Option<String>,
        body: Vec<u8>,
        bytes: usize,
    }

    fn load(body_bytes: usize) -> (Load, Arc<[Key]>) {
        resolve(RunOptions { size: Some(body_bytes), ..options("direct") })
    }

    fn options(exchange_type: &str) -> RunOptions {
        RunOptions {
            exchange_type: Some(exchange_type.into()),
            routing_key: Some("key-%d".into()),
            bindings: Some(12),
            flag: vec![Flag::Persistent],
            ..RunOptions::default()
        }
    }

    fn resolve(options: RunOptions) -> (Load, Arc<[Key]>) {
        let load = Load::resolve(&options).unwrap();
        let keys = routing::keys(&options, &load.topology).unwrap().of_producer(0);
        (load, keys)
    }

    fn text((name, value): (ShortStr<'_>, Value<'_>)) -> (String, String) {
        let value = String::from_utf8_lossy(value.as_str().unwrap()).into_owned();
        (name.to_string(), value)
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
            headers: header.properties.headers().map_or(Vec::new(), |table| table.iter().map(text).collect()),
            delivery_mode: header.properties.delivery_mode(),
            priority: header.properties.priority(),
            expiration: header.properties.expiration().map(|text| text.to_string()),
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

    #[test]
    fn every_message_has_the_properties_of_its_stamp() {
        let message_properties = Some("expiration=8-12,priority=254-255".to_owned());
        let (load, keys) = resolve(RunOptions { message_properties, ..options("direct") });
        let template = Template::new(&load, &keys, 7, FRAME_MAX, Arc::new(Fill::new(16)));
        let mut seen = std::collections::BTreeSet::new();
        for sequence in 0..500 {
            let (key, stamp) = (sequence as usize % 12, Stamp { producer: 3, sequence, planned: 77 });
            let mut out = Vec::new();
            template.write(key, stamp, &mut out);
            assert!(out.len() <= template.message_bytes_max());
            let message = read(&out);
            let variant = load.variants.as_slice()[load.variants.index(stamp)];
            assert_eq!(message.priority, variant.priority);
            assert_eq!(message.expiration, variant.expiration_ms.map(|ms| ms.to_string()));
            assert_eq!((message.routing_key, message.delivery_mode), (keys[key].text.as_bytes(), Some(2)));
            assert_eq!((Stamp::decode(&message.body), message.bytes), (Some(stamp), out.len()));
            seen.insert((message.priority, message.expiration));
        }
        assert_eq!(seen.len(), 10, "five expirations, two priorities");
    }

    #[test]
    fn every_message_has_a_unique_word_in_its_key_or_headers_if_it_shall() {
        for flags in [vec![], vec![Flag::Persistent]] {
            for (exchange_type, unique) in [("topic", true), ("headers", true), ("headers", false)] {
                let options = RunOptions { unique, flag: flags.clone(), ..options(exchange_type) };
                let (load, keys) = resolve(options);
                let template = Template::new(&load, &keys, 7, FRAME_MAX, Arc::new(Fill::new(16)));
                for (index, sequence) in [(2, 0), (11, 1), (11, 2)] {
                    let stamp = Stamp { producer: 3, sequence, planned: 77 };
                    let mut out = b"what is before".to_vec();
                    template.write(index, stamp, &mut out);
                    let message = read(&out[14..]);
                    let word = String::from_utf8(stamp.unique_word().to_vec()).unwrap();
                    let (id, own) = (format!("key-{index}"), ("unique".to_owned(), word.clone()));
                    let (key, headers) = match (exchange_type, unique) {
                        ("topic", _) => (format!("{id}.{word}"), vec![]),
                        (_, true) => (String::new(), vec![("id".to_owned(), id), own]),
                        (_, false) => (String::new(), vec![("id".to_owned(), id)]),
                    };
                    assert_eq!((message.routing_key, message.headers), (key.as_bytes(), headers));
                    assert_eq!((Stamp::decode(&message.body), message.bytes), (Some(stamp), out.len() - 14));
                }
            }
        }
    }

    const FRAME_MAX: u32 = 4096;
}
