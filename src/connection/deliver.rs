//! Deliveries on their way to the socket: one template per consumer, one copy of the content as it came.
//!
//! ```text
//! template  01 ch size | 00 3C 00 3C | consumer tag | delivery tag | redelivered | exchange | routing key | CE
//!                                                     ^ patched      ^ patched     ^ rewritten when it changes
//! content   02 ch size ... CE  03 ch size ... CE      ^ channel patched if it differs
//! ```

use super::limit::Loan;
use crate::amqp::frame::{FRAME_OVERHEAD, FrameKind, encode_frame};
use crate::ids::{ChannelNumber, ConsumerId, Name, QueueId};
use crate::message::{Message, keeps_bcc, without_bcc};

/// A consumer as its connection sees it.
///
/// Lives on: the connection's shard.
pub struct ConsumerEnd {
    pub channel: ChannelNumber,
    pub tag: Box<[u8]>,
    pub no_ack: bool,
    pub queue: QueueId,
    /// Its number at the queue; none until consume-ok.
    pub consumer: Option<ConsumerId>,
    /// Bytes that its queue may send before the next grant.
    pub window: u32,
    /// Window bytes of what was encoded since the last grant.
    pub used: u32,
    /// Stands in the connection's list of those that used some.
    pub listed: bool,
    pub loan: Loan,
    pub template: Template,
    pub asked: Asked,
}

/// What a consumer asked for, for those who look.
#[derive(Clone, Default, Debug)]
pub struct Asked {
    pub queue: Name,
    pub exclusive: bool,
    pub prefetch: u16,
    /// How long it may take to settle a message, ms; 0 is for ever.
    pub timeout_ms: u64,
    /// An encoded field table without its length.
    pub arguments: Box<[u8]>,
}

/// The method frame of a consumer's deliveries, ready but for what differs from one to the next.
pub struct Template {
    channel: ChannelNumber,
    /// Where the delivery tag stands.
    tag_at: usize,
    frame: Vec<u8>,
}

impl ConsumerEnd {
    pub fn new(
        channel: ChannelNumber,
        tag: Box<[u8]>,
        no_ack: bool,
        queue: QueueId,
        window: u32,
    ) -> ConsumerEnd {
        let template = Template::new(channel, &tag);
        ConsumerEnd {
            channel,
            tag,
            no_ack,
            queue,
            consumer: None,
            window,
            used: 0,
            listed: false,
            loan: Loan::default(),
            template,
            asked: Asked::default(),
        }
    }
}

impl Template {
    pub fn new(channel: ChannelNumber, consumer_tag: &[u8]) -> Template {
        let mut frame = vec![1];
        frame.extend(channel.0.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0, 60, 0, 60]);
        frame.push(consumer_tag.len() as u8);
        frame.extend_from_slice(consumer_tag);
        frame.extend([0; 9]);
        let mut template = Template { channel, tag_at: TAG_AT + consumer_tag.len(), frame };
        template.set_route(b"\0\0");
        template
    }

    /// Appends the frames of one delivery.
    #[inline]
    pub fn encode(
        &mut self,
        message: &Message<'_>,
        tag: u64,
        redelivered: bool,
        frame_max: u32,
        out: &mut Vec<u8>,
    ) {
        if self.route() != message.route {
            self.set_route(message.route);
        }
        self.encode_again(message, tag, redelivered, frame_max, out);
    }

    /// The same for a message with the route of the one before.
    #[inline]
    pub fn encode_again(
        &self,
        message: &Message<'_>,
        tag: u64,
        redelivered: bool,
        frame_max: u32,
        out: &mut Vec<u8>,
    ) {
        debug_assert!(self.route() == message.route);
        let tag_at = out.len() + self.tag_at;
        out.extend_from_slice(&self.frame);
        out[tag_at..tag_at + 8].copy_from_slice(&tag.to_be_bytes());
        out[tag_at + 8] = u8::from(redelivered);
        append_content(message.content, self.channel, frame_max, out);
    }

    /// The route of the last message.
    pub fn route(&self) -> &[u8] {
        &self.frame[self.tag_at + 9..self.frame.len() - 1]
    }

    #[cold]
    fn set_route(&mut self, route: &[u8]) {
        self.frame.truncate(self.tag_at + 9);
        self.frame.extend_from_slice(route);
        self.frame.push(FRAME_END);
        let size = (self.frame.len() - FRAME_OVERHEAD) as u32;
        self.frame[3..7].copy_from_slice(&size.to_be_bytes());
    }
}

/// Copies header and body frames; cuts bodies anew only where the reader's frame_max asks for it.
#[inline]
pub fn append_content(content: &[u8], channel: ChannelNumber, frame_max: u32, out: &mut Vec<u8>) {
    if keeps_bcc(content) {
        return append_content(&without_bcc(content), channel, frame_max, out);
    }
    if content.len() > frame_max as usize {
        append_recut(content, channel, frame_max, out);
        return;
    }
    let start = out.len();
    out.extend_from_slice(content);
    if content[1..3] != channel.0.to_be_bytes() {
        patch_channel(&mut out[start..], channel);
    }
}

fn patch_channel(frames: &mut [u8], channel: ChannelNumber) {
    let mut at = 0;
    while at < frames.len() {
        frames[at + 1..at + 3].copy_from_slice(&channel.0.to_be_bytes());
        at += payload_bytes(&frames[at..]) + FRAME_OVERHEAD;
    }
}

fn append_recut(content: &[u8], channel: ChannelNumber, frame_max: u32, out: &mut Vec<u8>) {
    let mut at = 0;
    while at < content.len() {
        let bytes = payload_bytes(&content[at..]);
        let payload = &content[at + 7..at + 7 + bytes];
        if content[at] == 2 {
            // A content header is always one frame.
            encode_frame(out, FrameKind::Header, channel, |out| out.extend_from_slice(payload));
        } else {
            for piece in payload.chunks(frame_max as usize - FRAME_OVERHEAD) {
                encode_frame(out, FrameKind::Body, channel, |out| out.extend_from_slice(piece));
            }
        }
        at += bytes + FRAME_OVERHEAD;
    }
}

fn payload_bytes(frame: &[u8]) -> usize {
    u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize
}

/// Frame head, class and method, length of the consumer tag.
const TAG_AT: usize = 7 + 4 + 1;
const FRAME_END: u8 = 0xCE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::frame::decode;
    use crate::amqp::method::Method;
    use crate::ids::ShardId;

    fn frames(mut bytes: &[u8], frame_max: u32) -> Vec<(FrameKind, u16, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some((frame, taken)) = decode(bytes, frame_max).unwrap() {
            frames.push((frame.kind, frame.channel.0, frame.payload.to_vec()));
            bytes = &bytes[taken..];
        }
        assert!(bytes.is_empty());
        frames
    }

    fn content(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let size = (body.len() as u64).to_be_bytes();
        let header = [&[0, 60, 0, 0][..], &size, &[0, 0]].concat();
        encode_frame(&mut out, FrameKind::Header, ChannelNumber(1), |out| out.extend(header));
        encode_frame(&mut out, FrameKind::Body, ChannelNumber(1), |out| out.extend_from_slice(body));
        out
    }

    fn end() -> ConsumerEnd {
        let queue = QueueId { shard: ShardId(0), slot: 0, generation: 1 };
        ConsumerEnd::new(ChannelNumber(7), Box::from(&b"ctag"[..]), true, queue, 1000)
    }

    #[test]
    fn a_delivery_reads_back_whatever_the_route_before_it_was() {
        let mut end = end();
        let content = content(b"hello");
        for (tag, route) in [(1, &b"\0\x01q"[..]), (2, b"\x02ex\x03key"), (300, b"\0\0")] {
            let mut out = Vec::new();
            end.template.encode(&Message { route, content: &content }, tag, tag == 2, 131_072, &mut out);
            let frames = frames(&out, 131_072);
            assert!(frames.iter().all(|frame| frame.1 == 7));
            assert_eq!(frames[2].2, b"hello");
            let Ok(Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, routing_key, .. }) =
                Method::decode(&frames[0].2)
            else {
                panic!("no deliver")
            };
            assert_eq!((&consumer_tag[..], delivery_tag, redelivered), (&b"ctag"[..], tag, tag == 2));
            assert_eq!(&routing_key[..], Message { route, content: &content }.routing_key());
        }
    }

    #[test]
    fn a_body_is_cut_to_the_frames_that_the_reader_takes() {
        let body: Vec<u8> = (0..10_000u32).map(|at| at as u8).collect();
        let content = content(&body);
        let mut out = Vec::new();
        end().template.encode(&Message { route: b"\0\0", content: &content }, 1, false, 4096, &mut out);
        let frames = frames(&out, 4096 - 8);
        let received: Vec<u8> = frames
            .iter()
            .filter(|frame| frame.0 == FrameKind::Body)
            .flat_map(|frame| frame.2.clone())
            .collect();
        assert_eq!(received, body);
    }
}
