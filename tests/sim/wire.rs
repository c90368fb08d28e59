//! The client's end of the wire: bytes of the server become units, and a publish becomes frames.

use haremq::amqp::frame::{self, FRAME_OVERHEAD, FrameKind, encode_frame};
use haremq::amqp::{ContentHeader, Method, Properties};
use haremq::ids::ChannelNumber;

use crate::letter;
use crate::oracle::{Verdict, violation};

/// A method with its content, if it has one.
#[derive(Clone, Debug)]
pub struct Unit {
    pub channel: u16,
    pub method: Vec<u8>,
    pub content: Option<Content>,
    /// Where it ends in the stream.
    pub end: u64,
}

#[derive(Clone, Debug)]
pub struct Content {
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

impl Unit {
    pub fn method(&self) -> Method<'_> {
        Method::decode(&self.method).expect("checked when it was read")
    }

    /// Which message it carries.
    pub fn number(&self) -> Option<u64> {
        let content = self.content.as_ref()?;
        letter::number(&Properties::decode(&content.properties).ok()?, &content.body)
    }

    pub fn set_method(&mut self, method: &Method<'_>) {
        let mut out = Vec::new();
        method.encode(ChannelNumber(self.channel), &mut out);
        self.method = out[frame::FRAME_HEAD_LEN..out.len() - 1].to_vec();
    }
}

/// Cuts a stream of the server into units. A content's frames may be interleaved with those of other channels.
#[derive(Default)]
pub struct Cutter {
    rest: Vec<u8>,
    position: u64,
    open: Vec<OpenContent>,
}

struct OpenContent {
    unit: Unit,
    /// Octets of body to come; none until the header is here.
    left: Option<u64>,
}

impl Cutter {
    /// `frame_max` is what this client agreed to; 0 before it has.
    pub fn cut(&mut self, bytes: &[u8], frame_max: u32, units: &mut Vec<Unit>) -> Verdict {
        self.rest.extend_from_slice(bytes);
        let mut taken = 0;
        let rest = std::mem::take(&mut self.rest);
        loop {
            let found = frame::decode(&rest[taken..], u32::MAX - FRAME_OVERHEAD as u32);
            let Ok(found) = found else { return violation(format!("no frame begins here: {found:?}")) };
            let Some((frame, size)) = found else { break };
            taken += size;
            self.position += size as u64;
            if frame_max > 0 && size > frame_max as usize {
                return violation(format!("a frame of {size} octets for a frame_max of {frame_max}"));
            }
            self.frame(frame.kind, frame.channel.0, frame.payload, units)?;
        }
        self.rest = rest[taken..].to_vec();
        Ok(())
    }

    /// No frame and no content is open.
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty() && self.open.is_empty()
    }

    fn frame(&mut self, kind: FrameKind, channel: u16, payload: &[u8], units: &mut Vec<Unit>) -> Verdict {
        let open = self.open.iter().position(|open| open.unit.channel == channel);
        match (kind, open) {
            (FrameKind::Heartbeat, _) => {}
            (FrameKind::Method, None) => self.method(channel, payload, units)?,
            (FrameKind::Header, Some(at)) if self.open[at].left.is_none() => {
                let header = ContentHeader::decode(payload);
                let Ok(header) = header else { return violation("a content header that cannot be read") };
                let open = &mut self.open[at];
                open.left = Some(header.body_size);
                let properties = header.properties.as_bytes().to_vec();
                open.unit.content = Some(Content { properties, body: Vec::new() });
                self.finish(at, units);
            }
            (FrameKind::Body, Some(at)) => {
                let open = &mut self.open[at];
                let Some(left) = open.left.and_then(|left| left.checked_sub(payload.len() as u64)) else {
                    return violation("a body frame that its header does not announce");
                };
                open.left = Some(left);
                if let Some(content) = &mut open.unit.content {
                    content.body.extend_from_slice(payload);
                }
                self.finish(at, units);
            }
            _ => return violation(format!("a {kind:?} frame out of turn on channel {channel}")),
        }
        Ok(())
    }

    fn method(&mut self, channel: u16, payload: &[u8], units: &mut Vec<Unit>) -> Verdict {
        let method = Method::decode(payload);
        let Ok(method) = method else {
            return violation(format!("a method that cannot be read: {method:?}"));
        };
        let unit = Unit { channel, method: payload.to_vec(), content: None, end: self.position };
        if method.is_content() {
            self.open.push(OpenContent { unit, left: None });
        } else {
            units.push(unit);
        }
        Ok(())
    }

    fn finish(&mut self, at: usize, units: &mut Vec<Unit>) {
        if self.open[at].left == Some(0) {
            let mut unit = self.open.remove(at).unit;
            unit.end = self.position;
            units.push(unit);
        }
    }
}

/// The frames of a content, its body cut to `frame_max` or shorter, as `cut` says.
pub fn encode_content(
    channel: ChannelNumber,
    properties: &[u8],
    body: &[u8],
    mut cut: impl FnMut() -> usize,
    out: &mut Vec<u8>,
) {
    let properties = Properties::decode(properties).expect("properties that we wrote");
    ContentHeader { class_id: 60, weight: 0, body_size: body.len() as u64, properties }.encode(channel, out);
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
        encode_frame(out, FrameKind::Body, channel, |out| out.extend_from_slice(piece));
        rest = behind;
    }
}
